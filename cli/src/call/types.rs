//! WIT types as WAVE has them.

use trellis_rpc::value::Ty;
use wasm_wave::value::Type;

/// A type that WAVE can't write.
#[derive(Debug, thiserror::Error)]
#[error("{0} can't be written as a value")]
pub struct NoWave(String);

/// The type as WAVE has it.
///
/// # Errors
/// Resources, streams and futures have no text form; neither has an empty type.
pub fn wave(ty: &Ty) -> Result<Type, NoWave> {
    let no_wave = || NoWave(ty.to_string());
    Ok(match ty {
        Ty::Bool => Type::BOOL,
        Ty::S8 => Type::S8,
        Ty::U8 => Type::U8,
        Ty::S16 => Type::S16,
        Ty::U16 => Type::U16,
        Ty::S32 => Type::S32,
        Ty::U32 => Type::U32,
        Ty::S64 => Type::S64,
        Ty::U64 => Type::U64,
        Ty::F32 => Type::F32,
        Ty::F64 => Type::F64,
        Ty::Char => Type::CHAR,
        Ty::String => Type::STRING,
        Ty::List(element) => Type::list(wave(element)?),
        Ty::Record { fields } => {
            let fields = fields
                .iter()
                .map(|(name, ty)| Ok((name.as_str(), wave(ty)?)));
            Type::record(fields.collect::<Result<Vec<_>, NoWave>>()?).ok_or_else(no_wave)?
        }
        Ty::Tuple(items) => {
            Type::tuple(items.iter().map(wave).collect::<Result<Vec<_>, NoWave>>()?)
                .ok_or_else(no_wave)?
        }
        Ty::Variant { cases } => {
            let cases = cases
                .iter()
                .map(|(name, ty)| Ok((name.as_str(), ty.as_ref().map(wave).transpose()?)));
            Type::variant(cases.collect::<Result<Vec<_>, NoWave>>()?).ok_or_else(no_wave)?
        }
        Ty::Enum { cases } => {
            Type::enum_ty(cases.iter().map(String::as_str)).ok_or_else(no_wave)?
        }
        Ty::Option(some) => Type::option(wave(some)?),
        Ty::Result { ok, err } => {
            let side = |side: &Option<Box<Ty>>| side.as_deref().map(wave).transpose();
            Type::result(side(ok)?, side(err)?)
        }
        Ty::Flags { names } => Type::flags(names.iter().map(String::as_str)).ok_or_else(no_wave)?,
        Ty::Own(_) | Ty::Borrow(_) | Ty::Stream(_) | Ty::Future(_) => return Err(no_wave()),
    })
}
