//! Accepted and refused specs, a row for each rule.

#[cfg(test)]
mod accepted;
#[cfg(test)]
mod between;
#[cfg(test)]
mod envoy;
#[cfg(test)]
#[path = "../references/mod.rs"]
mod references;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod shapes;
