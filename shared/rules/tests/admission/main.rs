//! Writes that would cut calls.

#[cfg(test)]
mod cuts;
#[cfg(test)]
#[path = "../../../mesh/tests/references/mod.rs"]
mod references;
