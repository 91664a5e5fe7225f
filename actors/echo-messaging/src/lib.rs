//! Sends the body of every message back to where its sender waits.

use crate::bindings::exports::wasmcloud::messaging::handler::Guest;
use crate::bindings::wasmcloud::messaging::consumer;
use crate::bindings::wasmcloud::messaging::types::BrokerMessage;

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package trellis:echo-messaging;
            world echo {
                import wasmcloud:messaging/consumer@0.2.0;
                export wasmcloud:messaging/handler@0.2.0;
            }
        ",
        path: ["../../wit/wasmcloud-messaging"],
        world: "trellis:echo-messaging/echo",
        generate_all,
    });
}

struct Echo;

impl Guest for Echo {
    fn handle_message(message: BrokerMessage) -> Result<(), String> {
        let Some(reply_to) = message.reply_to else {
            return Err(format!(
                "the message on {:?} names no reply subject to echo to",
                message.subject
            ));
        };
        consumer::publish(&BrokerMessage {
            subject: reply_to,
            body: message.body,
            reply_to: None,
        })
    }
}

bindings::export!(Echo with_types_in bindings);
