//! `trellis call`: one call of a running component's function, values as people write them.

mod json;
mod select;
mod trace;
mod types;
mod wave;

use std::{fmt, time::Instant};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use trellis_lattice::{ComponentId, Place, PopName, RegionName, Within, client::ControlError};
use trellis_rpc::{
    CallContext, CallError, Operation, Outgoing,
    codec::Limits,
    nats::{NatsOptions, NatsRpc, RouteOptions, Whereabouts},
    trail::Trail,
    value::{FunctionType, Value},
};

use crate::{
    exit::{NotFound, Usage},
    output::Format,
    session::{Options, Session},
};
use trace::Trace;

/// Examples, and what `--trace` shows.
pub const HELP: &str = "\
Example:
  trellis call shop-greeter greet.greet '\"Ada\"'
  trellis call shop-greeter greet.greet '\"Ada\"' --trace --pop fra

With --trace, whom the call is tried with and who answers is shown:
  the call took 81.5 ms
    PoPs from near to far: iad, sin
    1. pop fra: nobody there (0.2 ms)
    2. pop iad: answered by host NDKL… in iad (81.0 ms)
A call from a PoP is tried there first, then in the others by their declared distance (the host's label
trellis.dev/distance.POP=80ms) or the measured one, and then anywhere. That nobody is there means that it
was not delivered: no call is made twice. Links keep to a bound that they have: nobody beyond it is asked.";

/// Whom callees see calling.
const SOURCE: &str = "trellis-cli";

/// What to call.
#[derive(Args, Debug)]
pub struct Call {
    /// The component's id.
    component: ComponentId,
    /// INTERFACE.FUNCTION; the interface may be whole, without its version, or its last word, and is not needed
    /// where only one has such a function [default: lists the functions].
    function: Option<String>,
    /// The arguments as WAVE: 7, '"text"', '[1, 2]', '{x: 1}', 'some(7)'.
    #[arg(allow_negative_numbers = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
    /// Show the way that the call goes: whom it is tried with, who answers where, and how long that takes; on standard
    /// error, or as the field `trace` of the JSON.
    #[arg(long)]
    trace: bool,
    /// Call as from a PoP: those in it are asked first, then the others from near to far.
    #[arg(long, value_name = "NAME")]
    pop: Option<PopName>,
    /// The PoP's region.
    #[arg(long, requires = "pop", value_name = "NAME")]
    region: Option<RegionName>,
    /// Keep the call within the PoP or its region, as a link with that residency bound does.
    #[arg(long, requires = "pop", value_name = "region=NAME|pop=NAME")]
    within: Option<Within>,
}

/// A call's result.
#[derive(Serialize)]
struct Answer {
    function: String,
    /// Null for a function without a result.
    result: serde_json::Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Trace>,
    #[serde(skip)]
    text: String,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Call {
    /// Calls it and prints its result.
    ///
    /// # Errors
    /// Nobody runs the component, it has no such function, the arguments don't fit, the call failed or returned
    /// an error.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        let session = options.connect().await?;
        let exports = match session.control.describe_component(&self.component).await {
            Err(ControlError::NoResponder { .. }) => {
                return Err(NotFound(format!(
                    "no host of lattice {:?} runs component {}: `trellis get inventory` shows the ids of what runs",
                    session.lattice(),
                    self.component
                ))
                .into());
            }
            exports => exports?,
        };
        let Some(wanted) = &self.function else {
            return Ok(session.output.print(&select::Functions::of(exports))?);
        };
        let function = select::find(&exports, wanted)?;
        let name = select::full_name(function);
        let ty = select::callable(function)?;
        let params = wave::arguments(&ty, &self.arguments)
            .map_err(|error| Usage(format!("{name}: {error}")))?;
        let result_type = ty
            .result
            .as_ref()
            .map(types::wave)
            .transpose()
            .with_context(|| format!("{name}: its result can't be shown"))?;
        let operation = Operation::new(function.instance.as_str(), function.function.as_str());
        let (result, trace) = self.call(&session, operation, &ty, &params).await?;
        if let Some(trace) = &trace
            && (result.is_err() || session.output == Format::Text)
        {
            // Where there is a result, standard output is for it alone.
            eprint!("{trace}");
        }
        let result = result.with_context(|| name.clone())?;
        let (mut text, mut json) = (String::new(), serde_json::Value::Null);
        if let (Some(value), Some(ty), Some(wave)) = (&result, &ty.result, &result_type) {
            text = wave::text(value, ty, wave)?;
            json = json::json(value, ty);
        }
        session.output.print(&Answer {
            function: name.clone(),
            result: json,
            trace,
            text,
        })?;
        match result {
            Some(Value::Result(Err(_))) => Err(anyhow::anyhow!("{name} returned an error")),
            _ => Ok(()),
        }
    }

    /// Calls it; gives what came of it, and the way that it went.
    async fn call(
        &self,
        session: &Session,
        operation: Operation,
        ty: &FunctionType,
        params: &[Value],
    ) -> anyhow::Result<(anyhow::Result<Option<Value>>, Option<Trace>)> {
        let params = ty.encode_params(params)?;
        let place = self.pop.clone();
        let whereabouts = Whereabouts {
            host: None,
            place: place.map(|pop| Place::new(pop, self.region.clone())),
        };
        let rpc = NatsRpc::at(
            session.control.nats().clone(),
            session.lattice().clone(),
            NatsOptions::default(),
            whereabouts,
        );
        let others = rpc.others().await;
        let trail = self.trace.then(Trail::new);
        let context = CallContext {
            source_id: Some(SOURCE.into()),
            target_id: Some(self.component.to_shared()),
            deadline: Some(Instant::now() + session.timeout),
            trail: trail.clone(),
            ..CallContext::default()
        };
        let call = trellis_rpc::Call {
            operation,
            context,
            params: Outgoing::unary(params.root),
        };
        let options = RouteOptions {
            within: self.within.clone(),
            counts: None,
        };
        let route = rpc.route_with(&self.component, options);
        let begun = Instant::now();
        let answer = tokio::time::timeout(session.timeout, route.call(call)).await;
        let trace = trail.map(|trail| {
            let others = others.iter().map(ToString::to_string).collect();
            Trace::new(&trail, others, begun.elapsed())
        });
        let answer = answer.unwrap_or_else(|_| {
            let after_ms = u64::try_from(session.timeout.as_millis()).unwrap_or(u64::MAX);
            Err(CallError::DeadlineExceeded { after_ms })
        });
        let result = answer.map_err(anyhow::Error::from).and_then(|answer| {
            let mut result = ty.decode_result(answer.root, Limits::default())?;
            Ok(result.values.pop())
        });
        Ok((result, trace))
    }
}
