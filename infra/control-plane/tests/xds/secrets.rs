//! Certificates for proxies.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use control_plane::certificates::{CertificateFiles, SecretCache, SecretCacheSettings};
use control_plane::xds::{KnownSecret, SecretLookup, SecretProblem, Secrets, ServedCertificate, XdsSettings, problem};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use jiff::Timestamp;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use xds::ResourceType::{self, Listener, Route};
use xds::{SecretMaterial, SecretRef};

use crate::envoy::{self, Envoy};
use crate::plane::{Folder, Plane, tcp};
use crate::vault::{Issuer, Vault};

const ARN: &str = "arn:aws:acm:eu-west-1:123456789012:certificate/00000000-0000-0000-0000-000000000001";
const SECURE: &str = "mesh/shop/virtualNode/secure";

/// A source with one certificate, or none yet.
#[derive(Debug)]
struct TestSource {
    current: Mutex<Option<&'static str>>,
    changes: watch::Sender<u64>,
}

impl TestSource {
    fn new() -> Arc<Self> {
        Arc::new(Self { current: Mutex::new(None), changes: watch::Sender::new(0) })
    }

    fn renew(&self, content: &'static str) {
        *self.current.lock().unwrap() = Some(content);
        self.changes.send_modify(|count| *count += 1);
    }
}

