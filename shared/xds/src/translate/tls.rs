//! TLS of listeners and of what calls them.

use envoy_types::pb::envoy::config::core::v3::TransportSocket;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, SubjectAltNameMatcher,
    UpstreamTlsContext,
};
use mesh::spec::{
    ClientCertificate, ClientPolicy, ClientTls, ClientTrust, Listener, ListenerCertificate, ListenerTls, ListenerTrust,
    Protocol, SubjectAlternativeNames, TlsMode,
};

use super::SdsSource;
use super::draft::Draft;
use super::names::SDS_SOCKET_CLUSTER;
use super::proto::{ads, boolean, exact, grpc_source, tls_socket};
use crate::secret::SecretRef;

/// What a listener does about TLS.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Served {
    /// Plaintext only.
    Plaintext,
    /// TLS only.
    Tls(Box<TransportSocket>),
    /// Either, told apart by the first bytes.
    Both(Box<TransportSocket>),
}

impl Draft<'_> {
    /// What a listener presents and asks for.
    pub(super) fn served(&mut self, tls: Option<&ListenerTls>) -> Served {
        let Some(tls) = tls else { return Served::Plaintext };
        let socket = |draft: &mut Self| Box::new(tls_socket(draft.downstream(tls)));
        match &tls.mode {
            TlsMode::Strict => Served::Tls(socket(self)),
            TlsMode::Permissive => Served::Both(socket(self)),
            TlsMode::Disabled => Served::Plaintext,
            // A mode that isn't known must not become plaintext.
            TlsMode::Unrecognised(mode) => {
                let (path, message) = (self.path(), format!("TLS mode {mode} isn't known; STRICT is sent"));
                self.find(super::finding::UNRECOGNISED, path, message);
                Served::Tls(socket(self))
            }
        }
    }

    fn downstream(&mut self, tls: &ListenerTls) -> DownstreamTlsContext {
        let certificate = match &tls.certificate {
            ListenerCertificate::Acm(acm) => {
                Some(self.over_ads(SecretRef::AcmCertificate(acm.certificate_arn.clone())))
            }
            ListenerCertificate::File(file) => Some(self.over_ads(SecretRef::Files {
                certificate_chain: file.certificate_chain.to_string(),
                private_key: file.private_key.to_string(),
            })),
            ListenerCertificate::Sds(sds) => Some(self.by_name(&sds.secret_name)),
            ListenerCertificate::Unrecognised(_) => None,
        };
        let trust = tls.validation.as_ref().and_then(|validation| match &validation.trust {
            ListenerTrust::File(file) => Some(self.over_ads(SecretRef::TrustFile(file.certificate_chain.to_string()))),
            ListenerTrust::Sds(sds) => Some(self.by_name(&sds.secret_name)),
            ListenerTrust::Unrecognised(_) => None,
        });
        let names = tls.validation.as_ref().and_then(|validation| validation.subject_alternative_names.as_ref());
        let common = CommonTlsContext {
            tls_certificate_sds_secret_configs: certificate.into_iter().collect(),
            validation_context_type: trust.map(|trust| combined(trust, matchers(names))),
            alpn_protocols: vec!["h2".to_owned(), "http/1.1".to_owned()],
            ..CommonTlsContext::default()
        };
        DownstreamTlsContext {
            require_client_certificate: boolean(tls.validation.is_some()),
            common_tls_context: Some(common),
            ..DownstreamTlsContext::default()
        }
    }

    /// How this proxy calls a listener with TLS; `None` for plaintext.
    ///
    /// With a policy that is enforced for the port, by that policy. With one that is not, or without any, as the
    /// listener has it: a client that has no trust of its own then trusts the root that an ACM certificate leads to, and
    /// takes a certificate from anywhere else unseen.
    pub(super) fn upstream(
        &mut self,
        policy: Option<&ClientPolicy>,
        listener: &Listener,
        hostname: Option<&str>,
    ) -> Option<TransportSocket> {
        let tls = policy.and_then(|policy| policy.tls.as_ref()).filter(|tls| covers(tls, listener));
        let serves_tls = listener.tls.as_ref().filter(|tls| tls.mode != TlsMode::Disabled);
        let validation = match (tls, serves_tls) {
            (Some(tls), _) if tls.enforce.unwrap_or(true) => self.validation(tls, hostname),
            (_, None) => return None,
            (Some(tls), Some(_)) => self.validation(tls, hostname),
            (None, Some(server)) => match &server.certificate {
                ListenerCertificate::Acm(acm) => {
                    let root = self.over_ads(SecretRef::AcmIssuer(acm.certificate_arn.clone()));
                    Some(combined(root, Vec::new()))
                }
                ListenerCertificate::File(_) | ListenerCertificate::Sds(_) | ListenerCertificate::Unrecognised(_) => {
                    None
                }
            },
        };
        let certificate = tls.and_then(|tls| tls.certificate.as_ref()).and_then(|certificate| match certificate {
            ClientCertificate::File(file) => Some(self.over_ads(SecretRef::Files {
                certificate_chain: file.certificate_chain.to_string(),
                private_key: file.private_key.to_string(),
            })),
            ClientCertificate::Sds(sds) => Some(self.by_name(&sds.secret_name)),
            ClientCertificate::Unrecognised(_) => None,
        });
        let common = CommonTlsContext {
            tls_certificate_sds_secret_configs: certificate.into_iter().collect(),
            validation_context_type: validation,
            alpn_protocols: alpn(&listener.port_mapping.protocol),
            ..CommonTlsContext::default()
        };
        Some(tls_socket(UpstreamTlsContext {
            common_tls_context: Some(common),
            sni: hostname.unwrap_or_default().to_owned(),
            ..UpstreamTlsContext::default()
        }))
    }

    fn validation(&mut self, tls: &ClientTls, hostname: Option<&str>) -> Option<ValidationContextType> {
        let trust = match &tls.validation.trust {
            ClientTrust::Acm(acm) => {
                self.over_ads(SecretRef::AcmTrust(acm.certificate_authority_arns.iter().cloned().collect()))
            }
            ClientTrust::File(file) => self.over_ads(SecretRef::TrustFile(file.certificate_chain.to_string())),
            ClientTrust::Sds(sds) => self.by_name(&sds.secret_name),
            ClientTrust::Unrecognised(_) => return None,
        };
        let names = match tls.validation.subject_alternative_names.as_ref() {
            Some(names) => matchers(Some(names)),
            None => hostname.into_iter().flat_map(matcher).collect(),
        };
        Some(combined(trust, names))
    }

    /// A secret that the control plane sends.
    fn over_ads(&mut self, secret: SecretRef) -> SdsSecretConfig {
        let config = SdsSecretConfig { name: secret.name(), sds_config: Some(ads()) };
        self.out.secrets.insert(secret);
        config
    }

    /// A secret that the mesh calls by a name of its own.
    fn by_name(&mut self, name: &str) -> SdsSecretConfig {
        match self.surroundings.sds {
            SdsSource::Ads(bound) if bound.contains(name) => self.over_ads(SecretRef::Bundle(name.to_owned())),
            SdsSource::Ads(_) | SdsSource::Socket => {
                SdsSecretConfig { name: name.to_owned(), sds_config: Some(grpc_source(SDS_SOCKET_CLUSTER)) }
            }
        }
    }
}

