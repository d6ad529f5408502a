//! Everything that wakes it: each event directly, through a topic, and through a queue.

use serde_json::{Value, json};

use crate::shop::{DAY, Shop};

fn events(shop: &Shop) -> Vec<Value> {
    let acm = |kind: &str, detail: Value| json!({ "detail-type": kind, "source": "aws.acm", "resources": [shop.imported.as_str()], "detail": detail });
    let pca = |kind: &str, detail: Value| json!({ "detail-type": kind, "source": "aws.acm-pca", "resources": [shop.old.as_str()], "detail": detail });
    vec![
        acm("ACM Certificate Approaching Expiration", json!({ "DaysToExpiry": 31 })),
        acm("ACM Certificate Expired", json!({})),
        acm("ACM Certificate Available", json!({ "Action": "REIMPORT" })),
        acm("ACM Certificate Renewal Action Required", json!({ "RenewalStatusReason": "PCA_ACCESS_DENIED" })),
        acm("ACM Certificate Revoked", json!({})),
        acm("ACM Certificate Rotated", json!({})),
        pca("ACM Private CA Creation", json!({ "result": "success" })),
        pca("ACM Private CA Certificate Issuance", json!({ "result": "success" })),
        pca("ACM Private CA Certificate Revocation", json!({ "result": "success" })),
        pca("ACM Private CA CRL Generation", json!({ "result": "failure", "reason": "Failed to write CRL to S3." })),
        pca("ACM Private CA Audit Report Generation", json!({ "result": "success" })),
        json!({ "detail-type": "Scheduled Event", "source": "aws.events", "detail": {} }),
    ]
}

#[tokio::test(start_paused = true)]
async fn each_event_wakes_it_in_every_wrapping() {
    let wrap_sns =
        |event: &Value| json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "Message": event.to_string() } }] });
    let wrap_sqs = |event: &Value| json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m", "body": event.to_string() }] });
    let count = events(&Shop::open().await).len();
    for index in 0..count {
        for wrapping in 0..3 {
            let shop = Shop::open().await;
            let event = events(&shop).swap_remove(index);
            let event = match wrapping {
                0 => event,
                1 => wrap_sns(&event),
                _ => wrap_sqs(&event),
            };
            shop.wait(DAY * 62);
            let before = shop.leaf(&shop.imported()).await.leaf.fingerprint;
            shop.answer(&event).await.unwrap();
            assert_ne!(shop.leaf(&shop.imported()).await.leaf.fingerprint, before, "{event}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_needs_a_person_is_told_with_what_it_means() {
    let shop = Shop::open().await;
    let all = events(&shop);
    shop.answer(&all[3]).await.unwrap();
    shop.answer(&all[9]).await.unwrap();
    let sent = shop.ports.notifier.sent();
    let bodies: Vec<&str> = sent.iter().map(|notice| notice.body.as_str()).collect();
    assert_eq!(bodies.len(), 2, "{bodies:?}");
    assert!(bodies[0].contains("grant acm.amazonaws.com"), "{}", bodies[0]);
    assert!(bodies[1].contains("Failed to write CRL"), "{}", bodies[1]);
}

#[tokio::test(start_paused = true)]
async fn what_a_ca_has_withdrawn_is_replaced_at_once() {
    let mut shop = Shop::open().await;
    // The first rotation is by us, so that it is known what the CA calls the certificate.
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
