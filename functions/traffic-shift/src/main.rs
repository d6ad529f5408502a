//! Wires the function to AWS.

fn main() {}
