//! From the WASI export to the actor's handler.

use std::marker::PhantomData;

use crate::bindings::exports::wasi::http::incoming_handler::Guest;
use crate::bindings::wasi::http::types::{IncomingRequest, ResponseOutparam};
use crate::{Request, Response};

/// An HTTP actor: one call for each request.
pub trait Handler {
    /// Answers one request.
    fn handle(request: Request) -> Response;
}

/// Makes a [`Handler`] into the WASI export; used by [`serve!`](crate::serve).
pub struct Adapter<H>(PhantomData<H>);

impl<H: Handler> Guest for Adapter<H> {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        H::handle(Request::new(request)).send(out);
    }
}

/// Exports a [`Handler`] as this actor's `wasi:http/incoming-handler`.
#[macro_export]
macro_rules! serve {
    ($handler:ty) => {
        type HttpAdapter = $crate::Adapter<$handler>;
        $crate::bindings::export!(HttpAdapter with_types_in $crate::bindings);
    };
}
