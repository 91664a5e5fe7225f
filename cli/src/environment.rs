//! Whose fault a wrong value is: arguments may come from the environment, and the parser names the argument in any case.

use clap::{
    Arg, Command,
    error::{ContextKind, ContextValue},
};

/// The environment variable that a wrong value is from; none when it was typed.
pub fn to_blame(error: &clap::Error, command: &Command) -> Option<String> {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let name = shown.split_whitespace().next()?.strip_prefix("--")?;
    let typed = |argument: std::ffi::OsString| {
        let argument = argument.to_string_lossy();
        let long = argument.strip_prefix("--");
        long.is_some_and(|long| long.split('=').next() == Some(name))
    };
    if std::env::args_os().skip(1).any(typed) {
        return None;
    }
    find(command, name)
}

/// The variable of an argument, if it is set.
fn find(command: &Command, name: &str) -> Option<String> {
    let set = |argument: &Arg| {
        let variable = argument.get_env()?;
        let is_it = argument.get_long() == Some(name) && std::env::var_os(variable).is_some();
        is_it.then(|| variable.to_string_lossy().into_owned())
    };
    let own = command.get_arguments().find_map(set);
    own.or_else(|| {
        let mut subcommands = command.get_subcommands();
        subcommands.find_map(|command| find(command, name))
    })
}
