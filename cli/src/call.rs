//! `trellis call`: one call of a running component's function, values as people write them.

mod json;
mod select;
mod types;
mod wave;

use std::{fmt, time::Instant};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use trellis_lattice::{ComponentId, client::ControlError};
use trellis_rpc::{
    CallContext, CallError, Operation, Outgoing,
    codec::Limits,
    nats::NatsRpc,
    value::{FunctionType, Value},
};

use crate::{
    exit::{NotFound, Usage},
    session::{Options, Session},
};

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
}

/// A call's result.
#[derive(Serialize)]
struct Answer {
    function: String,
    /// Null for a function without a result.
    result: serde_json::Value,
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
        let result = self
            .call(&session, operation, &ty, &params)
            .await
            .with_context(|| name.clone())?;
        let (mut text, mut json) = (String::new(), serde_json::Value::Null);
        if let (Some(value), Some(ty), Some(wave)) = (&result, &ty.result, &result_type) {
            text = wave::text(value, ty, wave)?;
            json = json::json(value, ty);
        }
        session.output.print(&Answer {
            function: name.clone(),
            result: json,
            text,
        })?;
        match result {
            Some(Value::Result(Err(_))) => Err(anyhow::anyhow!("{name} returned an error")),
            _ => Ok(()),
        }
    }

    async fn call(
        &self,
        session: &Session,
        operation: Operation,
        ty: &FunctionType,
        params: &[Value],
    ) -> anyhow::Result<Option<Value>> {
        let params = ty.encode_params(params)?;
        let rpc = NatsRpc::new(session.control.nats().clone(), session.lattice().clone());
        let context = CallContext {
            source_id: Some(SOURCE.into()),
            target_id: Some(self.component.to_shared()),
            deadline: Some(Instant::now() + session.timeout),
            ..CallContext::default()
        };
        let call = trellis_rpc::Call {
            operation,
            context,
            params: Outgoing::unary(params.root),
        };
        let route = rpc.route(&self.component);
        let answer = tokio::time::timeout(session.timeout, route.call(call))
            .await
            .map_err(|_| {
                let after_ms = u64::try_from(session.timeout.as_millis()).unwrap_or(u64::MAX);
                CallError::DeadlineExceeded { after_ms }
            })??;
        let mut result = ty.decode_result(answer.root, Limits::default())?;
        Ok(result.values.pop())
    }
}
