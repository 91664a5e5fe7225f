//! The provider between a real Mosquitto broker and components that the tests play.

mod failures;
mod kit;
mod loss;
mod messages;
mod sessions;
mod settings;
mod tls;
