//! The TLS settings of listeners, and of clients that call them.

use std::net::IpAddr;

use envoy_types::pb::envoy::config::core::v3::TransportSocket;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, SubjectAltNameMatcher,
    UpstreamTlsContext,
};
use mesh::spec::bounded::Text;
use mesh::spec::{
    ClientCertificate, ClientPolicy, ClientTls, ClientTrust, FileCertificate, Listener, ListenerCertificate,
    ListenerTls, ListenerTrust, Protocol, SubjectAlternativeNames, TlsMode,
};
use mesh::tls::{ClientCall, client_call};

use super::draft::{Draft, member_names};
use super::names::SDS_SOCKET_CLUSTER;
use super::proto::{ads, boolean, exact, grpc_source, tls_socket};
use super::{SdsSource, finding};
use crate::secret::SecretRef;

/// The longest server name that Envoy accepts, in bytes.
const LONGEST_SERVER_NAME: usize = 255;

/// The TLS modes of a listener.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Served {
    /// Plaintext only.
    Plaintext,
    /// TLS only.
    Tls(Box<TransportSocket>),
    /// TLS and plaintext, distinguished by the first bytes of a connection.
    Both(Box<TransportSocket>),
}

/// The TLS settings of a call to a listener.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Upstream {
    /// Without TLS.
    Plaintext,
    /// With TLS.
    Tls(Box<TransportSocket>),
}

impl Draft<'_> {
    /// The TLS settings of a listener. `None`, with a finding, if they cannot be sent. Without the certificate or trust
    /// of its spec, Envoy would refuse the listener, or the listener would accept any client.
    pub(super) fn served(&mut self, tls: Option<&ListenerTls>, protocol: &Protocol) -> Option<Served> {
        let Some(tls) = tls.filter(|tls| tls.mode != TlsMode::Disabled) else { return Some(Served::Plaintext) };
        let socket = Box::new(tls_socket(self.downstream(tls, protocol)?));
        Some(match &tls.mode {
            TlsMode::Disabled => Served::Plaintext,
            TlsMode::Strict => Served::Tls(socket),
            TlsMode::Permissive => Served::Both(socket),
            // An unknown mode must not become plaintext.
            TlsMode::Unrecognised(mode) => {
                let (path, message) = (self.path(), format!("TLS mode {mode} is unknown; STRICT is sent instead"));
                self.find(finding::UNRECOGNISED, path, message);
                Served::Tls(socket)
            }
        })
    }

    fn downstream(&mut self, tls: &ListenerTls, protocol: &Protocol) -> Option<DownstreamTlsContext> {
        // All parts that cannot be sent are checked first, so that no secret is sent for a listener that is left out.
        match tls.validation.as_ref().map(|validation| &validation.trust) {
            Some(ListenerTrust::Unrecognised(kind)) => return self.unknown_tls("trust", kind),
            Some(ListenerTrust::Sds(sds)) => self.named("trust", &sds.secret_name)?,
            Some(ListenerTrust::File(_)) | None => {}
        }
        match &tls.certificate {
            ListenerCertificate::Acm(acm) => self.named("certificate", &acm.certificate_arn)?,
            ListenerCertificate::Sds(sds) => self.named("certificate", &sds.secret_name)?,
            ListenerCertificate::File(_) | ListenerCertificate::Unrecognised(_) => {}
        }
        let certificate = match &tls.certificate {
            ListenerCertificate::Acm(acm) => self.over_ads(SecretRef::AcmCertificate(acm.certificate_arn.clone())),
            ListenerCertificate::File(file) => self.over_ads(files(file)),
            ListenerCertificate::Sds(sds) => self.by_name(&sds.secret_name),
            ListenerCertificate::Unrecognised(kind) => return self.unknown_tls("certificate", kind),
        };
        let validation = tls.validation.as_ref().and_then(|validation| {
            let trust = match &validation.trust {
                ListenerTrust::File(file) => self.over_ads(SecretRef::TrustFile(file.certificate_chain.to_string())),
                ListenerTrust::Sds(sds) => self.by_name(&sds.secret_name),
                ListenerTrust::Unrecognised(_) => return None,
            };
            Some(combined(trust, matchers(names(validation.subject_alternative_names.as_ref()))))
        });
        let alpn = match protocol {
            // A client that negotiated HTTP/2 with the proxy would send it to an application that may not support it.
            Protocol::Tcp => Vec::new(),
            Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::Unrecognised(_) => {
                vec!["h2".to_owned(), "http/1.1".to_owned()]
            }
        };
        Some(DownstreamTlsContext {
            require_client_certificate: boolean(tls.validation.is_some()),
            common_tls_context: Some(CommonTlsContext {
                tls_certificate_sds_secret_configs: vec![certificate],
                validation_context_type: validation,
                alpn_protocols: alpn,
                ..CommonTlsContext::default()
            }),
            ..DownstreamTlsContext::default()
        })
    }

    /// The TLS settings of this proxy's calls to a listener, in which it sends this protocol. `None`, with a finding, if
    /// they cannot be sent.
    pub(super) fn upstream(
        &mut self,
        policy: Option<&ClientPolicy>,
        listener: &Listener,
        protocol: &Protocol,
        hostname: &str,
    ) -> Option<Upstream> {
        let (certificate, validation) = match client_call(policy, listener) {
            ClientCall::Plaintext => return Some(Upstream::Plaintext),
            ClientCall::ByPolicy(tls) => {
                let validation = self.validation(tls, hostname)?;
                (tls.certificate.as_ref().and_then(|certificate| self.presented(certificate)), Some(validation))
            }
            ClientCall::AgainstIssuer(acm) => {
                let root = self.over_ads(SecretRef::AcmIssuer(acm.certificate_arn.clone()));
                (None, Some(combined(root, Vec::new())))
            }
            ClientCall::Unseen => (None, None),
        };
        let common = CommonTlsContext {
            tls_certificate_sds_secret_configs: certificate.into_iter().collect(),
            validation_context_type: validation,
            alpn_protocols: alpn(protocol),
            ..CommonTlsContext::default()
        };
        let socket = tls_socket(UpstreamTlsContext {
            common_tls_context: Some(common),
            sni: server_name(hostname),
            ..UpstreamTlsContext::default()
        });
        Some(Upstream::Tls(Box::new(socket)))
    }

    /// The certificate that a client presents. `None`, with a finding, if it cannot be sent; a server that requires one
    /// then refuses the client.
    fn presented(&mut self, certificate: &ClientCertificate) -> Option<SdsSecretConfig> {
        match certificate {
            ClientCertificate::File(file) => Some(self.over_ads(files(file))),
            ClientCertificate::Sds(sds) => {
                self.named("client certificate", &sds.secret_name)?;
                Some(self.by_name(&sds.secret_name))
            }
            ClientCertificate::Unrecognised(kind) => self.unknown_tls("client certificate", kind),
        }
    }

    fn validation(&mut self, tls: &ClientTls, hostname: &str) -> Option<ValidationContextType> {
        let trust = match &tls.validation.trust {
            ClientTrust::Acm(acm) => {
                self.over_ads(SecretRef::AcmTrust(acm.certificate_authority_arns.iter().cloned().collect()))
            }
            ClientTrust::File(file) => self.over_ads(SecretRef::TrustFile(file.certificate_chain.to_string())),
            ClientTrust::Sds(sds) => {
                self.named("trust", &sds.secret_name)?;
                self.by_name(&sds.secret_name)
            }
            ClientTrust::Unrecognised(kind) => return self.unknown_tls("trust", kind),
        };
        let mut names = names(tls.validation.subject_alternative_names.as_ref());
        if names.is_empty() {
            names.push(hostname);
        }
        Some(combined(trust, matchers(names)))
    }

    fn unknown_tls<T>(&mut self, what: &str, kind: &mesh::spec::Extra) -> Option<T> {
        let message = format!(
            "the source {:?} of a {what} is unknown, so the part that needs it is left out",
            member_names(kind)
        );
        let path = self.path();
        self.find(finding::UNRECOGNISED, path, message);
        None
    }

    /// Checks that a secret has a name. `None`, with a finding, if the name is empty, which Envoy refuses.
    fn named(&mut self, what: &str, name: &str) -> Option<()> {
        if !name.is_empty() {
            return Some(());
        }
        let path = self.path();
        let message =
            format!("a {what} without a name can't be requested, so the part that needs it is left out; set its name");
        self.find(finding::NAMELESS_SECRET, path, message);
        None
    }

    /// A secret that the control plane sends over ADS.
    fn over_ads(&mut self, secret: SecretRef) -> SdsSecretConfig {
        let config = SdsSecretConfig { name: secret.name(), sds_config: Some(ads()) };
        self.out.secrets.insert(secret);
        config
    }

    /// A secret that the mesh names, from ADS if its name is bound, otherwise from the socket.
    fn by_name(&mut self, name: &str) -> SdsSecretConfig {
        match self.surroundings.sds {
            SdsSource::Ads(bound) if bound.contains(name) => self.over_ads(SecretRef::Bundle(name.to_owned())),
            SdsSource::Ads(_) | SdsSource::Socket => {
                SdsSecretConfig { name: name.to_owned(), sds_config: Some(grpc_source(SDS_SOCKET_CLUSTER)) }
            }
        }
    }
}

