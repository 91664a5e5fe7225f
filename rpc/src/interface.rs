//! The wire forms of the interfaces that Trellis types itself.
