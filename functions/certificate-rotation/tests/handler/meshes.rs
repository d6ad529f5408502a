//! Several meshes that share certificates: a mesh in mode observe, or an unreadable mesh, blocks only the changes that
//! affect it.

use mesh::certificates::CertificateSource as Source;
use ports::PortErrorKind;
use runner::{Decision, Report};
use serde_json::json;

use crate::shop::{DAY, Shop, root};

fn decision<'r>(report: &'r Report, resource: &str) -> &'r Decision {
    report.decisions.iter().rfind(|one| one.resource == resource).unwrap_or_else(|| panic!("{resource}: {report:?}"))
}

async fn fingerprint(shop: &Shop, source: &Source) -> String {
    shop.leaf(source).await.leaf.fingerprint.to_string()
}

async fn fingerprints(shop: &Shop) -> [String; 3] {
    let [imported, pay, web] = [shop.imported(), Shop::sds("pay"), Shop::sds("web")];
    [fingerprint(shop, &imported).await, fingerprint(shop, &pay).await, fingerprint(shop, &web).await]
}

#[tokio::test(start_paused = true)]
async fn certificate_of_a_mesh_in_mode_observe_is_reported_and_the_others_are_renewed() {
    let mut shop = Shop::open().await;
    shop.add_lab().await;
    shop.set_modes("{default: enforce, meshes: {lab: {default: observe}}}", "");
    shop.wait(DAY * 62);
    let before = fingerprints(&shop).await;
    let report = shop.invoke().await.unwrap();
    let decision = decision(&report, &shop.imported().to_string());
    assert_eq!(decision.decision, "issue");
    assert_eq!(decision.outcome, Some(json!({ "outcome": "WouldApply", "watching": ["lab"] })));
    let events = shop.ports.bus.events().len();
    for _ in 0..6 {
        shop.deliver().await;
        shop.wait(jiff::SignedDuration::from_mins(5));
        drop(shop.invoke().await);
    }
    let after = fingerprints(&shop).await;
    assert_eq!(after[0], before[0], "the lab has it, too");
    assert!(after[1] != before[1] && after[2] != before[2], "the shop alone has these");
    let about = |event: &&ports::BusEvent| event.detail["decision"]["resource"] == shop.imported().to_string();
    let again = shop.ports.bus.events()[events..].iter().filter(about).count();
    assert_eq!(again, 0, "the same again is no news");
    assert!(shop.ports.notifier.sent().is_empty());
}

#[tokio::test(start_paused = true)]
async fn certificates_of_an_unread_mesh_wait_until_they_are_urgent() {
    let mut shop = Shop::open().await;
    shop.add_lab().await;
    shop.go_on(1).await;
    shop.set_unreadable("lab", Some(PortErrorKind::Denied));
    shop.wait(DAY * 62);
    let before = fingerprints(&shop).await;
    shop.go_on(6).await;
    let report = shop.invoke().await.unwrap();
    let held = decision(&report, &shop.imported().to_string());
    assert_eq!(held.reason, "MeshUnread");
    assert_eq!(held.facts["unknown"], "whether-it-arrives");
    assert!(held.facts["meshes"]["lab"].as_str().unwrap().contains("not now"), "{held:?}");
    assert_eq!(decision(&report, "mesh/lab").reason, "Unread");
    let after = fingerprints(&shop).await;
    assert_eq!(after[0], before[0]);
    assert!(after[1] != before[1] && after[2] != before[2], "certificates that the lab does not use");
    // An expired certificate would harm both meshes; a renewed one of the same CA and names harms neither.
    shop.wait(DAY * 20);
    shop.go_on(2).await;
    assert_ne!(fingerprint(&shop, &shop.imported()).await, before[0]);
}

#[tokio::test(start_paused = true)]
async fn mesh_that_was_never_read_blocks_no_renewal_by_the_same_ca() {
    let mut shop = Shop::open().await;
    shop.add_lab().await;
    shop.set_unreadable("lab", Some(PortErrorKind::Denied));
    shop.wait(DAY * 62);
    let before = fingerprints(&shop).await;
    let report = shop.invoke().await.unwrap();
    let done = report.decisions.iter().find(|one| one.resource == shop.imported().to_string()).unwrap();
    assert_eq!((done.decision.as_str(), &done.facts["unreadMeshes"]), ("issue", &json!(["lab"])));
    let after = fingerprints(&shop).await;
    assert!((0..3).all(|one| after[one] != before[one]), "{before:?} {after:?}");
    // The policy names the meshes in mode observe, and is always readable.
    shop.set_modes("{default: enforce, meshes: {lab: {default: observe}}}", "");
    shop.wait(DAY * 62);
    let report = shop.invoke().await.unwrap();
    assert_eq!(decision(&report, &shop.imported().to_string()).outcome.as_ref().unwrap()["outcome"], "WouldApply");
}

#[tokio::test(start_paused = true)]
async fn ca_is_replaced_only_while_every_mesh_is_readable() {
    let mut shop = Shop::open().await;
    shop.add_lab().await;
    shop.set_unreadable("lab", Some(PortErrorKind::Denied));
    let new = root(&shop.ports, "new");
    let succession = format!("  successions:\n    - {{from: '{}', to: '{new}'}}\n", shop.old);
    shop.set_policy(&succession);
    shop.go_on(40).await;
    let report = shop.invoke().await.unwrap();
    for source in shop.sources().await {
        assert!(!shop.leaf(&source).await.leaf.issuer.contains("new"), "{source}");
        assert_eq!(decision(&report, &source.to_string()).reason, "MeshUnread", "{source}");
    }
    shop.set_unreadable("lab", None);
    shop.go_on(80).await;
    for source in shop.sources().await {
        assert!(shop.leaf(&source).await.leaf.issuer.contains("new"), "{source}");
    }
    let report = shop.invoke().await.unwrap();
    assert!(report.decisions.iter().all(|one| one.decision == "keep"), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn old_ca_stays_trusted_while_a_mesh_is_unreadable() {
    let mut shop = Shop::open().await;
    shop.add_lab().await;
    let new = root(&shop.ports, "new");
    shop.set_policy(&format!("  successions:\n    - {{from: '{}', to: '{new}'}}\n", shop.old));
    let both = |node: &serde_json::Value| {
        let trust = &node["backends"][0]["virtualService"]["clientPolicy"]["tls"]["validation"]["trust"];
        trust["acm"]["certificateAuthorityArns"].as_array().unwrap().len() == 2
    };
    for _ in 0..200 {
        shop.go_on(1).await;
        let mut issued_anew = true;
        for source in shop.sources().await {
            issued_anew &= shop.leaf(&source).await.leaf.issuer.contains("new");
        }
        if issued_anew {
            break;
        }
    }
    assert!(both(&shop.node("web").await), "it is looked at before the last stage");
    shop.set_unreadable("lab", Some(PortErrorKind::Unavailable));
    shop.go_on(40).await;
    assert!(both(&shop.node("web").await));
    shop.set_unreadable("lab", None);
    shop.go_on(40).await;
    assert!(!both(&shop.node("web").await));
}
