//! trellis-benches
