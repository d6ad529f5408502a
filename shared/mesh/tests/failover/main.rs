//! Fail-over as a whole: a small world that decisions are applied to, episodes told in it, and what must hold always.

#[path = "world.rs"]
mod world;

mod episodes;
mod properties;
mod verdicts;
