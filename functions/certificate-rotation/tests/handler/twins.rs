//! Imported certificates with their key in a secret: both are renewed together.

use ports::certificates::{CertificateStore as _, Stage};

use crate::shop::{DAY, Shop, leaf_bundle};

#[tokio::test(start_paused = true)]
async fn both_are_renewed_with_one_issuance() {
    let mut shop = Shop::open().await;
    shop.bind_orders(&shop.orders.clone());
    let before = shop.leaf(&shop.imported()).await.leaf;
    shop.wait(DAY * 62);
    let issued = shop.issuances();
    shop.go_on(4).await;
    let after = shop.leaf(&shop.imported()).await.leaf;
    assert_ne!(after.public_key, before.public_key);
    let current = shop.bundle("orders", Stage::Current).await.unwrap().bundle;
    let kept = shop.ports.certificates.certificates.chain(&shop.imported).await.unwrap();
    assert_eq!(current.chain.as_ref().map(|chain| &chain.leaf), kept.as_ref().map(|chain| &chain.leaf));
    let former = shop.bundle("orders", Stage::Previous).await.unwrap().bundle;
    assert_eq!(former, shop.orders);
    assert_eq!(shop.issuances(), issued + 3);
    let report = shop.invoke().await.unwrap();
    assert!(report.decisions.iter().all(|one| one.decision == "keep"), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn secret_with_another_certificate_is_not_changed_and_reported() {
    let mut shop = Shop::open().await;
    let other = leaf_bundle(&shop.ports, &shop.old.clone(), "other").await;
    shop.bind_orders(&other);
    shop.wait(DAY * 62);
    let before = shop.leaf(&shop.imported()).await.leaf.fingerprint;
    shop.go_on(4).await;
    let report = shop.invoke().await.unwrap();
    let held = report.decisions.iter().find(|one| one.resource == shop.imported().to_string()).unwrap();
    assert_eq!((held.reason.as_str(), &held.facts["secret"]), ("SecretDiffers", &"mesh-orders".into()));
    assert_eq!(shop.leaf(&shop.imported()).await.leaf.fingerprint, before);
    assert_eq!(shop.bundle("orders", Stage::Current).await.unwrap().bundle, other);
    assert!(shop.ports.notifier.sent().iter().any(|notice| notice.subject.contains("SecretDiffers")));
    // The certificate would expire everywhere, so it is renewed in ACM.
    shop.wait(DAY * 21);
    shop.go_on(2).await;
    assert_ne!(shop.leaf(&shop.imported()).await.leaf.fingerprint, before);
    assert_eq!(shop.bundle("orders", Stage::Current).await.unwrap().bundle, other);
}

#[tokio::test(start_paused = true)]
async fn unreadable_secret_blocks_the_renewal() {
    use ports_memory::{Effect, Failure, Fault};
    let mut shop = Shop::open().await;
    shop.bind_orders(&shop.orders.clone());
    shop.wait(DAY * 62);
    let versions = shop.ports.certificates.bundles.versions("mesh-orders");
    shop.ports.faults.whenever(
        |call| call.name == "read secret" && call.subject == "mesh-orders",
        Fault::Fails(Failure::Unavailable, Effect::NotDone),
    );
    let report = shop.invoke().await.unwrap();
    let held = report.decisions.iter().find(|one| one.resource == shop.imported().to_string()).unwrap();
    assert_eq!(held.reason, "Unread");
    assert_eq!(shop.ports.certificates.bundles.versions("mesh-orders"), versions);
}
