//! A function whose types Rust knows.

use crate::{
    call::{Call, CallContext, Incoming, Operation, Outgoing, Route},
    codec::{Decode, Encode, from_bytes, to_bytes},
    error::CallError,
};

/// A function without streams or futures; declared with [`wire_functions!`](crate::wire_functions).
pub trait Function {
    /// Its parameters, as a record or tuple.
    type Params: Encode + Decode + Send;
    /// Its result; `()` when it has none.
    type Result: Encode + Decode + Send;

    /// Its interface and name.
    fn operation() -> &'static Operation;

    /// Calls it.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Failed`] when the callee ended without the result that is due.
    fn call(
        route: &dyn Route,
        context: CallContext,
        params: &Self::Params,
    ) -> impl Future<Output = Result<Self::Result, CallError>> + Send
    where
        Self::Params: Sync,
    {
        async move {
            let params = Outgoing::unary(to_bytes(params));
            let call = Call {
                operation: Self::operation().clone(),
                context,
                params,
            };
            Self::decode_result(route.call(call).await?)
        }
    }

    /// Reads the result.
    ///
    /// # Errors
    /// [`CallError::Malformed`]; [`CallError::Failed`] when there is nothing where a result is due.
    fn decode_result(results: Incoming) -> Result<Self::Result, CallError> {
        if results.root.is_empty() && size_of::<Self::Result>() > 0 {
            return Err(CallError::without_results());
        }
        Ok(from_bytes(results.root)?)
    }

    /// Reads the parameters of a call to it.
    ///
    /// # Errors
    /// [`CallError::Malformed`].
    fn decode_params(params: Incoming) -> Result<Self::Params, CallError> {
        Ok(from_bytes(params.root)?)
    }

    /// The answer to a call to it.
    fn answer(result: &Self::Result) -> Outgoing {
        Outgoing::unary(to_bytes(result))
    }
}

/// Declares the functions of an interface, each a type that is a [`Function`].
///
/// ```
/// trellis_rpc::wire_functions! {
///     "acme:greeter/greet@1.0.0" {
///         /// Greets somebody.
///         Greet = "greet"(String) -> Result<String, ()>;
///     }
/// }
/// use trellis_rpc::interface::Function as _;
/// assert_eq!(Greet::operation().to_string(), "acme:greeter/greet@1.0.0.greet");
/// ```
#[macro_export]
macro_rules! wire_functions {
    ($instance:tt {
        $($(#[$meta:meta])* $name:ident = $wire:literal($params:ty) -> $result:ty;)+
    }) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl $crate::interface::Function for $name {
            type Params = $params;
            type Result = $result;

            fn operation() -> &'static $crate::Operation {
                static OPERATION: ::std::sync::LazyLock<$crate::Operation> =
                    ::std::sync::LazyLock::new(|| $crate::Operation::new($instance, $wire));
                &OPERATION
            }
        }
    )+};
}
