//! A run of certificate-rotation over in-memory ports that issue real X.509: its own time for many certificates, and the
//! number of calls of a rotation, compared with the minimum.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use certificate_rotation::{CertificateRotation, Ports};
use jiff::{SignedDuration, Timestamp};
use mesh::certificates::Chain;
use mesh::name::ResourcePath;
use policy::Policy;
use ports::Deadline;
use ports::certificates::{
    AcknowledgedSecrets, AuthorityArn, CertificateAuthority as _, CertificateStore as _, IdempotencyToken, Import,
    Issuance, KeyAlgorithm, KeyMaker as _, Order, ProxyStream, SeenCertificate, SeenSecret, SigningAlgorithm,
    SubjectNames, Template,
};
use ports_memory::certificates::Validity;
use ports_memory::{Faults, MemoryPolicy, MemoryPorts};
use runner::events::parse;
use runner::{Handler as _, PolicyKeeper, Report, Runner};
use serde_json::json;

use crate::{Row, median};

const MANY: u32 = 1000;

/// The number of repetitions for the function's own time.
const RUNS: usize = 20;

const DAY: SignedDuration = SignedDuration::from_hours(24);
const KEY: KeyAlgorithm = KeyAlgorithm::EcPrime256v1;

/// The minimum of calls that replace an imported certificate once it is known to be due: the begin in the state table
/// (the lease, without which two runs would order), its end (otherwise the next run considers it incomplete), the order,
/// the certificate (the response to the order has only an ARN), and the import. A slow private CA is called once a second;
/// here it issues at once.
const MIN_CALLS: usize = 5;

pub(crate) fn measure() -> Result<Vec<Row>, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut rows = runtime.block_on(many())?;
    rows.push(runtime.block_on(one())?);
    Ok(rows)
}

/// Many certificates, of which none is due.
async fn many() -> Result<Vec<Row>, Box<dyn Error>> {
    let many = usize::try_from(MANY)?;
    let shop = Shop::open(many).await?;
    let function = shop.start().await?;
    run(&function).await?;
    let before = shop.ports.faults.calls().len();
    let mut own = Vec::new();
    for _ in 0..RUNS {
        let started = Instant::now();
        let report = run(&function).await?;
        own.push(started.elapsed().as_secs_f64() * 1000.0);
        if report.decisions.len() < many {
            return Err(format!("only {} decisions", report.decisions.len()).into());
        }
    }
    let calls = u32::try_from((shop.ports.faults.calls().len() - before) / RUNS)?;
    let parsed = parsing(&shop)?;
    let own = median(own);
    Ok(vec![Row {
        what: "a run over 1,000 imported certificates, none due, without the SDK's share",
        figure: format!("{own:.0} ms, {:.0} µs a certificate", own * 1000.0 / f64::from(MANY)),
        relation: format!(
            "{:.1} x reading their X.509 alone ({parsed:.0} ms); {:.1} calls a certificate, its node's description among them",
            own / parsed,
            f64::from(calls) / f64::from(MANY)
        ),
    }])
}

/// The time that reading all chains takes.
fn parsing(shop: &Shop) -> Result<f64, Box<dyn Error>> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let started = Instant::now();
        for text in &shop.chains {
            std::hint::black_box(Chain::read(text).map_err(|error| error.to_string())?);
        }
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(median(times))
}

/// One certificate, and the run that finds it due.
async fn one() -> Result<Row, Box<dyn Error>> {
    let shop = Shop::open(1).await?;
    let function = shop.start().await?;
    run(&function).await?;
    shop.ports.clock.advance(DAY * 70);
    let before = shop.ports.faults.calls().len();
    let report = run(&function).await?;
    let calls: Vec<&str> = shop.ports.faults.calls().iter().skip(before).map(|call| call.name).collect();
    if shop.ports.certificates.authorities.issuances() != 2 {
        return Err(format!("the certificate was not replaced: {:?}", report.decisions).into());
    }
    let acting = calls.iter().skip_while(|name| **name != "begin");
    let acting = acting.clone().position(|name| *name == "finish").map_or(0, |last| last + 1);
    let before = shop.ports.faults.calls().len();
    run(&function).await?;
    let look = shop.ports.faults.calls().len() - before;
    Ok(Row {
        what: "calls by which an imported certificate that is due is replaced, lease to end",
        figure: format!("{acting}"),
        relation: format!(
            "minimum {MIN_CALLS}; {} in the whole run, including the observations ({look}) before and after",
            calls.len()
        ),
    })
}

async fn run(function: &Runner<CertificateRotation>) -> Result<Report, Box<dyn Error>> {
    let tick = parse(&json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}));
    Ok(function.handle(tick, Deadline::after(Duration::from_secs(110))).await.map_err(|retry| retry.why)?)
}

