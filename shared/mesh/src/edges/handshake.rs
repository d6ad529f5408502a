//! What happens between two ends: a chain of checks, in the order in which the proxies make them.

use jiff::Timestamp;

use super::verdict::{Broken, Distrust, End, Unknown, Verdict};
use super::{Call, Inputs};
use crate::certificates::{Anchor, CertificateArn, ChainFault, ChainLink, Readings, Source, discovery_name, leads_to};
use crate::name::ResourcePath;
use crate::spec::{
    ClientPolicy, ClientTls, Listener, ListenerTls, Port, ServiceDiscovery, SubjectAlternativeNames, TlsMode,
    VirtualNodeSpec,
};
use crate::tls::{ClientCall, client_call};
use crate::traffic::Landing;

/// The calling end.
pub(super) struct Client<'m> {
    pub(super) path: &'m ResourcePath,
    pub(super) policy: Option<&'m ClientPolicy>,
}

/// The called end.
pub(super) struct Server<'m> {
    pub(super) path: &'m ResourcePath,
    pub(super) spec: Option<&'m VirtualNodeSpec>,
    pub(super) landing: Landing<'m>,
}

/// A verdict with what it was made from.
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) unknown: Vec<Unknown>,
    pub(super) inputs: Inputs,
}

/// Judges how a client gets on with a server.
pub(super) fn judge(
    client: &Client<'_>,
    server: &Server<'_>,
    port: Option<Port>,
    readings: &Readings,
    now: Timestamp,
) -> Judged {
    let broken = |broken| Judged { verdict: Verdict::Broken(broken), unknown: Vec::new(), inputs: Inputs::none() };
    let (listener, spec) = match (server.landing, server.spec) {
        (Landing::Listener(listener), Some(spec)) => (listener, spec),
        (Landing::NoNode, _) | (_, None) => return broken(Broken::NoNode),
        (Landing::NoListener(_), _) => return broken(Broken::NoListener { port }),
        (Landing::Ambiguous(_), _) => return broken(Broken::AmbiguousPort),
    };
    let call = client_call(client.policy, listener);
    let tls = listener.tls.as_ref().filter(|tls| tls.mode != TlsMode::Disabled);
    let mut handshake = Handshake { readings, now, inputs: Inputs::none(), unknown: Vec::new() };
    handshake.fill_in(client, call, listener);
    handshake.fill_in_server(server.path, spec, call, tls);
    match handshake.verdict(spec, call, tls) {
        Ok(verdict) => Judged { verdict, unknown: handshake.unknown, inputs: handshake.inputs },
        // Whatever else is not known, this doesn't work.
        Err(broken) => Judged { verdict: Verdict::Broken(broken), unknown: Vec::new(), inputs: handshake.inputs },
    }
}

struct Handshake<'r> {
    readings: &'r Readings,
    now: Timestamp,
    inputs: Inputs,
    unknown: Vec<Unknown>,
}

