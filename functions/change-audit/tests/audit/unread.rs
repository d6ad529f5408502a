//! What cannot be read: resources, documents, and meshes of another owner.

use change_audit::NAME;
use jiff::SignedDuration;
use ports::memory::{Call, Effect, Failure, Fault};
use ports::{Note, StateKey, StateStore as _, Urgency};
use serde_json::{Value, json};

use super::world::{RECS, Shop, morning, node, sample};

const WEB: &str = "mesh/shop/virtualNode/web";

fn breaks(shop: &Shop, name: &'static str, path: &'static str, failure: Failure) {
    let of_it = move |call: &Call| call.name == name && call.subject.ends_with(path);
    shop.ports.faults.whenever(of_it, Fault::Fails(failure, Effect::NotDone));
}

fn pages(shop: &Shop) -> Vec<String> {
    let pages = shop.ports.notifier.sent().into_iter().filter(|notice| notice.urgency == Urgency::Page);
    pages.map(|notice| format!("{}\n{}", notice.subject, notice.body)).collect()
}

/// One resource that cannot be read, or not with its tags, looks neither deleted nor changed; the others are audited.
#[tokio::test(start_paused = true)]
async fn unreadable_resource_is_the_only_one_unknown() {
    for call in ["describe", "list tags of"] {
        let shop = Shop::open().await;
        shop.tag(WEB, &[("owner", "web")]);
        shop.wake("tick-rule").await.unwrap();
        breaks(&shop, call, WEB, Failure::Denied);
        shop.edit(RECS, &node(None));
        shop.ports.clock.advance(SignedDuration::from_hours(1));
        assert_eq!(shop.wake("tick-rule").await.unwrap(), ["PartlyRead", "NoEvent"], "{call}");
        let kept = shop.document()["state"]["snapshot"]["resources"][WEB].clone();
        assert_eq!(kept["tags"], json!({ "owner": "web" }), "{call}: {kept}");
        assert_eq!(pages(&shop).iter().filter(|page| page.contains("PartlyRead")).count(), 1, "{:?}", pages(&shop));
        shop.ports.faults.reset();
        shop.tag(WEB, &[("owner", "others")]);
        shop.ports.clock.advance(SignedDuration::from_hours(1));
        assert_eq!(shop.wake("tick-rule").await.unwrap(), ["NoEvent"], "{call}");
    }
}

/// A resource that cannot be read at first sight is unknown, and not created when it can be read.
#[tokio::test(start_paused = true)]
async fn resource_that_cannot_be_read_at_first_sight_is_no_change_later() {
    let undisturbed = Shop::open().await;
    for failure in [Failure::Denied, Failure::Unavailable] {
        let shop = Shop::new();
        breaks(&shop, "describe", WEB, failure);
        drop(shop.wake("tick-rule").await);
        assert_eq!(shop.document()["state"]["snapshot"]["unread"], json!([WEB]));
        shop.ports.faults.reset();
        shop.ports.clock.advance(SignedDuration::from_hours(1));
        assert_eq!(shop.wake("tick-rule").await.unwrap(), ["Unchanged"], "{failure:?}");
        assert_eq!(shop.document()["state"], undisturbed.document()["state"], "{failure:?}");
        // What is created from now on is a change.
        let path = "mesh/shop/virtualNode/recs-v2".parse().unwrap();
        shop.ports.mesh.put_spec(&path, &node(None)).unwrap();
        assert_eq!(shop.wake("tick-rule").await.unwrap(), ["NoEvent"], "{failure:?}");
    }
}

/// A write to something that cannot be read now is kept, and known when it can be.
#[tokio::test(start_paused = true)]
async fn write_to_an_unreadable_resource_is_attributed_later() {
    let shop = Shop::open().await;
    shop.edit(RECS, &node(None));
    shop.tag(WEB, &[("owner", "web")]);
    breaks(&shop, "describe", RECS, Failure::Denied);
    assert_eq!(shop.wake("cloudtrail-update-virtual-node").await.unwrap(), ["PartlyRead", "Unchanged"]);
    assert_eq!(shop.document()["waiting"].as_array().unwrap().len(), 1);
    assert_eq!(shop.wake("tick-rule").await.unwrap(), ["PartlyRead", "NoEvent"], "the tag is seen all the same");
    assert_eq!(shop.document()["waiting"].as_array().unwrap().len(), 1, "and who wrote the other is not forgotten");
    shop.ports.faults.reset();
    assert_eq!(shop.wake("tick-rule").await.unwrap(), ["Written"]);
    assert_eq!(shop.document()["waiting"], json!([]));
}

