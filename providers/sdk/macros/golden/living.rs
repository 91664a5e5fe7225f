#[allow(missing_docs, clippy::all, clippy::pedantic, dead_code)]
pub mod golden {
    pub mod living {
        pub mod types {
            /// A text that comes bit by bit.
            ///
            /// ```text
            /// page { title, content }
            /// ```
            #[derive(Debug)]
            pub struct Page {
                pub title: ::std::string::String,
                pub content: ::trellis_provider::generated::Content,
                pub checksum: ::trellis_provider::generated::Later<u64>,
            }
            impl ::trellis_provider::generated::Carried for Page {
                fn lower(
                    self,
                    __lowering: &mut ::trellis_provider::generated::Lowering,
                ) {
                    __lowering.enter(0u32);
                    __lowering.value(&self.title);
                    __lowering.leave();
                    __lowering.enter(1u32);
                    __lowering.content(self.content);
                    __lowering.leave();
                    __lowering.enter(2u32);
                    __lowering.later(self.checksum);
                    __lowering.leave();
                }
                fn lift(
                    __lifting: &mut ::trellis_provider::generated::Lifting,
                ) -> ::std::result::Result<Self, ::trellis_provider::rpc::CallError> {
                    ::std::result::Result::Ok(Self {
                        title: {
                            __lifting.enter(0u32);
                            let __value = __lifting.value::<::std::string::String>()?;
                            __lifting.leave();
                            __value
                        },
                        content: {
                            __lifting.enter(1u32);
                            let __value = __lifting.content()?;
                            __lifting.leave();
                            __value
                        },
                        checksum: {
                            __lifting.enter(2u32);
                            let __value = __lifting.later()?;
                            __lifting.leave();
                            __value
                        },
                    })
                }
            }
            #[derive(Debug)]
            pub enum Found {
                Nothing,
                Page(Page),
                Redirect(::std::string::String),
            }
            impl ::trellis_provider::generated::Carried for Found {
                fn lower(
                    self,
                    __lowering: &mut ::trellis_provider::generated::Lowering,
                ) {
                    match self {
                        Self::Nothing => __lowering.case(0u32),
                        Self::Page(__payload) => {
                            __lowering.case(1u32);
                            __lowering.carried(__payload);
                        }
                        Self::Redirect(__payload) => {
                            __lowering.case(2u32);
                            __lowering.value(&__payload);
                        }
                    }
                }
                fn lift(
                    __lifting: &mut ::trellis_provider::generated::Lifting,
                ) -> ::std::result::Result<Self, ::trellis_provider::rpc::CallError> {
                    ::std::result::Result::Ok(
                        match __lifting.case("found")? {
                            0u32 => Self::Nothing,
                            1u32 => Self::Page(__lifting.carried::<Page>()?),
                            2u32 => {
                                Self::Redirect(__lifting.value::<::std::string::String>()?)
                            }
                            __other => {
                                return ::std::result::Result::Err(
                                    __lifting.unknown_case("found", __other),
                                );
                            }
                        },
                    )
                }
            }
            pub type Pages = ::std::vec::Vec<::std::string::String>;
        }
        pub mod reader {
            pub type Page = super::super::super::golden::living::types::Page;
            /// The interface on the wire.
            pub const INSTANCE: &str = "golden:living/reader@1.0.0";
            /// Each function without streams and resources as a type, for [`Component::invoke`](trellis_provider::Component::invoke) and
            /// for tests.
            pub mod functions {
                ::trellis_provider::rpc::wire_functions! {
                    "golden:living/reader@1.0.0" { Ping = "ping"(()) -> (); }
                }
            }
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
                pub async fn read(
                    &self,
                    page: Page,
                ) -> ::std::result::Result<
                    ::trellis_provider::generated::Content,
                    ::trellis_provider::rpc::CallError,
                > {
                    static OPERATION: ::std::sync::LazyLock<
                        ::trellis_provider::rpc::Operation,
                    > = ::std::sync::LazyLock::new(|| ::trellis_provider::rpc::Operation::new(
                        INSTANCE,
                        "read",
                    ));
                    let mut __lowering = ::trellis_provider::generated::Lowering::new();
                    __lowering.enter(0u32);
                    __lowering.carried(page);
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
                    let __result = __lifting.content()?;
                    __lifting.leave();
                    __lifting.finish()?;
                    ::std::result::Result::Ok(__result)
                }
                pub async fn ping(
                    &self,
                ) -> ::std::result::Result<(), ::trellis_provider::rpc::CallError> {
                    static OPERATION: ::std::sync::LazyLock<
                        ::trellis_provider::rpc::Operation,
                    > = ::std::sync::LazyLock::new(|| ::trellis_provider::rpc::Operation::new(
                        INSTANCE,
                        "ping",
                    ));
                    let __lowering = ::trellis_provider::generated::Lowering::new();
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
        /// Searches.
        pub mod search {
            pub type Page = super::super::super::golden::living::types::Page;
            pub type Found = super::super::super::golden::living::types::Found;
            pub type Pages = super::super::super::golden::living::types::Pages;
            /// The interface on the wire.
            pub const INSTANCE: &str = "golden:living/search@1.0.0";
            /// Searches.
            ///
            /// What a component calls is answered by the method of that name. The context says who calls, over which link. An
            /// error is one of the call itself, which the component can't handle; those of the interface are among its results.
            pub trait Answers: ::std::marker::Send + ::std::marker::Sync + 'static {
                /// A resource that lives in this provider until its component drops it.
                type Index: ::std::marker::Send + ::std::marker::Sync + 'static;
                fn index_new(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    pages: Pages,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        Self::Index,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                /// The first page that has the word in it.
                fn index_find(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    index: ::std::sync::Arc<Self::Index>,
                    word: ::std::string::String,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        ::std::result::Result<Found, ::std::string::String>,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn index_merge(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    a: ::std::sync::Arc<Self::Index>,
                    b: ::std::sync::Arc<Self::Index>,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        ::std::option::Option<Self::Index>,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                /// `context` and `self` are names in Rust.
                fn read(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    context_: ::std::string::String,
                    r#type: u32,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        ::std::result::Result<
                            ::trellis_provider::generated::Content,
                            ::std::string::String,
                        >,
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
                fn split(
                    &self,
                    context: ::trellis_provider::rpc::CallContext,
                    index: ::std::sync::Arc<Self::Index>,
                ) -> impl ::std::future::Future<
                    Output = ::std::result::Result<
                        (::std::vec::Vec<Self::Index>, u32),
                        ::trellis_provider::rpc::CallError,
                    >,
                > + ::std::marker::Send;
            }
            struct Resources<T: Answers> {
                index: ::trellis_provider::generated::Handles<T::Index>,
            }
            /// This interface, answered by a provider; a part of a handler ([`combined`](trellis_provider::generated::combined)).
            pub fn interface<T: Answers>(
                provider: ::std::sync::Arc<T>,
            ) -> ::trellis_provider::generated::Interface {
                let __resources = ::std::sync::Arc::new(Resources::<T> {
                    index: ::trellis_provider::generated::Handles::new("index"),
                });
                ::trellis_provider::generated::Interface::new(
                    INSTANCE,
                    move |call| { answer(provider.clone(), __resources.clone(), call) },
                )
            }
            async fn answer<T: Answers>(
                __provider: ::std::sync::Arc<T>,
                __resources: ::std::sync::Arc<Resources<T>>,
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
                    "index" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<Pages>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __caller = __context.source_id.clone();
                        let __result = __provider
                            .index_new(__context, __argument0)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        __lowering
                            .value(
                                &__resources.index.keep(__caller.as_ref(), __result)?,
                            );
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "index.find" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __resources
                            .index
                            .get(
                                &__lifting.value::<::trellis_provider::generated::Bytes>()?,
                            )?;
                        __lifting.leave();
                        __lifting.enter(1u32);
                        let __argument1 = __lifting.value::<::std::string::String>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .index_find(__context, __argument0, __argument1)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        match __result {
                            ::std::result::Result::Ok(__value0) => {
                                __lowering.tag(false);
                                __lowering.carried(__value0);
                            }
                            ::std::result::Result::Err(__value0) => {
                                __lowering.tag(true);
                                __lowering.value(&__value0);
                            }
                        }
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "index.merge" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __resources
                            .index
                            .take(
                                &__lifting.value::<::trellis_provider::generated::Bytes>()?,
                            )?;
                        __lifting.leave();
                        __lifting.enter(1u32);
                        let __argument1 = __resources
                            .index
                            .get(
                                &__lifting.value::<::trellis_provider::generated::Bytes>()?,
                            )?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __caller = __context.source_id.clone();
                        let __result = __provider
                            .index_merge(__context, __argument0, __argument1)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        match __result {
                            ::std::option::Option::None => __lowering.tag(false),
                            ::std::option::Option::Some(__value0) => {
                                __lowering.tag(true);
                                __lowering
                                    .value(
                                        &__resources.index.keep(__caller.as_ref(), __value0)?,
                                    );
                            }
                        }
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "read" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __lifting.value::<::std::string::String>()?;
                        __lifting.leave();
                        __lifting.enter(1u32);
                        let __argument1 = __lifting.value::<u32>()?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __result = __provider
                            .read(__context, __argument0, __argument1)
                            .await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        match __result {
                            ::std::result::Result::Ok(__value0) => {
                                __lowering.tag(false);
                                __lowering.content(__value0);
                            }
                            ::std::result::Result::Err(__value0) => {
                                __lowering.tag(true);
                                __lowering.value(&__value0);
                            }
                        }
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "split" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        __lifting.enter(0u32);
                        let __argument0 = __resources
                            .index
                            .take(
                                &__lifting.value::<::trellis_provider::generated::Bytes>()?,
                            )?;
                        __lifting.leave();
                        __lifting.finish()?;
                        let __caller = __context.source_id.clone();
                        let __result = __provider.split(__context, __argument0).await?;
                        let mut __lowering = ::trellis_provider::generated::Lowering::new();
                        __lowering.enter(0);
                        {
                            let (__value0_0, __value0_1) = __result;
                            __lowering.enter(0u32);
                            {
                                let __value1 = __value0_0;
                                __lowering.length(__value1.len());
                                for __value1 in __value1 {
                                    __lowering
                                        .value(
                                            &__resources.index.keep(__caller.as_ref(), __value1)?,
                                        );
                                }
                            }
                            __lowering.leave();
                            __lowering.enter(1u32);
                            __lowering.value(&__value0_1);
                            __lowering.leave();
                        }
                        __lowering.leave();
                        ::std::result::Result::Ok(__lowering.finish())
                    }
                    "[resource-drop]index" => {
                        let mut __lifting = ::trellis_provider::generated::Lifting::new(
                            __params,
                        );
                        let __handle = __lifting
                            .value::<::trellis_provider::generated::Bytes>()?;
                        __lifting.finish()?;
                        __resources.index.release(&__handle);
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
    T: golden::living::search::Answers,
{
    ::trellis_provider::generated::combined([
        golden::living::search::interface(provider.clone()),
    ])
}
