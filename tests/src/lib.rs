//! trellis-tests
