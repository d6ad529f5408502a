//! Facts that are derived from the resources of a mesh, on tables.

#[cfg(test)]
mod dangling;
#[cfg(test)]
mod harms;
#[cfg(test)]
mod links;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod shadow;
#[cfg(test)]
mod traffic;
#[cfg(test)]
mod unreachable;
