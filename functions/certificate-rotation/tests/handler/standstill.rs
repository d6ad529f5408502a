//! Former standstills and conflicts with operators, on the whole function.

use jiff::SignedDuration;
use mesh::certificates::CertificateSource as Source;
use ports::certificates::{AuthorityStatus, Bundle, PrivateKey, SecretBundles as _, SecretId, Stage, VersionId};
use ports::{BudgetWindow, Note, StateKey, StateStore as _};
use ports_memory::{Effect, Failure, Fault};
use runner::FailedMessages;
use serde_json::{Value, json};

use crate::shop::{DAY, Shop, leaf_bundle};

fn version(name: &str) -> VersionId {
    VersionId::parse(&format!("{name:-<32}")).unwrap()
}

/// Stores a pending version, as another program may.
async fn put_pending(shop: &Shop, name: &str, bundle: &Bundle) {
    let secret = SecretId::parse(&format!("mesh-{name}")).unwrap();
    shop.ports.certificates.bundles.put_pending(&secret, &version("by-others"), bundle).await.unwrap();
}

async fn document(shop: &Shop, subject: &str) -> Value {
    let key = StateKey::certificate(subject);
    let window = BudgetWindow { class: "t".to_owned(), start: shop.now(), end: shop.now() };
    let view = shop.ports.state.load(std::slice::from_ref(&key), &window).await.unwrap();
    view.documents.get(&key).map(|stored| stored.document.clone()).unwrap_or_default()
}

/// Changes a stored record, as an operator's command or another version of the function may.
async fn change(shop: &Shop, subject: &str, change: impl FnOnce(&mut Value)) {
    let key = StateKey::certificate(subject);
    let window = BudgetWindow { class: "t".to_owned(), start: shop.now(), end: shop.now() };
    let view = shop.ports.state.load(std::slice::from_ref(&key), &window).await.unwrap();
    let stored = &view.documents[&key];
    let mut document = stored.document.clone();
    change(&mut document);
    let note = Note { key, revision: stored.revision, now: shop.now(), document, journal: None };
    shop.ports.state.note(&note).await.unwrap();
}

fn subjects(shop: &Shop) -> Vec<String> {
    shop.ports.notifier.sent().into_iter().map(|notice| notice.subject).collect()
}

async fn reason(shop: &Shop, resource: &str) -> String {
    let report = shop.invoke().await.unwrap();
    report.decisions.into_iter().rfind(|one| one.resource == resource).unwrap().reason
}

async fn fingerprint(shop: &Shop, source: &Source) -> String {
    shop.leaf(source).await.leaf.fingerprint.to_string()
}

#[tokio::test(start_paused = true)]
async fn ended_pending_leaf_gets_a_fresh_attempt() {
    let mut shop = Shop::open().await;
    // Everything is renewed up to the promotion. Then no run is made for longer than the validity of the new leaf.
    shop.wait(DAY * 62);
    shop.ports.faults.whenever(
        |call| call.name == "promote secret" && call.subject == "mesh-pay",
        Fault::Fails(Failure::Unavailable, Effect::NotDone),
    );
    for _ in 0..2 {
        drop(shop.invoke().await);
        shop.wait(SignedDuration::from_mins(5));
    }
    shop.ports.faults.reset();
    assert!(shop.bundle("pay", Stage::Pending).await.unwrap().bundle.chain.is_some());
    shop.wait(DAY * 92);
    let ended = fingerprint(&shop, &Shop::sds("pay")).await;
    for _ in 0..6 {
        shop.wait(SignedDuration::from_mins(5));
        drop(shop.invoke().await);
    }
    let leaf = shop.leaf(&Shop::sds("pay")).await.leaf;
    assert!(leaf.fingerprint.to_string() != ended && leaf.not_after > shop.now(), "{leaf:?}");
    shop.held.clear();
    shop.deliver().await;
}

#[tokio::test(start_paused = true)]
async fn leaf_for_another_key_never_becomes_current() {
    let mut shop = Shop::open().await;
    let before = fingerprint(&shop, &Shop::sds("pay")).await;
    // Later than a CA recognises the token of an order.
    shop.wait(SignedDuration::from_mins(10));
    let (one, other) = (shop.old.clone(), shop.old.clone());
    let wrong = Bundle {
        key: leaf_bundle(&shop.ports, &other, "web").await.key,
        ..leaf_bundle(&shop.ports, &one, "pay").await
    };
    put_pending(&shop, "pay", &wrong).await;
    shop.wait(DAY * 62);
    assert_eq!(reason(&shop, "sds:pay").await, "PendingUnusable");
    assert_eq!(fingerprint(&shop, &Shop::sds("pay")).await, before);
    assert!(subjects(&shop).iter().any(|subject| subject.contains("PendingUnusable")), "{:?}", subjects(&shop));
    // The owner of the version had four hours.
    shop.go_on(52).await;
    let after = fingerprint(&shop, &Shop::sds("pay")).await;
    assert_ne!(after, before);
    let served = shop.bundle("pay", Stage::Current).await.unwrap();
    assert_ne!(served.bundle.key.as_ref().map(PrivateKey::pem), wrong.key.as_ref().map(PrivateKey::pem));
}

