//! `control-plane kubernetes`: keeps the resources of the App Mesh API equal to the App Mesh objects of a Kubernetes cluster, and
//! serves the admission webhooks.
//!
//! ```text
//!   Kubernetes API ──list, watch──▶ ClusterCopy ──▶ pass ──conditional writes──▶ App Mesh API (any replica)
//!        ▲                              │            └──finalizers, status──▶ Kubernetes API
//!        └── Lease ◀── leadership       └──▶ webhooks: /mutate, /validate, /inject
//! ```
//!
//! It is a client of the App Mesh API like any other, with its own role or key, and runs next to the replicas, not in them.
//! It writes only while it holds the lease. It never writes before every type was listed once, and never deletes because an
//! object is absent from a list.

mod client;
mod error;
mod lease;
mod mesh_api;
mod metrics;
mod node_token;
mod pass;
mod run;
mod watch;
mod webhook;

pub use client::{KubernetesClientError, KubernetesServer};
pub use error::KubernetesError;
pub use lease::LeaseSettings;
pub use mesh_api::MeshApi;
pub use node_token::{NodeTokenError, NodeTokenFile};
pub use run::{KubernetesSettings, KubernetesSync};
pub use webhook::WebhookSettings;
