//! A function's parameters and result as a whole, with the channels they need.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::{Ty, Value, ValueError, decode::Reader, encode::Encoder};
use crate::{
    CallError, Path,
    channel::{MAX_CHANNELS, MAX_PATH},
    codec::{Decoder, Limits, WireError},
};

/// A function's type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FunctionType {
    /// Names and types of the parameters. A method's first is its resource.
    pub params: Vec<(String, Ty)>,
    /// The result, if it has one.
    pub result: Option<Ty>,
}

/// A stream or future that is still to come: its channel, and its type ([`Ty::Stream`] or [`Ty::Future`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The channel's path.
    pub path: Path,
    /// The type.
    pub ty: Ty,
}

/// Encoded parameters or results.
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    /// The values' bytes.
    pub root: Bytes,
    /// What has to be sent on channels of its own.
    pub pending: Vec<Pending>,
}

/// Decoded parameters or results.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    /// The values: one for each parameter; none or one for a result.
    pub values: Vec<Value>,
    /// What arrives on channels of its own.
    pub pending: Vec<Pending>,
}

/// A function whose values cannot travel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {ty} cannot be sent between actors and providers: {why}")]
pub struct SignatureError {
    /// Where in the signature.
    pub place: String,
    /// The type there.
    pub ty: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl SignatureError {
    pub(super) fn new(place: &[&str], ty: &Ty, why: &'static str) -> Self {
        let place = if place.is_empty() {
            "type".to_owned()
        } else {
            place.join(".")
        };
        Self {
            place,
            ty: ty.to_string(),
            why,
        }
    }
}

impl FunctionType {
    /// Checks, once and before any call, that the function can be called from afar.
    ///
    /// # Errors
    /// [`SignatureError`]: a stream or future inside a list, stream or future (its channel's path would not be
    /// known) or too deep, an empty type, or too many channels.
    pub fn check(&self) -> Result<(), SignatureError> {
        let mut channels = 0;
        for (name, ty) in &self.params {
            ty.check_at(&mut vec![name.as_str()])?;
            check_channels(name, ty, &mut channels)?;
        }
        if let Some(ty) = &self.result {
            ty.check_at(&mut vec!["result"])?;
            check_channels("result", ty, &mut 0)?;
        }
        Ok(())
    }

    /// Every channel that the parameters may have.
    pub fn param_channels(&self) -> Vec<Pending> {
        channels(self.params.iter().map(|(_, ty)| ty))
    }

    /// Every channel that the result may have.
    pub fn result_channels(&self) -> Vec<Pending> {
        channels(self.result.iter())
    }

    /// Encodes the parameters.
    ///
    /// # Errors
    /// [`ValueError`], which names the parameter.
    pub fn encode_params(&self, values: &[Value]) -> Result<Encoded, ValueError> {
        encode_all(
            self.params.iter().map(|(name, ty)| (name.as_str(), ty)),
            values,
        )
    }

    /// Decodes the parameters.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn decode_params(&self, root: Bytes, limits: Limits) -> Result<Decoded, WireError> {
        decode_all(self.params.iter().map(|(_, ty)| ty), root, limits)
    }

    /// Encodes the result.
    ///
    /// # Errors
    /// [`ValueError`].
    pub fn encode_result(&self, value: Option<&Value>) -> Result<Encoded, ValueError> {
        let types = self.result.iter().map(|ty| ("result", ty));
        encode_all(types, value.map(std::slice::from_ref).unwrap_or_default())
    }

    /// Decodes the result.
    ///
    /// # Errors
    /// [`CallError::Malformed`]; [`CallError::Failed`] when there is nothing where a result is due, which is how a 1.x
    /// callee says that it failed.
    pub fn decode_result(&self, root: Bytes, limits: Limits) -> Result<Decoded, CallError> {
        if root.is_empty() && self.result.is_some() {
            return Err(CallError::without_results());
        }
        Ok(decode_all(self.result.iter(), root, limits)?)
    }
}

/// Checks that there are not too many channels, counted in `total`, and none too deep.
fn check_channels(name: &str, ty: &Ty, total: &mut usize) -> Result<(), SignatureError> {
    let channels = ty.channels();
    *total += channels.len();
    if *total > MAX_CHANNELS {
        let why = "the signature has too many streams and futures";
        return Err(SignatureError::new(&[name], ty, why));
    }
    // A path begins with the parameter's or result's index.
    match channels.iter().find(|(path, _)| path.len() >= MAX_PATH) {
        None => Ok(()),
        Some((_, channel)) => Err(SignatureError::new(&[name], channel, "it stands too deep")),
    }
}

fn channels<'a>(types: impl Iterator<Item = &'a Ty>) -> Vec<Pending> {
    let mut found = Vec::new();
    for (index, ty) in (0_u32..).zip(types) {
        ty.find_channels(&mut vec![index], &mut found);
    }
    found
        .into_iter()
        .map(|(path, ty)| Pending {
            path: path.into(),
            ty: ty.clone(),
        })
        .collect()
}

fn encode_all<'a>(
    types: impl ExactSizeIterator<Item = (&'a str, &'a Ty)>,
    values: &[Value],
) -> Result<Encoded, ValueError> {
    if types.len() != values.len() {
        return Err(ValueError {
            path: Vec::new(),
            expected: format!("{} values", types.len()),
            found: format!("{}", values.len()),
        });
    }
    let mut out = BytesMut::new();
    let mut encoder = Encoder {
        out: &mut out,
        path: Vec::new(),
        pending: Vec::new(),
        depth: 0,
    };
    for (index, ((name, ty), value)) in (0_u32..).zip(types.zip(values)) {
        encoder.path.push(index);
        encoder.value(value, ty).map_err(|e| e.inside(name))?;
        encoder.path.pop();
    }
    let pending = encoder.pending;
    Ok(Encoded {
        root: out.freeze(),
        pending,
    })
}

fn decode_all<'a>(
    types: impl Iterator<Item = &'a Ty>,
    root: Bytes,
    limits: Limits,
) -> Result<Decoded, WireError> {
    let mut decoder = Decoder::with_limits(root, limits);
    let mut reader = Reader {
        decoder: &mut decoder,
        path: Vec::new(),
        pending: Vec::new(),
    };
    let mut values = Vec::new();
    for (index, ty) in (0_u32..).zip(types) {
        reader.path.push(index);
        values.push(reader.value(ty)?);
        reader.path.pop();
    }
    let pending = reader.pending;
    decoder.finish()?;
    Ok(Decoded { values, pending })
}