#[tokio::test(start_paused = true)]
async fn rolled_back_version_is_respected_until_it_is_released() {
    let mut shop = Shop::open().await;
    let first = shop.bundle("pay", Stage::Current).await.unwrap();
    shop.wait(DAY * 62);
    shop.go_on(2).await;
    let second = shop.bundle("pay", Stage::Current).await.unwrap();
    assert_ne!(second.version, first.version);
    shop.ports.certificates.bundles.move_current("mesh-pay", &first.version);
    for _ in 0..60 {
        shop.wait(SignedDuration::from_mins(5));
        drop(shop.invoke().await);
        assert_eq!(shop.bundle("pay", Stage::Current).await.unwrap(), first, "not promoted over an operator");
    }
    assert_eq!(reason(&shop, "sds:pay").await, "MovedBack");
    let pages = subjects(&shop);
    assert_eq!(pages.iter().filter(|subject| subject.contains("MovedBack")).count(), 1, "{pages:?}");
    let body = shop.ports.notifier.sent().into_iter().find(|notice| notice.subject.contains("MovedBack")).unwrap().body;
    assert!(body.contains("meshwarden release certificate/sds:pay"), "{body}");

    let now = shop.now();
    change(&shop, "sds:pay", |record| record["leaf"]["movedBack"]["released"] = json!(now)).await;
    shop.deliver().await;
    shop.go_on(3).await;
    let third = shop.bundle("pay", Stage::Current).await.unwrap();
    assert!(third.version != first.version && third.version != second.version, "a fresh attempt");
    assert_ne!(third.bundle.key, second.bundle.key);
}

#[tokio::test(start_paused = true)]
async fn rolled_back_version_is_replaced_near_its_end() {
    let mut shop = Shop::open().await;
    let first = shop.bundle("pay", Stage::Current).await.unwrap();
    shop.wait(DAY * 62);
    shop.go_on(2).await;
    shop.ports.certificates.bundles.move_current("mesh-pay", &first.version);
    shop.deliver().await;
    shop.wait(DAY * 15);
    shop.go_on(2).await;
    assert_eq!(shop.bundle("pay", Stage::Current).await.unwrap(), first);
    shop.wait(DAY * 6);
    shop.go_on(2).await;
    assert_ne!(shop.bundle("pay", Stage::Current).await.unwrap(), first, "an outage by expiry is worse");
}

#[tokio::test(start_paused = true)]
async fn failing_ca_pages_once_and_its_repair_is_noticed() {
    let mut shop = Shop::open().await;
    shop.wait(DAY * 62);
    shop.ports.certificates.authorities.set_failure(Some("malformed"));
    for _ in 0..36 {
        shop.wait(SignedDuration::from_mins(5));
        drop(shop.invoke().await);
    }
    let pages = subjects(&shop);
    let about_pay = pages.iter().filter(|subject| subject.contains("sds:pay")).count();
    assert_eq!(about_pay, 1, "{pages:?}");
    shop.ports.certificates.authorities.set_failure(None);
    let before = fingerprint(&shop, &Shop::sds("pay")).await;
    shop.deliver().await;
    shop.go_on(50).await;
    assert_ne!(fingerprint(&shop, &Shop::sds("pay")).await, before);
}

#[tokio::test(start_paused = true)]
async fn disabled_ca_pages_and_its_repair_is_noticed() {
    let mut shop = Shop::open().await;
    shop.wait(DAY * 62);
    shop.ports.certificates.authorities.set_status(&shop.old, AuthorityStatus::Disabled);
    shop.go_on(2).await;
    assert!(subjects(&shop).iter().any(|subject| subject.contains("AuthorityInactive")), "{:?}", subjects(&shop));
    shop.ports.certificates.authorities.set_status(&shop.old, AuthorityStatus::Active);
    let before = fingerprint(&shop, &Shop::sds("pay")).await;
    shop.go_on(2).await;
    assert_ne!(fingerprint(&shop, &Shop::sds("pay")).await, before);
}

