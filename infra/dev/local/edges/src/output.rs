//! The edges, with the certificates and trust of their ends.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mesh::certificates::{Anchor, Certificate, CertificateSource, Fingerprint, Readings};
use mesh::name::ResourcePath;
use policy::edges::{Edge, TlsVerdict, edges as all_edges};
use serde::Serialize;

use crate::Failure;
use crate::input::Input;

/// One edge.
#[derive(Debug, Serialize)]
pub(crate) struct EdgeState {
    from: String,
    to: String,
    /// `plaintext`, `tls`, `mtls`, or the id of what breaks the handshake.
    verdict: String,
    /// Why a request could fail, or why that is unknown; unset for a sound edge.
    fault: Option<String>,
    /// The certificate that the listener presents.
    server: Presented,
    /// The certificate that the client presents; unset if the listener does not require it.
    client: Option<Presented>,
    /// The common names of the roots that the client trusts.
    trusted: BTreeSet<String>,
    /// The proxies that have not acknowledged the stored version.
    lagging: BTreeSet<String>,
}

/// A certificate as a proxy has acknowledged it.
#[derive(Debug, Serialize)]
struct Presented {
    fingerprint: String,
    issuer: String,
}

/// The edges between the proxies of interest at `now`.
pub(crate) fn edges(input: &Input, now: Timestamp) -> Result<Vec<EdgeState>, Failure> {
    let (mesh, readings) = (input.model()?, input.readings());
    let of_interest = |path: &ResourcePath| input.proxies.contains(&last(&path.to_string()));
    let view = View { readings: &readings, acknowledged: &input.acknowledged };
    let all = all_edges(&mesh, &readings, now);
    Ok(all
        .iter()
        .filter(|edge| of_interest(&edge.from) && of_interest(&edge.to))
        .map(|edge| view.state(edge))
        .collect())
}

struct View<'a> {
    readings: &'a Readings,
    acknowledged: &'a BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

impl View<'_> {
    fn state(&self, edge: &Edge) -> EdgeState {
        let (from, to) = (last(&edge.from.to_string()), last(&edge.to.to_string()));
        let inputs = &edge.inputs;
        let mut lagging = BTreeSet::new();
        let server = self.presented(&to, inputs.server.as_ref(), &mut lagging);
        let presents = inputs.client.as_ref().filter(|_| inputs.asks_client);
        let client = presents.map(|source| self.presented(&from, Some(source), &mut lagging));
        let trusted = self.trusted(&from, &inputs.server_trust, &mut lagging);
        self.trusted(&to, inputs.client_trust.as_slice(), &mut lagging);
        let broken = match &edge.verdict {
            TlsVerdict::Broken(reason) => Some(format!("{reason:?}")),
            TlsVerdict::Plaintext => Some("the edge is in plain text".to_owned()),
            TlsVerdict::Tls | TlsVerdict::Mtls => None,
        };
        let unknown = || (!edge.is_proven()).then(|| format!("unknown: {:?}", edge.unknown));
        let verdict = match &edge.verdict {
            TlsVerdict::Plaintext => "plaintext",
            TlsVerdict::Tls => "tls",
            TlsVerdict::Mtls => "mtls",
            TlsVerdict::Broken(reason) => reason.id(),
        };
        let (verdict, fault) = (verdict.to_owned(), broken.or_else(unknown));
        EdgeState { from, to, verdict, fault, server, client, trusted, lagging }
    }

    /// The certificate that a proxy presents. The proxy lags if it differs from the stored one.
    fn presented(&self, proxy: &str, source: Option<&CertificateSource>, lagging: &mut BTreeSet<String>) -> Presented {
        let stored = source.and_then(|source| self.readings.chain(source).ok());
        let secret = match source {
            Some(CertificateSource::Acm(arn)) => arn.to_string(),
            Some(CertificateSource::Sds(name)) => name.to_string(),
            Some(CertificateSource::File(..)) | None => String::new(),
        };
        let has = self.has(proxy, &secret);
        let wanted: BTreeSet<String> = stored.iter().map(|chain| chain.leaf.fingerprint.to_string()).collect();
        if has != wanted {
            lagging.insert(proxy.to_owned());
        }
        Presented {
            fingerprint: has.first().map_or_else(|| "nothing".to_owned(), |one| one.chars().take(8).collect()),
            issuer: stored.map(|chain| common_name(&chain.leaf.issuer)).unwrap_or_default(),
        }
    }

    /// The roots that a proxy trusts. It lags while those differ from the declared ones.
    fn trusted(&self, proxy: &str, anchors: &[Anchor], lagging: &mut BTreeSet<String>) -> BTreeSet<String> {
        let declared = anchors.iter().flat_map(|anchor| self.readings.anchor(anchor).unwrap_or_default());
        let declared: BTreeMap<&Fingerprint, &Certificate> = declared.map(|one| (&one.fingerprint, one)).collect();
        let has: BTreeSet<String> = secrets(anchors).iter().flat_map(|secret| self.has(proxy, secret)).collect();
        if has != declared.keys().map(ToString::to_string).collect() {
            lagging.insert(proxy.to_owned());
        }
        declared.values().map(|one| common_name(&one.subject)).collect()
    }

    fn has(&self, proxy: &str, secret: &str) -> BTreeSet<String> {
        self.acknowledged.get(proxy).and_then(|secrets| secrets.get(secret)).cloned().unwrap_or_default()
    }
}

