//! The two ends of a call: the input of each to the handshake, read once from its spec for all its calls.

use mesh::certificates::{Anchor, Certificate, CertificateArn, CertificateSource, Chain, Readings, discovery_name};
use mesh::name::ResourcePath;
use mesh::spec::{
    ClientPolicy, ClientTls, Listener, ListenerCertificate, ListenerTls, SubjectAlternativeNames, TlsMode,
    VirtualNodeSpec,
};

/// The calling end: a proxy with one of its client policies.
pub(super) struct Client<'m> {
    pub(super) policy: Option<&'m ClientPolicy>,
    /// The TLS settings of the policy, if it has any.
    pub(super) credentials: Credentials<'m>,
}

/// The called end: a listener of a virtual node.
pub(super) struct Server<'m> {
    pub(super) spec: &'m VirtualNodeSpec,
    pub(super) listener: &'m Listener,
    /// The listener's TLS, unless it is disabled.
    pub(super) tls: Option<&'m ListenerTls>,
    pub(super) credentials: Credentials<'m>,
    /// The issuer of its certificate, which clients without a policy trust.
    pub(super) issuer: Option<TrustAnchor<'m>>,
    /// The name by which it is discovered, if it has service discovery.
    pub(super) discovery: Vec<String>,
    /// Whether it represents a host outside the mesh, without a proxy.
    pub(super) is_outside: bool,
}

/// The certificate that an end presents, and its requirements for the other end.
#[derive(Default)]
pub(super) struct Credentials<'m> {
    pub(super) shown: Option<PresentedCertificate<'m>>,
    pub(super) trusted: Vec<TrustAnchor<'m>>,
    /// The names of which the other end must have one; empty if any name is accepted.
    pub(super) names: Vec<String>,
}

/// A presented certificate, with its chain if it was read.
pub(super) struct PresentedCertificate<'m> {
    pub(super) source: CertificateSource,
    pub(super) chain: Result<&'m Chain, String>,
}

/// A trust anchor, with its certificates if they were read.
pub(super) struct TrustAnchor<'m> {
    pub(super) anchor: Anchor,
    pub(super) certificates: Result<Vec<&'m Certificate>, String>,
}

impl<'m> Client<'m> {
    pub(super) fn new(path: &ResourcePath, policy: Option<&'m ClientPolicy>, readings: &'m Readings) -> Self {
        let tls = policy.and_then(|policy| policy.tls.as_ref());
        let credentials = tls.map(|tls| Credentials::of_client(path, tls, readings)).unwrap_or_default();
        Self { policy, credentials }
    }
}

impl<'m> Server<'m> {
    pub(super) fn new(
        path: &ResourcePath,
        spec: &'m VirtualNodeSpec,
        listener: &'m Listener,
        readings: &'m Readings,
    ) -> Self {
        let tls = listener.tls.as_ref().filter(|tls| tls.mode != TlsMode::Disabled);
        let issuer = tls.and_then(|tls| match &tls.certificate {
            ListenerCertificate::Acm(acm) => {
                Some(TrustAnchor::new(Anchor::IssuerOf(CertificateArn::new(&acm.certificate_arn)), readings))
            }
            ListenerCertificate::File(_) | ListenerCertificate::Sds(_) | ListenerCertificate::Unrecognised(_) => None,
        });
        let credentials = tls.map(|tls| Credentials::of_listener(path, tls, readings)).unwrap_or_default();
        let discovery = discovery_name(spec).into_iter().collect();
        Self { spec, listener, tls, credentials, issuer, discovery, is_outside: false }
    }

    /// Whether it requests a client certificate.
    pub(super) fn asks_client(&self) -> bool {
        self.tls.is_some_and(|tls| tls.validation.is_some())
    }
}

impl<'m> Credentials<'m> {
    fn of_client(path: &ResourcePath, tls: &ClientTls, readings: &'m Readings) -> Self {
        let source = tls.certificate.as_ref().and_then(|own| CertificateSource::of_client(path, own));
        let anchors = Anchor::of_client(path, &tls.validation.trust).unwrap_or_default();
        Self {
            shown: source.map(|source| PresentedCertificate::new(source, readings)),
            trusted: anchors.into_iter().map(|anchor| TrustAnchor::new(anchor, readings)).collect(),
            names: names(tls.validation.subject_alternative_names.as_ref()),
        }
    }

    fn of_listener(path: &ResourcePath, tls: &ListenerTls, readings: &'m Readings) -> Self {
        let source = CertificateSource::of_listener(path, &tls.certificate);
        let validation = tls.validation.as_ref();
        let anchor = validation.and_then(|validation| Anchor::of_listener(path, &validation.trust));
        Self {
            shown: source.map(|source| PresentedCertificate::new(source, readings)),
            trusted: anchor.into_iter().map(|anchor| TrustAnchor::new(anchor, readings)).collect(),
            names: names(validation.and_then(|validation| validation.subject_alternative_names.as_ref())),
        }
    }

    pub(super) fn source(&self) -> Option<&CertificateSource> {
        self.shown.as_ref().map(|shown| &shown.source)
    }

    pub(super) fn anchors(&self) -> impl Iterator<Item = &Anchor> {
        self.trusted.iter().map(|trusted| &trusted.anchor)
    }
}

impl<'m> PresentedCertificate<'m> {
    fn new(source: CertificateSource, readings: &'m Readings) -> Self {
        Self { chain: readings.chain(&source), source }
    }
}

impl<'m> TrustAnchor<'m> {
    fn new(anchor: Anchor, readings: &'m Readings) -> Self {
        Self { certificates: readings.anchor(&anchor), anchor }
    }
}

/// An empty list of names has the same meaning as no list.
fn names(names: Option<&SubjectAlternativeNames>) -> Vec<String> {
    names.into_iter().flat_map(|names| &names.names.exact).map(ToString::to_string).collect()
}
