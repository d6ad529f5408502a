//! The requests of the adapters and the parsing of the responses, with a server on loopback that returns canned responses.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod app_mesh;
mod bounds;
mod canned;
mod cbor;
#[cfg(feature = "certificates")]
mod certificates;
#[cfg(feature = "cloud-map")]
mod cloud_map;
mod cloudwatch;
#[cfg(feature = "config-rules")]
mod config_rules;
mod notices;
mod proxies;
mod retries;
#[cfg(feature = "certificates")]
mod secrets;
#[cfg(feature = "security-hub")]
mod security_hub;
mod state_table;