impl Secrets for TestSource {
    fn find(&self, secret: &SecretRef) -> SecretLookup {
        assert_eq!(*secret, SecretRef::AcmCertificate(ARN.to_owned()));
        let Some(content) = *self.current.lock().unwrap() else {
            return SecretLookup::Missing(SecretProblem { id: problem::UNAVAILABLE, message: "not yet".to_owned() });
        };
        let material =
            SecretMaterial::Certificate { chain: content.to_owned(), key: format!("key of {content}").into() };
        let certificates =
            vec![ServedCertificate { fingerprint: format!("print of {content}"), not_after: Timestamp::UNIX_EPOCH }];
        SecretLookup::Known(KnownSecret { material, certificates }, None)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

async fn plane(source: &Arc<TestSource>) -> Plane {
    let plane = Plane::with(XdsSettings { secrets: Arc::<TestSource>::clone(source), ..tcp() }).await;
    plane.make_shop().await;
    make_secure(&plane, &json!({"acm": {"certificateArn": ARN}})).await;
    plane
}

/// Creates a node that serves with this certificate.
async fn make_secure(plane: &Plane, certificate: &Value) {
    let listener = json!({
        "portMapping": {"port": 8443, "protocol": "http"},
        "tls": {"mode": "STRICT", "certificate": certificate},
    });
    let discovery = json!({"dns": {"hostname": "secure.local"}});
    let spec = json!({"listeners": [listener], "serviceDiscovery": discovery});
    plane.put("/shop/virtualNodes", json!({"virtualNodeName": "secure", "spec": spec})).await;
}

fn certificate(proxy: &Value) -> &Value {
    &proxy["certificates"][ARN]
}

#[tokio::test]
async fn a_renewed_certificate_is_pushed_and_nothing_else() {
    let source = TestSource::new();
    let plane = plane(&source).await;
    let mut secure = Envoy::settled(envoy::tcp(&plane.xds[0]).await, SECURE, &[]).await;
    // The certificate is not available yet, so the listener is left out.
    let report = plane.proxy_once(|proxy| certificate(proxy).is_object());
    let report = secure.nothing_until(report).await;
    assert_eq!(certificate(&report)["source"], "missing");
    assert_eq!(certificate(&report)["acknowledged"], false);
    assert_eq!(certificate(&report)["has"], Value::Null);
    assert_eq!(report["findings"][0]["id"], problem::UNAVAILABLE);
    source.renew("none");
    let response = secure.take(Listener).await;
    assert_eq!(response.resources.len(), 2, "the ingress listener is sent in addition to the egress one");
    secure.subscribe(ResourceType::Secret, &[ARN]);
    secure.take(ResourceType::Secret).await;
    let mut previous = "none";
    for content in ["first", "second"] {
        source.renew(content);
        let response = secure.next().await;
        assert_eq!(response.type_url, ResourceType::Secret.url());
        let secret = Secret::decode(response.resources[0].value.as_slice()).unwrap();
        assert_eq!(secret.name, ARN);
        let report = plane.proxy_once(|_| true).await;
        assert_eq!(certificate(&report)["acknowledged"], false, "sent, but not acknowledged");
        assert_eq!(certificate(&report)["has"][0]["fingerprint"], format!("print of {previous}"));
        secure.acknowledge(&response);
        let report = plane.proxy_once(|proxy| certificate(proxy)["acknowledged"] == true).await;
        assert_eq!(
            certificate(&report)["certificates"],
            json!([{"fingerprint": format!("print of {content}"), "notAfter": "1970-01-01T00:00:00Z"}])
        );
        assert_eq!(certificate(&report)["has"], certificate(&report)["certificates"]);
        assert_eq!(
            certificate(&report)["usedBy"],
            json!([{"listener": "lds_ingress_0.0.0.0_15000", "as": "certificate"}])
        );
        previous = content;
        assert_eq!(report["upToDate"], true);
        assert!(!report.to_string().contains("key of"), "{report}");
    }
    source.renew("second");
    secure.nothing_until(plane.proxies()).await;
}

#[tokio::test]
async fn a_proxy_cannot_get_the_certificate_of_another() {
    let source = TestSource::new();
    source.renew("first");
    let plane = plane(&source).await;
    let mut front =
        Envoy::settled(envoy::tcp(&plane.xds[0]).await, "mesh/shop/virtualNode/front", &[envoy::EGRESS]).await;
    front.subscribe(ResourceType::Secret, &[ARN]);
    let both = async {
        plane.proxies().await;
        plane.weigh(40, 60).await;
    };
    tokio::join!(both, front.take(Route))
        .1
        .resources
        .iter()
        .for_each(|one| assert!(!String::from_utf8_lossy(&one.value).contains("key of")));
    front.nothing_until(plane.proxies()).await;
}

#[tokio::test]
async fn certificates_are_reported_and_refreshed_on_request() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    let first = root.issue("a.local");
    vault.put(ARN, &first);
    let hourly = SecretCacheSettings { refresh: Duration::from_hours(1), ..SecretCacheSettings::default() };
    let secrets = SecretCache::start(vault.sources(&[]), hourly);
    let plane = Plane::with(XdsSettings { secrets, ..tcp() }).await;
    plane.make_shop().await;
    make_secure(&plane, &json!({"acm": {"certificateArn": ARN}})).await;
    let mut secure = Envoy::settled(envoy::tcp(&plane.xds[0]).await, SECURE, &[]).await;
    secure.subscribe(ResourceType::Secret, &[ARN]);
    secure.take(ResourceType::Secret).await;
    let (status, report) = plane.get("/certificates").await;
    assert_eq!(status, 200);
    assert_eq!(report["certificates"][0]["name"], ARN);
    assert_eq!(report["certificates"][0]["certificates"][0]["fingerprint"], first.fingerprint());
    assert_eq!(report["certificates"][0]["problem"], Value::Null);
    let gauge =
        async |state: &str| plane.text("/metrics").await.contains(&format!("certificates{{state=\"{state}\"}} 1"));
    assert!(gauge("well").await && !gauge("with_problem").await);
    let second = root.issue_until("a.local", 2020);
    vault.put(ARN, &second);
    plane.post("/certificates/refresh").await;
    secure.take(ResourceType::Secret).await;
    let report = plane.proxy_once(|proxy| certificate(proxy)["has"][0]["fingerprint"] == second.fingerprint()).await;
    assert_eq!(certificate(&report)["problem"]["id"], problem::EXPIRED);
    assert_eq!(report["findings"][0]["id"], problem::EXPIRED);
    assert!(gauge("with_problem").await);
    let all = format!("{report} {} {}", plane.get("/certificates").await.1, plane.text("/metrics").await);
    for issued in [&first, &second] {
        assert!(!all.contains(issued.key.lines().nth(1).unwrap()), "a report contains a key");
    }
}

#[tokio::test]
async fn certificates_in_files_are_reported_if_the_files_are_readable() {
    let (folder, issued) = (Folder::new(), Issuer::new("root").issue("a.local"));
    std::fs::create_dir(folder.join("keys")).unwrap();
    std::fs::write(folder.join("keys/a.pem"), issued.chain.whole()).unwrap();
    let files = Some(CertificateFiles::new(folder.path().to_owned()));
    for (certificate_files, seen) in [(files, true), (None, false)] {
        let plane = Plane::with(XdsSettings { certificate_files, ..tcp() }).await;
        plane.make_shop().await;
        make_secure(&plane, &json!({"file": {"certificateChain": "/keys/a.pem", "privateKey": "/keys/a.key"}})).await;
        let _secure = Envoy::settled(envoy::tcp(&plane.xds[0]).await, SECURE, &[]).await;
        let report = plane.proxy_once(|proxy| proxy["certificates"].is_object()).await;
        let entry = &report["certificates"]["file:/keys/a.pem,/keys/a.key"];
        assert_eq!((&entry["source"], &entry["has"]), (&json!("besideProxy"), &Value::Null));
        if seen {
            assert_eq!(entry["inFile"][0]["fingerprint"], issued.fingerprint());
        } else {
            assert_eq!(entry["inFile"], "unknown");
        }
    }
}
