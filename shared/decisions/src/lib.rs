//! The decisions of the functions on weights and certificates: pure, no I/O, no clock.
//!
//! ```text
//! alarms, proxies, route ──▶ failover ──▶ a plan, a hold, or no change
//! declared split, layers of writers ──▶ weights ──▶ the split of a route, and which writer may change it
//! certificates, CAs, proxies ──▶ rotation ──▶ the next step of each certificate and each trust
//! ```
//!
//! [`monitoring`] writes and checks the alarms that failover reacts to. Every reason code of a decision is listed once,
//! with a [`reason_entry`].

mod decision;
pub mod failover;
pub mod monitoring;
pub mod reason_entry;
pub mod rotation;
pub mod weights;
