//! Attacks the authentication of the control plane, over HTTP and with real SDKs.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod boto3;
mod keys;
mod plane;
mod sts;
mod sts_server;
mod tokens;
mod written_by;
