//! The local stack on which the demo and `cargo xtask up` run, and the tools that build, start and end it.
//!
//! ```text
//! xtask ─┐                  ┌─▶ setup, programs: what it needs, installed and built
//!        ├─▶ local_stack ───┼─▶ process, command: what it starts, in groups that are ended together
//! demo ──┘                  └─▶ http, demo_mesh: its services on loopback, and the meshes in them
//! ```
//!
//! This crate sends requests only to the machine's loopback interface, apart from the downloads of `cargo` and `pip`,
//! ends only processes that it has started, and depends on no crate of the product: it is built before the product.

pub mod command;
pub mod console;
pub mod demo_mesh;
pub mod failure;
pub mod http;
pub mod interrupt;
mod local_stack;
mod process;
pub mod programs;
pub mod scenario;
pub mod setup;
pub mod workspace;

pub use local_stack::{
    DEMO_POLICY, DataPlane, Endpoints, LocalAws, Outputs, Proxy, REPLICAS_NAME, REPORTS, Replica, Replicas, Stack,
    TemporaryStack, demo_policy, down, invoke, put_policy, replica_addresses_available, start_temporary, switch_load,
    up,
};