#[tokio::test(start_paused = true)]
async fn failed_page_is_sent_by_the_next_run() {
    let shop = Shop::open().await;
    shop.wait(DAY * 62);
    shop.ports.certificates.authorities.set_status(&shop.old, AuthorityStatus::Disabled);
    shop.ports.faults.whenever(|call| call.name == "notify", Fault::Fails(Failure::Unavailable, Effect::NotDone));
    drop(shop.invoke().await);
    assert!(subjects(&shop).is_empty());
    assert!(!document(&shop, "sds:pay").await["owed"].is_null());
    shop.ports.faults.reset();
    shop.wait(SignedDuration::from_mins(5));
    drop(shop.invoke().await);
    let about_pay = |pages: Vec<String>| pages.iter().filter(|subject| subject.contains("sds:pay")).count();
    assert_eq!(about_pay(subjects(&shop)), 1, "{:?}", subjects(&shop));
    assert!(document(&shop, "sds:pay").await["owed"].is_null());
    shop.wait(SignedDuration::from_mins(5));
    drop(shop.invoke().await);
    assert_eq!(about_pay(subjects(&shop)), 1, "once");
}

#[tokio::test(start_paused = true)]
async fn revocation_that_is_not_stored_comes_again() {
    let mut shop = Shop::open().await;
    shop.wait(DAY * 62);
    shop.go_on(3).await;
    let before = fingerprint(&shop, &Shop::sds("pay")).await;
    let name = document(&shop, "sds:pay").await["leaf"]["issuedAs"].as_str().unwrap().to_owned();
    let event = json!({ "detail-type": "ACM Private CA Certificate Revocation", "source": "aws.acm-pca",
        "resources": [name.split_once("/certificate/").unwrap().0, name], "detail": { "result": "success" } });
    let batch = json!({ "Records": [
        { "eventSource": "aws:sqs", "messageId": "revoked", "body": event.to_string() },
    ] });
    for call in ["begin", "note"] {
        shop.ports.faults.whenever(move |one| one.name == call, Fault::Fails(Failure::Denied, Effect::NotDone));
    }
    let retry = shop.answer(&batch).await.unwrap_err();
    assert_eq!(retry.messages, FailedMessages::Only(["revoked".to_owned()].into()));
    shop.ports.faults.reset();
    shop.answer(&batch).await.unwrap();
    shop.deliver().await;
    assert_ne!(fingerprint(&shop, &Shop::sds("pay")).await, before);
}

fn renewal_event(arn: &str) -> Value {
    json!({ "detail-type": "ACM Certificate Renewal Action Required", "source": "aws.acm", "resources": [arn],
        "detail": { "RenewalStatusReason": "CAA_ERROR" } })
}

#[tokio::test(start_paused = true)]
async fn event_about_a_certificate_that_no_mesh_uses_does_not_page() {
    let shop = Shop::open().await;
    let other = "arn:aws:acm:eu-west-1:123456789012:certificate/of-a-web-site";
    let report = shop.answer(&renewal_event(other)).await.unwrap();
    let line = report.decisions.iter().find(|one| one.resource == other).unwrap();
    assert_eq!((line.decision.as_str(), line.reason.as_str()), ("keep", "CertificateNotUsed"));
    assert!(subjects(&shop).is_empty(), "{:?}", subjects(&shop));
}

#[tokio::test(start_paused = true)]
async fn event_about_a_used_certificate_pages_once() {
    let shop = Shop::open().await;
    let event = renewal_event(shop.imported.as_str());
    for _ in 0..5 {
        shop.answer(&event).await.unwrap();
        shop.wait(DAY);
    }
    assert_eq!(subjects(&shop).len(), 1, "{:?}", subjects(&shop));
    let failed = json!({ "detail-type": "ACM Private CA CRL Generation", "source": "aws.acm-pca",
        "resources": [shop.old.as_str()], "detail": { "result": "failure", "reason": "no bucket" } });
    let worked = json!({ "detail-type": "ACM Private CA CRL Generation", "source": "aws.acm-pca",
        "resources": [shop.old.as_str()], "detail": { "result": "success" } });
    for _ in 0..3 {
        shop.answer(&failed).await.unwrap();
    }
    assert_eq!(subjects(&shop).len(), 2, "{:?}", subjects(&shop));
    shop.answer(&worked).await.unwrap();
    shop.answer(&failed).await.unwrap();
    assert_eq!(subjects(&shop).len(), 3, "{:?}", subjects(&shop));
}

