//! Unreadable resources and documents, and meshes of another owner.

use change_audit::NAME;
use jiff::SignedDuration;
use ports::{Note, StateKey, StateStore as _, Urgency};
use ports_memory::{Call, Effect, Failure, Fault};
use serde_json::{Value, json};

use super::shop::{RECS, Shop, morning, node, sample};

const WEB: &str = "mesh/shop/virtualNode/web";

fn breaks(shop: &Shop, name: &'static str, path: &'static str, failure: Failure) {
    let of_it = move |call: &Call| call.name == name && call.subject.ends_with(path);
    shop.ports.faults.whenever(of_it, Fault::Fails(failure, Effect::NotDone));
}

fn pages(shop: &Shop) -> Vec<String> {
    let pages = shop.ports.notifier.sent().into_iter().filter(|notice| notice.urgency == Urgency::Page);
    pages.map(|notice| format!("{}\n{}", notice.subject, notice.body)).collect()
}

/// A resource that is unreadable, or has unreadable tags, counts neither as deleted nor as changed; the others are audited.
#[tokio::test(start_paused = true)]
async fn only_the_unreadable_resource_is_unknown() {
    for call in ["describe", "list tags of"] {
        let shop = Shop::open().await;
        shop.tag(WEB, &[("owner", "web")]);
        shop.invoke("tick-rule").await.unwrap();
        breaks(&shop, call, WEB, Failure::Denied);
        shop.edit(RECS, &node(None));
        shop.ports.clock.advance(SignedDuration::from_hours(1));
        assert_eq!(shop.invoke("tick-rule").await.unwrap(), ["PartlyRead", "NoEvent"], "{call}");
        let kept = shop.document()["state"]["snapshot"]["resources"][WEB].clone();
        assert_eq!(kept["tags"], json!({ "owner": "web" }), "{call}: {kept}");
        assert_eq!(pages(&shop).iter().filter(|page| page.contains("PartlyRead")).count(), 1, "{:?}", pages(&shop));
        shop.ports.faults.reset();
        shop.tag(WEB, &[("owner", "others")]);
        shop.ports.clock.advance(SignedDuration::from_hours(1));
        assert_eq!(shop.invoke("tick-rule").await.unwrap(), ["NoEvent"], "{call}");
    }
}

/// A resource that is unreadable in the first read is unknown: once it can be read, it does not count as created.
#[tokio::test(start_paused = true)]
async fn resource_unreadable_in_the_first_read_is_not_a_change_later() {
    let undisturbed = Shop::open().await;
    for failure in [Failure::Denied, Failure::Unavailable] {
        let shop = Shop::new();
        breaks(&shop, "describe", WEB, failure);
        drop(shop.invoke("tick-rule").await);
        assert_eq!(shop.document()["state"]["snapshot"]["unread"], json!([WEB]));
        shop.ports.faults.reset();
        shop.ports.clock.advance(SignedDuration::from_hours(1));
        assert_eq!(shop.invoke("tick-rule").await.unwrap(), ["Unchanged"], "{failure:?}");
        assert_eq!(shop.document()["state"], undisturbed.document()["state"], "{failure:?}");
        // A resource that is created after that is a change.
        let path = "mesh/shop/virtualNode/recs-v2".parse().unwrap();
        shop.ports.mesh.put_spec(&path, &node(None)).unwrap();
        assert_eq!(shop.invoke("tick-rule").await.unwrap(), ["NoEvent"], "{failure:?}");
    }
}

/// A write to an unreadable resource is stored, and attributed once the resource can be read.
#[tokio::test(start_paused = true)]
async fn write_to_an_unreadable_resource_is_attributed_later() {
    let shop = Shop::open().await;
    shop.edit(RECS, &node(None));
    shop.tag(WEB, &[("owner", "web")]);
    breaks(&shop, "describe", RECS, Failure::Denied);
    assert_eq!(shop.invoke("cloudtrail-update-virtual-node").await.unwrap(), ["PartlyRead", "Unchanged"]);
    assert_eq!(shop.document()["waiting"].as_array().unwrap().len(), 1);
    assert_eq!(shop.invoke("tick-rule").await.unwrap(), ["PartlyRead", "NoEvent"], "the tag is seen all the same");
    assert_eq!(shop.document()["waiting"].as_array().unwrap().len(), 1, "and who wrote the other is not forgotten");
    shop.ports.faults.reset();
    assert_eq!(shop.invoke("tick-rule").await.unwrap(), ["Written"]);
    assert_eq!(shop.document()["waiting"], json!([]));
}

