//! HTTP: `wrpc:http/incoming-handler.handle` to the actor's `wasi:http/incoming-handler`, with streaming bodies.
//!
//! A guest that has answered by the time it returns, which most have, is answered for in one piece. One that goes on
//! writing its body does so in a task of the actor, held back by whoever reads it.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use trellis_rpc::{
    CallError, IncomingCall, Operation,
    interface::http::{Body, Request, Response, Scheme, fields_of, header_map},
};
use wasmtime_wasi_http::{
    WasiHttpView as _,
    p2::{
        bindings::{ProxyIndices, http::types},
        body::HyperOutgoingBody,
    },
};

use crate::runtime::{
    Actor,
    actor::Turn,
    failure::explain,
    http::{body, error},
    instances::Live,
    scope::Scope,
    serve::Answered,
};

type Head = Result<http::Response<HyperOutgoingBody>, types::ErrorCode>;

/// Answers one request in an instance.
pub(in crate::runtime) async fn handle(
    actor: Arc<Actor>,
    handler: ProxyIndices,
    mut scope: Scope,
    call: IncomingCall,
    started: Instant,
) -> Result<Answered, CallError> {
    let (scheme, request) = guest_request(Request::from_params(call.params)?)?;
    let turn = actor.turn().await?;
    let streaming = scope.may_stream();
    let (respond, mut head) = oneshot::channel::<Head>();
    let slice = scope.slice.clone();
    let guest = Guest {
        handler,
        operation: call.operation,
        started,
        actor: actor.clone(),
        _turn: turn,
    };
    let guest = guest.run(scope, scheme, request, move |head| {
        streaming.store(true, Relaxed);
        // The caller may be gone.
        let _ = respond.send(head);
    });
    let mut guest = Box::pin(actor.in_turn(slice, guest));
    tokio::select! {
        biased;
        done = &mut guest => {
            done?;
            let head = head.try_recv().map_err(|_| silent(&actor))?;
            answer(head, |body, _| body::whole(body))
        }
        head = &mut head => {
            let Ok(head) = head else {
                guest.await?;
                return Err(silent(&actor));
            };
            answer(head, |body, failed| Ok(go_on(&actor, guest, body, failed)))
        }
    }
}

/// The answer to the caller, with a body made of the guest's. The body is told whether the answer is a failure.
fn answer(
    head: Head,
    body: impl FnOnce(HyperOutgoingBody, bool) -> Result<Body, CallError>,
) -> Result<Answered, CallError> {
    let failed = head
        .as_ref()
        .map_or(true, |response| response.status().is_server_error());
    let response = match head {
        Err(code) => Err(error::to_wire(code)),
        Ok(response) => {
            let (parts, content) = response.into_parts();
            Ok(Response {
                status: parts.status.as_u16(),
                headers: fields_of(&parts.headers),
                body: body(content, failed)?,
            })
        }
    };
    Ok(Answered {
        outgoing: Response::into_result(response),
        failed,
    })
}

/// Has the guest go on while its body is read.
fn go_on(
    actor: &Actor,
    guest: impl Future<Output = Result<(), CallError>> + Send + 'static,
    body: HyperOutgoingBody,
    failed: bool,
) -> Body {
    let stats = actor.stats().clone();
    // A call fails once.
    let fails = move || {
        if !failed {
            stats.failed();
        }
    };
    let unread = CancellationToken::new();
    let (report, mut failure) = oneshot::channel();
    let given_up = unread.clone();
    let longest = actor.shared.limits.stream_deadline;
    actor.go_on(async move {
        tokio::select! {
            biased;
            done = guest => {
                if let Err(error) = done {
                    fails();
                    let _ = report.send(error);
                }
            }
            () = given_up.cancelled() => {}
            () = tokio::time::sleep(longest) => {
                fails();
                let _ = report.send(CallError::Failed(format!("the response took longer than {longest:?}")));
            }
        }
    });
    body::for_wire(
        body,
        move || failure.try_recv().ok(),
        Some(unread.drop_guard()),
    )
}

fn silent(actor: &Actor) -> CallError {
    CallError::Failed(format!(
        "actor {:?} returned without an answer to the request",
        actor.id()
    ))
}

/// One instance, at its request.
struct Guest {
    handler: ProxyIndices,
    operation: Operation,
    started: Instant,
    actor: Arc<Actor>,
    _turn: Turn,
}

impl Guest {
    async fn run(
        self,
        scope: Scope,
        scheme: types::Scheme,
        request: http::Request<body::GuestBody>,
        respond: impl FnOnce(Head) + Send + Sync + 'static,
    ) -> Result<(), CallError> {
        let live = self.actor.live(scope, &self.operation, self.started);
        let mut live = live.await?;
        let done = self.call(&mut live, scheme, request, respond).await;
        let done =
            done.map_err(|error| explain(&error, live.store.data(), &self.operation, self.started));
        self.actor.done_with(live, done.is_ok());
        done
    }

    async fn call(
        &self,
        live: &mut Live,
        scheme: types::Scheme,
        request: http::Request<body::GuestBody>,
        respond: impl FnOnce(Head) + Send + Sync + 'static,
    ) -> wasmtime::Result<()> {
        let (store, handler) = live.http(&self.handler)?;
        let mut http = store.data_mut().http();
        let request = http.new_incoming_request(scheme, request)?;
        let out = http.new_response_outparam_from_callback(respond)?;
        handler
            .wasi_http_incoming_handler()
            .call_handle(store, request, out)
            .await
    }
}

/// A request as a guest gets it.
fn guest_request(
    request: Request,
) -> Result<(types::Scheme, http::Request<body::GuestBody>), CallError> {
    let malformed =
        |what: &str, error: String| CallError::Malformed(format!("the request's {what}: {error}"));
    let scheme = match request.scheme {
        None | Some(Scheme::Http) => types::Scheme::Http,
        Some(Scheme::Https) => types::Scheme::Https,
        Some(Scheme::Other(other)) => types::Scheme::Other(other),
    };
    let headers =
        header_map(request.headers).map_err(|error| malformed("headers", error.to_string()))?;
    // A guest is told an authority in any case; a server that names none serves the machine.
    let authority = match (request.authority, headers.get(http::header::HOST)) {
        (Some(authority), _) => authority,
        (None, Some(host)) => host
            .to_str()
            .map_err(|error| malformed("host", error.to_string()))?
            .to_owned(),
        (None, None) => "localhost".to_owned(),
    };
    let uri = http::Uri::builder()
        .scheme(if matches!(scheme, types::Scheme::Https) {
            "https"
        } else {
            "http"
        })
        .authority(authority)
        .path_and_query(request.path_with_query.unwrap_or_else(|| "/".to_owned()))
        .build()
        .map_err(|error| malformed("path or authority", error.to_string()))?;
    let mut guest = http::Request::new(body::for_guest(request.body));
    *guest.method_mut() = http::Method::from_bytes(request.method.as_str().as_bytes())
        .map_err(|error| malformed("method", error.to_string()))?;
    *guest.uri_mut() = uri;
    *guest.headers_mut() = headers;
    Ok((scheme, guest))
}
