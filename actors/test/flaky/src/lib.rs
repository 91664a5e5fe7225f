//! An actor of which releases are made that are good or bad: tests change the
//! text in its binary. It answers with that text, or traps as often as it says.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;

use web::{Handler, Request, Response};

/// The two digits are how many of a hundred calls trap.
const SAYS: &str = "release one fails 00 of 100 calls";

struct Flaky;

impl Handler for Flaky {
    fn handle(_request: Request) -> Response {
        // The compiler must not know it: another text may stand here.
        let says = black_box(SAYS);
        // A number that this program cannot foresee is all that is wanted of the hash.
        let chance = RandomState::new().build_hasher().finish() % 100;
        let failing = says
            .split(' ')
            .nth(3)
            .and_then(|digits| digits.parse().ok());
        assert!(chance >= failing.unwrap_or(100), "{says}, and this is one");
        Response::text(200, format!("{says}\n"))
    }
}

web::serve!(Flaky);
