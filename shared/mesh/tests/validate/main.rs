//! Accepted and refused specs, a row for each rule.

#[cfg(test)]
mod accepted;
#[cfg(test)]
mod admission;
#[cfg(test)]
mod between;
#[cfg(test)]
mod envoy;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod shapes;
