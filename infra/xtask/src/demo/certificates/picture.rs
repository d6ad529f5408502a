//! The edges as they are: what the API and the stores say, and what the proxies have really taken.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mesh::certificates::{Anchor, AuthorityArn, Certificate, Chain, Fingerprint, Reading, Readings, Source};
use mesh::edges::{Edge, Verdict, edges};
use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourceKind};
use mesh::resource::Resource;
use serde_json::Value;

use super::shop::{CALLS_SECRET, CATALOG_SECRET, PROXIES, RECOMMENDATIONS_SECRET, ROOTS_SECRET, describe};
use super::vault::{Authority, current, in_acm};
use crate::demo_mesh::MESH;
use crate::failure::{Failure, Result};
use crate::stack::Stack;

/// Everything that the edges depend on.
const RESOURCES: [(ResourceKind, &str); 11] = [
    (ResourceKind::VirtualGateway, "virtualGateways/storefront-gateway"),
    (ResourceKind::GatewayRoute, "virtualGateway/storefront-gateway/gatewayRoutes/storefront"),
    (ResourceKind::VirtualService, "virtualServices/storefront.shop.local"),
    (ResourceKind::VirtualNode, "virtualNodes/storefront"),
    (ResourceKind::VirtualService, "virtualServices/catalog.shop.local"),
    (ResourceKind::VirtualRouter, "virtualRouters/catalog"),
    (ResourceKind::Route, "virtualRouter/catalog/routes/products"),
    (ResourceKind::VirtualNode, "virtualNodes/catalog-v1"),
    (ResourceKind::VirtualNode, "virtualNodes/catalog-v2"),
    (ResourceKind::VirtualNode, "virtualNodes/recommendations-v1"),
    (ResourceKind::VirtualNode, "virtualNodes/recommendations-v2"),
];

/// All edges at one moment.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    pub(super) edges: Vec<Line>,
}

/// One edge.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) from: String,
    pub(super) to: String,
    /// `plaintext`, `tls`, `mtls`, or why it is broken.
    pub(super) verdict: String,
    /// Why a request over it could fail, or why nobody can tell.
    pub(super) fault: Option<String>,
    /// What the listener presents.
    pub(super) server: Shown,
    /// What the client presents, where it does.
    pub(super) client: Option<Shown>,
    /// Whom the client trusts, by their names.
    pub(super) trusted: BTreeSet<String>,
    /// Proxies that have not acknowledged what is kept.
    pub(super) lagging: Vec<String>,
}

/// A certificate as a proxy has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) fingerprint: String,
    pub(super) issuer: String,
}

impl Picture {
    /// Reads everything anew.
    pub(super) fn take(stack: &mut Stack, arn: &str, authorities: &[&Authority]) -> Result<Self> {
        let mesh = model(stack)?;
        let readings = readings(stack, arn, authorities)?;
        let taken = taken(stack)?;
        let all = edges(&mesh, &readings, Timestamp::now());
        let ours = |edge: &Edge| {
            let name = |path: &mesh::name::ResourcePath| last(&path.to_string());
            PROXIES.contains(&name(&edge.from).as_str()) && PROXIES.contains(&name(&edge.to).as_str())
        };
        let view = View { readings: &readings, taken: &taken };
        Ok(Self { edges: all.iter().filter(|edge| ours(edge)).map(|edge| view.line(edge)).collect() })
    }

    /// Proxies that have not acknowledged what is kept for them.
    pub(super) fn lagging(&self) -> BTreeSet<&str> {
        self.edges.iter().flat_map(|line| &line.lagging).map(String::as_str).collect()
    }

    /// Everything that is wrong with any edge.
    pub(super) fn faults(&self) -> Vec<String> {
        let told = |line: &Line| Some(format!("{} to {}: {}", line.from, line.to, line.fault.as_ref()?));
        self.edges.iter().filter_map(told).collect()
    }

    /// Whether every client trusts this CA.
    pub(super) fn is_trusted_by_all(&self, name: &str) -> bool {
        self.edges.iter().all(|line| line.trusted.contains(name))
    }

    /// Whether no client trusts this CA.
    pub(super) fn is_trusted_by_nobody(&self, name: &str) -> bool {
        !self.edges.iter().any(|line| line.trusted.contains(name))
    }

    /// Whether everything that is presented comes from this CA.
    pub(super) fn all_issued_by(&self, name: &str) -> bool {
        self.edges.iter().all(|line| line.server.issuer == name && line.client.iter().all(|one| one.issuer == name))
    }

    /// What the listener of a node presents.
    pub(super) fn of(&self, node: &str) -> Option<&Shown> {
        self.edges.iter().find(|line| line.to == node).map(|line| &line.server)
    }

