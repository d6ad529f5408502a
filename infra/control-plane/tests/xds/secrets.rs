//! Certificates on their way to proxies.

use std::sync::{Arc, Mutex};

use control_plane::xds::{Found, KnownSecret, SecretProblem, Secrets, ServedCertificate, XdsSettings, problem};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use jiff::Timestamp;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use xds::ResourceType::{self, Listener, Route};
use xds::{SecretMaterial, SecretRef};

use crate::envoy::{self, Envoy};
use crate::plane::{Plane, tcp};

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
    let listener = json!({
        "portMapping": {"port": 8443, "protocol": "http"},
        "tls": {"mode": "STRICT", "certificate": {"acm": {"certificateArn": ARN}}},
    });
    let discovery = json!({"dns": {"hostname": "secure.local"}});
    let spec = json!({"listeners": [listener], "serviceDiscovery": discovery});
    plane.put("/shop/virtualNodes", json!({"virtualNodeName": "secure", "spec": spec})).await;
    plane
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