/// Whether a policy says anything about a listener's port; no ports are all.
fn covers(tls: &ClientTls, listener: &Listener) -> bool {
    let ports = tls.ports.as_deref().unwrap_or_default();
    ports.is_empty() || ports.contains(&listener.port_mapping.port)
}

fn alpn(protocol: &Protocol) -> Vec<String> {
    match protocol {
        Protocol::Http2 | Protocol::Grpc => vec!["h2".to_owned()],
        Protocol::Http => vec!["http/1.1".to_owned()],
        Protocol::Tcp | Protocol::Unrecognised(_) => Vec::new(),
    }
}

fn combined(trust: SdsSecretConfig, names: Vec<SubjectAltNameMatcher>) -> ValidationContextType {
    ValidationContextType::CombinedValidationContext(CombinedCertificateValidationContext {
        default_validation_context: Some(CertificateValidationContext {
            match_typed_subject_alt_names: names,
            ..CertificateValidationContext::default()
        }),
        validation_context_sds_secret_config: Some(trust),
        ..CombinedCertificateValidationContext::default()
    })
}

fn matchers(names: Option<&SubjectAlternativeNames>) -> Vec<SubjectAltNameMatcher> {
    names.into_iter().flat_map(|names| &names.names.exact).flat_map(|name| matcher(name.as_str())).collect()
}

/// A name may be a host or a URI such as a SPIFFE id; the API doesn't say which.
fn matcher(name: &str) -> impl Iterator<Item = SubjectAltNameMatcher> + use<> {
    let of = |kind: SanType, name: &str| SubjectAltNameMatcher {
        san_type: kind.into(),
        matcher: Some(exact(name)),
        ..SubjectAltNameMatcher::default()
    };
    let kind = if name.contains("://") { SanType::Uri } else { SanType::Dns };
    std::iter::once(of(kind, name))
}
