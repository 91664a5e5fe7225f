//! trellis-http-server