    /// As a table.
    pub(super) fn table(&self) -> String {
        let head = ["edge", "verdict", "listener presents", "client presents", "client trusts"].map(ToOwned::to_owned);
        let shown = |one: &Shown| format!("{} ({})", one.fingerprint, one.issuer);
        let rows = self.edges.iter().map(|line| {
            let client = line.client.as_ref().map_or_else(|| "-".to_owned(), shown);
            let trusted = line.trusted.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let edge = format!("{} -> {}", line.from, line.to);
            [edge, line.verdict.clone(), shown(&line.server), client, trusted]
        });
        let lines = std::iter::once(head).chain(rows);
        let lines = lines.map(|[edge, verdict, server, client, trusted]| {
            format!("    {edge:<32} {verdict:<8} {server:<21} {client:<21} {trusted}")
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn model(stack: &Stack) -> Result<Mesh> {
    let name: MeshName = MESH.parse().map_err(|_| unreadable(MESH))?;
    let mut mesh = Mesh::new(name);
    for (kind, path) in RESOURCES {
        let resource = Resource::read(kind, &describe(stack, path)?).map_err(|_| unreadable(path))?;
        mesh.insert_resource(resource).map_err(|_| unreadable(path))?;
    }
    Ok(mesh)
}

fn readings(stack: &mut Stack, arn: &str, authorities: &[&Authority]) -> Result<Readings> {
    let mut readings = Readings::default();
    let aws = &mut stack.aws;
    let chain = |text: &str| Chain::read(text).map_or_else(|error| Reading::Unread(error.to_string()), Reading::Known);
    let certificates = |text: &str| {
        Certificate::read_all(text).map_or_else(|error| Reading::Unread(error.to_string()), Reading::Known)
    };
    readings.chains.insert(Source::Acm(mesh::certificates::CertificateArn::new(arn)), chain(&in_acm(aws, arn)?));
    for (name, secret) in [
        ("catalog", CATALOG_SECRET),
        ("storefront-calls", CALLS_SECRET),
        ("recommendations-calls", RECOMMENDATIONS_SECRET),
    ] {
        let source = Source::Sds(mesh::certificates::SecretName::new(name));
        readings.chains.insert(source, chain(&current(aws, secret, &["certificate", "chain"])?));
    }
    let roots = Anchor::Sds(mesh::certificates::SecretName::new("shop-roots"));
    readings.anchors.insert(roots, certificates(&current(aws, ROOTS_SECRET, &["trust"])?));
    for authority in authorities {
        let anchor = Anchor::Authority(AuthorityArn::new(&authority.arn));
        readings.anchors.insert(anchor, certificates(&authority.certificate));
    }
    Ok(readings)
}

/// By proxy and secret, the fingerprints that were acknowledged last.
type Taken = BTreeMap<(String, String), BTreeSet<String>>;

fn taken(stack: &Stack) -> Result<Taken> {
    let body = stack.client.get(&format!("{}/proxies", stack.endpoints.app_mesh))?.success("GET /proxies")?;
    let mut taken = Taken::new();
    for stream in body.get("proxies").and_then(Value::as_array).into_iter().flatten() {
        let proxy = stream.get("resource").and_then(Value::as_str).map(last).unwrap_or_default();
        for (secret, told) in stream.get("certificates").and_then(Value::as_object).into_iter().flatten() {
            let has = told.get("has").and_then(Value::as_array).into_iter().flatten();
            let has = has.filter_map(|one| one.get("fingerprint")?.as_str().map(ToOwned::to_owned));
            taken.insert((proxy.clone(), secret.clone()), has.collect());
        }
    }
    Ok(taken)
}

/// What was read, for the lines.
struct View<'a> {
    readings: &'a Readings,
    taken: &'a Taken,
}

impl View<'_> {
    fn line(&self, edge: &Edge) -> Line {
        let (from, to) = (last(&edge.from.to_string()), last(&edge.to.to_string()));
        let inputs = &edge.inputs;
        let mut lagging = BTreeSet::new();
        let server = self.shown(&to, inputs.server.as_ref(), &mut lagging);
        let presents = inputs.client.as_ref().filter(|_| inputs.asks_client);
        let client = presents.map(|source| self.shown(&from, Some(source), &mut lagging));
        let trusted = self.trusted(&from, &inputs.server_trust, &mut lagging);
        self.trusted(&to, inputs.client_trust.as_slice(), &mut lagging);
        let broken = match &edge.verdict {
            Verdict::Broken(reason) => Some(format!("{reason:?}")),
            Verdict::Plaintext => Some("it is in plain text".to_owned()),
            Verdict::Tls | Verdict::Mtls => None,
        };
        let unknown = || (!edge.is_proven()).then(|| format!("unknown: {:?}", edge.unknown));
        let verdict = match &edge.verdict {
            Verdict::Plaintext => "plaintext",
            Verdict::Tls => "tls",
            Verdict::Mtls => "mtls",
            Verdict::Broken(reason) => reason.id(),
        };
        let (verdict, fault) = (verdict.to_owned(), broken.or_else(unknown));
        Line { from, to, verdict, fault, server, client, trusted, lagging: lagging.into_iter().collect() }
    }

    /// What a proxy presents; it lags while that is not what is kept.
    fn shown(&self, proxy: &str, source: Option<&Source>, lagging: &mut BTreeSet<String>) -> Shown {
        let kept = source.and_then(|source| self.readings.chain(source).ok());
        let secret = match source {
            Some(Source::Acm(arn)) => arn.to_string(),
            Some(Source::Sds(name)) => name.to_string(),
            Some(Source::File(..)) | None => String::new(),
        };
        let has = self.has(proxy, &secret);
        let wanted: BTreeSet<String> = kept.iter().map(|chain| chain.leaf.fingerprint.to_string()).collect();
        if has != wanted {
            lagging.insert(proxy.to_owned());
        }
        Shown {
            fingerprint: has.first().map_or_else(|| "nothing".to_owned(), |one| one.chars().take(8).collect()),
            issuer: kept.map(|chain| common_name(&chain.leaf.issuer)).unwrap_or_default(),
        }
    }

    /// Whom a proxy trusts; it lags while those are not who is declared.
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
        self.taken.get(&(proxy.to_owned(), secret.to_owned())).cloned().unwrap_or_default()
    }
}

/// What the control plane calls trust: all CAs of a policy are one secret.
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

fn unreadable(what: &str) -> Failure {
    Failure::Refused { what: what.to_owned(), answer: "what is no description".to_owned() }
}