/// An unreadable document does not count as absent: the changes since the last state are not lost.
#[tokio::test(start_paused = true)]
async fn unreadable_document_holds_and_pages_once() {
    for (document, reason) in [
        (json!({ "open": 7 }), "RecordUnreadable"),
        (json!({ "seenAt": "2026-11-20T10:00:00Z", "state": { "kept": "on-the-moon" } }), "RecordUnreadable"),
        (
            json!({ "seenAt": "2026-11-20T10:00:00Z",
                "state": { "kept": "here", "sha256": "", "snapshot": { "mesh": "shop" } } }),
            "RecordUnreadable",
        ),
        (json!({ "format": 2 }), "NewerFormat"),
    ] {
        let shop = Shop::new();
        let key = StateKey::mesh(NAME, &"shop".parse().unwrap());
        let note = Note { key, revision: 0, now: morning(), document: document.clone(), journal: None };
        shop.ports.state.note(&note).await.unwrap();
        for _ in 0..2 {
            assert_eq!(shop.invoke("tick-rule").await.unwrap(), [reason], "{document}");
            shop.ports.clock.advance(SignedDuration::from_mins(4));
        }
        // Only the event names the writer, so it is delivered again.
        shop.invoke("cloudtrail-update-virtual-node").await.unwrap_err();
        assert_eq!(shop.document(), document, "it is not written over");
        assert_eq!(pages(&shop).len(), 1, "{:?}", pages(&shop));
        assert!(pages(&shop)[0].contains("meshwarden forget change-audit/shop"), "{:?}", pages(&shop));
    }
}

/// A damaged state in the reports store is a hold. A deleted one is replaced by a first read, which pages.
#[tokio::test(start_paused = true)]
async fn lost_state_pages() {
    let shop = Shop::new();
    for n in 0..400 {
        let path = format!("mesh/shop/virtualNode/n{n}").parse().unwrap();
        shop.ports.mesh.put_spec(&path, &node(Some("STRICT"))).unwrap();
    }
    shop.invoke("tick-rule").await.unwrap();
    let name = shop.document()["state"]["name"].as_str().unwrap().to_owned();
    ports::ReportStore::put(&shop.ports.reports, &name, b"{}").await.unwrap();
    shop.ports.clock.advance(SignedDuration::from_mins(20));
    assert_eq!(shop.invoke("tick-rule").await.unwrap(), ["RecordUnreadable"]);
    assert_eq!(pages(&shop).len(), 1);
    shop.ports.reports.remove(&name);
    assert_eq!(shop.invoke("tick-rule").await.unwrap(), ["FirstSight", "LastStateLost"]);
    assert!(pages(&shop)[1].contains("the changes since it was stored are not known"), "{:?}", pages(&shop));
}

/// Events about another account's mesh of the same name neither fail nor change the local mesh's state.
#[tokio::test(start_paused = true)]
async fn mesh_of_another_owner_with_the_same_name_is_not_audited() {
    let shop = Shop::open().await;
    shop.edit(RECS, &node(None));
    let mut foreign = sample("cloudtrail-update-virtual-node");
    foreign["account"] = json!("210987654321");
    // A version that the local mesh may never reach.
    let text = foreign.to_string().replace("\"version\":2", "\"version\":9");
    let foreign: Value = serde_json::from_str(&text).unwrap();
    for _ in 0..3 {
        assert_eq!(shop.invoke_with(&foreign).await[0], "OtherOwner");
        shop.ports.clock.advance(SignedDuration::from_mins(1));
    }
    assert_eq!(pages(&shop).iter().filter(|page| page.contains("Behind")).count(), 0);
    let journal = json!(shop.journal().await).to_string();
    assert!(!journal.contains("deployer"), "the change is not attributed to the other account's caller: {journal}");
}

/// Lasting failures of the audit page; failures that pass do not.
#[tokio::test(start_paused = true)]
async fn lasting_failure_is_paged() {
    let shop = Shop::open().await;
    breaks(&shop, "list", "meshes", Failure::Unavailable);
    for (minutes, expected) in [(0, 0), (60, 1), (10, 1)] {
        shop.ports.clock.advance(SignedDuration::from_mins(minutes));
        shop.invoke("tick-rule").await.unwrap_err();
        assert_eq!(pages(&shop).len(), expected, "{minutes}: {:?}", pages(&shop));
    }
}

/// Only the message names the writer. If it could not be stored, the message is delivered again after any error.
#[tokio::test(start_paused = true)]
async fn message_is_delivered_again_when_the_state_table_denies() {
    let body = sample("cloudtrail-update-virtual-node").to_string();
    let batch = json!({ "Records": [{ "messageId": "m1", "eventSource": "aws:sqs", "body": body }] });
    let mut denied = 0;
    for call in ["load state", "note"] {
        for failure in [Failure::Denied, Failure::Unavailable] {
            let shop = Shop::open().await;
            shop.edit(RECS, &node(None));
            shop.ports.faults.whenever(move |given: &Call| given.name == call, Fault::Fails(failure, Effect::NotDone));
            let answer = shop.answer(&batch).await.unwrap();
            denied += usize::from(answer["batchItemFailures"] == json!([{ "itemIdentifier": "m1" }]));
            shop.ports.faults.reset();
            let answer = shop.answer(&batch).await.unwrap();
            assert_eq!(answer["batchItemFailures"], json!([]), "{call}");
            let is_named =
                shop.ports.notifier.sent().iter().any(|notice| notice.body.contains("deployer in role Deployer"));
            assert!(is_named, "{call} {failure:?}: no notice names the writer");
        }
    }
    assert_eq!(denied, 4, "load and store, each denied and unavailable");
}
