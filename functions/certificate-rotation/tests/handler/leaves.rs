//! Timely renewal of leaves of every kind.

use ports::certificates::{CertificateStore as _, Stage};

use crate::shop::{DAY, Shop};

#[tokio::test(start_paused = true)]
async fn fresh_certificates_are_not_changed() {
    let mut shop = Shop::open().await;
    let before = shop.issuances();
    shop.go_on(3).await;
    let report = shop.invoke().await.unwrap();
    let reasons: Vec<_> = report.decisions.iter().map(|one| (one.decision.as_str(), one.reason.as_str())).collect();
    assert!(reasons.iter().all(|one| matches!(*one, ("keep", "Fresh" | "Settled" | "Seen"))), "{reasons:?}");
    assert_eq!(shop.issuances(), before);
    assert!(shop.ports.notifier.sent().is_empty());
}

#[tokio::test(start_paused = true)]
async fn imported_certificate_is_replaced_on_the_same_arn() {
    let mut shop = Shop::open().await;
    let (source, issued) = (shop.imported(), shop.issuances());
    let before = shop.leaf(&source).await.leaf;
    shop.wait(DAY * 62);
    shop.go_on(2).await;
    let after = shop.leaf(&source).await.leaf;
    assert_ne!(after.public_key, before.public_key, "a fresh key");
    assert_eq!((after.names, after.key, after.issuer), (before.names, before.key, before.issuer));
    let lifetime = |from: jiff::Timestamp, until: jiff::Timestamp| until.duration_since(from).as_hours();
    assert_eq!(lifetime(after.not_before, after.not_after), lifetime(before.not_before, before.not_after));
    assert_eq!(shop.ports.certificates.certificates.list().await.unwrap().len(), 2, "no other ARN");
    // Both bundles have the same age.
    assert_eq!(shop.issuances(), issued + 3);
    shop.go_on(5).await;
    assert_eq!(shop.issuances(), issued + 3, "once");
}

#[tokio::test(start_paused = true)]
async fn private_certificate_is_exported_and_renewed() {
    let mut shop = Shop::open().await;
    let source = shop.private();
    let before = shop.leaf(&source).await.leaf;
    for _ in 0..30 {
        shop.wait(DAY * 9);
        shop.go_on(2).await;
    }
    let after = shop.leaf(&source).await.leaf;
    assert_ne!(after.public_key, before.public_key);
    assert_eq!(after.names.all(), before.names.all());
    assert_eq!(
        shop.node("stock").await["listeners"][0]["tls"]["certificate"]["acm"]["certificateArn"],
        shop.private.as_str()
    );
}

#[tokio::test(start_paused = true)]
async fn bundle_is_prepared_then_served_and_the_previous_version_is_kept() {
    let mut shop = Shop::open().await;
    let before = shop.bundle("pay", Stage::Current).await.unwrap();
    shop.wait(DAY * 62);
    shop.go_on(2).await;
    let after = shop.bundle("pay", Stage::Current).await.unwrap();
    assert_ne!(after.bundle.key, before.bundle.key);
    assert_ne!(after.bundle.chain, before.bundle.chain);
    assert_eq!(shop.bundle("pay", Stage::Previous).await.unwrap(), before);
    assert_eq!(shop.bundle("pay", Stage::Pending).await, None);
}

#[tokio::test(start_paused = true)]
async fn forty_five_daily_repeats_lead_to_one_issuance() {
    let mut shop = Shop::open().await;
    shop.wait(DAY * 45);
    shop.go_on(6).await;
    let arn = shop.imported.as_str().to_owned();
    let before = shop.issuances();
    let mut imported = vec![shop.leaf(&shop.imported()).await.leaf.fingerprint];
    for days in (1..=45).rev() {
        let event = serde_json::json!({
            "detail-type": "ACM Certificate Approaching Expiration", "source": "aws.acm", "resources": [arn],
            "detail": { "DaysToExpiry": days, "CommonName": "orders.shop.local" },
        });
        shop.answer(&event).await.unwrap();
        shop.answer(&event).await.unwrap();
        shop.deliver().await;
        shop.wait(DAY);
        let now = shop.leaf(&shop.imported()).await.leaf.fingerprint;
        if imported.last() != Some(&now) {
            imported.push(now);
        }
    }
    assert_eq!(imported.len(), 2, "one issuance for the certificate of the event");
    assert_eq!(shop.issuances() - before, 3, "one for each of the same age");
}

#[tokio::test(start_paused = true)]
async fn in_mode_observe_no_change_is_made() {
    let shop = Shop::open().await;
    shop.policy.set("version: 1\n");
    let before = shop.issuances();
    shop.wait(DAY * 62);
    let report = shop.invoke().await.unwrap();
    let would =
        report.decisions.iter().filter(|one| one.outcome.as_ref().is_some_and(|one| one["outcome"] == "WouldApply"));
    assert!(would.count() >= 1, "{report:?}");
    assert_eq!(shop.issuances(), before);
}

/// The lateness metric is 0 while renewals are on time, and increases while no certificate can be issued.
#[tokio::test(start_paused = true)]
async fn lateness_of_a_renewal_is_measured() {
    let mut shop = Shop::open().await;
    shop.go_on(2).await;
    let late = async |shop: &Shop| {
        let metrics = shop.invoke().await.unwrap().metrics;
        metrics.into_iter().find(|metric| metric.name == "RenewalOverdue").map(|metric| metric.value)
    };
    assert_eq!(late(&shop).await, Some(0.0));
    shop.set_modes("{default: observe}", "");
    shop.wait(DAY * 72);
    let first = late(&shop).await.unwrap();
    shop.wait(DAY * 4);
    let then = late(&shop).await.unwrap();
    assert!((30.0..60.0).contains(&first) && then > first, "{first} {then}");
    shop.set_modes("{default: enforce}", "");
    shop.go_on(6).await;
    assert_eq!(late(&shop).await, Some(0.0));
}
