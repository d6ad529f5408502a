//! The secrets that listeners and clusters receive over SDS, with their roles and sources.

use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::envoy::config::core::v3::{ConfigSource, TransportSocket, config_source, transport_socket};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, UpstreamTlsContext,
};

use super::Translation;
use super::proto::unpacked;
use crate::resource::ResourceType;

/// A secret that a listener or cluster receives over SDS.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretUse {
    /// Its name in SDS.
    pub name: String,
    /// The role of the secret.
    pub role: SecretRole,
    /// The server that sends the secret.
    pub from: SecretFrom,
}

/// The role of a secret. Envoy refuses a secret with the content of the other role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretRole {
    /// A certificate with its key, which the proxy presents.
    Certificate,
    /// Root certificates, by which the proxy verifies its peer.
    Trust,
}

/// The server that sends a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretFrom {
    /// The control plane, over ADS.
    Ads,
    /// The server of the secret discovery socket next to the proxy.
    Socket,
}

impl Translation {
    /// The secrets of each listener and cluster that uses any.
    #[must_use]
    pub fn secret_uses(&self) -> BTreeMap<(ResourceType, String), BTreeSet<SecretUse>> {
        let listeners = self.listeners.iter().map(|(name, listener)| {
            let sockets = listener.filter_chains.iter().filter_map(|chain| chain.transport_socket.as_ref());
            ((ResourceType::Listener, name.clone()), sockets.flat_map(of_socket).collect())
        });
        let clusters = self.clusters.iter().map(|(name, cluster)| {
            let sockets = cluster.transport_socket.iter();
            ((ResourceType::Cluster, name.clone()), sockets.flat_map(of_socket).collect())
        });
        listeners.chain(clusters).filter(|(_, uses): &(_, BTreeSet<_>)| !uses.is_empty()).collect()
    }
}

fn of_socket(socket: &TransportSocket) -> Vec<SecretUse> {
    let Some(transport_socket::ConfigType::TypedConfig(config)) = &socket.config_type else { return Vec::new() };
    let downstream = || unpacked::<DownstreamTlsContext>(config).and_then(|context| context.common_tls_context);
    let upstream = || unpacked::<UpstreamTlsContext>(config).and_then(|context| context.common_tls_context);
    downstream().or_else(upstream).map(of_context).unwrap_or_default()
}

fn of_context(common: CommonTlsContext) -> Vec<SecretUse> {
    let trust = match common.validation_context_type {
        Some(ValidationContextType::CombinedValidationContext(combined)) => {
            combined.validation_context_sds_secret_config
        }
        Some(ValidationContextType::ValidationContextSdsSecretConfig(config)) => Some(config),
        _ => None,
    };
    let certificates = common.tls_certificate_sds_secret_configs.into_iter();
    let certificates = certificates.map(|config| (SecretRole::Certificate, config));
    let all = certificates.chain(trust.map(|config| (SecretRole::Trust, config)));
    all.map(|(role, config)| SecretUse { from: source(&config), name: config.name, role }).collect()
}

const fn source(secret: &SdsSecretConfig) -> SecretFrom {
    match secret.sds_config {
        Some(ConfigSource { config_source_specifier: Some(config_source::ConfigSourceSpecifier::Ads(_)), .. }) => {
            SecretFrom::Ads
        }
        _ => SecretFrom::Socket,
    }
}
