//! Which function is meant.

use std::fmt;

use serde::Serialize;
use trellis_lattice::control::component::{ComponentExports, ExportedFunction};
use trellis_rpc::value::FunctionType;

use crate::exit::{NotFound, Usage};

/// A component's functions, to choose from.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Functions {
    exports: ComponentExports,
}

impl Functions {
    /// Of that component.
    pub fn of(exports: ComponentExports) -> Self {
        Self { exports }
    }
}

impl fmt::Display for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.exports.functions.is_empty() {
            return writeln!(
                f,
                "component {} exports no function",
                self.exports.component_id
            );
        }
        for function in &self.exports.functions {
            f.write_str(&full_name(function))?;
            match callable(function) {
                Ok(ty) => {
                    let params: Vec<String> = ty
                        .params
                        .iter()
                        .map(|(name, ty)| format!("{name}: {ty}"))
                        .collect();
                    write!(f, "({})", params.join(", "))?;
                    if let Some(result) = &ty.result {
                        write!(f, " -> {result}")?;
                    }
                    writeln!(f)?;
                }
                Err(_) => writeln!(f, " (not by values alone)")?,
            }
        }
        Ok(())
    }
}

/// `namespace:package/interface@version.function`.
pub fn full_name(function: &ExportedFunction) -> String {
    match function.instance.as_str() {
        "" => function.function.clone(),
        instance => format!("{instance}.{}", function.function),
    }
}

/// The function that a text means.
///
/// # Errors
/// There is none, or more than one.
pub fn find<'a>(
    exports: &'a ComponentExports,
    text: &str,
) -> Result<&'a ExportedFunction, anyhow::Error> {
    let component = &exports.component_id;
    // From the most exact reading on: a text that is one function's whole name means that one.
    for read in [whole, without_version, last_word, function_alone] {
        let found: Vec<&ExportedFunction> = exports
            .functions
            .iter()
            .filter(|function| read(function) == text)
            .collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(one),
            several => {
                return Err(Usage(format!(
                    "{text:?} means several functions of {component}: {}",
                    names(several.iter().copied())
                ))
                .into());
            }
        }
    }
    let all = names(exports.functions.iter());
    Err(NotFound(format!(
        "component {component} exports no function {text:?}; it exports {all}"
    ))
    .into())
}

fn names<'a>(functions: impl Iterator<Item = &'a ExportedFunction>) -> String {
    let names: Vec<String> = functions.map(full_name).collect();
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}

fn whole(function: &ExportedFunction) -> String {
    full_name(function)
}

fn without_version(function: &ExportedFunction) -> String {
    let interface = function.instance.split('@').next().unwrap_or_default();
    format!("{interface}.{}", function.function)
}

fn last_word(function: &ExportedFunction) -> String {
    let interface = function.instance.split('@').next().unwrap_or_default();
    let word = interface.rsplit('/').next().unwrap_or_default();
    format!("{word}.{}", function.function)
}

fn function_alone(function: &ExportedFunction) -> String {
    function.function.clone()
}

/// The function's type, where values alone can call it.
///
/// # Errors
/// It takes or gives streams, futures or resources, which a command line can't hold.
pub fn callable(function: &ExportedFunction) -> Result<FunctionType, anyhow::Error> {
    let refuse = || {
        let name = full_name(function);
        anyhow::anyhow!(
            "{name} takes or gives streams or resources, which can't be written as values: call it from a component"
        )
    };
    if function.ty.is_null() {
        return Err(refuse());
    }
    let ty: FunctionType = serde_json::from_value(function.ty.clone()).map_err(|error| {
        anyhow::anyhow!("{}: its type can't be read: {error}", full_name(function))
    })?;
    let mut types = ty.params.iter().map(|(_, ty)| ty).chain(&ty.result);
    if types.any(|ty| super::types::wave(ty).is_err()) {
        return Err(refuse());
    }
    Ok(ty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exports() -> ComponentExports {
        serde_json::from_value(serde_json::json!({
            "component_id": "c",
            "functions": [
                { "instance": "a:b/greet@0.1.0", "function": "greet", "type": { "params": [["name", "string"]], "result": "string" } },
                { "instance": "a:b/other@0.1.0", "function": "greet" },
                { "instance": "a:b/other@0.1.0", "function": "bucket.get" },
            ],
        }))
        .unwrap()
    }

    #[test]
    fn a_function_is_found_by_as_much_of_its_name_as_is_needed() {
        let exports = exports();
        for text in ["a:b/greet@0.1.0.greet", "a:b/greet.greet", "greet.greet"] {
            assert_eq!(
                find(&exports, text).unwrap().instance,
                "a:b/greet@0.1.0",
                "{text}"
            );
        }
        assert_eq!(find(&exports, "bucket.get").unwrap().function, "bucket.get");
    }

    #[test]
    fn what_means_none_or_several_is_refused_with_names() {
        let exports = exports();
        let several = find(&exports, "greet").unwrap_err();
        assert!(
            several.is::<Usage>() && several.to_string().contains("a:b/other@0.1.0.greet"),
            "{several}"
        );
        assert!(find(&exports, "nope").unwrap_err().is::<NotFound>());
    }
}
