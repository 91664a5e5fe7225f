//! Answers every request with a greeting: the smallest useful HTTP actor.

use web::{Handler, Request, Response};

struct Hello;

impl Handler for Hello {
    fn handle(_request: Request) -> Response {
        Response::text(200, "Hello from Trellis!\n")
    }
}

web::serve!(Hello);
