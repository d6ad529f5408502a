//! The state and the limits of the ADS server.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mesh::name::AccountId;
use tokio::sync::watch;
use tonic::Status;
use xds::ProxyId;

use super::cache::SnapshotCache;
use super::other_proxies::OtherProxies;
use super::peer::{Proof, XdsPeer};
use super::registry::StreamRegistry;
use super::stream_token::{StreamTokens, TokenEnd};
use crate::certificates::CertificateFiles;
use crate::connections::{BodyBudget, ConnectionTable};
use crate::instances::Instances;
use crate::secrets::Secrets;
use crate::store::Freshness;

/// The limits on the memory and connections of clients.
#[derive(Debug)]
pub(crate) struct AdsLimits {
    /// The connections of the process.
    pub(crate) connections: Arc<ConnectionTable>,
    /// The memory for data of unknown proxies.
    pub(crate) bodies: Arc<BodyBudget>,
}

/// The state that every stream needs.
#[derive(Debug)]
pub(crate) struct AdsState {
    pub(super) account: AccountId,
    pub(super) streams_per_proxy: usize,
    pub(super) cache: SnapshotCache,
    pub(super) secrets: Arc<dyn Secrets>,
    pub(super) instances: Arc<dyn Instances>,
    pub(super) files: Option<CertificateFiles>,
    pub(super) registry: Arc<StreamRegistry>,
    /// The snapshots of proxies that other replicas serve.
    pub(super) others: OtherProxies,
    /// Whether the state is that of the log.
    pub(super) freshness: watch::Receiver<Freshness>,
    /// When streams are ended, so that their proxies connect again; `None` keeps them.
    pub(super) stream_age: Option<Duration>,
    /// `None` if no listener requires tokens.
    pub(super) tokens: Option<StreamTokens>,
    pub(super) stop: watch::Receiver<bool>,
}

impl AdsState {
    /// The end of the stream of a peer by its token. Fails if the tokens of the proxy were revoked.
    pub(super) fn token_end(&self, peer: &XdsPeer, id: &ProxyId) -> Result<Option<TokenEnd>, Status> {
        let Some(tokens) = &self.tokens else { return Ok(None) };
        match &peer.proof {
            Proof::Token(token) => Ok(Some(tokens.end_of(token, Timestamp::now()))),
            Proof::Account(account) => tokens.end_of_account(account, id, Timestamp::now()).map(Some),
            Proof::None | Proof::User | Proof::Certificate(_) | Proof::TokenRequired => Ok(None),
        }
    }
}
