//! Moves traffic.
