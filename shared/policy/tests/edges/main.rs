//! Every edge of a mesh and its verdict, on tables.

#[cfg(test)]
mod authority;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod harms;
#[cfg(test)]
mod known;
#[cfg(test)]
mod outside;
#[cfg(test)]
mod parsing;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod specs;
