//! The built command under a Lambda runtime API of the test, with the real control plane and MiniStack.
//!
//! ```text
//! runtime API (this test) ◀── route-failover, a child process ──▶ the way (counts, strikes) ──┬──▶ control plane
//!                                                                                          └──▶ MiniStack
//! ```
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "a test says what it skips and how much it did")]

mod stage;
mod start_up;

mod attack;
mod cases;
mod crashes;
mod credentials;
mod declared;
mod faults;
mod permissions;
