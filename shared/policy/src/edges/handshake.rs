//! The TLS handshake between two ends: a chain of checks, in the order in which the proxies make them.

use jiff::Timestamp;

use super::ends::{Client, PresentedCertificate, Server, TrustAnchor};
use super::outside::hostname;
use super::verdict::{Broken, Distrust, End, TlsVerdict, UnknownEdgeFact};
use super::{Call, HandshakeInputs};
use mesh::certificates::{Anchor, CertificateSource, ChainFault, ChainLink, leads_to};
use mesh::spec::{ClientTls, ServiceDiscovery, TlsMode};
use mesh::tls::{ClientCall, client_call};

/// The handshake of a client with a server.
pub(super) struct Handshake<'j> {
    client: &'j Client<'j>,
    server: &'j Server<'j>,
    call: ClientCall<'j>,
    now: Timestamp,
    doubts: Vec<UnknownFact<'j>>,
}

/// An unknown fact that the verdict depends on.
pub(super) enum UnknownFact<'j> {
    Certificate { of: End, source: &'j CertificateSource, why: &'j str },
    Trust { by: End, anchor: &'j Anchor, why: &'j str },
    Kind { of: End, member: &'static str },
    Outside { host: &'j str },
}

impl<'j> Handshake<'j> {
    pub(super) fn new(client: &'j Client<'j>, server: &'j Server<'j>, now: Timestamp) -> Self {
        let call = client_call(client.policy, server.listener);
        Self { client, server, call, now, doubts: Vec::new() }
    }

    /// The verdict, and the unknown facts that it depends on. A call that fails fails independently of unknown facts.
    pub(super) fn judge(mut self) -> (TlsVerdict, Vec<UnknownFact<'j>>) {
        match self.verdict() {
            Ok(verdict) => (verdict, self.doubts),
            Err(broken) => (TlsVerdict::Broken(broken), Vec::new()),
        }
    }

    /// The client's call mode towards the listener.
    pub(super) const fn call(&self) -> Call {
        match self.call {
            ClientCall::Plaintext => Call::Plaintext,
            ClientCall::ByPolicy(_) => Call::ByPolicy,
            ClientCall::AgainstIssuer(_) => Call::AgainstIssuer,
            ClientCall::Unseen => Call::Unseen,
        }
    }

    /// Whether the client's policy enforces TLS; `None` if no policy applies to the port.
    pub(super) fn enforced(&self) -> Option<bool> {
        let about_port = |policy: &&ClientTls| {
            let ports = policy.ports.as_deref().unwrap_or_default();
            ports.is_empty() || ports.contains(&self.server.listener.port_mapping.port)
        };
        let policy = self.client.policy.and_then(|policy| policy.tls.as_ref());
        policy.filter(about_port).map(|policy| policy.enforce.unwrap_or(true))
    }

    /// The inputs of both ends.
    pub(super) fn inputs(&self) -> HandshakeInputs {
        let (client, server) = (self.client, self.server);
        let by_policy = matches!(self.call, ClientCall::ByPolicy(_));
        let server_trust = self.trusted().map(|trusted| trusted.anchor.clone()).collect();
        HandshakeInputs {
            call: Some(self.call()),
            enforced: self.enforced(),
            mode: server.listener.tls.as_ref().map(|tls| tls.mode.clone()),
            server: server.credentials.source().cloned(),
            server_trust,
            server_names: self.server_names().to_vec(),
            asks_client: server.asks_client(),
            client: client.credentials.source().filter(|_| by_policy).cloned(),
            client_trust: server.credentials.anchors().next().cloned(),
            client_names: server.credentials.names.clone(),
        }
    }

    /// The client's trust anchors.
    fn trusted(&self) -> impl Iterator<Item = &'j TrustAnchor<'j>> + Clone + use<'j> {
        let (by_policy, issuer) = match self.call {
            ClientCall::ByPolicy(_) => (self.client.credentials.trusted.as_slice(), None),
            ClientCall::AgainstIssuer(_) => ([].as_slice(), self.server.issuer.as_ref()),
            ClientCall::Plaintext | ClientCall::Unseen => ([].as_slice(), None),
        };
        by_policy.iter().chain(issuer)
    }

    /// The names of which the server must have one.
    fn server_names(&self) -> &'j [String] {
        match self.call {
            ClientCall::ByPolicy(_) if self.client.credentials.names.is_empty() => &self.server.discovery,
            ClientCall::ByPolicy(_) => &self.client.credentials.names,
            ClientCall::Plaintext | ClientCall::AgainstIssuer(_) | ClientCall::Unseen => &[],
        }
    }

    fn verdict(&mut self) -> Result<TlsVerdict, Broken> {
        match &self.server.spec.service_discovery {
            None => return Err(Broken::NoDiscovery),
            Some(ServiceDiscovery::Unrecognised(_)) => self.doubt_kind(End::Server, "serviceDiscovery"),
            Some(ServiceDiscovery::Dns(_) | ServiceDiscovery::AwsCloudMap(_)) => {}
        }
        if self.server.is_outside {
            return Ok(self.outside());
        }
        let policy = match self.call {
            ClientCall::Plaintext => return Ok(TlsVerdict::Plaintext),
            ClientCall::ByPolicy(policy) => Some(policy),
            ClientCall::AgainstIssuer(_) | ClientCall::Unseen => None,
        };
        let tls = self.server.tls.ok_or(Broken::TlsNotServed)?;
        if matches!(tls.mode, TlsMode::Unrecognised(_)) {
            self.doubt_kind(End::Server, "mode");
        }
        self.accept_server(policy)?;
        if !self.server.asks_client() {
            return Ok(TlsVerdict::Tls);
        }
        let Some(own) = policy.and_then(|policy| policy.certificate.as_ref()) else {
            return Err(Broken::NoClientCertificate);
        };
        if own.member().is_none() {
            self.doubt_kind(End::Client, "certificate");
        }
        self.accept_client()?;
        Ok(TlsVerdict::Mtls)
    }

    /// The verdict of a call to an outside host: the client's call mode is known, and the host's TLS is not.
    fn outside(&mut self) -> TlsVerdict {
        self.doubts.push(UnknownFact::Outside { host: hostname(self.server.spec).unwrap_or_default() });
        match self.call {
            ClientCall::Plaintext => TlsVerdict::Plaintext,
            ClientCall::ByPolicy(_) | ClientCall::AgainstIssuer(_) | ClientCall::Unseen => TlsVerdict::Tls,
        }
    }

    /// The client verifies the server's certificate.
    fn accept_server(&mut self, policy: Option<&ClientTls>) -> Result<(), Broken> {
        if matches!(self.call, ClientCall::Unseen) {
            return Ok(());
        }
        if policy.is_some_and(|policy| policy.validation.trust.member().is_none()) {
            self.doubt_kind(End::Client, "trust");
        }
        let Some(shown) = &self.server.credentials.shown else {
            self.doubt_kind(End::Server, "certificate");
            return Ok(());
        };
        self.accept(End::Server, shown, self.trusted(), self.server_names())
    }

    /// The listener verifies the client's certificate.
    fn accept_client(&mut self) -> Result<(), Broken> {
        let wanted = &self.server.credentials;
        if wanted.trusted.is_empty() {
            self.doubt_kind(End::Server, "trust");
        }
        // A mode of an unknown kind was reported above.
        let Some(shown) = &self.client.credentials.shown else { return Ok(()) };
        self.accept(End::Client, shown, wanted.trusted.iter(), &wanted.names)
    }

    fn accept(
        &mut self,
        of: End,
        shown: &'j PresentedCertificate<'j>,
        trusted: impl Iterator<Item = &'j TrustAnchor<'j>> + Clone,
        wanted: &[String],
    ) -> Result<(), Broken> {
        let by = match of {
            End::Client => End::Server,
            End::Server => End::Client,
        };
        let unread = trusted.clone().filter_map(|one| {
            let why = one.certificates.as_ref().err()?;
            Some(UnknownFact::Trust { by, anchor: &one.anchor, why })
        });
        let chain = match &shown.chain {
            Ok(chain) => chain,
            Err(why) => {
                self.doubts.push(UnknownFact::Certificate { of, source: &shown.source, why });
                self.doubts.extend(unread);
                return Ok(());
            }
        };
        let anchors: Vec<_> = trusted.clone().flat_map(|one| one.certificates.iter().flatten()).copied().collect();
        if let Err(fault) = leads_to(chain, &anchors, self.now) {
            // The chain may lead to an unread anchor; but an expired leaf fails with any anchor.
            let by_itself = matches!(
                fault,
                ChainFault::Expired { link: ChainLink::Leaf, .. }
                    | ChainFault::NotYetValid { link: ChainLink::Leaf, .. }
            );
            let all_read = trusted.clone().all(|one| one.certificates.is_ok());
            let trusted: Vec<_> = trusted.map(|one| one.anchor.clone()).collect();
            if by_itself || (all_read && !trusted.is_empty()) {
                let source = shown.source.clone();
                return Err(Broken::Distrusted(Box::new(Distrust { of, source, trusted, fault })));
            }
            self.doubts.extend(unread);
        }
        if !wanted.is_empty() && !wanted.iter().any(|name| chain.leaf.names.cover(name)) {
            return Err(Broken::NameMismatch { of, wanted: wanted.to_vec(), has: chain.leaf.names.all() });
        }
        Ok(())
    }

    fn doubt_kind(&mut self, of: End, member: &'static str) {
        self.doubts.push(UnknownFact::Kind { of, member });
    }
}

impl From<UnknownFact<'_>> for UnknownEdgeFact {
    fn from(doubt: UnknownFact<'_>) -> Self {
        match doubt {
            UnknownFact::Certificate { of, source, why } => {
                Self::Certificate { of, source: source.clone(), why: why.to_owned() }
            }
            UnknownFact::Trust { by, anchor, why } => Self::Trust { by, anchor: anchor.clone(), why: why.to_owned() },
            UnknownFact::Kind { of, member } => Self::Kind { of, member: member.to_owned() },
            UnknownFact::Outside { host } => Self::OutsideMesh { host: host.to_owned() },
        }
    }
}
