//! What the actor sees of its surroundings.

use web::{Request, Response};

use crate::bindings::wasi::config0_2_0_draft::{runtime, store};
use crate::bindings::wasi::config0_2_0_rc_1::store as newer;
use crate::bindings::wasi::logging::logging::{self, Level};

/// One configuration value (`key`), or all without one, as `key=value` lines.
/// `by` chooses the interface: `store` (as is), `runtime`, or `rc` (0.2.0-rc.1).
/// A key that is not set answers 404.
pub fn config(request: &Request) -> Result<Response, String> {
    let by = request.query("by").unwrap_or_else(|| "store".into());
    let key = request.query("key");
    let lines = match (key, by.as_str()) {
        (Some(key), "store") => store::get(&key).map(one).map_err(|e| format!("{e:?}")),
        (Some(key), "runtime") => runtime::get(&key).map(one).map_err(|e| format!("{e:?}")),
        (Some(key), "rc") => newer::get(&key).map(one).map_err(|e| format!("{e:?}")),
        (None, "store") => store::get_all().map(all).map_err(|e| format!("{e:?}")),
        (None, "runtime") => runtime::get_all().map(all).map_err(|e| format!("{e:?}")),
        (None, "rc") => newer::get_all().map(all).map_err(|e| format!("{e:?}")),
        (_, other) => return Err(format!("by={other:?} is none of store, runtime, rc")),
    };
    Ok(match lines {
        Ok(Some(text)) => Response::text(200, text),
        Ok(None) => Response::text(404, "(not set)\n"),
        Err(reason) => Response::text(500, format!("{reason}\n")),
    })
}

fn one(value: Option<String>) -> Option<String> {
    value.map(|value| value + "\n")
}

fn all(mut pairs: Vec<(String, String)>) -> Option<String> {
    pairs.sort();
    Some(pairs.iter().map(|(k, v)| format!("{k}={v}\n")).collect())
}

/// Writes one line at each level, or `message` at `level`, and to the standard
/// streams.
pub fn log(request: &Request) -> Result<Response, String> {
    let message = request.query("message").unwrap_or_else(|| "a line".into());
    let levels = [
        ("trace", Level::Trace),
        ("debug", Level::Debug),
        ("info", Level::Info),
        ("warn", Level::Warn),
        ("error", Level::Error),
        ("critical", Level::Critical),
    ];
    let wanted = request.query("level");
    let mut written = 0;
    for (name, level) in levels {
        if wanted.as_deref().is_none_or(|wanted| wanted == name) {
            logging::log(level, "misbehave", &message);
            written += 1;
        }
    }
    if written == 0 {
        return Err("level is none of trace, debug, info, warn, error, critical".into());
    }
    println!("stdout: {message}");
    eprintln!("stderr: {message}");
    Ok(Response::text(200, format!("{written} lines\n")))
}

/// Environment variables, arguments and what the file system shows. An actor
/// without grants sees: `env 0`, `args 0`, and no file at all.
pub fn environment() -> Response {
    let mut text = String::new();
    text += &format!("env {}\n", std::env::vars_os().count());
    for (key, value) in std::env::vars_os() {
        text += &format!("env {}={}\n", key.display(), value.display());
    }
    text += &format!("args {}\n", std::env::args_os().count());
    for path in ["/", ".", "/etc/passwd", "/proc/self/environ"] {
        let seen = std::fs::metadata(path).is_ok();
        text += &format!("{path} {}\n", if seen { "visible" } else { "hidden" });
    }
    let written = std::fs::write("/tmp/trellis-misbehave", "x").is_ok();
    text += &format!("write {}\n", if written { "allowed" } else { "refused" });
    Response::text(200, text)
}