fn files(file: &FileCertificate) -> SecretRef {
    SecretRef::Files {
        certificate_chain: file.certificate_chain.to_string(),
        private_key: file.private_key.to_string(),
    }
}

/// The server name in the TLS handshake; empty for an IP address and for a name that is longer than Envoy accepts.
fn server_name(hostname: &str) -> String {
    let is_name = hostname.parse::<IpAddr>().is_err() && hostname.len() <= LONGEST_SERVER_NAME;
    if is_name { hostname.to_owned() } else { String::new() }
}

/// The ALPN protocols that a client offers for a protocol.
pub(super) fn alpn(protocol: &Protocol) -> Vec<String> {
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

/// The names of which a certificate must have one. An empty list has the same meaning as an absent one.
fn names(names: Option<&SubjectAlternativeNames>) -> Vec<&str> {
    names.into_iter().flat_map(|names| &names.names.exact).map(Text::as_str).collect()
}

/// The matchers of names. A name may be a host, an address or a URI such as a SPIFFE id: the API does not say which.
fn matchers(names: Vec<&str>) -> Vec<SubjectAltNameMatcher> {
    let kind = |name: &str| {
        if name.contains("://") {
            SanType::Uri
        } else if name.parse::<IpAddr>().is_ok() {
            SanType::IpAddress
        } else {
            SanType::Dns
        }
    };
    let matcher = |name: &str| SubjectAltNameMatcher {
        san_type: kind(name).into(),
        matcher: Some(exact(name)),
        ..SubjectAltNameMatcher::default()
    };
    names.into_iter().map(matcher).collect()
}
