//! One request and its response: read down.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, request::Parts};
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
    access::{AccessLog, Entry, Format},
    compression::{self, Encoding},
    forwarded::{Origin, Peer},
    idle::Idle,
    refusal::Refusal,
    reply::{self, ReplyBody},
    request,
    routes::{Routes, Target},
    table::Found,
};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Which host of which PoP answered, where the link wants it told.
const SERVED_BY: HeaderName = HeaderName::from_static("trellis-served-by");

/// Answers the requests of one connection.
#[derive(Debug)]
pub struct Exchange {
    /// Where they go.
    pub routes: Arc<Routes>,
    /// Where they are logged.
    pub log: AccessLog,
    /// Who is at the other end.
    pub peer: Peer,
    /// Whether there was any.
    pub begun: AtomicBool,
}

impl Exchange {
    /// Answers a request: with the component's response, or with the refusal that there is none.
    pub async fn answer(&self, request: Request<Incoming>) -> Response<ReplyBody> {
        self.begun.store(true, Ordering::Relaxed);
        let (parts, body) = request.into_parts();
        let request_id = request::request_id(&parts.headers);
        let method = parts.method.clone();
        let found = self.find(&parts).await;
        let origin = self.origin(&parts, &found);
        let mut entry = self.entry(&parts, &found, origin.as_ref());
        let response = match found {
            Err(refusal) => refused(&refusal, request_id, None),
            Ok(target) => {
                let forwarded = self.forward(&target, parts, body, origin, entry.as_mut());
                match forwarded.await {
                    Ok(response) => with_id(response, request_id),
                    Err(refusal) => refused(&refusal, request_id, Some(&target)),
                }
            }
        };
        // hyper leaves the body out for HTTP/1 only.
        let response = reply::without_body_where_none_belongs(response, &method);
        let Some(mut entry) = entry else {
            return response;
        };
        entry.status(response.status());
        response.map(|body| body.logged(entry))
    }

    /// The link that the request is for.
    async fn find(&self, parts: &Parts) -> Result<Arc<Target>, Refusal> {
        request::check(parts)?;
        match self.routes.find(|| request::asked(parts)).await {
            Found::Target(target) => Ok(target),
            Found::Nobody => Err(Refusal::NoRoute),
            Found::Closed | Found::Vacant => Err(Refusal::NoLink),
        }
    }

    /// Whom it comes from, where anybody wants to know.
    fn origin(&self, parts: &Parts, found: &Result<Arc<Target>, Refusal>) -> Option<Origin> {
        let settings = &found.as_ref().ok()?.settings;
        let wanted = settings.forwarded_headers
            || settings.rate_limit.is_some()
            || settings.access_log != Format::Off;
        wanted.then(|| self.peer.origin(parts, &settings.trusted_proxies))
    }

    /// The access log's entry, where there is to be one.
    fn entry(
        &self,
        parts: &Parts,
        found: &Result<Arc<Target>, Refusal>,
        origin: Option<&Origin>,
    ) -> Option<Entry> {
        let format = match found {
            Ok(target) => target.settings.access_log,
            Err(_) => self.routes.table().bounds().access_log,
        };
        if format == Format::Off {
            return None;
        }
        let (client, encrypted) = match origin {
            Some(origin) => (origin.client, origin.encrypted),
            None => (self.peer.address, self.peer.encrypted),
        };
        let mut entry = Entry::new(&self.log, format, parts, client, encrypted);
        if let Ok(target) = found {
            entry.actor(target.component.id().as_str());
        }
        Some(entry)
    }

    async fn forward(
        &self,
        target: &Arc<Target>,
        parts: Parts,
        body: Incoming,
        origin: Option<Origin>,
        entry: Option<&mut Entry>,
    ) -> Result<Response<ReplyBody>, Refusal> {
        let settings = &target.settings;
        let deadline = Instant::now() + settings.timeout;
        if let (Some(limiter), Some(origin)) = (&target.limiter, &origin) {
            limiter.take(origin.client).map_err(Refusal::TooOften)?;
        }
        request::check_bounds(&parts, &body, settings)?;
        let method = parts.method.clone();
        let trace = trace(&parts.headers);
        let smallest = settings.compression;
        let accepted = smallest.and_then(|_| Encoding::accepted(&parts.headers));
        let too_large = CancellationToken::new();
        let idle = Idle::new(settings.idle_timeout);
        let reading = request::Reading {
            settings,
            deadline,
            too_large: &too_large,
            idle: &idle,
        };
        let told = origin.as_ref().filter(|_| settings.forwarded_headers);
        let wire = request::wire(parts, body, reading, told, self.peer.encrypted).await?;
        let (results, who) = tokio::select! {
            results = self.call(target, wire.into_params(), deadline, trace) => results?,
            // The call is dropped, and with it cancelled.
            () = too_large.cancelled() => return Err(Refusal::BodyTooLarge),
            () = idle.given_up() => return Err(Refusal::BodyTooSlow),
        };
        if let (Some(entry), Some(who)) = (entry, &who) {
            entry.served_by(who);
        }
        let mut response = respond(results, &method, idle)?;
        if let Some(smallest) = smallest {
            response = compression::apply(response, &method, accepted, smallest);
        }
        if let Some(value) = who
            .as_ref()
            .filter(|_| settings.served_by)
            .and_then(served_by)
        {
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
            && let Some(successor) = self.routes.successor(target).await
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
    if target.settings.served_by || target.settings.access_log == Format::Json {
        let (results, who) = component.call_and_who(operation, params, options).await;
        return Ok((results?, who));
    }
    let results = component.call(operation, params, options).await?;
    Ok((results, None))
}

fn with_id(
    mut response: Response<ReplyBody>,
    request_id: Option<HeaderValue>,
) -> Response<ReplyBody> {
    if let Some(id) = request_id {
        response.headers_mut().entry(X_REQUEST_ID).or_insert(id);
    }
    response
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
