//! A CA rollover with restarts of the control plane: delta proxies that reconnect still count as having acknowledged
//! their resources.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ports::certificates::Bundle;

use crate::certificates::{BINDINGS, HOST, Load, bundles, declare, mutual, start};
use crate::proxy::Kind;
use crate::stage::{Stage, TIMEOUT};
use crate::vault::{Issuer, Vault, fingerprint};

/// The proxies, and the secrets of each that a stage of the rollover waits for.
const TRUST: [(&str, &str); 2] = [("server", "roots"), ("client", "roots")];
const LEAVES: [(&str, &str); 2] = [("server", "web"), ("client", "caller")];

/// Waits until `GET /proxies` reports that each proxy is up to date and has acknowledged these certificates, as a
/// rotation does.
async fn until_acknowledged(stage: &Stage, secrets: [(&str, &str); 2], prints: [&[String]; 2]) {
    for ((proxy, secret), prints) in secrets.into_iter().zip(prints) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let report = stage.report_of(Kind::Node, proxy).await;
            let stream = &report["streams"][0];
            let entry = &stream["certificates"][secret];
            let certificates = entry["certificates"].as_array().into_iter().flatten();
            let sent: Vec<&str> = certificates.filter_map(|one| one["fingerprint"].as_str()).collect();
            let acknowledged = entry["acknowledged"] == true && entry["has"] == entry["certificates"];
            if stream["upToDate"] == true && acknowledged && sent == prints {
                assert_eq!(stream["protocol"], "delta");
                break;
            }
            assert!(Instant::now() < deadline, "{proxy} has not acknowledged {prints:?} as {secret}: {report:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn ca_rollover_completes_with_delta_proxies_across_restarts() {
    let (vault, previous, next) = (Vault::new(), Issuer::new("previous"), Issuer::new("next"));
    bundles(&vault, &previous);
    let Some(mut stage) = Stage::set_here(vault.sources(&BINDINGS)).await else { return };
    let (server, policy) = mutual();
    declare(&stage, server, policy).await;
    let pair = start(&stage, &["--delta"]).await;
    assert_eq!(pair.status(&stage).await, 200);
    let load = Load::begin(&stage, &pair.egress);
    load.more(20).await;
    let both_roots = [fingerprint(&previous.pem()), fingerprint(&next.pem())];
    let new_root = &both_roots[1..];

    // Both roots are trusted.
    let both = format!("{}{}", previous.pem(), next.pem());
    vault.put_bundle("server", previous.issue(HOST).bundle(Some(both.clone())));
    until_acknowledged(&stage, TRUST, [&both_roots; 2]).await;
    restart(&mut stage, &vault).await;
    until_acknowledged(&stage, TRUST, [&both_roots; 2]).await;

    // The leaves of the new root are presented.
    let (server, client) = (next.issue(HOST), next.issue("client.shop.local"));
    let leaves = [&[server.fingerprint()][..], &[client.fingerprint()][..]];
    vault.put_bundle("server", Bundle { trust: Some(both), ..server.bundle(None) });
    vault.put_bundle("client", client.bundle(None));
    until_acknowledged(&stage, LEAVES, leaves).await;
    restart(&mut stage, &vault).await;
    until_acknowledged(&stage, LEAVES, leaves).await;

    // The old root has left the trust; the change is made while the control plane is stopped.
    stage.stop_here().await;
    vault.put_bundle("server", Bundle { trust: Some(next.pem()), ..server.bundle(None) });
    stage.start_here(vault.sources(&BINDINGS)).await;
    until_acknowledged(&stage, TRUST, [new_root; 2]).await;
    until_acknowledged(&stage, LEAVES, leaves).await;
    restart(&mut stage, &vault).await;
    until_acknowledged(&stage, TRUST, [new_root; 2]).await;
    load.more(20).await;
    assert_eq!(load.end().await, 0, "requests failed");
    stage.assert_no_nack().await;
}

async fn restart(stage: &mut Stage, vault: &Arc<Vault>) {
    stage.stop_here().await;
    stage.start_here(vault.sources(&BINDINGS)).await;
}
