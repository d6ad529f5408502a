//! The policy pack: every rule by its test inputs, the documents that are written from it, and what holds for all.
//!
//! `rules/<rule>.fails.yaml` and `rules/<rule>.passes.yaml` are meshes on which a rule finds something, and nothing.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod case;
mod documents;
mod durations;
mod egress;
mod profiles;
mod properties;
mod registry;
mod scale;
mod tags;
mod waivers;
