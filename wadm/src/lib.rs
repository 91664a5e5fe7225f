//! trellis-wadm
