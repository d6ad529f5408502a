//! The built command under a Lambda runtime API of the test, with the real control plane, moto and MiniStack.
//!
//! ```text
//! runtime API (this test) ◀── certificate-rotation, a child process ──▶ the way (counts, strikes) ──┬──▶ control plane
//!                                                                                                ├──▶ moto
//!                                                                                                └──▶ MiniStack
//! ```
//!
//! moto renews no private certificate (`RenewCertificate`, and requests to a private CA outside ACM): `private_acm` adds it
//! in front of moto, `shared/aws/tests/wire` replays it, and `tests/handler` has it in memory.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "a test prints its extent and why it is skipped")]

mod chain;
mod private_acm;
mod stage;
mod start_up;

mod attack;
mod bundles;
mod cases;
mod crashes;
mod faults;
mod imported;
mod permissions;
