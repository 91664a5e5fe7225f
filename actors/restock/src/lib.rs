//! Watches a stock: when `stock.pears` falls below five, it puts an order under `order.pears`, and takes it away when there
//! are enough again or no pears are kept any more.
//!
//! It is told what changes, and writes into the same bucket, so its link watches `stock.*` only.

use crate::bindings::exports::wasi::keyvalue::watcher::{Bucket, Guest};
use crate::bindings::wasi::keyvalue::store;

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package trellis:restock;
            world restock {
                import wasi:keyvalue/store@0.2.0-draft;
                export wasi:keyvalue/watcher@0.2.0-draft;
            }
        ",
        path: ["../../wit/wasi-keyvalue"],
        world: "trellis:restock/restock",
        generate_all,
    });
}

/// With fewer than these, more are ordered.
const ENOUGH: u64 = 5;
/// How many are ordered.
const ORDER: &str = "20";

struct Restock;

impl Guest for Restock {
    fn on_set(bucket: Bucket, key: String, value: Vec<u8>) {
        let Some(order) = order_key(&key) else {
            return;
        };
        let text = String::from_utf8_lossy(&value);
        let Ok(left) = text.trim().parse::<u64>() else {
            eprintln!("{key} is no number: {text:?}");
            return;
        };
        let done = match left < ENOUGH {
            true => bucket.set(&order, ORDER.as_bytes()),
            false => bucket.delete(&order),
        };
        tell(&order, done);
    }

    fn on_delete(bucket: Bucket, key: String) {
        if let Some(order) = order_key(&key) {
            tell(&order, bucket.delete(&order));
        }
    }
}

/// Where the order for an item of the stock is.
fn order_key(key: &str) -> Option<String> {
    Some(format!("order.{}", key.strip_prefix("stock.")?))
}

/// A watcher has nobody to give an error to: the host's log has it.
fn tell(order: &str, done: Result<(), store::Error>) {
    if let Err(error) = done {
        eprintln!("{order}: {error:?}");
    }
}

bindings::export!(Restock with_types_in bindings);
