//! Identity by signed tokens (JWT): node tokens, which this server issues to proxies, and tokens of service accounts, which a
//! Kubernetes cluster issues to its pods.
//!
//! ```text
//!  POST /tokens  --> caller (key, role session, service account) --> rights --> node token, signed with the first key
//!  xDS stream    --> node token --> signature, audience, time, not revoked --> only the node of the token
//!            or  --> token of a service account --> ... --> rights --> only nodes for which it may request tokens
//! ```
//!
//! The format is small and strict: each issuer has one type and one set of algorithms, and a header that names another one
//! is refused before the signature is read. Private keys never enter the store.

mod cluster;
mod cluster_keys;
mod jws;
mod key_set;
mod lifetime;
mod node_token;
#[cfg(test)]
mod tests;
mod token_keys;

use std::path::PathBuf;

use crate::auth::Audience;

pub(crate) use cluster::AccountToken;
pub use key_set::ClusterKeysError;
pub(crate) use lifetime::LONGEST_LIFETIME;
pub use node_token::NodeTokens;
pub(crate) use node_token::{NodeToken, USUAL_LIFETIME};
pub use token_keys::TokenKeyError;

/// The settings of node tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentitySettings {
    /// The name of this server, or of all replicas, in the tokens.
    pub audience: Audience,
    /// The files of Ed25519 keys, as PKCS #8 in PEM. The first one signs; tokens of all of them are accepted.
    pub keys: Vec<PathBuf>,
    /// The cluster of which service accounts may request tokens.
    pub cluster: Option<ClusterSettings>,
}

/// A Kubernetes cluster that issues tokens to its service accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSettings {
    /// The issuer in the tokens, such as `https://kubernetes.default.svc.cluster.local`.
    pub issuer: String,
    /// The published keys of the cluster (JWKS).
    pub keys: ClusterKeySource,
    /// Whether a token of a service account opens streams of the proxies for which the account may request node tokens.
    pub streams: bool,
}

/// Where the published keys of a cluster are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterKeySource {
    /// In a file, which is reloaded when it changes.
    File(PathBuf),
    /// At a URL, which is fetched again at intervals and when a token names an unknown key.
    Url {
        /// `https://...`; or `http://...` on this machine.
        url: String,
        /// The CA certificates of the server. `None` trusts the system's.
        ca: Option<PathBuf>,
        /// The file with the token that is sent to the server.
        token: Option<PathBuf>,
    },
}

/// Node tokens cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A key that signs tokens cannot be used.
    #[error(transparent)]
    Key(#[from] TokenKeyError),
    /// The keys of the cluster cannot be used.
    #[error(transparent)]
    Cluster(#[from] ClusterKeysError),
}
