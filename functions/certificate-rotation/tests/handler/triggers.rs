//! All triggers: each event directly, through a topic, and through a queue.

use std::path::{Path, PathBuf};

use runner::events::{Delivery, Payload};
use serde_json::{Value, json};

use crate::shop::{DAY, Shop};

const SAMPLES: [&str; 15] = [
    "acm-approaching-expiration",
    "acm-available",
    "acm-expired",
    "acm-renewal-action-required",
    "acm-revoked",
    "acm-rotated",
    "pca-audit-report",
    "pca-creation",
    "pca-crl-failure",
    "pca-issuance",
    "pca-revocation",
    "sns-acm",
    "sqs-batch",
    "sqs-sns-acm",
    "tick-rule",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/certificate-rotation")
}

/// A sample event, about this shop.
fn event(name: &str, shop: &Shop) -> Value {
    let text = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
    let certificate = "arn:aws:acm:eu-west-1:123456789012:certificate/5f6c2b1e-7a3d-4c58-9f0e-2d4b6a8c1e3f";
    let authority =
        "arn:aws:acm-pca:eu-west-1:123456789012:certificate-authority/0c9d8e7f-6a5b-4c3d-8e1f-9a8b7c6d5e4f\"";
    let text = text.replace(authority, &format!("{}\"", shop.old));
    serde_json::from_str(&text.replace(certificate, shop.imported.as_str())).unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_sample_event_triggers_a_run() {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, SAMPLES);
    for name in names {
        let shop = Shop::open().await;
        let event = event(&name, &shop);
        let read = runner::events::parse(&event);
        let ours = |one: &Delivery| matches!(one.payload, Payload::Certificate(_) | Payload::Tick);
        assert!(!read.is_empty() && read.iter().all(ours), "{name}: {read:?}");
        shop.wait(DAY * 62);
        let before = shop.leaf(&shop.imported()).await.leaf.fingerprint;
        shop.answer(&event).await.unwrap();
        assert_ne!(shop.leaf(&shop.imported()).await.leaf.fingerprint, before, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn event_for_an_operator_is_paged_with_its_meaning() {
    let shop = Shop::open().await;
    shop.answer(&event("acm-renewal-action-required", &shop)).await.unwrap();
    shop.answer(&event("pca-crl-failure", &shop)).await.unwrap();
    let sent = shop.ports.notifier.sent();
    let bodies: Vec<&str> = sent.iter().map(|notice| notice.body.as_str()).collect();
    assert_eq!(bodies.len(), 2, "{bodies:?}");
    assert!(bodies[0].contains("grant acm.amazonaws.com"), "{}", bodies[0]);
    assert!(bodies[1].contains("Failed to write CRL"), "{}", bodies[1]);
}

#[tokio::test(start_paused = true)]
async fn revoked_certificate_is_replaced_at_once() {
    let mut shop = Shop::open().await;
    // The function orders the first certificate, so the CA's name of it is known.
    shop.wait(DAY * 62);
    shop.go_on(3).await;
    let before = shop.leaf(&Shop::sds("pay")).await.leaf;
    let state = format!("{:?}", shop.ports.state);
    let at = state.find("issuedAs").unwrap();
    assert!(at > 0);
    let names: Vec<&str> = state
        .split('"')
        .filter(|text| text.contains(":certificate-authority/") && text.contains("/certificate/"))
        .collect();
    let event = json!({
        "detail-type": "ACM Private CA Certificate Revocation", "source": "aws.acm-pca",
        "resources": names,
        "detail": { "result": "success" },
    });
    shop.answer(&event).await.unwrap();
    shop.deliver().await;
    shop.go_on(2).await;
    assert_ne!(shop.leaf(&Shop::sds("pay")).await.leaf.fingerprint, before.fingerprint);
}
