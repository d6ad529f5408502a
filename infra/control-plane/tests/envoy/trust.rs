//! A gateway's trusted CAs change while it serves, without delays.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::application::Behaviour;
use crate::proxy::{Envoy, Kind};
use crate::specs::{node, with};
use crate::stage::Stage;
use crate::vault::{CERTIFICATE, Issuer, ROOT, Vault};

const NEXT: &str = "arn:aws:acm-pca:eu-west-1:123456789012:certificate-authority/00000000-0000-0000-0000-00000000000b";

/// How long Envoy waits for a secret before it continues without it.
const SECRET_TIMEOUT: Duration = Duration::from_secs(15);

fn gateway(authorities: &[&str]) -> Value {
    let trust = json!({"acm": {"certificateAuthorityArns": authorities}});
    json!({
        "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
        "backendDefaults": {"clientPolicy": {"tls": {"enforce": false, "validation": {"trust": trust}}}},
    })
}

/// Envoy does not acknowledge clusters before they are warm, and they are not warm without their secrets. A server
/// that waits for the acknowledgement before it sends the secrets would wait for fifteen seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_applies_every_change_of_its_trust_at_once() {
    let (vault, root, next) = (Vault::new(), Issuer::new("root"), Issuer::new("next"));
    vault.put(CERTIFICATE, &root.issue("node.shop.local"));
    vault.put_authority(ROOT, &root);
    vault.put_authority(NEXT, &next);
    let Some(stage) = Stage::set_here(vault.sources(&[])).await else { return };
    let tls = json!({"mode": "STRICT", "certificate": {"acm": {"certificateArn": CERTIFICATE}}});
    let mut running = Vec::new();
    let mut applications = Vec::new();
    for name in ["one", "two", "three"] {
        let spec = node("http", &[]);
        let spec = if name == "three" { spec } else { with(spec, &["listeners", "0", "tls"], tls.clone()) };
        stage.node(name, spec).await;
        stage.service_on_node(&format!("{name}.shop.local"), name).await;
    }
    stage.gateway("web", gateway(&[ROOT])).await;
    for name in ["one", "two", "three"] {
        let target = json!({"target": {"virtualService": {"virtualServiceName": format!("{name}.shop.local")}}});
        let spec = json!({"httpRoute": {"match": {"prefix": format!("/{name}")}, "action": target}});
        stage.gateway_route("web", name, spec).await;
    }
    for name in ["one", "two", "three"] {
        applications.push(stage.application(name, Behaviour::Echo).await);
        running.push(stage.envoy(Kind::Node, name).await);
    }
    let envoy = Envoy::start_with(&stage, Kind::Gateway, "web", &[]).await;
    for authorities in [&[ROOT, NEXT][..], &[NEXT], &[ROOT]] {
        let secret = format!("trust:{}", authorities.join(","));
        stage.put("/meshes/shop/virtualGateways/web", json!({"spec": gateway(authorities)})).await;
        let began = Instant::now();
        loop {
            let report = stage.report_of(Kind::Gateway, "web").await;
            let stream = &report["streams"][0];
            if stream["upToDate"] == true && stream["certificates"][&secret]["has"].is_array() {
                break;
            }
            assert!(began.elapsed() < SECRET_TIMEOUT, "{secret}: {report:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let (_, waited) = envoy.get(&stage, "/stats?filter=init_fetch_timeout").await;
    assert!(waited.contains("sds.trust_"), "{waited}");
    assert!(waited.lines().all(|line| line.ends_with(": 0")), "{waited}");
    stage.assert_no_nack().await;
}
