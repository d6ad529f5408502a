//! Certificates on their way to proxies.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use control_plane::certificates::{CertificateFiles, KeeperSettings};
use control_plane::xds::{Found, KnownSecret, SecretProblem, Secrets, ServedCertificate, XdsSettings, problem};
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

/// Has one certificate, or none yet.
#[derive(Debug)]
struct Keeper {
    current: Mutex<Option<&'static str>>,
    changes: watch::Sender<u64>,
}

impl Keeper {
    fn new() -> Arc<Self> {
        Arc::new(Self { current: Mutex::new(None), changes: watch::Sender::new(0) })
    }

    fn renew(&self, content: &'static str) {
        *self.current.lock().unwrap() = Some(content);
        self.changes.send_modify(|count| *count += 1);
    }
}

impl Secrets for Keeper {
    fn find(&self, secret: &SecretRef) -> Found {
        assert_eq!(*secret, SecretRef::AcmCertificate(ARN.to_owned()));
        let Some(content) = *self.current.lock().unwrap() else {
            return Found::Missing(SecretProblem { id: problem::UNAVAILABLE, message: "not yet".to_owned() });
        };
        let material =
            SecretMaterial::Certificate { chain: content.to_owned(), key: format!("key of {content}").into() };
        let certificates =
            vec![ServedCertificate { fingerprint: format!("print of {content}"), not_after: Timestamp::UNIX_EPOCH }];
        Found::Known(KnownSecret { material, certificates }, None)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

async fn plane(keeper: &Arc<Keeper>) -> Plane {
    let plane = Plane::with(XdsSettings { secrets: Arc::<Keeper>::clone(keeper), ..tcp() }).await;
    plane.make_shop().await;
    make_secure(&plane, &json!({"acm": {"certificateArn": ARN}})).await;
    plane
}

/// A node that serves with this certificate.
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
    let keeper = Keeper::new();
    let plane = plane(&keeper).await;
    let mut secure = Envoy::settled(envoy::tcp(&plane.xds[0]).await, SECURE, &[]).await;
    // It is not to be had yet, and so the listener is left out.
    let report = plane.proxy_once(|proxy| certificate(proxy).is_object());
    let report = secure.nothing_until(report).await;
    assert_eq!(certificate(&report)["source"], "missing");
    assert_eq!(certificate(&report)["acknowledged"], false);
    assert_eq!(certificate(&report)["has"], Value::Null);
    assert_eq!(report["findings"][0]["id"], problem::UNAVAILABLE);
    keeper.renew("none");
    let response = secure.take(Listener).await;
    assert_eq!(response.resources.len(), 2, "the ingress listener can be had now, beside the egress one");
    secure.ask(ResourceType::Secret, &[ARN]);
    secure.take(ResourceType::Secret).await;
    let mut former = "none";
    for content in ["first", "second"] {
        keeper.renew(content);
        let response = secure.next().await;
        assert_eq!(response.type_url, ResourceType::Secret.url());
        let secret = Secret::decode(response.resources[0].value.as_slice()).unwrap();
        assert_eq!(secret.name, ARN);
        let report = plane.proxy_once(|_| true).await;
        assert_eq!(certificate(&report)["acknowledged"], false, "sent, and not yet taken");
        assert_eq!(certificate(&report)["has"][0]["fingerprint"], format!("print of {former}"));
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
        former = content;
        assert_eq!(report["upToDate"], true);
        assert!(!report.to_string().contains("key of"), "{report}");
    }
    keeper.renew("second");
    secure.nothing_until(plane.proxies()).await;
}

#[tokio::test]
async fn another_proxys_certificate_is_not_to_be_had() {
    let keeper = Keeper::new();
    keeper.renew("first");
    let plane = plane(&keeper).await;
    let mut front =
        Envoy::settled(envoy::tcp(&plane.xds[0]).await, "mesh/shop/virtualNode/front", &[envoy::EGRESS]).await;
    front.ask(ResourceType::Secret, &[ARN]);
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
async fn certificates_are_told_and_hurried() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    let first = root.issue("a.local");
    vault.put(ARN, &first);
    let hourly = KeeperSettings { refresh: Duration::from_hours(1), ..KeeperSettings::default() };
    let secrets = control_plane::certificates::Keeper::start(vault.sources(&[]), hourly);
    let plane = Plane::with(XdsSettings { secrets, ..tcp() }).await;
    plane.make_shop().await;
    make_secure(&plane, &json!({"acm": {"certificateArn": ARN}})).await;
    let mut secure = Envoy::settled(envoy::tcp(&plane.xds[0]).await, SECURE, &[]).await;
    secure.ask(ResourceType::Secret, &[ARN]);
    secure.take(ResourceType::Secret).await;
    let (status, told) = plane.get("/certificates").await;
    assert_eq!(status, 200);
    assert_eq!(told["certificates"][0]["name"], ARN);
    assert_eq!(told["certificates"][0]["certificates"][0]["fingerprint"], first.fingerprint());
    assert_eq!(told["certificates"][0]["problem"], Value::Null);
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
        assert!(!all.contains(issued.key.lines().nth(1).unwrap()), "a key is told");
    }
}

#[tokio::test]
async fn what_is_in_files_is_told_where_they_can_be_seen() {
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
        let told = &report["certificates"]["file:/keys/a.pem,/keys/a.key"];
        assert_eq!((&told["source"], &told["has"]), (&json!("besideProxy"), &Value::Null));
        if seen {
            assert_eq!(told["inFile"][0]["fingerprint"], issued.fingerprint());
        } else {
            assert_eq!(told["inFile"], "unknown");
        }
    }
}
