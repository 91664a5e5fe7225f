//! Gives back every kind of WIT value it is called with.

use crate::bindings::exports::trellis::test::types::{
    Color, Event, Guest, Permissions, Scalars, Shape, Wide,
};

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package trellis:types;
            world types {
                export trellis:test/types@0.1.0;
            }
        ",
        path: ["../../../wit/trellis-test"],
        world: "trellis:types/types",
        generate_all,
    });
}

struct Types;

/// Functions that answer their argument.
macro_rules! round {
    ($($name:ident: $type:ty),* $(,)?) => {
        $(fn $name(value: $type) -> $type { value })*
    };
}

impl Guest for Types {
    round! {
        round_bool: bool,
        round_u8: u8,
        round_u16: u16,
        round_u32: u32,
        round_u64: u64,
        round_s8: i8,
        round_s16: i16,
        round_s32: i32,
        round_s64: i64,
        round_f32: f32,
        round_f64: f64,
        round_char: char,
        round_string: String,
        round_bytes: Vec<u8>,
        round_strings: Vec<String>,
        round_lists: Vec<Vec<u32>>,
        round_option: Option<String>,
        round_nested_option: Option<Option<u32>>,
        round_result: Result<String, u32>,
        round_result_ok_only: Result<String, ()>,
        round_result_err_only: Result<(), String>,
        round_result_empty: Result<(), ()>,
        round_tuple: (u8, String, f64),
        round_scalars: Scalars,
        round_shape: Shape,
        round_color: Color,
        round_event: Event,
        round_events: Vec<Event>,
        round_permissions: Permissions,
        round_wide: Wide,
    }

    fn nothing() {}

    fn join(a: String, b: u32, c: bool) -> String {
        format!("{a}-{b}-{c}")
    }

    fn produce(count: u32) -> Vec<u8> {
        (0..251_u8).cycle().take(count as usize).collect()
    }

    fn digest(value: Vec<u8>) -> (u64, u32) {
        let sum = value
            .iter()
            .fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
        (value.len() as u64, sum)
    }

    fn trap() {
        panic!("this function traps because it was called")
    }
}

bindings::export!(Types with_types_in bindings);
