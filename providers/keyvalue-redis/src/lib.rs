//! trellis-keyvalue-redis