/// The names under which the control plane serves trust: all private CAs of one client policy are one secret.
fn secrets(anchors: &[Anchor]) -> Vec<String> {
    let arns = anchors.iter().filter_map(|anchor| match anchor {
        Anchor::Authority(arn) => Some(arn.to_string()),
        Anchor::IssuerOf(_) | Anchor::Sds(_) | Anchor::File(..) => None,
    });
    let arns: Vec<String> = arns.collect();
    let together = (!arns.is_empty()).then(|| format!("trust:{}", arns.join(",")));
    let named = anchors.iter().filter_map(|anchor| match anchor {
        Anchor::Sds(name) => Some(name.to_string()),
        Anchor::Authority(_) | Anchor::IssuerOf(_) | Anchor::File(..) => None,
    });
    together.into_iter().chain(named).collect()
}

fn common_name(distinguished: &str) -> String {
    distinguished.split(',').find_map(|part| part.trim().strip_prefix("CN=")).unwrap_or(distinguished).to_owned()
}

fn last(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plaintext_edge_is_a_fault_and_foreign_proxies_are_left_out() {
        let metadata = json!({
            "arn": "arn:aws:appmesh:us-east-1:123456789012:mesh/m", "version": 1, "uid": "u", "createdAt": 1_700_000_000,
            "lastUpdatedAt": 1_700_000_000, "meshOwner": "123456789012", "resourceOwner": "123456789012",
        });
        let status = json!({"status": "ACTIVE"});
        let node = |name: &str, backends: &[&str]| {
            let backends: Vec<_> =
                backends.iter().map(|name| json!({"virtualService": {"virtualServiceName": name}})).collect();
            json!({"kind": "virtualNode", "body": {"meshName": "m", "virtualNodeName": name, "metadata": metadata, "status": status, "spec": {
                "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
                "serviceDiscovery": {"dns": {"hostname": name}}, "backends": backends,
            }}})
        };
        let service = |name: &str| {
            json!({"kind": "virtualService", "body": {"meshName": "m", "virtualServiceName": name, "metadata": metadata, "status": status, "spec": {
                "provider": {"virtualNode": {"virtualNodeName": name}},
            }}})
        };
        let input = json!({
            "mesh": "m", "proxies": ["web", "cart"], "acm": {}, "leaves": {}, "roots": {}, "authorities": {},
            "acknowledged": {},
            "resources": [node("web", &["cart", "stock"]), node("cart", &[]), node("stock", &[]),
                service("cart"), service("stock")],
        });
        let input: Input = serde_json::from_value(input).unwrap();
        let edges = edges(&input, Timestamp::UNIX_EPOCH).unwrap();
        let [edge] = edges.as_slice() else { panic!("{edges:?}") };
        assert_eq!((edge.from.as_str(), edge.to.as_str(), edge.verdict.as_str()), ("web", "cart", "plaintext"));
        assert_eq!(edge.fault.as_deref(), Some("the edge is in plain text"));
        assert_eq!(secrets(&[]), Vec::<String>::new());
    }
}
