//! The mesh model and the policy logic: pure, no I/O, no clock.

pub mod alarm;
pub mod change;
pub mod failover;
pub mod graph;
pub mod harm;
pub mod name;
pub mod policy;
pub mod resource;
pub mod spec;
pub mod traffic;
pub mod validate;
pub mod weights;
