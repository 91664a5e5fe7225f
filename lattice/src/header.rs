//! NATS headers of a call. The first four are 1.x's or W3C's; ours begin with `trellis-` and a 1.x peer ignores them.

/// The component or provider that calls.
pub const SOURCE_ID: &str = "source-id";
/// The component or provider that is called.
pub const TARGET_ID: &str = "target-id";
/// The link a component's call goes over.
pub const LINK_NAME: &str = "link-name";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// Milliseconds that the caller goes on waiting, counted from when it sent the call.
pub const DEADLINE_MS: &str = "trellis-deadline-ms";
/// On an error reply: which kind of error it is.
pub const ERROR_KIND: &str = "trellis-error-kind";
/// How many bytes of a channel the sender of this header takes before it grants more. Its presence on a call says that
/// the caller is a Trellis peer. A message counts as its payload and 64 bytes.
pub const FLOW: &str = "trellis-flow";
/// The number of a channel's message, from 0: a gap is a loss.
pub const SEQUENCE: &str = "trellis-seq";
/// How many bytes the root values have in all; those that the message itself does not hold follow.
pub const TOTAL: &str = "trellis-total";
/// Content type of a manifest put to the application manager (1.x's name).
pub const CONTENT_TYPE: &str = "Content-Type";
/// On a control request that an application manager makes: the number of its leadership. A host refuses those of a
/// manager that has been followed by another, so that two never command at once.
pub const FENCE: &str = "trellis-fence";
/// On a call: its residency bound, such as `region=eu`. A callee that is not within refuses it, and has not begun it.
pub const WITHIN: &str = "trellis-within";
/// On a call: its caller would know who answers; the value says nothing.
pub const WHO: &str = "trellis-who";
/// On the answer to such a call, and on a provider's about its health: the host that it belongs to.
pub const HOST: &str = "trellis-host";
/// On the answer to such a call: the PoP the callee is in.
pub const POP: &str = "trellis-pop";
/// On an answer: whoever gave it is about to serve its target no longer; its PoP should be asked last for a moment.
pub const LEAVING: &str = "trellis-leaving";
/// The [`ERROR_KIND`] of a call that was refused because the callee is not within its bound. No error of a callee's own
/// has it: the call has not begun.
pub const OUTSIDE: &str = "outside";
