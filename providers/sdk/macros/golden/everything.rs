#[allow(missing_docs, clippy::all, clippy::pedantic, dead_code)]
pub mod trellis {
    pub mod test {
        /// A resource that lives in one actor and is used by another.
        pub mod resources {
            ::trellis_provider::rpc::wire_record! {
                #[derive(Clone, Debug, PartialEq, Eq, Hash)] pub struct Tally { handle :
                ::trellis_provider::generated::Bytes, }
            }
            /// The interface on the wire.
            pub const INSTANCE: &str = "trellis:test/resources@0.1.0";
            /// Each function without streams and resources as a type, for [`Component::invoke`](trellis_provider::Component::invoke) and
            /// for tests.
            pub mod functions {
                ::trellis_provider::rpc::wire_functions! {
                    "trellis:test/resources@0.1.0" { #[doc =
                    " A tally that stands at `start`."] Tally = "tally"(u64) ->
                    super::Tally; #[doc =
                    " Takes the tally away from the caller and gives its last value."]
                    Close = "close"(super::Tally) -> u64; }
                }
            }
            /// A resource that lives in one actor and is used by another.
            ///
            /// Calls of a component that exports it. Each method fails with the call's own error; those of the interface are
            /// among its results.
            #[derive(Clone, Debug)]
            pub struct Calls {
                component: ::trellis_provider::Component,
                options: ::trellis_provider::CallOptions,
            }
            impl Calls {
                /// Calls of that component, within the time that the host gives a call.
                pub fn new(component: ::trellis_provider::Component) -> Self {
                    Self {
                        component,
                        options: ::std::default::Default::default(),
                    }
                }
                /// The same, with another time or as a part of a trace.
                #[must_use]
                pub fn with(self, options: ::trellis_provider::CallOptions) -> Self {
                    Self { options, ..self }
                }
                /// Who is called.
                pub fn component(&self) -> &::trellis_provider::Component {
                    &self.component
                }
                /// A tally that stands at `start`.
                pub async fn tally_new(
                    &self,
                    start: u64,
                ) -> ::std::result::Result<Tally, ::trellis_provider::rpc::CallError> {
                    static OPERATION: ::std::sync::LazyLock<
                        ::trellis_provider::rpc::Operation,
                    > = ::std::sync::LazyLock::new(|| ::trellis_provider::rpc::Operation::new(
                        INSTANCE,
                        "tally",
                    ));
                    let mut __lowering = ::trellis_provider::generated::Lowering::new();
                    __lowering.enter(0u32);
                    __lowering.value(&start);
                    __lowering.leave();
                    let mut __lifting = ::trellis_provider::generated::call(
                            &self.component,
                            &OPERATION,
                            __lowering,
                            self.options,
                            true,
                        )
                        .await?;
                    __lifting.enter(0);
                    let __result = __lifting.value::<Tally>()?;
                    __lifting.leave();
                    __lifting.finish()?;
                    ::std::result::Result::Ok(__result)
                }
                /// Adds and gives the new value.
                pub async fn tally_add(
                    &self,
                    tally: &Tally,
                    delta: u64,
                ) -> ::std::result::Result<u64, ::trellis_provider::rpc::CallError> {
                    static OPERATION: ::std::sync::LazyLock<
                        ::trellis_provider::rpc::Operation,
                    > = ::std::sync::LazyLock::new(|| ::trellis_provider::rpc::Operation::new(
                        INSTANCE,
                        "tally.add",
                    ));
                    let mut __lowering = ::trellis_provider::generated::Lowering::new();
                    __lowering.enter(0u32);
                    __lowering.value(&tally);
                    __lowering.leave();
                    __lowering.enter(1u32);
                    __lowering.value(&delta);
                    __lowering.leave();
                    let mut __lifting = ::trellis_provider::generated::call(
                            &self.component,
                            &OPERATION,
                            __lowering,
                            self.options,
                            true,
                        )
                        .await?;
                    __lifting.enter(0);
                    let __result = __lifting.value::<u64>()?;
                    __lifting.leave();
                    __lifting.finish()?;
                    ::std::result::Result::Ok(__result)
                }
                pub async fn tally_value(
                    &self,
                    tally: &Tally,
                ) -> ::std::result::Result<u64, ::trellis_provider::rpc::CallError> {
                    static OPERATION: ::std::sync::LazyLock<
                        ::trellis_provider::rpc::Operation,
                    > = ::std::sync::LazyLock::new(|| ::trellis_provider::rpc::Operation::new(
                        INSTANCE,
                        "tally.value",
                    ));
                    let mut __lowering = ::trellis_provider::generated::Lowering::new();
                    __lowering.enter(0u32);
                    __lowering.value(&tally);
                    __lowering.leave();
                    let mut __lifting = ::trellis_provider::generated::call(
                            &self.component,
                            &OPERATION,
                            __lowering,
                            self.options,
                            true,
                        )
                        .await?;
                    __lifting.enter(0);
                    let __result = __lifting.value::<u64>()?;
                    __lifting.leave();
                    __lifting.finish()?;
                    ::std::result::Result::Ok(__result)
                }
                /// A tally that stands at the sum of two others.
                pub async fn tally_sum(
                    &self,
                    a: &Tally,
                    b: &Tally,
                ) -> ::std::result::Result<Tally, ::trellis_provider::rpc::CallError> {
                    static OPERATION: ::std::sync::LazyLock<
                        ::trellis_provider::rpc::Operation,
                    > = ::std::sync::LazyLock::new(|| ::trellis_provider::rpc::Operation::new(
                        INSTANCE,
                        "tally.sum",
                    ));
                    let mut __lowering = ::trellis_provider::generated::Lowering::new();
                    __lowering.enter(0u32);
                    __lowering.value(&a);
                    __lowering.leave();
                    __lowering.enter(1u32);
                    __lowering.value(&b);
                    __lowering.leave();
                    let mut __lifting = ::trellis_provider::generated::call(
                            &self.component,
                            &OPERATION,
                            __lowering,
                            self.options,
                            true,
                        )
                        .await?;
                    __lifting.enter(0);
                    let __result = __lifting.value::<Tally>()?;
                    __lifting.leave();
                    __lifting.finish()?;
                    ::std::result::Result::Ok(__result)
                }
                /// Takes the tally away from the caller and gives its last value.
                pub async fn close(
                    &self,
                    tally: Tally,
                ) -> ::std::result::Result<u64, ::trellis_provider::rpc::CallError> {
                    static OPERATION: ::std::sync::LazyLock<
                        ::trellis_provider::rpc::Operation,
                    > = ::std::sync::LazyLock::new(|| ::trellis_provider::rpc::Operation::new(
                        INSTANCE,
                        "close",
                    ));
                    let mut __lowering = ::trellis_provider::generated::Lowering::new();
                    __lowering.enter(0u32);
                    __lowering.value(&tally);
                    __lowering.leave();
                    let mut __lifting = ::trellis_provider::generated::call(
                            &self.component,
                            &OPERATION,
                            __lowering,
                            self.options,
                            true,
                        )
                        .await?;
                    __lifting.enter(0);
                    let __result = __lifting.value::<u64>()?;
                    __lifting.leave();
                    __lifting.finish()?;
                    ::std::result::Result::Ok(__result)
                }
                /// Lets go of a tally: its component may forget it.
                ///
                /// # Errors
                /// The call's own; a 1.x host doesn't know of this.
                pub async fn tally_drop(
                    &self,
                    resource: Tally,
                ) -> ::std::result::Result<(), ::trellis_provider::rpc::CallError> {
                    static OPERATION: ::std::sync::LazyLock<
                        ::trellis_provider::rpc::Operation,
                    > = ::std::sync::LazyLock::new(|| ::trellis_provider::rpc::Operation::new(
                        INSTANCE,
                        "[resource-drop]tally",
                    ));
                    let mut __lowering = ::trellis_provider::generated::Lowering::new();
                    __lowering.value(&resource);
                    ::trellis_provider::generated::call(
                            &self.component,
                            &OPERATION,
                            __lowering,
                            self.options,
                            false,
                        )
                        .await?
                        .finish()
                }
            }
        }
        /// Passed on from actor to actor: whoever exports it imports it too, from whichever actor it is linked to.
        pub mod relay {
            ::trellis_provider::rpc::wire_record! {
                #[derive(Clone, Debug, PartialEq, Eq, Hash)] pub struct Note { pub title
                : ::std::string::String, pub tags : ::std::vec::Vec <
                ::std::string::String >, pub level : u32, }
            }
            /// The interface on the wire.
            pub const INSTANCE: &str = "trellis:test/relay@0.1.0";
            /// Each function without streams and resources as a type, for [`Component::invoke`](trellis_provider::Component::invoke) and
            /// for tests.
            pub mod functions {
                ::trellis_provider::rpc::wire_functions! {
                    "trellis:test/relay@0.1.0" { #[doc = " The sum."] Add = "add"((u32,
                    u32)) -> u32; #[doc =
                    " The note one level higher; a note without a title is refused."]
                    Raise = "raise"(super::Note) -> ::std::result::Result < super::Note,
                    ::std::string::String >; #[doc =
                    " Does something by name: `answer` gives the number back, `sleep` takes that many milliseconds, `spin` computes"]
                    #[doc =
                    " for ever, `grow` takes that many bytes of memory, `trap` panics."]
                    Run = "run"((::std::string::String, u64)) -> ::std::string::String;
                    #[doc = " Has the linked actor `run` it, and says what that says."]
                    Forward = "forward"((::std::string::String, u64)) ->
                    ::std::string::String; #[doc =
                    " Has the linked actor descend by one less, until nothing is left; gives how far it went."]
                    Descend = "descend"(u32) -> u32; #[doc =
                    " Has the linked actor `add` that many times, one after the other; gives how long each took, in nanoseconds."]
                    TimeAdds = "time-adds"(u32) -> ::std::vec::Vec < u64 >; #[doc =
                    " The same of `raise`."] TimeRaises = "time-raises"(u32) ->
                    ::std::vec::Vec < u64 >; }
                }
            }
            /// Passed on from actor to actor: whoever exports it imports it too, from whichever actor it is linked to.
            ///
            /// Calls of a component that exports it. Each method fails with the call's own error; those of the interface are
            /// among its results.
            #[derive(Clone, Debug)]
            pub struct Calls {
                component: ::trellis_provider::Component,
                options: ::trellis_provider::CallOptions,
            }
            impl Calls {
                /// Calls of that component, within the time that the host gives a call.
                pub fn new(component: ::trellis_provider::Component) -> Self {
                    Self {
                        component,
                        options: ::std::default::Default::default(),
                    }
                }
                /// The same, with another time or as a part of a trace.
                #[must_use]
                pub fn with(self, options: ::trellis_provider::CallOptions) -> Self {
                    Self { options, ..self }
                }
                /// Who is called.
                pub fn component(&self) -> &::trellis_provider::Component {
                    &self.component
                }
                /// The sum.
                pub async fn add(
                    &self,
                    a: u32,
                    b: u32,
                ) -> ::std::result::Result<u32, ::trellis_provider::rpc::CallError> {
                    static OPERATION: ::std::sync::LazyLock<
                        ::trellis_provider::rpc::Operation,
                    > = ::std::sync::LazyLock::new(|| ::trellis_provider::rpc::Operation::new(
                        INSTANCE,
                        "add",
                    ));
                    let mut __lowering = ::trellis_provider::generated::Lowering::new();
                    __lowering.enter(0u32);
                    __lowering.value(&a);
                    __lowering.leave();
                    __lowering.enter(1u32);
                    __lowering.value(&b);
                    __lowering.leave();
                    let mut __lifting = ::trellis_provider::generated::call(
                            &self.component,
                            &OPERATION,
                            __lowering,
                            self.options,
                            true,
                        )
                        .await?;
                    __lifting.enter(0);
                    let __result = __lifting.value::<u32>()?;
                    __lifting.leave();
                    __lifting.finish()?;
                    ::std::result::Result::Ok(__result)
                }
                /// The note one level higher; a note without a title is refused.
                pub async fn raise(
                    &self,
                    note: Note,
                ) -> ::std::result::Result<
                    ::std::result::Result<Note, ::std::string::String>,
                    ::trellis_provider::rpc::CallError,
                > {
                    static OPERATION: ::std::sync::LazyLock<
                        ::trellis_provider::rpc::Operation,
                    > = ::std::sync::LazyLock::new(|| ::trellis_provider::rpc::Operation::new(
                        INSTANCE,
                        "raise",
                    ));
                    let mut __lowering = ::trellis_provider::generated::Lowering::new();
                    __lowering.enter(0u32);
                    __lowering.value(&note);
                    __lowering.leave();
                    let mut __lifting = ::trellis_provider::generated::call(
                            &self.component,
                            &OPERATION,
                            __lowering,
                            self.options,
                            true,
                        )
                        .await?;
                    __lifting.enter(0);
                    let __result = __lifting
                        .value::<::std::result::Result<Note, ::std::string::String>>()?;
                    __lifting.leave();
                    __lifting.finish()?;
                    ::std::result::Result::Ok(__result)
                }
                /// Does something by name: `answer` gives the number back, `sleep` takes that many milliseconds, `spin` computes
                /// for ever, `grow` takes that many bytes of memory, `trap` panics.
                pub async fn run(
                    &self,
                    what: ::std::string::String,
                    number: u64,
                ) -> ::std::result::Result<
                    ::std::string::String,
                    ::trellis_provider::rpc::CallError,
                > {
                    static OPERATION: ::std::sync::LazyLock<
                        ::trellis_provider::rpc::Operation,
                    > = ::std::sync::LazyLock::new(|| ::trellis_provider::rpc::Operation::new(
                        INSTANCE,
                        "run",
                    ));
                    let mut __lowering = ::trellis_provider::generated::Lowering::new();
                    __lowering.enter(0u32);
                    __lowering.value(&what);
                    __lowering.leave();
                    __lowering.enter(1u32);
                    __lowering.value(&number);
                    __lowering.leave();
                    let mut __lifting = ::trellis_provider::generated::call(
                            &self.component,
                            &OPERATION,
                            __lowering,
                            self.options,
                            true,
                        )
                        .await?;
                    __lifting.enter(0);
                    let __result = __lifting.value::<::std::string::String>()?;
                    __lifting.leave();
                    __lifting.finish()?;
                    ::std::result::Result::Ok(__result)
                }
                /// Has the linked actor `run` it, and says what that says.
                pub async fn forward(
                    &self,
                    what: ::std::string::String,
                    number: u64,
                ) -> ::std::result::Result<
                    ::std::string::String,
                    ::trellis_provider::rpc::CallError,
                > {
                    static OPERATION: ::std::sync::LazyLock<
                        ::trellis_provider::rpc::Operation,
                    > = ::std::sync::LazyLock::new(|| ::trellis_provider::rpc::Operation::new(
                        INSTANCE,
                        "forward",
                    ));
                    let mut __lowering = ::trellis_provider::generated::Lowering::new();
                    __lowering.enter(0u32);
                    __lowering.value(&what);
                    __lowering.leave();
                    __lowering.enter(1u32);
                    __lowering.value(&number);
                    __lowering.leave();
                    let mut __lifting = ::trellis_provider::generated::call(
                            &self.component,
                            &OPERATION,
                            __lowering,
                            self.options,
                            true,
                        )
                        .await?;
                    __lifting.enter(0);
                    let __result = __lifting.value::<::std::string::String>()?;
                    __lifting.leave();
                    __lifting.finish()?;
                    ::std::result::Result::Ok(__result)
                }
                /// Has the linked actor descend by one less, until nothing is left; gives how far it went.
                pub async fn descend(
                    &self,
                    left: u32,
                ) -> ::std::result::Result<u32, ::trellis_provider::rpc::CallError> {
                    static OPERATION: ::std::sync::LazyLock<
                        ::trellis_provider::rpc::Operation,
                    > = ::std::sync::LazyLock::new(|| ::trellis_provider::rpc::Operation::new(
                        INSTANCE,
                        "descend",
                    ));
                    let mut __lowering = ::trellis_provider::generated::Lowering::new();
                    __lowering.enter(0u32);
                    __lowering.value(&left);
                    __lowering.leave();
                    let mut __lifting = ::trellis_provider::generated::call(
                            &self.component,
                            &OPERATION,
                            __lowering,
                            self.options,
                            true,
                        )
                        .await?;
                    __lifting.enter(0);
                    let __result = __lifting.value::<u32>()?;
                    __lifting.leave();
                    __lifting.finish()?;
                    ::std::result::Result::Ok(__result)
                }
                /// Has the linked actor `add` that many times, one after the other; gives how long each took, in nanoseconds.
                pub async fn time_adds(
                    &self,
                    calls: u32,
                ) -> ::std::result::Result<
                    ::std::vec::Vec<u64>,
                    ::trellis_provider::rpc::CallError,
                > {
                    static OPERATION: ::std::sync::LazyLock<
                        ::trellis_provider::rpc::Operation,
                    > = ::std::sync::LazyLock::new(|| ::trellis_provider::rpc::Operation::new(
                        INSTANCE,
                        "time-adds",
                    ));
                    let mut __lowering = ::trellis_provider::generated::Lowering::new();
                    __lowering.enter(0u32);
                    __lowering.value(&calls);
                    __lowering.leave();
                    let mut __lifting = ::trellis_provider::generated::call(
                            &self.component,
                            &OPERATION,
                            __lowering,
                            self.options,
                            true,
                        )
                        .await?;
                    __lifting.enter(0);
                    let __result = __lifting.value::<::std::vec::Vec<u64>>()?;
                    __lifting.leave();
                    __lifting.finish()?;
                    ::std::result::Result::Ok(__result)
                }
                /// The same of `raise`.
                pub async fn time_raises(
                    &self,
                    calls: u32,
                ) -> ::std::result::Result<
                    ::std::vec::Vec<u64>,
                    ::trellis_provider::rpc::CallError,
                > {
                    static OPERATION: ::std::sync::LazyLock<
                        ::trellis_provider::rpc::Operation,
                    > = ::std::sync::LazyLock::new(|| ::trellis_provider::rpc::Operation::new(
                        INSTANCE,
                        "time-raises",
                    ));
                    let mut __lowering = ::trellis_provider::generated::Lowering::new();
                    __lowering.enter(0u32);
                    __lowering.value(&calls);
                    __lowering.leave();
                    let mut __lifting = ::trellis_provider::generated::call(
                            &self.component,
                            &OPERATION,
                            __lowering,
                            self.options,
                            true,
                        )
                        .await?;
                    __lifting.enter(0);
                    let __result = __lifting.value::<::std::vec::Vec<u64>>()?;
                    __lifting.leave();
                    __lifting.finish()?;
                    ::std::result::Result::Ok(__result)
                }
            }
            /// Passed on from actor to actor: whoever exports it imports it too, from whichever actor it is linked to.
            ///
            /// What a component calls is answered by the method of that name. The context says who calls, over which link. An
            /// error is one of the call itself, which the component can't handle; those of the interface are among its results.
            pub trait Answers: ::std::marker::Send + ::std::marker::Sync + 'static {
                /// The sum.
                fn add(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    a: u32,
                    b: u32,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        u32,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                /// The note one level higher; a note without a title is refused.
                fn raise(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    note: Note,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        ::std::result::Result<Note, ::std::string::String>,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                /// Does something by name: `answer` gives the number back, `sleep` takes that many milliseconds, `spin` computes
                /// for ever, `grow` takes that many bytes of memory, `trap` panics.
                fn run(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    what: ::std::string::String,
                    number: u64,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        ::std::string::String,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                /// Has the linked actor `run` it, and says what that says.
                fn forward(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    what: ::std::string::String,
                    number: u64,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        ::std::string::String,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                /// Has the linked actor descend by one less, until nothing is left; gives how far it went.
                fn descend(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    left: u32,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        u32,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                /// Has the linked actor `add` that many times, one after the other; gives how long each took, in nanoseconds.
                fn time_adds(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    calls: u32,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        ::std::vec::Vec<u64>,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                /// The same of `raise`.
                fn time_raises(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    calls: u32,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        ::std::vec::Vec<u64>,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
            }
            /// This interface, answered by a provider; a part of a handler ([`combined`](trellis_provider::generated::combined)).
            pub fn interface<T: Answers>(
                provider: ::std::sync::Arc<T>,
            ) -> ::trellis_provider::generated::Interface {
                ::trellis_provider::generated::Interface::new(
                    INSTANCE,
                    move |call| { answer(provider.clone(), call) },
                )
            }
            async fn answer<T: Answers>(
                __provider: ::std::sync::Arc<T>,
                __call: ::trellis_provider::rpc::IncomingCall,
            ) -> ::std::result::Result<
                ::trellis_provider::rpc::Outgoing,
                ::trellis_provider::rpc::CallError,
            > {
                let ::trellis_provider::rpc::IncomingCall {
                    operation: __operation,
                    context: __context,
                    params: __params,
                    ..
                } = __call;
                match &*__operation.function {
                    "add" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<u32>()?;
                        __lifting.leave();
                        __lifting.enter(1u32);
                        let __argument1 = __lifting.value::<u32>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .add(__context, __argument0, __argument1)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "raise" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<Note>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider.raise(__context, __argument0).await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "run" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<::std::string::String>()?;
                        __lifting.leave();
                        __lifting.enter(1u32);
                        let __argument1 = __lifting.value::<u64>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .run(__context, __argument0, __argument1)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "forward" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<::std::string::String>()?;
                        __lifting.leave();
                        __lifting.enter(1u32);
                        let __argument1 = __lifting.value::<u64>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .forward(__context, __argument0, __argument1)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "descend" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<u32>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider.descend(__context, __argument0).await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "time-adds" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<u32>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .time_adds(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "time-raises" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<u32>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .time_raises(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    _ => {
                        ::std::result::Result::Err(
                            ::trellis_provider::generated::unknown_function(
                                &__operation,
                                &__context,
                            ),
                        )
                    }
                }
            }
        }
        pub mod types {
            ::trellis_provider::rpc::wire_record! {
                #[derive(Clone, Debug, PartialEq, Eq, Hash)] pub struct Point { pub x :
                i32, pub y : i32, }
            }
            ::trellis_provider::rpc::wire_variant! {
                #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)] pub
                enum Color { Red, Green, Blue, }
            }
            ::trellis_provider::rpc::wire_record! {
                #[doc =
                " Nested on purpose: a record in a list in a record, next to options."]
                #[derive(Clone, Debug, PartialEq, Eq, Hash)] pub struct Shape { pub name
                : ::std::string::String, pub points : ::std::vec::Vec < Point >, pub fill
                : ::std::option::Option < Color >, pub note : ::std::option::Option <
                ::std::option::Option < ::std::string::String > >, }
            }
            ::trellis_provider::rpc::wire_variant! {
                #[derive(Clone, Debug, PartialEq, Eq, Hash)] pub enum Event { #[doc =
                " A case without a payload."] Started, Moved(Point),
                Renamed(::std::string::String), Failed(::std::result::Result < u32,
                ::std::string::String >), Many(::std::vec::Vec < (::std::string::String,
                Color,) >), }
            }
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
            pub struct Permissions {
                pub read: bool,
                pub write: bool,
                pub execute: bool,
            }
            impl ::trellis_provider::rpc::codec::Encode for Permissions {
                fn encode(&self, out: &mut ::trellis_provider::generated::BytesMut) {
                    ::trellis_provider::generated::encode_flags(
                        &[self.read, self.write, self.execute],
                        out,
                    );
                }
            }
            impl ::trellis_provider::rpc::codec::Decode for Permissions {
                fn decode(
                    decoder: &mut ::trellis_provider::rpc::codec::Decoder,
                ) -> ::std::result::Result<
                    Self,
                    ::trellis_provider::rpc::codec::WireError,
                > {
                    let [read, write, execute] = ::trellis_provider::generated::decode_flags::<
                        3usize,
                    >(decoder)?;
                    ::std::result::Result::Ok(Self { read, write, execute })
                }
            }
            /// More than eight flags take more than one byte.
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
            pub struct Wide {
                pub f0: bool,
                pub f1: bool,
                pub f2: bool,
                pub f3: bool,
                pub f4: bool,
                pub f5: bool,
                pub f6: bool,
                pub f7: bool,
                pub f8: bool,
                pub f9: bool,
                pub f10: bool,
                pub f11: bool,
            }
            impl ::trellis_provider::rpc::codec::Encode for Wide {
                fn encode(&self, out: &mut ::trellis_provider::generated::BytesMut) {
                    ::trellis_provider::generated::encode_flags(
                        &[
                            self.f0,
                            self.f1,
                            self.f2,
                            self.f3,
                            self.f4,
                            self.f5,
                            self.f6,
                            self.f7,
                            self.f8,
                            self.f9,
                            self.f10,
                            self.f11,
                        ],
                        out,
                    );
                }
            }
            impl ::trellis_provider::rpc::codec::Decode for Wide {
                fn decode(
                    decoder: &mut ::trellis_provider::rpc::codec::Decoder,
                ) -> ::std::result::Result<
                    Self,
                    ::trellis_provider::rpc::codec::WireError,
                > {
                    let [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11] = ::trellis_provider::generated::decode_flags::<
                        12usize,
                    >(decoder)?;
                    ::std::result::Result::Ok(Self {
                        f0,
                        f1,
                        f2,
                        f3,
                        f4,
                        f5,
                        f6,
                        f7,
                        f8,
                        f9,
                        f10,
                        f11,
                    })
                }
            }
            ::trellis_provider::rpc::wire_record! {
                #[doc = " Every scalar, in one record."] #[derive(Clone, Debug,
                PartialEq)] pub struct Scalars { pub yes : bool, pub u_eight : u8, pub
                u_sixteen : u16, pub u_thirty_two : u32, pub u_sixty_four : u64, pub
                s_eight : i8, pub s_sixteen : i16, pub s_thirty_two : i32, pub
                s_sixty_four : i64, pub f_thirty_two : f32, pub f_sixty_four : f64, pub
                letter : char, pub text : ::std::string::String, }
            }
            /// The interface on the wire.
            pub const INSTANCE: &str = "trellis:test/types@0.1.0";
            /// Each function without streams and resources as a type, for [`Component::invoke`](trellis_provider::Component::invoke) and
            /// for tests.
            pub mod functions {
                ::trellis_provider::rpc::wire_functions! {
                    "trellis:test/types@0.1.0" { RoundBool = "round-bool"(bool) -> bool;
                    RoundU8 = "round-u8"(u8) -> u8; RoundU16 = "round-u16"(u16) -> u16;
                    RoundU32 = "round-u32"(u32) -> u32; RoundU64 = "round-u64"(u64) ->
                    u64; RoundS8 = "round-s8"(i8) -> i8; RoundS16 = "round-s16"(i16) ->
                    i16; RoundS32 = "round-s32"(i32) -> i32; RoundS64 = "round-s64"(i64)
                    -> i64; RoundF32 = "round-f32"(f32) -> f32; RoundF64 =
                    "round-f64"(f64) -> f64; RoundChar = "round-char"(char) -> char;
                    RoundString = "round-string"(::std::string::String) ->
                    ::std::string::String; RoundBytes =
                    "round-bytes"(::trellis_provider::generated::Bytes) ->
                    ::trellis_provider::generated::Bytes; RoundStrings =
                    "round-strings"(::std::vec::Vec < ::std::string::String >) ->
                    ::std::vec::Vec < ::std::string::String >; RoundLists =
                    "round-lists"(::std::vec::Vec < ::std::vec::Vec < u32 > >) ->
                    ::std::vec::Vec < ::std::vec::Vec < u32 > >; RoundOption =
                    "round-option"(::std::option::Option < ::std::string::String >) ->
                    ::std::option::Option < ::std::string::String >; RoundNestedOption =
                    "round-nested-option"(::std::option::Option < ::std::option::Option <
                    u32 > >) -> ::std::option::Option < ::std::option::Option < u32 > >;
                    RoundResult = "round-result"(::std::result::Result <
                    ::std::string::String, u32 >) -> ::std::result::Result <
                    ::std::string::String, u32 >; RoundResultOkOnly =
                    "round-result-ok-only"(::std::result::Result < ::std::string::String,
                    () >) -> ::std::result::Result < ::std::string::String, () >;
                    RoundResultErrOnly = "round-result-err-only"(::std::result::Result <
                    (), ::std::string::String >) -> ::std::result::Result < (),
                    ::std::string::String >; RoundResultEmpty =
                    "round-result-empty"(::std::result::Result < (), () >) ->
                    ::std::result::Result < (), () >; RoundTuple = "round-tuple"((u8,
                    ::std::string::String, f64,)) -> (u8, ::std::string::String, f64,);
                    RoundScalars = "round-scalars"(super::Scalars) -> super::Scalars;
                    RoundShape = "round-shape"(super::Shape) -> super::Shape; RoundColor
                    = "round-color"(super::Color) -> super::Color; RoundEvent =
                    "round-event"(super::Event) -> super::Event; RoundEvents =
                    "round-events"(::std::vec::Vec < super::Event >) -> ::std::vec::Vec <
                    super::Event >; RoundPermissions =
                    "round-permissions"(super::Permissions) -> super::Permissions;
                    RoundWide = "round-wide"(super::Wide) -> super::Wide; #[doc =
                    " No parameters and no result."] Nothing = "nothing"(()) -> (); #[doc
                    =
                    " Several parameters, so that their order shows: `a`, `b` and `c` joined."]
                    Join = "join"((::std::string::String, u32, bool)) ->
                    ::std::string::String; #[doc =
                    " `count` bytes, byte `i` being `i` modulo 251: a big answer to a small question."]
                    Produce = "produce"(u32) -> ::trellis_provider::generated::Bytes;
                    #[doc =
                    " How many bytes arrived, and the sum of them all modulo 2^32."]
                    Digest = "digest"(::trellis_provider::generated::Bytes) -> (u64,
                    u32,); #[doc = " Traps: the caller must see an error, not a hang."]
                    Trap = "trap"(()) -> (); }
                }
            }
            ///
            /// What a component calls is answered by the method of that name. The context says who calls, over which link. An
            /// error is one of the call itself, which the component can't handle; those of the interface are among its results.
            pub trait Answers: ::std::marker::Send + ::std::marker::Sync + 'static {
                fn round_bool(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: bool,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        bool,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_u8(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: u8,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        u8,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_u16(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: u16,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        u16,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_u32(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: u32,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        u32,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_u64(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: u64,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        u64,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_s8(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: i8,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        i8,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_s16(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: i16,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        i16,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_s32(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: i32,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        i32,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_s64(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: i64,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        i64,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_f32(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: f32,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        f32,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_f64(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: f64,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        f64,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_char(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: char,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        char,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_string(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: ::std::string::String,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        ::std::string::String,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_bytes(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: ::trellis_provider::generated::Bytes,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        ::trellis_provider::generated::Bytes,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_strings(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: ::std::vec::Vec<::std::string::String>,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        ::std::vec::Vec<::std::string::String>,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_lists(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: ::std::vec::Vec<::std::vec::Vec<u32>>,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        ::std::vec::Vec<::std::vec::Vec<u32>>,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_option(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: ::std::option::Option<::std::string::String>,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        ::std::option::Option<::std::string::String>,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_nested_option(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: ::std::option::Option<::std::option::Option<u32>>,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        ::std::option::Option<::std::option::Option<u32>>,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_result(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: ::std::result::Result<::std::string::String, u32>,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        ::std::result::Result<::std::string::String, u32>,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_result_ok_only(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: ::std::result::Result<::std::string::String, ()>,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        ::std::result::Result<::std::string::String, ()>,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_result_err_only(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: ::std::result::Result<(), ::std::string::String>,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        ::std::result::Result<(), ::std::string::String>,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_result_empty(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: ::std::result::Result<(), ()>,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        ::std::result::Result<(), ()>,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_tuple(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: (u8, ::std::string::String, f64),
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        (u8, ::std::string::String, f64),
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_scalars(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: Scalars,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        Scalars,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_shape(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: Shape,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        Shape,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_color(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: Color,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        Color,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_event(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: Event,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        Event,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_events(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: ::std::vec::Vec<Event>,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        ::std::vec::Vec<Event>,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_permissions(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: Permissions,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        Permissions,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn round_wide(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: Wide,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        Wide,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                /// No parameters and no result.
                fn nothing(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        (),
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                /// Several parameters, so that their order shows: `a`, `b` and `c` joined.
                fn join(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    a: ::std::string::String,
                    b: u32,
                    c: bool,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        ::std::string::String,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                /// `count` bytes, byte `i` being `i` modulo 251: a big answer to a small question.
                fn produce(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    count: u32,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        ::trellis_provider::generated::Bytes,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                /// How many bytes arrived, and the sum of them all modulo 2^32.
                fn digest(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    value: ::trellis_provider::generated::Bytes,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        (u64, u32),
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                /// Traps: the caller must see an error, not a hang.
                fn trap(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        (),
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
            }
            /// This interface, answered by a provider; a part of a handler ([`combined`](trellis_provider::generated::combined)).
            pub fn interface<T: Answers>(
                provider: ::std::sync::Arc<T>,
            ) -> ::trellis_provider::generated::Interface {
                ::trellis_provider::generated::Interface::new(
                    INSTANCE,
                    move |call| { answer(provider.clone(), call) },
                )
            }
            async fn answer<T: Answers>(
                __provider: ::std::sync::Arc<T>,
                __call: ::trellis_provider::rpc::IncomingCall,
            ) -> ::std::result::Result<
                ::trellis_provider::rpc::Outgoing,
                ::trellis_provider::rpc::CallError,
            > {
                let ::trellis_provider::rpc::IncomingCall {
                    operation: __operation,
                    context: __context,
                    params: __params,
                    ..
                } = __call;
                match &*__operation.function {
                    "round-bool" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<bool>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_bool(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-u8" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<u8>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_u8(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-u16" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<u16>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_u16(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-u32" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<u32>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_u32(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-u64" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<u64>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_u64(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-s8" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<i8>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_s8(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-s16" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<i16>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_s16(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-s32" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<i32>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_s32(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-s64" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<i64>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_s64(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-f32" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<f32>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_f32(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-f64" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<f64>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_f64(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-char" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<char>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_char(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-string" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<::std::string::String>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_string(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-bytes" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting
                            .value::<::trellis_provider::generated::Bytes>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_bytes(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-strings" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting
                            .value::<::std::vec::Vec<::std::string::String>>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_strings(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-lists" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting
                            .value::<::std::vec::Vec<::std::vec::Vec<u32>>>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_lists(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-option" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting
                            .value::<::std::option::Option<::std::string::String>>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_option(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-nested-option" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting
                            .value::<
                                ::std::option::Option<::std::option::Option<u32>>,
                            >()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_nested_option(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-result" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting
                            .value::<
                                ::std::result::Result<::std::string::String, u32>,
                            >()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_result(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-result-ok-only" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting
                            .value::<
                                ::std::result::Result<::std::string::String, ()>,
                            >()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_result_ok_only(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-result-err-only" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting
                            .value::<
                                ::std::result::Result<(), ::std::string::String>,
                            >()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_result_err_only(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-result-empty" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting
                            .value::<::std::result::Result<(), ()>>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_result_empty(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-tuple" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting
                            .value::<(u8, ::std::string::String, f64)>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_tuple(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-scalars" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<Scalars>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_scalars(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-shape" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<Shape>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_shape(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-color" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<Color>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_color(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-event" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<Event>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_event(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-events" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<::std::vec::Vec<Event>>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_events(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-permissions" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<Permissions>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_permissions(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "round-wide" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<Wide>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .round_wide(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "nothing" => {
                        let __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.finish()?;
                        __provider.nothing(__context).await?;
                        ::std::result::Result::Ok(
                            ::trellis_provider::generated::Lowering::new().finish(),
                        )
                    }
                    "join" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<::std::string::String>()?;
                        __lifting.leave();
                        __lifting.enter(1u32);
                        let __argument1 = __lifting.value::<u32>()?;
                        __lifting.leave();
                        __lifting.enter(2u32);
                        let __argument2 = __lifting.value::<bool>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .join(__context, __argument0, __argument1, __argument2)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "produce" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<u32>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider.produce(__context, __argument0).await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "digest" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting
                            .value::<::trellis_provider::generated::Bytes>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider.digest(__context, __argument0).await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering.value(&__result);
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "trap" => {
                        let __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.finish()?;
                        __provider.trap(__context).await?;
                        ::std::result::Result::Ok(
                            ::trellis_provider::generated::Lowering::new().finish(),
                        )
                    }
                    _ => {
                        ::std::result::Result::Err(
                            ::trellis_provider::generated::unknown_function(
                                &__operation,
                                &__context,
                            ),
                        )
                    }
                }
            }
        }
    }
}
/// What answers all interfaces that the world exports: what `Provider::handler` gives.
#[allow(dead_code)]
pub fn handler<T>(
    provider: ::std::sync::Arc<T>,
) -> ::std::sync::Arc<dyn ::trellis_provider::rpc::Handler>
where
    T: trellis::test::relay::Answers + trellis::test::types::Answers,
{
    ::trellis_provider::generated::combined([
        trellis::test::relay::interface(provider.clone()),
        trellis::test::types::interface(provider.clone()),
    ])
}