/// A mesh in which each node has a certificate, and its proxies.
struct Shop {
    ports: MemoryPorts,
    chains: Vec<String>,
    /// The certificates and their CA. No node calls these nodes, so no client policy names the CA.
    imported: Vec<String>,
    authority: AuthorityArn,
}

impl Shop {
    async fn open(nodes: usize) -> Result<Self, Box<dyn Error>> {
        let ports = MemoryPorts::at("2026-06-01T00:00:00Z".parse()?);
        let now = ports::Clock::now(&ports.clock);
        let validity = Validity { from: now - DAY * 365, until: now + DAY * 3650 };
        let root = ports.certificates.authorities.root("shop", &KEY, validity)?;
        let mut shop = Self { ports, chains: Vec::new(), imported: Vec::new(), authority: root.clone() };
        shop.put("mesh/shop", &json!({}))?;
        let mut streams = Vec::new();
        for number in 0..nodes {
            streams.push(shop.node(&root, number).await?);
        }
        shop.ports.certificates.proxies.set(streams);
        Ok(shop)
    }

    async fn node(&mut self, root: &AuthorityArn, number: usize) -> Result<ProxyStream, Box<dyn Error>> {
        let host = format!("service-{number}.shop.local");
        let certificates = &self.ports.certificates;
        let names = SubjectNames { common_name: Some(host.clone()), dns: vec![host.clone()], uris: Vec::new() };
        let fresh = certificates.keys.make(&KEY, &names)?;
        let order = Order {
            authority: root.clone(),
            request: fresh.request,
            template: Template::EndEntity,
            signing: SigningAlgorithm::Sha256WithEcdsa,
            not_after: self.now() + DAY * 100,
            token: IdempotencyToken::parse(&format!("first_{number}"))?,
        };
        let issued = certificates.authorities.issue(&order).await?;
        let Issuance::Issued(chain) = certificates.authorities.issued(&issued).await? else {
            return Err("nothing was issued".into());
        };
        let whole = chain.whole();
        let read = Chain::read(&whole).map_err(|error| error.to_string())?.leaf;
        let import = Import { onto: None, chain, key: fresh.key, tags: BTreeMap::new() };
        let arn = certificates.certificates.import(&import).await?;
        let path = format!("mesh/shop/virtualNode/service-{number}");
        let tls = json!({"mode": "STRICT", "certificate": {"acm": {"certificateArn": arn.as_str()}}});
        let spec = json!({
            "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}, "tls": tls}],
            "serviceDiscovery": {"dns": {"hostname": host}},
        });
        self.put(&path, &spec)?;
        self.chains.push(whole);
        self.imported.push(arn.to_string());
        let seen = SeenCertificate { fingerprint: read.fingerprint.to_string(), not_after: read.not_after };
        let seen = SeenSecret::Acknowledged { certificates: vec![seen] };
        Ok(ProxyStream {
            proxy: ResourcePath::parse(&path)?,
            peer: "127.0.0.1:1".to_owned(),
            since: self.now(),
            up_to_date: true,
            rejected: None,
            secrets: AcknowledgedSecrets::Known(BTreeMap::from([(arn.to_string(), seen)])),
        })
    }

    fn now(&self) -> Timestamp {
        ports::Clock::now(&self.ports.clock)
    }

    fn put(&self, path: &str, spec: &serde_json::Value) -> Result<(), Box<dyn Error>> {
        let put = self.ports.mesh.put_spec(&ResourcePath::parse(path)?, spec);
        put.map_err(|violations| format!("{path}: {violations:?}").into()).map(drop)
    }

    /// A warm function that may change the mesh.
    async fn start(&self) -> Result<Runner<CertificateRotation>, Box<dyn Error>> {
        let authority = self.authority.as_str();
        let imported = self.imported.iter().map(|arn| json!({"certificate": arn, "authority": authority}));
        // JSON is YAML.
        let policy = json!({
            "version": 1, "modes": {"default": "enforce"},
            "certificates": {"imported": imported.collect::<Vec<_>>()},
        });
        let policy = MemoryPolicy::new(policy.to_string(), Faults::default());
        let keeper = PolicyKeeper::start(Box::new(policy), Policy::read, self.now()).await?;
        let ports = self.ports.clone();
        let certificates = ports.certificates;
        let ports = Ports {
            clock: Arc::new(ports.clock),
            meshes: Arc::new(ports.mesh.clone()),
            writer: Arc::new(ports.mesh),
            certificates: Arc::new(certificates.certificates),
            authorities: Arc::new(certificates.authorities),
            bundles: Arc::new(certificates.bundles),
            keys: Arc::new(certificates.keys),
            proxies: Arc::new(certificates.proxies),
            probe: Arc::new(certificates.probe),
            state: Arc::new(ports.state),
            notifier: Arc::new(ports.notifier),
            bus: Arc::new(ports.bus),
            reports: Arc::new(ports.reports),
        };
        Ok(certificate_rotation::function(ports, keeper))
    }
}
