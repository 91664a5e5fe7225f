//! Takes orders: a message `apples 3` adds 3 to the number `apples` in a key-value store.
//!
//! What is no order is refused with an error, and so is one that the store could not take: whoever brings the messages
//! decides what becomes of it.

use crate::bindings::exports::wasmcloud::messaging::handler::Guest;
use crate::bindings::wasi::keyvalue::{atomics, store};
use crate::bindings::wasmcloud::messaging::types::BrokerMessage;

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package trellis:orders;
            world orders {
                import wasi:keyvalue/store@0.2.0-draft;
                import wasi:keyvalue/atomics@0.2.0-draft;
                export wasmcloud:messaging/handler@0.2.0;
            }
        ",
        path: ["../../wit/wasi-keyvalue", "../../wit/wasmcloud-messaging"],
        world: "trellis:orders/orders",
        generate_all,
    });
}

struct Orders;

impl Guest for Orders {
    fn handle_message(message: BrokerMessage) -> Result<(), String> {
        let order = String::from_utf8_lossy(&message.body);
        let (item, count) = read(&order).ok_or_else(|| format!("no order: {order:?}"))?;
        let bucket =
            store::open("default").map_err(|error| format!("the store: {}", say(error)))?;
        match atomics::increment(&bucket, item, count) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("adding {count} to {item:?}: {}", say(error))),
        }
    }
}

/// An order is an item and how many of it.
fn read(order: &str) -> Option<(&str, u64)> {
    let (item, count) = order.trim().split_once(' ')?;
    Some((item, count.trim().parse().ok()?))
}

fn say(error: store::Error) -> String {
    match error {
        store::Error::NoSuchStore => "there is no such bucket".to_owned(),
        store::Error::AccessDenied => "access denied".to_owned(),
        store::Error::Other(why) => why,
    }
}

bindings::export!(Orders with_types_in bindings);