impl Handshake<'_> {
    /// What the client brings.
    fn fill_in(&mut self, client: &Client<'_>, call: ClientCall<'_>, listener: &Listener) {
        let policy = client.policy.and_then(|policy| policy.tls.as_ref());
        let about_port = |policy: &&ClientTls| {
            let ports = policy.ports.as_deref().unwrap_or_default();
            ports.is_empty() || ports.contains(&listener.port_mapping.port)
        };
        self.inputs.enforced = policy.filter(about_port).map(|policy| policy.enforce.unwrap_or(true));
        self.inputs.mode = listener.tls.as_ref().map(|tls| tls.mode.clone());
        self.inputs.call = Some(match call {
            ClientCall::Plaintext => Call::Plaintext,
            ClientCall::ByPolicy(_) => Call::ByPolicy,
            ClientCall::AgainstIssuer(_) => Call::AgainstIssuer,
            ClientCall::Unseen => Call::Unseen,
        });
        match call {
            ClientCall::Plaintext | ClientCall::Unseen => {}
            ClientCall::AgainstIssuer(acm) => {
                self.inputs.server_trust = vec![Anchor::IssuerOf(CertificateArn::new(&acm.certificate_arn))];
            }
            ClientCall::ByPolicy(policy) => {
                self.inputs.client = policy.certificate.as_ref().and_then(|own| Source::of_client(client.path, own));
                self.inputs.server_names = names(policy.validation.subject_alternative_names.as_ref());
                self.inputs.server_trust = Anchor::of_client(client.path, &policy.validation.trust).unwrap_or_default();
            }
        }
    }

    /// What the server brings.
    fn fill_in_server(
        &mut self,
        path: &ResourcePath,
        spec: &VirtualNodeSpec,
        call: ClientCall<'_>,
        tls: Option<&ListenerTls>,
    ) {
        if matches!(call, ClientCall::ByPolicy(_)) && self.inputs.server_names.is_empty() {
            self.inputs.server_names = discovery_name(spec).into_iter().collect();
        }
        let Some(tls) = tls else { return };
        self.inputs.server = Source::of_listener(path, &tls.certificate);
        if let Some(validation) = &tls.validation {
            self.inputs.asks_client = true;
            self.inputs.client_trust = Anchor::of_listener(path, &validation.trust);
            self.inputs.client_names = names(validation.subject_alternative_names.as_ref());
        }
    }

    fn verdict(
        &mut self,
        spec: &VirtualNodeSpec,
        call: ClientCall<'_>,
        tls: Option<&ListenerTls>,
    ) -> Result<Verdict, Broken> {
        match &spec.service_discovery {
            None => return Err(Broken::NoDiscovery),
            Some(ServiceDiscovery::Unrecognised(_)) => self.unknown_kind(End::Server, "serviceDiscovery"),
            Some(ServiceDiscovery::Dns(_) | ServiceDiscovery::AwsCloudMap(_)) => {}
        }
        let policy = match call {
            ClientCall::Plaintext => return Ok(Verdict::Plaintext),
            ClientCall::ByPolicy(policy) => Some(policy),
            ClientCall::AgainstIssuer(_) | ClientCall::Unseen => None,
        };
        let tls = tls.ok_or(Broken::TlsNotServed)?;
        if matches!(tls.mode, TlsMode::Unrecognised(_)) {
            self.unknown_kind(End::Server, "mode");
        }
        self.accept_server(policy)?;
        if !self.inputs.asks_client {
            return Ok(Verdict::Tls);
        }
        let Some(own) = policy.and_then(|policy| policy.certificate.as_ref()) else {
            return Err(Broken::NoClientCertificate);
        };
        if own.member().is_none() {
            self.unknown_kind(End::Client, "certificate");
        }
        self.accept_client()?;
        Ok(Verdict::Mtls)
    }

    /// The client looks at the server's certificate.
    fn accept_server(&mut self, policy: Option<&ClientTls>) -> Result<(), Broken> {
        if self.inputs.call == Some(Call::Unseen) {
            return Ok(());
        }
        if policy.is_some_and(|policy| policy.validation.trust.member().is_none()) {
            self.unknown_kind(End::Client, "trust");
        }
        let Some(source) = self.inputs.server.clone() else {
            self.unknown_kind(End::Server, "certificate");
            return Ok(());
        };
        let (trusted, wanted) = (self.inputs.server_trust.clone(), self.inputs.server_names.clone());
        self.accept(End::Server, source, trusted, wanted)
    }

    /// The listener looks at the client's certificate.
    fn accept_client(&mut self) -> Result<(), Broken> {
        if self.inputs.client_trust.is_none() {
            self.unknown_kind(End::Server, "trust");
        }
        // One of an unknown kind was told above.
        let Some(source) = self.inputs.client.clone() else { return Ok(()) };
        let trusted = self.inputs.client_trust.clone().into_iter().collect();
        self.accept(End::Client, source, trusted, self.inputs.client_names.clone())
    }

    fn accept(&mut self, of: End, source: Source, trusted: Vec<Anchor>, wanted: Vec<String>) -> Result<(), Broken> {
        let by = match of {
            End::Client => End::Server,
            End::Server => End::Client,
        };
        let mut anchors = Vec::new();
        let mut unread = Vec::new();
        for anchor in &trusted {
            match self.readings.anchor(anchor) {
                Ok(certificates) => anchors.extend(certificates),
                Err(why) => unread.push(Unknown::Trust { by, anchor: anchor.clone(), why }),
            }
        }
        let chain = match self.readings.chain(&source) {
            Ok(chain) => chain,
            Err(why) => {
                self.unknown.push(Unknown::Certificate { of, source, why });
                self.unknown.extend(unread);
                return Ok(());
            }
        };
        if let Err(fault) = leads_to(chain, &anchors, self.now) {
            // One that was not read may be the one that it leads to; but nothing saves a leaf that has ended.
            let by_itself = matches!(
                fault,
                ChainFault::Expired { link: ChainLink::Leaf, .. }
                    | ChainFault::NotYetValid { link: ChainLink::Leaf, .. }
            );
            if by_itself || (unread.is_empty() && !trusted.is_empty()) {
                return Err(Broken::Distrusted(Box::new(Distrust { of, source, trusted, fault })));
            }
            self.unknown.extend(unread);
        }
        if !wanted.is_empty() && !wanted.iter().any(|name| chain.leaf.names.cover(name)) {
            return Err(Broken::NameMismatch { of, wanted, has: chain.leaf.names.all() });
        }
        Ok(())
    }

    fn unknown_kind(&mut self, of: End, member: &str) {
        self.unknown.push(Unknown::Kind { of, member: member.to_owned() });
    }
}

/// A list without any name says as much as none.
fn names(names: Option<&SubjectAlternativeNames>) -> Vec<String> {
    names.into_iter().flat_map(|names| &names.names.exact).map(ToString::to_string).collect()
}