/// A document that cannot be read is not one that was never written: what changed since is not lost.
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
            assert_eq!(shop.wake("tick-rule").await.unwrap(), [reason], "{document}");
            shop.ports.clock.advance(SignedDuration::from_mins(4));
        }
        // Nothing else tells who wrote, so the event comes again.
        shop.wake("cloudtrail-update-virtual-node").await.unwrap_err();
        assert_eq!(shop.document(), document, "it is not written over");
        assert_eq!(pages(&shop).len(), 1, "{:?}", pages(&shop));
        assert!(pages(&shop)[0].contains("meshwarden forget change-audit/shop"), "{:?}", pages(&shop));
    }
}

/// What is kept among the reports and is damaged there is held; what is gone is seen afresh, and that pages.
#[tokio::test(start_paused = true)]
async fn lost_state_pages() {
    let shop = Shop::new();
    for n in 0..400 {
        let path = format!("mesh/shop/virtualNode/n{n}").parse().unwrap();
        shop.ports.mesh.put_spec(&path, &node(Some("STRICT"))).unwrap();
    }
    shop.wake("tick-rule").await.unwrap();
    let name = shop.document()["state"]["name"].as_str().unwrap().to_owned();
    ports::ReportStore::put(&shop.ports.reports, &name, b"{}").await.unwrap();
    shop.ports.clock.advance(SignedDuration::from_mins(20));
    assert_eq!(shop.wake("tick-rule").await.unwrap(), ["RecordUnreadable"]);
    assert_eq!(pages(&shop).len(), 1);
    shop.ports.reports.remove(&name);
    assert_eq!(shop.wake("tick-rule").await.unwrap(), ["FirstSight", "LastStateLost"]);
    assert!(pages(&shop)[1].contains("what changed since it was stored is not known"), "{:?}", pages(&shop));
}

/// Events about a mesh of the same name in another account are for that one: they neither fail nor change anything here.
#[tokio::test(start_paused = true)]
async fn mesh_of_another_owner_with_the_same_name_is_not_this_one() {
    let shop = Shop::open().await;
    shop.edit(RECS, &node(None));
    let mut foreign = sample("cloudtrail-update-virtual-node");
    foreign["account"] = json!("210987654321");
    // Of a version that this mesh may never reach.
    let text = foreign.to_string().replace("\"version\":2", "\"version\":9");
    let foreign: Value = serde_json::from_str(&text).unwrap();
    for _ in 0..3 {
        assert_eq!(shop.wake_with(&foreign).await[0], "OtherOwner");
        shop.ports.clock.advance(SignedDuration::from_mins(1));
    }
    assert_eq!(pages(&shop).iter().filter(|page| page.contains("Behind")).count(), 0);
    let journal = json!(shop.journal().await).to_string();
    assert!(!journal.contains("deployer"), "the change that was seen is not put down to them: {journal}");
}

/// Lasting failures of the audit page, and those that pass do not.
#[tokio::test(start_paused = true)]
async fn lasting_failure_is_paged() {
    let shop = Shop::open().await;
    breaks(&shop, "list", "meshes", Failure::Unavailable);
    for (minutes, expected) in [(0, 0), (60, 1), (10, 1)] {
        shop.ports.clock.advance(SignedDuration::from_mins(minutes));
        shop.wake("tick-rule").await.unwrap_err();
        assert_eq!(pages(&shop).len(), expected, "{minutes}: {:?}", pages(&shop));
    }
}

/// Only the message knows who wrote. Where nothing of it could be stored, it comes again, whatever the error is.
#[tokio::test(start_paused = true)]
async fn message_comes_again_when_the_state_table_denies() {
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
            let told =
                shop.ports.notifier.sent().iter().any(|notice| notice.body.contains("deployer in role Deployer"));
            assert!(told, "{call} {failure:?}: nobody knows who wrote");
        }
    }
    assert_eq!(denied, 4, "load and store, each denied and unavailable");
}
