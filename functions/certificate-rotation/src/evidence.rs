//! The certificates that proxies have acknowledged on all their streams. If the streams cannot show that, a TLS
//! handshake with the listener does.

use std::collections::{BTreeMap, BTreeSet};

use decisions::rotation::{Acknowledgement, LeafUse, MeshCertificates};
use mesh::certificates::{Anchor, CertificateSource as Source, Fingerprint};
use mesh::name::ResourcePath;
use mesh::spec::Port;
use policy::{CertificatesPolicy, ProbePolicy};
use ports::certificates::{AcknowledgedSecrets, ProxyReport, ProxyStream, SeenSecret};

use crate::Ports;

/// The streams, or why they could not be read; and the results of the probed listeners.
#[derive(Debug)]
pub(crate) struct Evidence {
    report: Result<ProxyReport, String>,
    probed: BTreeMap<(ResourcePath, Port), Result<Vec<Fingerprint>, String>>,
}

impl Evidence {
    /// Reads the streams. Then it probes listeners with too little information in the streams, if the policy has
    /// their addresses.
    pub(crate) async fn gather(ports: &Ports, policy: &CertificatesPolicy, surveyed: &MeshCertificates) -> Self {
        let report = ports.proxies.report().await.map_err(|error| error.to_string());
        let mut evidence = Self { report, probed: BTreeMap::new() };
        let unknown: BTreeSet<(ResourcePath, Port)> =
            surveyed.leaves.iter().flat_map(|(source, used)| evidence.unknown(source, used)).collect();
        // In parallel: a server that does not answer delays no other probe.
        let probes = unknown.into_iter().filter_map(|(proxy, port)| {
            let declared: Vec<&ProbePolicy> = policy.probes.iter().filter(|probe| probe.is_of(&proxy, port)).collect();
            (!declared.is_empty()).then_some(async move { ((proxy, port), probe(ports, &declared).await) })
        });
        evidence.probed = futures::future::join_all(probes).await.into_iter().collect();
        evidence
    }

    /// The listeners at which a leaf is presented by proxies with streams that do not show whether they have it.
    fn unknown<'u>(&self, source: &Source, used: &'u LeafUse) -> impl Iterator<Item = (ResourcePath, Port)> + use<'u> {
        let secrets = leaf_secrets(source);
        let unknown = used.users.iter().filter(|user| matches!(self.held(user, &secrets), Acknowledgement::Unknown(_)));
        let unknown: BTreeSet<&ResourcePath> = unknown.collect();
        used.listeners.iter().filter(move |(proxy, _)| unknown.contains(proxy)).cloned()
    }

    /// The state of a leaf at a proxy. A handshake shows the certificate that the proxy's listeners present, but not
    /// the certificate that it presents as a client.
    pub(crate) fn leaf_state(&self, proxy: &ResourcePath, source: &Source, used: &LeafUse) -> Acknowledgement {
        let by_streams = self.held(proxy, &leaf_secrets(source));
        if !matches!(by_streams, Acknowledgement::Unknown(_)) || used.clients.contains(proxy) {
            return by_streams;
        }
        if self.report.as_ref().is_ok_and(|report| report.streams_of(proxy).is_err()) {
            // How many instances have to be probed is not known either.
            return by_streams;
        }
        let mut seen = BTreeSet::new();
        for listener in used.listeners.iter().filter(|(of, _)| of == proxy) {
            match self.probed.get(listener) {
                None => return by_streams,
                Some(Err(why)) => return Acknowledgement::Unknown(why.clone()),
                Some(Ok(leaves)) if leaves.len() < self.count(proxy) => {
                    let why = format!("{} of its {} proxies were probed", leaves.len(), self.count(proxy));
                    return Acknowledgement::Unknown(why);
                }
                Some(Ok(leaves)) => seen.extend(leaves.iter().cloned()),
            }
        }
        // If servers present different leaves, not all of them have the new one.
        match seen.len() {
            0 => by_streams,
            1 => Acknowledgement::Acknowledged(seen),
            _ => Acknowledgement::Outstanding,
        }
    }

    /// The number of connected instances of a proxy, as far as the streams are known.
    fn count(&self, proxy: &ResourcePath) -> usize {
        self.report.iter().flat_map(|report| &report.streams).filter(|stream| stream.proxy == *proxy).count()
    }

    /// The state of a set of secrets at a proxy. It is acknowledged only if all its streams have the same certificates.
    pub(crate) fn held(&self, proxy: &ResourcePath, secrets: &[String]) -> Acknowledgement {
        let streams = match self.report.as_ref().map(|report| report.streams_of(proxy)) {
            Ok(Ok(streams)) => streams,
            Ok(Err(why)) => return Acknowledgement::Unknown(why),
            Err(why) => return Acknowledgement::Unknown(why.clone()),
        };
        let mut same: Option<BTreeSet<Fingerprint>> = None;
        for stream in streams {
            let held = match of_stream(stream, secrets) {
                Acknowledgement::Acknowledged(held) => held,
                other => return other,
            };
            // The streams have different certificates, so at least one of them does not have the new one.
            if same.as_ref().is_some_and(|same| *same != held) {
                return Acknowledgement::Outstanding;
            }
            same = Some(held);
        }
        same.map_or_else(
            || Acknowledgement::Unknown("none of its proxies is connected".to_owned()),
            Acknowledgement::Acknowledged,
        )
    }
}

