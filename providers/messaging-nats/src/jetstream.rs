//! Messages of a JetStream stream, each until the component has handled it.
//!
//! A link that names a `stream` has a durable consumer there. A message is acknowledged once the component's handler has
//! returned without an error; until then it is JetStream's, whatever becomes of this process.
//!
//! - [`settings`]: what a link says about its consumer.
//! - [`setup`]: the stream and the consumer, found or made.
//! - `pull`: messages are asked for, never more than the component takes at once.
//! - [`work`]: the task of one link's consumer.
//! - `handling`: one message, from its arrival to its end.
//! - `settle`: how JetStream is told of that end, or that it is not yet.
//! - `dead_letter`: where a message goes that could not be handled.

mod dead_letter;
mod handling;
mod pull;
pub mod settings;
mod settle;
pub mod setup;
pub mod work;
