//! The settings of the control plane.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use mesh::name::AccountId;

use crate::admission::AdmissionSettings;
use crate::auth::ApiAuth;
use crate::connections::ConnectionLimits;
use crate::events::EventReceiver;
use crate::identity::IdentitySettings;
use crate::quotas::Quotas;
use crate::rights::WriteLimit;
use crate::state::Region;
use crate::storage::EtcdTls;
use crate::store::{ReplicaRole, SERVE_STALE};
use crate::tls::TlsFiles;
use crate::xds::XdsSettings;

/// A store that several replicas share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SharedStore {
    /// A DynamoDB table of this name.
    DynamoDb(String),
    /// The members of an etcd cluster.
    Etcd {
        /// Each as `HOST:PORT`.
        endpoints: Vec<String>,
        /// TLS to the members. `None` connects without.
        tls: Option<EtcdTls>,
        /// Whether releases are accepted that may lose acknowledged writes.
        accepts_old: bool,
    },
}

/// The text does not name a shared store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid store {0:?}: expected \"dynamodb:TABLE\", \"etcd:HOST:PORT,...\", \"etcd:https://HOST:PORT,...\" or \"memory\"; a folder is given with --data"
)]
pub struct SharedStoreError(pub String);

impl FromStr for SharedStore {
    type Err = SharedStoreError;

    fn from_str(text: &str) -> Result<Self, SharedStoreError> {
        let error = || SharedStoreError(text.to_owned());
        match text.split_once(':').ok_or_else(error)? {
            ("dynamodb", table) => {
                let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
                let fits = (3..=255).contains(&table.len()) && table.bytes().all(is_allowed);
                if fits { Ok(Self::DynamoDb(table.to_owned())) } else { Err(error()) }
            }
            ("etcd", endpoints) => {
                let is_endpoint = |endpoint: &str| {
                    let parts = endpoint.rsplit_once(':');
                    parts.is_some_and(|(host, port)| {
                        !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()
                    })
                };
                // The scheme of the first endpoint is that of all.
                let (uses_tls, endpoints) = match endpoints.strip_prefix("https://") {
                    Some(endpoints) => (true, endpoints),
                    None => (false, endpoints),
                };
                let scheme = if uses_tls { "https://" } else { "" };
                let endpoints = endpoints.split(',');
                let endpoints: Vec<String> =
                    endpoints.map(|endpoint| endpoint.strip_prefix(scheme).unwrap_or(endpoint).to_owned()).collect();
                if !endpoints.iter().all(|endpoint| is_endpoint(endpoint)) {
                    return Err(error());
                }
                let tls = uses_tls.then(EtcdTls::default);
                Ok(Self::Etcd { endpoints, tls, accepts_old: false })
            }
            _ => Err(error()),
        }
    }
}

/// The settings of one server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address of the API. Port 0 selects a free port. Without authentication only loopback addresses
    /// are accepted.
    pub api: SocketAddr,
    /// The authentication of API callers.
    pub api_auth: ApiAuth,
    /// The API's TLS certificate and key. `None` serves the API without TLS.
    pub api_tls: Option<TlsFiles>,
    /// The address of the metrics and health checks, which need no authentication there. `None` serves them on the
    /// API's address only.
    pub metrics: Option<SocketAddr>,
    /// The file with the rights of callers. `None` lets every authenticated caller make every request, and is refused with
    /// [`ApiAuth::Sts`].
    pub rights: Option<PathBuf>,
    /// The writes that one key or role may make.
    pub write_limit: WriteLimit,
    /// The settings of node tokens. `None` issues none.
    pub identity: Option<IdentitySettings>,
    /// The account that owns every mesh.
    pub account: AccountId,
    /// The region in every ARN.
    pub region: Region,
    /// The limits on connections, of the API and of proxies.
    pub connections: ConnectionLimits,
    /// The settings of admission.
    pub admission: AdmissionSettings,
    /// The quotas.
    pub quotas: Quotas,
    /// The folder of the stored state. `None` keeps the state in memory, unless `store` is set.
    pub data: Option<PathBuf>,
    /// The store that several replicas share, instead of a folder.
    pub store: Option<SharedStore>,
    /// Whether other replicas may use the shared store.
    pub role: ReplicaRole,
    /// How long proxies are served while the shared store cannot be read.
    pub serve_stale: Duration,
    /// The receivers of change events.
    pub events: Vec<EventReceiver>,
    /// The settings of the ADS server.
    pub xds: XdsSettings,
}

impl Settings {
    /// The defaults: a free loopback port, no authentication, no quotas, and the state in memory.
    #[must_use]
    pub fn new(account: AccountId, region: Region) -> Self {
        Self {
            api: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            api_auth: ApiAuth::default(),
            api_tls: None,
            metrics: None,
            rights: None,
            identity: None,
            write_limit: WriteLimit::default(),
            connections: ConnectionLimits::default(),
            account,
            region,
            admission: AdmissionSettings::default(),
            quotas: Quotas::default(),
            data: None,
            store: None,
            role: ReplicaRole::default(),
            serve_stale: SERVE_STALE,
            events: Vec::new(),
            xds: XdsSettings::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_stores_are_parsed() {
        let parse = |text: &str| text.parse::<SharedStore>();
        assert_eq!(parse("dynamodb:mesh.a-b_c"), Ok(SharedStore::DynamoDb("mesh.a-b_c".to_owned())));
        let endpoints = vec!["a.local:2379".to_owned(), "[::1]:2380".to_owned()];
        let etcd = |tls| Ok(SharedStore::Etcd { endpoints: endpoints.clone(), tls, accepts_old: false });
        assert_eq!(parse("etcd:a.local:2379,[::1]:2380"), etcd(None));
        assert_eq!(parse("etcd:https://a.local:2379,[::1]:2380"), etcd(Some(EtcdTls::default())));
        assert_eq!(parse("etcd:https://a.local:2379,https://[::1]:2380"), etcd(Some(EtcdTls::default())));
        for text in [
            "",
            "memory",
            "dynamodb:",
            "dynamodb:a/b",
            "etcd:",
            "etcd:host",
            "etcd:http://a:1",
            "redis:a",
            "etcd:a:1,",
            "etcd:a:1,https://b:1",
            "etcd:https://",
        ] {
            assert_eq!(parse(text), Err(SharedStoreError(text.to_owned())));
        }
    }
}
