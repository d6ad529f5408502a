//! The App Mesh API on one machine: the 38 operations, wire-compatible with what AWS served until 2026-09-30.
//!
//! ```text
//!  SDK, CLI, Terraform            state (pure)                                   followers
//!        |                             |                                             |
//!   http: parse  -->  store: one  -->  check everything,  -->  storage:  -->  changes, in order
//!   http: render <--  write at     <-- then put or remove      in memory
//!                     a time                                   or on disk
//! ```
//!
//! - `http` parses URIs and bodies, independent of the state; `document` renders resources as JSON.
//! - `admission` judges writes by the policy pack, before they are stored.
//! - `connections` limits what clients can make the process hold before they are known, `listen` serves the API within
//!   these limits.
//! - `auth` authenticates callers, before any other module reads the request.
//! - `evidence` merges the reports of all replicas on their proxies, and decides what follows from them.
//! - `rights` decides which requests an authenticated caller may make, and how many writes.
//! - `identity` issues and verifies node tokens, by which proxies and replicas need no PKI.
//! - `events` sends every accepted write to the receivers of change events, without delaying it.
//! - `state` holds the resources and the rules for changing them. The same writes with the same stamps lead to the same
//!   state. Checks of a spec that do not depend on other resources are in `mesh::validate`.
//! - `operations` serves the metrics and health checks on a separate address.
//! - `store` shares the state between connections, and shows no client a change that is not stored.
//! - `storage` makes the state durable; `metrics` counts.
//! - `snapshot` copies the state of a store to a file, and back into an empty store.
//! - `certificates` caches the certificates that proxies present and trust, `instances` the endpoints from Cloud Map; both
//!   poll their sources.
//! - `kubernetes` is a client of the API that follows the objects of a Kubernetes cluster, in a separate process.
//! - `xds` serves Envoy proxies: their part of the mesh, and every change of it.
//!
//! This crate never fills in a spec beyond a health check's port. It never answers an unauthenticated request from
//! another machine, never answers a write before it is stored, and never serves a file with altered content. It never
//! invents an error: tests inject faults in front of it, or through a storage of their own.

mod admission;
mod auth;
pub mod certificates;
mod connections;
mod denial;
mod document;
mod error;
mod events;
mod evidence;
mod headers;
mod http;
mod identity;
pub mod instances;
pub mod kubernetes;
mod label;
mod listen;
mod log;
mod metrics;
mod operations;
mod pattern;
mod percent;
mod quotas;
mod reloaded;
mod rights;
mod schedule;
mod secrets;
mod server;
mod settings;
pub mod snapshot;
pub mod state;
pub mod storage;
mod store;
mod text;
mod tls;
mod token_refusal;
pub mod xds;

pub use admission::{AdmissionMode, AdmissionSettings, PolicyFileError};
pub use auth::{
    ApiAuth, Audience, AudienceError, Denial, GuardError, KeyFileError, RolePattern, RolePatternError, StsEndpoint,
    StsEndpointError, StsSettings,
};
pub use connections::{ConnectionLimits, raise_file_limit};
pub use error::{ApiError, ErrorType, Relation};
pub use events::{EventReceiver, ReceiverKind, Webhook, WebhookError};
pub use identity::{
    ClusterKeySource, ClusterKeysError, ClusterSettings, IdentityError, IdentitySettings, NodeTokens, TokenKeyError,
};
pub use log::{BoundedLine, BoundedLog};
pub use metrics::{Metrics, ProxyKind, XdsMetrics, XdsType};
pub use quotas::{Quota, QuotaPreset, QuotaSetting, QuotaSettingError, Quotas};
pub use rights::{EntryProblem, RightsFile, RightsFileError, WriteLimit};
pub use server::{BindError, Server};
pub use settings::{Settings, SharedStore, SharedStoreError};
pub use store::{LogStartError, PortRequest, ReplicaRole, Store};
pub use tls::{TlsError, TlsFiles};
pub use token_refusal::TokenRefusal;
