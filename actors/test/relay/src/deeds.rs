//! What a relay does by name.

use std::{hint::black_box, thread::sleep, time::Duration};

pub fn run(what: &str, number: u64) -> String {
    match what {
        "answer" => number.to_string(),
        "sleep" => {
            sleep(Duration::from_millis(number));
            format!("slept {number} ms")
        }
        "spin" => loop {
            black_box(());
        },
        "grow" => {
            let bytes =
                usize::try_from(number).expect("that much memory is beyond this address space");
            format!("took {} bytes", black_box(vec![1_u8; bytes]).len())
        }
        "trap" => panic!("told to trap"),
        _ => format!("there is nothing called {what}"),
    }
}
