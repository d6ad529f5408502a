//! The current edges, from the descriptions of the API, the stored certificates, and the acknowledgements of proxies.
//! `shop-edges` computes their verdicts.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::shop::{CALLS_SECRET, CATALOG_SECRET, PROXIES, RECOMMENDATIONS_SECRET, ROOTS_SECRET, describe};
use super::vault::{Authority, current, in_acm};
use stack::Stack;
use stack::demo_mesh::MESH;
use stack::failure::{Failure, Result};

/// The resources that the edges depend on.
const RESOURCES: [(&str, &str); 11] = [
    ("virtualGateway", "virtualGateways/storefront-gateway"),
    ("gatewayRoute", "virtualGateway/storefront-gateway/gatewayRoutes/storefront"),
    ("virtualService", "virtualServices/storefront.shop.local"),
    ("virtualNode", "virtualNodes/storefront"),
    ("virtualService", "virtualServices/catalog.shop.local"),
    ("virtualRouter", "virtualRouters/catalog"),
    ("route", "virtualRouter/catalog/routes/products"),
    ("virtualNode", "virtualNodes/catalog-v1"),
    ("virtualNode", "virtualNodes/catalog-v2"),
    ("virtualNode", "virtualNodes/recommendations-v1"),
    ("virtualNode", "virtualNodes/recommendations-v2"),
];

/// All edges at one moment.
#[derive(Clone, Debug)]
pub(super) struct Edges {
    pub(super) edges: Vec<Edge>,
}

/// One edge.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Edge {
    pub(super) from: String,
    pub(super) to: String,
    /// `plaintext`, `tls`, `mtls`, or the reason why it is broken.
    pub(super) verdict: String,
    /// Why a request over it could fail, or why that is unknown.
    pub(super) fault: Option<String>,
    /// The certificate that the listener presents.
    pub(super) server: Presented,
    /// The certificate that the client presents, if it does.
    pub(super) client: Option<Presented>,
    /// The names of the CAs that the client trusts.
    pub(super) trusted: BTreeSet<String>,
    /// Proxies that have not acknowledged the stored certificates.
    pub(super) lagging: Vec<String>,
}

/// A certificate of a proxy.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Presented {
    pub(super) fingerprint: String,
    pub(super) issuer: String,
}

impl Edges {
    /// Reads the inputs of the edges, and computes the edges.
    pub(super) fn read(stack: &mut Stack, arn: &str, authorities: &[&Authority]) -> Result<Self> {
        let input = input(stack, arn, authorities)?;
        let answer = stack.edges(&input)?;
        let edges = serde_json::from_str(&answer)
            .map_err(|why| Failure::Refused { what: "shop-edges".to_owned(), answer: format!("{why}: {answer}") })?;
        Ok(Self { edges })
    }

    /// Proxies that have not acknowledged their stored certificates.
    pub(super) fn lagging(&self) -> BTreeSet<&str> {
        self.edges.iter().flat_map(|edge| &edge.lagging).map(String::as_str).collect()
    }

    /// The faults of all edges.
    pub(super) fn faults(&self) -> Vec<String> {
        let fault = |edge: &Edge| Some(format!("{} to {}: {}", edge.from, edge.to, edge.fault.as_ref()?));
        self.edges.iter().filter_map(fault).collect()
    }

    /// Whether every client trusts this CA.
    pub(super) fn is_trusted_by_all(&self, name: &str) -> bool {
        self.edges.iter().all(|edge| edge.trusted.contains(name))
    }

    /// Whether no client trusts this CA.
    pub(super) fn is_trusted_by_none(&self, name: &str) -> bool {
        !self.edges.iter().any(|edge| edge.trusted.contains(name))
    }

    /// Whether this CA has issued every presented certificate.
    pub(super) fn all_issued_by(&self, name: &str) -> bool {
        self.edges.iter().all(|edge| edge.server.issuer == name && edge.client.iter().all(|one| one.issuer == name))
    }

    /// The certificate that the listener of a node presents.
    pub(super) fn listener(&self, node: &str) -> Option<&Presented> {
        self.edges.iter().find(|edge| edge.to == node).map(|edge| &edge.server)
    }

    /// The edges as a table.
    pub(super) fn table(&self) -> String {
        let head = ["edge", "verdict", "listener presents", "client presents", "client trusts"].map(ToOwned::to_owned);
        let shown = |one: &Presented| format!("{} ({})", one.fingerprint, one.issuer);
        let rows = self.edges.iter().map(|edge| {
            let client = edge.client.as_ref().map_or_else(|| "-".to_owned(), shown);
            let trusted = edge.trusted.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let name = format!("{} -> {}", edge.from, edge.to);
            [name, edge.verdict.clone(), shown(&edge.server), client, trusted]
        });
        let lines = std::iter::once(head).chain(rows);
        let lines = lines.map(|[edge, verdict, server, client, trusted]| {
            format!("    {edge:<32} {verdict:<8} {server:<21} {client:<21} {trusted}")
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// The input of `shop-edges`.
fn input(stack: &mut Stack, arn: &str, authorities: &[&Authority]) -> Result<Value> {
    let mut resources = Vec::new();
    for (kind, path) in RESOURCES {
        resources.push(json!({"kind": kind, "body": describe(stack, path)?}));
    }
    let acknowledged = acknowledged(stack)?;
    let aws = &mut stack.aws;
    let acm = BTreeMap::from([(arn, in_acm(aws, arn)?)]);
    let mut leaves = BTreeMap::new();
    for (name, secret) in [
        ("catalog", CATALOG_SECRET),
        ("storefront-calls", CALLS_SECRET),
        ("recommendations-calls", RECOMMENDATIONS_SECRET),
    ] {
        leaves.insert(name, current(aws, secret, &["certificate", "chain"])?);
    }
    let roots = BTreeMap::from([("shop-roots", current(aws, ROOTS_SECRET, &["trust"])?)]);
    let authorities: BTreeMap<&str, &str> =
        authorities.iter().map(|one| (one.arn.as_str(), one.certificate.as_str())).collect();
    Ok(json!({
        "mesh": MESH, "proxies": PROXIES, "resources": resources, "acm": acm, "leaves": leaves, "roots": roots,
        "authorities": authorities, "acknowledged": acknowledged,
    }))
}

/// The last acknowledged fingerprints, by proxy and secret.
type Acknowledged = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

fn acknowledged(stack: &Stack) -> Result<Acknowledged> {
    let body = stack.client.get(&format!("{}/proxies", stack.endpoints.app_mesh))?.success("GET /proxies")?;
    let mut acknowledged = Acknowledged::new();
    for stream in body.get("proxies").and_then(Value::as_array).into_iter().flatten() {
        let resource = stream.get("resource").and_then(Value::as_str).unwrap_or_default();
        let proxy = resource.rsplit('/').next().unwrap_or(resource);
        let secrets = acknowledged.entry(proxy.to_owned()).or_default();
        for (secret, state) in stream.get("certificates").and_then(Value::as_object).into_iter().flatten() {
            let has = state.get("has").and_then(Value::as_array).into_iter().flatten();
            let has = has.filter_map(|one| one.get("fingerprint")?.as_str().map(ToOwned::to_owned));
            secrets.insert(secret.clone(), has.collect());
        }
    }
    Ok(acknowledged)
}
