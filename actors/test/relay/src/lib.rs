//! Calls the actor that it is linked to, which may be another of its kind, and can be called itself.

mod deeds;
mod parcels;

use std::time::Instant;

use crate::bindings::{
    exports::trellis::test::relay::{Guest, Note},
    trellis::test::relay as linked,
};

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package trellis:relay;
            world relay {
                import trellis:test/relay@0.1.0;
                export trellis:test/relay@0.1.0;
                import trellis:test-streams/parcels@0.1.0;
                export trellis:test-streams/parcels@0.1.0;
            }
        ",
        path: [
            "../../../wit/wasi-io",
            "../../../wit/trellis-test",
            "../../../wit/trellis-test-streams",
        ],
        world: "trellis:relay/relay",
        generate_all,
    });
}

struct Relay;

impl Guest for Relay {
    fn add(a: u32, b: u32) -> u32 {
        a.wrapping_add(b)
    }

    fn raise(mut note: Note) -> Result<Note, String> {
        if note.title.is_empty() {
            return Err("a note without a title".into());
        }
        note.level += 1;
        Ok(note)
    }

    fn run(what: String, number: u64) -> String {
        deeds::run(&what, number)
    }

    fn forward(what: String, number: u64) -> String {
        format!("it says: {}", linked::run(&what, number))
    }

    fn descend(left: u32) -> u32 {
        match left.checked_sub(1) {
            Some(less) => 1 + linked::descend(less),
            None => 0,
        }
    }

    fn time_adds(calls: u32) -> Vec<u64> {
        timed(calls, |call| assert_eq!(linked::add(call, 1), call + 1))
    }

    fn time_raises(calls: u32) -> Vec<u64> {
        let tags = ["edge", "actor", "lattice"].map(str::to_owned).to_vec();
        timed(calls, |call| {
            let note = linked::Note {
                title: "A note of some length".into(),
                tags: tags.clone(),
                level: call,
            };
            let raised = linked::raise(&note).expect("it has a title");
            assert_eq!((raised.level, raised.tags.len()), (call + 1, tags.len()));
        })
    }
}

fn timed(calls: u32, mut call: impl FnMut(u32)) -> Vec<u64> {
    (0..calls)
        .map(|number| {
            let began = Instant::now();
            call(number);
            u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)
        })
        .collect()
}

bindings::export!(Relay with_types_in bindings);
