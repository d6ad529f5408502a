//! A real Envoy with a node token in a file: it uses renewed tokens without a restart, and is cut off without one.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::{Value, json};

use crate::proxy::{Envoy, Kind};
use crate::specs::node;
use crate::stage::{Scratch, Stage, TIMEOUT};
use crate::tls::Authority;

/// The lifetime of the tokens, in seconds. Each is renewed at half of it.
const LIFETIME: u64 = 3;

/// Writes a new token as `meshwarden agent` does: into another file, renamed in place.
async fn renew(client: &reqwest::Client, api: &str, path: &Path) {
    let body = json!({"node": "mesh/shop/virtualNode/front", "lifetimeSeconds": LIFETIME}).to_string();
    let response = client.post(format!("{api}/tokens")).body(body).send().await.unwrap();
    let token: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    let new = path.with_extension("new");
    std::fs::write(&new, token["token"].as_str().unwrap()).unwrap();
    std::fs::rename(new, path).unwrap();
}

async fn streams(stage: &Stage) -> Vec<Value> {
    stage.report_of(Kind::Node, "front").await["streams"].as_array().cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn renewed_token_is_used_without_a_restart() {
    let folder = Scratch::new();
    let file = |name: &str| folder.file(name).to_str().unwrap().to_owned();
    let authority = Authority::new();
    authority.write(&folder.file("ca.pem"));
    authority.issue("xds.local", 1, &folder.file(""), "server");
    std::fs::write(file("token.key"), KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem()).unwrap();
    std::fs::set_permissions(file("token.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let (key, certificate, private) = (file("token.key"), file("server.pem"), file("server.key"));
    let server = ["--xds-auth", "token", "--xds-audience", "tests", "--token-key", &key];
    let tls = ["--xds-tls-cert", certificate.as_str(), "--xds-tls-key", &private];
    let Some(stage) = Stage::set_with(&[&server[..], &tls[..]].concat()).await else { return };
    stage.node("front", node("http", &[])).await;

    // The token has a separate folder, so that only renewals make Envoy read it.
    std::fs::create_dir(folder.file("token")).unwrap();
    let path = folder.file("token").join("token");
    renew(&stage.client, &stage.api, &path).await;
    let (ca, token, sds) = (file("ca.pem"), path.to_str().unwrap().to_owned(), file("sds.json"));
    let client = ["--tls-ca", ca.as_str(), "--tls-server-name", "xds.local", "--xds-auth", "token"];
    let files = ["--token-file", token.as_str(), "--token-sds", &sds];
    let renewing = tokio::spawn({
        let (client, api, path) = (stage.client.clone(), stage.api.clone(), path.clone());
        async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(LIFETIME) / 2);
            loop {
                ticks.tick().await;
                renew(&client, &api, &path).await;
            }
        }
    });
    let envoy = Envoy::start_with(&stage, Kind::Node, "front", &[&client[..], &files[..]].concat()).await;

    // Each stream ends with its token, and the next one has a newer token.
    let (mut seen, deadline) = (BTreeSet::new(), Instant::now() + TIMEOUT);
    while seen.len() < 3 {
        let current = streams(&stage).await;
        let current = current.iter().filter(|stream| stream["upToDate"] == true);
        seen.extend(current.map(|stream| stream["since"].as_str().unwrap().to_owned()));
        assert!(Instant::now() < deadline, "the proxy does not return with a renewed token: {seen:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(envoy.get(&stage, "/ready").await.0, 200);

    renewing.abort();
    let (deadline, refused) = (Instant::now() + TIMEOUT, "meshwarden_xds_streams_refused_total{reason=\"token\"}");
    loop {
        let metrics = stage.client.get(format!("{}/metrics", stage.api)).send().await.unwrap().text().await.unwrap();
        let is_refused = metrics.lines().any(|line| line.starts_with(refused) && !line.ends_with(" 0"));
        if is_refused && streams(&stage).await.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "the proxy is served without a valid token");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
