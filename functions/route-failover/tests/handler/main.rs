//! The whole function over in-memory ports: every trigger, every route kind, every hold; killed and failing at every call,
//! and with two concurrent writers.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod alarms;
mod scenarios;
mod shop;
mod world;

mod crashes;
mod failures;
mod faults;
mod holds;
mod journal;
mod lifecycle;
mod policy;
mod previous;
mod reminders;
mod rounds;
mod triggers;
mod unanswered;
mod unfinished;
mod withheld;
mod writers;
