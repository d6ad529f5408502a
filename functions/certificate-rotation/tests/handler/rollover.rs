//! A CA is replaced in three stages. At every instant, each client trusts each server's certificate.

use decisions::rotation::TrustId;
use ports::certificates::UnknownProxies;
use serde_json::json;

use crate::shop::{Part, Shop, root};

async fn succeeded() -> (Shop, String) {
    let shop = Shop::open().await;
    let new = root(&shop.ports, "new");
    shop.set_policy(&format!("  successions:\n    - {{from: '{}', to: '{new}'}}\n", shop.old));
    (shop, new.as_str().to_owned())
}

#[tokio::test(start_paused = true)]
async fn both_are_trusted_then_leaves_are_reissued_then_the_old_is_removed() {
    let (mut shop, new) = succeeded().await;
    let before = shop.issuances();
    let (mut both, mut reissued) = (None, None);
    for round in 0..60 {
        // Every intermediate state is checked as the proxies follow.
        shop.go_on(1).await;
        let trust = &shop.node("web").await["backends"][0]["virtualService"]["clientPolicy"]["tls"]["validation"]["trust"]
            ["acm"]["certificateAuthorityArns"];
        if *trust == json!([shop.old.as_str(), new]) {
            both = both.or(Some(round));
        }
        if shop.leaf(&shop.imported()).await.leaf.issuer.contains("new") {
            reissued = reissued.or(Some(round));
        }
    }
    assert!(both.unwrap() < reissued.unwrap(), "trust first: {both:?} {reissued:?}");
    let root = shop.held.values().filter_map(|part| match part {
        Part::Roots(roots) => Some(roots),
        Part::Leaf(_) => None,
    });
    for roots in root {
        assert_eq!(roots.len(), 1);
        assert!(roots[0].subject.contains("new"), "{}", roots[0].subject);
    }
    for source in shop.sources().await {
        assert!(shop.leaf(&source).await.leaf.issuer.contains("new"), "{source}");
    }
    assert_eq!(shop.issuances(), before + 4, "one each");
    // The client now has a policy, the server's listener has another certificate, and the rest is unchanged.
    let web = shop.node("web").await;
    let stock = &web["backends"][1]["virtualService"]["clientPolicy"]["tls"];
    assert_eq!(stock["enforce"], false);
    assert_eq!(stock["validation"]["trust"]["acm"]["certificateAuthorityArns"], json!([new]));
    let listener = shop.node("stock").await["listeners"][0].clone();
    assert_ne!(listener["tls"]["certificate"]["acm"]["certificateArn"], shop.private.as_str());
    assert_eq!(listener["tls"]["mode"], "STRICT");
    let report = shop.invoke().await.unwrap();
    assert!(report.decisions.iter().all(|one| one.decision == "keep"), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn without_evidence_the_rollover_waits() {
    let (mut shop, new) = succeeded().await;
    shop.go_on(1).await;
    // The certificates of the proxies are unknown.
    shop.ports.certificates.proxies.set(Vec::new());
    let before = shop.issuances();
    for _ in 0..20 {
        shop.wait(jiff::SignedDuration::from_mins(5));
        drop(shop.invoke().await);
        shop.ports.certificates.proxies.set(Vec::new());
    }
    assert_eq!(shop.issuances(), before);
    for source in shop.sources().await {
        assert!(!shop.leaf(&source).await.leaf.issuer.contains("new"), "{source}");
    }
    let trusts = |id: &TrustId| matches!(id, TrustId::Policy { .. });
    let model = shop.model().await;
    let surveyed = decisions::rotation::MeshCertificates::from_mesh(&model);
    let dropped = surveyed
        .trusts
        .iter()
        .filter(|(id, used)| trusts(id) && used.anchors.len() == 1 && used.anchors[0].to_string().contains(&new));
    assert_eq!(dropped.count(), 0);
}

/// A replica of the control plane does not report: it may serve a proxy that no answer contains.
#[tokio::test(start_paused = true)]
async fn rollover_waits_for_a_replica_that_does_not_report() {
    let (mut shop, new) = succeeded().await;
    // Both CAs are trusted from here on.
    shop.go_on(2).await;
    let silent = UnknownProxies { proxies: None, disconnected: false, reason: "replica r does not report".to_owned() };
    shop.ports.certificates.proxies.set_unknown(vec![silent]);
    let before = shop.issuances();
    shop.go_on(40).await;
    assert_eq!(shop.issuances(), before, "no leaf of the new CA is issued before its trust is known to be everywhere");
    let trust = &shop.node("web").await["backends"][0]["virtualService"]["clientPolicy"]["tls"]["validation"]["trust"]
        ["acm"]["certificateAuthorityArns"];
    assert!(trust.as_array().unwrap().contains(&json!(shop.old.as_str())), "{trust}");
    let report = shop.invoke().await.unwrap();
    assert!(format!("{report:?}").contains("replica r does not report"), "{report:?}");
    shop.ports.certificates.proxies.set_unknown(Vec::new());
    shop.go_on(60).await;
    for source in shop.sources().await {
        assert!(shop.leaf(&source).await.leaf.issuer.contains("new"), "{source} {new}");
    }
}
