//! The App Mesh API on one machine: the 38 operations, wire-compatible with what AWS served until 2026-09-30.
//!
//! ```text
//!  SDK, CLI, Terraform            state (pure)                                   followers
//!        |                             |                                             |
//!   http: parse  -->  store: one  -->  check everything,  -->  storage:  -->  changes, in order
//!   http: render <--  write a time <-- then put or remove      in memory
//!                                                              or on disk
//! ```
//!
//! - `http` knows URIs and bodies, and nothing of what exists; `document` how a resource looks in JSON.
//! - `admission` judges writes by the policy pack, before they are stored.
//! - `connections` bounds what clients can make the process hold before they are known, `listen` serves the API within it.
//! - `auth` decides who may call, before anything else looks at the request.
//! - `events` tells every accepted write to whoever wants to know, without keeping it waiting.
//! - `state` knows what exists and what may be done to it. The same writes with the same stamps lead to the same state.
//!   All that can be said of a spec without knowing what exists is said by `mesh::validate`.
//! - `store` shares the state between connections, and lets nobody see what is not stored.
//! - `storage` makes it last; `metrics` counts.
//! - `certificates` keeps what proxies present and trust, `instances` where Cloud Map finds nodes; both ask for it again and
//!   again.
//! - `xds` serves Envoys: their share of the mesh, and every change of it.
//!
//! This crate never fills in a spec beyond a health check's port, never answers a request that is not authenticated
//! from anywhere but this machine, never answers a write before it is stored, never serves a file that is not what was
//! written, and never makes an error up: faults for tests are injected in front of it, or by a storage of their own.

mod admission;
mod auth;
pub mod certificates;
mod connections;
mod document;
mod error;
mod events;
mod headers;
mod http;
pub mod instances;
mod listen;
mod log;
mod metrics;
mod percent;
mod quotas;
mod schedule;
mod secrets;
mod server;
mod settings;
pub mod state;
pub mod storage;
mod store;
mod text;
mod tls;
pub mod xds;

pub use admission::{AdmissionMode, AdmissionSettings, PolicyFileError};
pub use auth::{
    ApiAuth, Audience, AudienceError, Denial, GuardError, KeyFileError, RolePattern, RolePatternError, StsEndpoint,
    StsEndpointError, StsSettings,
};
pub use connections::{ConnectionLimits, raise_file_limit};
pub use error::{ApiError, ErrorType, Relation};
pub use events::{EventReceiver, ReceiverKind, Webhook, WebhookError};
pub use log::{BoundedLine, BoundedLog};
pub use metrics::{Metrics, ProxyKind, XdsMetrics, XdsType};
pub use quotas::{Quota, QuotaPreset, QuotaSetting, QuotaSettingError, Quotas};
pub use server::{BindError, Server};
pub use settings::Settings;
pub use store::Store;
pub use tls::{TlsError, TlsFiles};