#[tokio::test(start_paused = true)]
async fn members_of_a_newer_version_stay_and_a_newer_format_holds() {
    let mut shop = Shop::open().await;
    shop.go_on(1).await;
    change(&shop, "sds:pay", |record| {
        record["ofTomorrow"] = json!({ "a": 1 });
        record["leaf"]["ofTomorrow"] = json!([2]);
    })
    .await;
    change(&shop, "sds:web", |record| record["format"] = json!(2)).await;
    shop.wait(DAY * 62);
    let before = fingerprint(&shop, &Shop::sds("web")).await;
    shop.go_on(3).await;
    let record = document(&shop, "sds:pay").await;
    assert_eq!((&record["ofTomorrow"], &record["leaf"]["ofTomorrow"]), (&json!({ "a": 1 }), &json!([2])));
    assert_eq!(reason(&shop, "sds:web").await, "RecordNewer");
    assert_eq!(fingerprint(&shop, &Shop::sds("web")).await, before);
    assert_eq!(document(&shop, "sds:web").await["format"], 2, "it is not written over");
    assert!(subjects(&shop).iter().any(|subject| subject.contains("RecordNewer")), "{:?}", subjects(&shop));
}

/// An operator replaces the new certificate at a listener by the old private one.
#[tokio::test(start_paused = true)]
async fn listener_that_was_pointed_back_is_respected_until_it_is_released() {
    let mut shop = Shop::open().await;
    let new = crate::shop::root(&shop.ports, "new");
    shop.set_policy(&format!("  successions:\n    - {{from: '{}', to: '{new}'}}\n", shop.old));
    let at_stock = async |shop: &Shop| {
        let listener = shop.node("stock").await["listeners"][0].clone();
        listener["tls"]["certificate"]["acm"]["certificateArn"].as_str().unwrap().to_owned()
    };
    let point_back = async |shop: &Shop| {
        let mut stock = shop.node("stock").await;
        stock["listeners"][0]["tls"]["certificate"]["acm"]["certificateArn"] = json!(shop.private.as_str());
        let path = crate::shop::path("stock");
        shop.ports.mesh.edit_resource(&path, mesh::spec::Spec::read(path.kind(), &stock).unwrap());
    };
    // Both CAs are trusted: the listener has its new certificate, and another listener does not yet.
    for _ in 0..60 {
        shop.go_on(1).await;
        if at_stock(&shop).await != shop.private.as_str() {
            break;
        }
    }
    assert_ne!(at_stock(&shop).await, shop.private.as_str());
    point_back(&shop).await;
    for _ in 0..40 {
        shop.wait(SignedDuration::from_mins(5));
        drop(shop.invoke().await);
        assert_eq!(at_stock(&shop).await, shop.private.as_str(), "not repointed over an operator");
    }
    let subject = format!("acm:{}", shop.private.as_str());
    assert_eq!(reason(&shop, &subject).await, "MovedBack");
    let pages = subjects(&shop);
    assert_eq!(pages.iter().filter(|subject| subject.contains("MovedBack")).count(), 1, "{pages:?}");

    let now = shop.now();
    change(&shop, &subject, |record| record["leaf"]["movedBack"]["released"] = json!(now)).await;
    shop.held.clear();
    shop.deliver().await;
    let mut reasons = Vec::new();
    while reasons.len() < 60 && at_stock(&shop).await == shop.private.as_str() {
        shop.wait(SignedDuration::from_mins(5));
        let answer = shop.invoke().await;
        let report = answer.unwrap_or_else(|retry| retry.report.unwrap());
        let of_it = report.decisions.into_iter().filter(|one| one.resource == subject);
        reasons.push(of_it.map(|one| format!("{} {} {:?}", one.decision, one.reason, one.outcome)).collect::<Vec<_>>());
        shop.deliver().await;
    }
    assert_ne!(at_stock(&shop).await, shop.private.as_str(), "resumed once it is released: {reasons:#?}");
}

/// A page that cannot be stored would be sent again by each new process: the metric `PagesWithheld` reports it.
#[tokio::test(start_paused = true)]
async fn page_that_cannot_be_stored_is_withheld_by_each_process() {
    let shop = Shop::open().await;
    shop.wait(DAY * 62);
    let tick = json!({ "detail-type": "Scheduled Event", "source": "aws.events", "detail": {} });
    let answer = async || {
        let function = shop.start().await;
        let deadline = ports::Deadline::after(std::time::Duration::from_secs(110));
        runner::Handler::handle(&function, runner::events::parse(&tick), deadline).await
    };
    let failed = ["begin", "note", "finish"];
    let fault = Fault::Fails(Failure::Denied, Effect::NotDone);
    shop.ports.faults.whenever(move |call| failed.contains(&call.name), fault);
    for _ in 0..3 {
        let report = answer().await.unwrap();
        assert!(report.signals.pages_withheld > 0, "{report:?}");
        assert_eq!(subjects(&shop), Vec::<String>::new());
        shop.wait(SignedDuration::from_mins(5));
    }
    shop.ports.faults.reset();
    let report = answer().await.unwrap();
    assert_eq!(report.signals.pages_withheld, 0, "{report:?}");
}
