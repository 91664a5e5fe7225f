//! trellis-messaging-nats
