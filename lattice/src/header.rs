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
