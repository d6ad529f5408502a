//! The route-failover function.
fn main() {}
