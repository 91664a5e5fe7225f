//! trellis-provider