/// Probes every address. Returns the leaves of all servers, one entry per server.
async fn probe(ports: &Ports, declared: &[&ProbePolicy]) -> Result<Vec<Fingerprint>, String> {
    let mut leaves = Vec::new();
    for address in declared.iter().flat_map(|probe| &probe.addresses) {
        let seen = ports.probe.leaves(address).await.map_err(|error| error.to_string())?;
        if seen.is_empty() {
            return Err(format!("no server answers at {address}"));
        }
        leaves.extend(seen);
    }
    Ok(leaves)
}

fn of_stream(stream: &ProxyStream, secrets: &[String]) -> Acknowledgement {
    let AcknowledgedSecrets::Known(known) = &stream.secrets else {
        return Acknowledgement::Unknown(format!("the control plane has sent no secrets to {}", stream.peer));
    };
    let mut all = BTreeSet::new();
    for secret in secrets {
        match of_secret(known, secret) {
            Acknowledgement::Acknowledged(fingerprints) => all.extend(fingerprints),
            other => return other,
        }
    }
    Acknowledgement::Acknowledged(all)
}

fn of_secret(known: &BTreeMap<String, SeenSecret>, secret: &str) -> Acknowledgement {
    match known.get(secret) {
        Some(SeenSecret::Acknowledged { certificates }) => {
            let fingerprints = certificates.iter().map(|one| Fingerprint::try_from(one.fingerprint.clone()));
            fingerprints
                .collect::<Result<_, _>>()
                .map_or_else(|error| Acknowledgement::Unknown(error.to_string()), Acknowledgement::Acknowledged)
        }
        Some(SeenSecret::Outstanding { .. }) => Acknowledgement::Outstanding,
        Some(SeenSecret::BesideProxy) => {
            Acknowledgement::Unknown("it comes from files or a socket next to the proxy".to_owned())
        }
        Some(SeenSecret::Missing) => Acknowledgement::Unknown("the control plane does not have it yet".to_owned()),
        Some(SeenSecret::Unrecognised(what)) => Acknowledgement::Unknown(format!("the control plane reports `{what}`")),
        None => Acknowledgement::Unknown("the control plane does not send it".to_owned()),
    }
}

/// The control plane's names of the secrets of a presented certificate.
fn leaf_secrets(source: &Source) -> Vec<String> {
    match source {
        Source::Acm(arn) => vec![arn.to_string()],
        Source::Sds(name) => vec![name.to_string()],
        // The control plane uses no such name.
        Source::File(owner, path) => vec![format!("{path} of {owner}")],
    }
}

/// The control plane's names of the secrets of a trust: all CAs of a policy are one secret.
pub(crate) fn trust_secrets(anchors: &[Anchor]) -> Vec<String> {
    let arns: Vec<&str> = anchors
        .iter()
        .filter_map(|anchor| match anchor {
            Anchor::Authority(arn) => Some(arn.as_str()),
            Anchor::IssuerOf(_) | Anchor::Sds(_) | Anchor::File(..) => None,
        })
        .collect();
    let together = (!arns.is_empty()).then(|| format!("trust:{}", arns.join(",")));
    let others = anchors.iter().filter_map(|anchor| match anchor {
        Anchor::IssuerOf(arn) => Some(format!("issuer:{arn}")),
        Anchor::Sds(name) => Some(name.to_string()),
        Anchor::Authority(_) | Anchor::File(..) => None,
    });
    together.into_iter().chain(others).collect()
}
