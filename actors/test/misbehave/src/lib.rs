//! An actor that does what actors should not, on request, and a few things that
//! need looking at from inside: each path is one deed (see `deed`).

mod deeds;
mod inside;

use web::{Handler, Request, Response};

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package trellis:misbehave;
            world misbehave {
                import wasi:clocks/monotonic-clock@0.2.12;
                import wasi:config/store@0.2.0-draft;
                import wasi:config/runtime@0.2.0-draft;
                import wasi:config/store@0.2.0-rc.1;
                import wasi:logging/logging@0.1.0-draft;
            }
        ",
        path: [
            "../../../wit/wasi-io",
            "../../../wit/wasi-clocks",
            "../../../wit/wasi-config-0.2.0-draft",
            "../../../wit/wasi-config-0.2.0-rc.1",
            "../../../wit/wasi-logging",
        ],
        world: "trellis:misbehave/misbehave",
        generate_all,
    });
}

struct Misbehave;

impl Handler for Misbehave {
    fn handle(request: Request) -> Response {
        match deed(&request) {
            Ok(response) => response,
            Err(reason) => Response::text(400, format!("{reason}\n")),
        }
    }
}

/// What the path asks for. An error is the asker's mistake.
fn deed(request: &Request) -> Result<Response, String> {
    match request.path() {
        "/ok" => Ok(Response::text(200, "ok\n")),
        "/loop" => deeds::spin(),
        "/grow" => deeds::grow(),
        "/recurse" => deeds::recurse(),
        "/trap" => deeds::trap(),
        "/sleep" => deeds::sleep(number(request, "ms")?),
        "/status" => deeds::status(number(request, "code")?),
        "/echo" => deeds::echo(request),
        "/count" => deeds::count(request),
        "/big" => Ok(deeds::big(number(request, "bytes")?)),
        "/half" => Ok(deeds::half()),
        "/headers" => Ok(deeds::headers(request)),
        "/config" => inside::config(request),
        "/log" => inside::log(request),
        "/env" => Ok(inside::environment()),
        path => Ok(Response::text(404, format!("no deed at {path}\n"))),
    }
}

fn number(request: &Request, name: &str) -> Result<u64, String> {
    let text = request
        .query(name)
        .ok_or_else(|| format!("the query needs {name}=NUMBER"))?;
    text.parse()
        .map_err(|_| format!("{name}={text:?} is no number"))
}

web::serve!(Misbehave);
