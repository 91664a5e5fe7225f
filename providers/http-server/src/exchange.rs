//! One request and its response: read down.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trellis_provider::{
    CallOptions,
    contract::PopName,
    rpc::{
        CallError, Incoming as Results, Outgoing,
        interface::http::{Response as WireResponse, handle},
        trace::TraceContext,
        trail::Who,
    },
};

use crate::{
    idle::Idle,
    refusal::Refusal,
    reply::{self, ReplyBody},
    request,
    slot::{Slot, Target},
};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Which host of which PoP answered, where the link wants it told.
const SERVED_BY: HeaderName = HeaderName::from_static("trellis-served-by");

/// Answers the requests of one connection.
#[derive(Debug)]
pub struct Exchange {
    /// Where they go.
    pub slot: Arc<Slot>,
}

impl Exchange {
    /// Answers a request: with the component's response, or with the refusal that there is none.
    pub async fn answer(&self, request: Request<Incoming>) -> Response<ReplyBody> {
        let request_id = request::request_id(request.headers());
        let method = request.method().clone();
        let response = self.whole_answer(request, request_id).await;
        // hyper leaves the body out for HTTP/1 only.
        reply::without_body_where_none_belongs(response, &method)
    }

    async fn whole_answer(
        &self,
        request: Request<Incoming>,
        request_id: Option<HeaderValue>,
    ) -> Response<ReplyBody> {
        let Some(target) = self.slot.target().await else {
            return refused(&Refusal::NoLink, request_id, None);
        };
        match self.forward(&target, request).await {
            Ok(mut response) => {
                if let Some(id) = request_id {
                    response.headers_mut().entry(X_REQUEST_ID).or_insert(id);
                }
                response
            }
            Err(refusal) => refused(&refusal, request_id, Some(&target)),
        }
    }

    async fn forward(
        &self,
        target: &Arc<Target>,
        request: Request<Incoming>,
    ) -> Result<Response<ReplyBody>, Refusal> {
        let deadline = Instant::now() + target.settings.timeout;
        let (parts, body) = request.into_parts();
        request::check(&parts, &body, &target.settings)?;
        let method = parts.method.clone();
        let trace = trace(&parts.headers);
        let too_large = CancellationToken::new();
        let idle = Idle::new(target.settings.idle_timeout);
        let wire =
            request::wire(parts, body, &target.settings, deadline, &too_large, &idle).await?;
        let (results, who) = tokio::select! {
            results = self.call(target, wire.into_params(), deadline, trace) => results?,
            // The call is dropped, and with it cancelled.
            () = too_large.cancelled() => return Err(Refusal::BodyTooLarge),
            () = idle.given_up() => return Err(Refusal::BodyTooSlow),
        };
        let mut response = respond(results, &method, idle)?;
        if let Some(value) = who.as_ref().and_then(served_by) {
            response.headers_mut().insert(SERVED_BY, value);
        }
        Ok(response)
    }

    /// Calls the component. One that is gone because its link was replaced meanwhile has a successor, which gets the
    /// request if it went in one piece.
    async fn call(
        &self,
        target: &Arc<Target>,
        params: Outgoing,
        deadline: Instant,
        trace: Option<TraceContext>,
    ) -> Result<(Results, Option<Who>), Refusal> {
        let again = params.channels.is_empty().then(|| params.root.clone());
        let options = |deadline: Instant| CallOptions {
            timeout: Some(deadline.saturating_duration_since(Instant::now())),
            trace,
        };
        let error = match ask(target, params, options(deadline)).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if let Some(root) = again.filter(|_| error.not_started())
            && let Some(successor) = self.slot.target().await
            && !Arc::ptr_eq(&successor, target)
        {
            let params = Outgoing::unary(root);
            let answer = ask(&successor, params, options(deadline)).await;
            return answer.map_err(Refusal::Call);
        }
        Err(Refusal::Call(error))
    }
}

/// Calls a link's component; who answered is asked for only where it is to be told.
async fn ask(
    target: &Target,
    params: Outgoing,
    options: CallOptions,
) -> Result<(Results, Option<Who>), CallError> {
    let (component, operation) = (&target.component, handle().clone());
    if target.settings.served_by {
        let (results, who) = component.call_and_who(operation, params, options).await;
        return Ok((results?, who));
    }
    let results = component.call(operation, params, options).await?;
    Ok((results, None))
}

/// `fra/N…`, as far as it is known.
fn served_by(who: &Who) -> Option<HeaderValue> {
    let pop = who.pop.as_ref().map_or("-", PopName::as_str);
    let host = who.host.as_deref().unwrap_or("-");
    HeaderValue::from_str(&format!("{pop}/{host}")).ok()
}

fn respond(results: Results, method: &Method, idle: Idle) -> Result<Response<ReplyBody>, Refusal> {
    let response = WireResponse::from_result(results).map_err(Refusal::Call)?;
    reply::response(response.map_err(Refusal::Component)?, method, idle)
}

/// The client's trace, when it has one.
fn trace(headers: &HeaderMap) -> Option<TraceContext> {
    headers.get("traceparent")?.to_str().ok()?.parse().ok()
}

fn refused(
    refusal: &Refusal,
    request_id: Option<HeaderValue>,
    target: Option<&Target>,
) -> Response<ReplyBody> {
    let link = target.map(|target| &target.link as &dyn std::fmt::Display);
    refusal.log(request_id.as_ref(), link);
    let mut response = refusal.response();
    if let Some(id) = request_id {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    response
}
