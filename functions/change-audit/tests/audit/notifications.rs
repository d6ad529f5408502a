//! The notifications about each event.

use jiff::SignedDuration;
use ports::{KillSwitch, StateStore as _};
use serde_json::{Value, json};

use super::shop::{RECS, Shop, folder, happen, morning, node, reasons, sample};

#[tokio::test(start_paused = true)]
async fn each_sample_event_is_audited() {
    let mut table = vec![
        ("cloudtrail-create-virtual-node", "Written", 1, "deployer in role Deployer"),
        ("cloudtrail-delete-virtual-node", "Written", 1, "deployer in role Deployer"),
        ("cloudtrail-denied", "Refused", 0, ""),
        ("cloudtrail-describe", "NotOurs", 0, ""),
        ("cloudtrail-refused", "Refused", 0, "deployer in role Deployer"),
        ("cloudtrail-update-virtual-node", "Written", 1, "deployer in role Deployer"),
        ("control-plane-route-failover", "Written", 0, "Meshwarden's route-failover"),
        ("control-plane-tag-resource", "Written", 0, "user ann"),
        ("sns-cloudtrail", "Written", 1, "deployer in role Deployer"),
        ("sqs-mesh-writes", "[]", 1, "user ann"),
        ("sqs-sns-cloudtrail", "[]", 1, "deployer in role Deployer"),
        ("tick-rule", "Unchanged", 0, ""),
    ];
    let mut files: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    files.sort();
    assert_eq!(files, table.iter().map(|(name, ..)| *name).collect::<Vec<_>>());
    for (name, reason, notices, by) in table.drain(..) {
        let shop = Shop::open().await;
        happen(&shop, name);
        assert_eq!(shop.invoke(name).await.unwrap(), [reason], "{name}");
        let sent = shop.ports.notifier.sent();
        assert_eq!(sent.len(), notices, "{name}: {sent:?}");
        let journal = shop.journal().await;
        // The first state is journalled, too.
        assert_eq!(journal.len(), 1 + usize::from(!by.is_empty()), "{name}: {journal:?}");
        assert!(by.is_empty() || journal[0].to_string().contains(by), "{name}: {journal:?}");
        assert!(notices == 0 || sent[0].body.contains(by), "{name}: {sent:?}");
        // The same event again shows no change and sends no notice.
        let again = shop.invoke(name).await.unwrap();
        let expected = if reason == "Written" { "Unchanged" } else { reason };
        assert_eq!(again, [expected], "{name}");
        let journal_again = shop.journal().await;
        assert_eq!((shop.subjects().len(), journal_again.len()), (notices, journal.len()), "{name}");
        assert_eq!(shop.document()["owed"], json!([]), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn notice_names_caller_difference_findings_and_remedies() {
    let shop = Shop::open().await;
    shop.edit(RECS, &node(None));
    let answer = shop.answer(&sample("cloudtrail-update-virtual-node")).await.unwrap();
    let notice = &shop.ports.notifier.sent()[0];
    assert_eq!(notice.subject, format!("Mesh shop degraded: {RECS} was updated"));
    for part in [
        "was updated (version 1 to 2)",
        "deployer in role Deployer (account 123456789012, from 192.0.2.10, with aws-cli/2.31.0): UpdateVirtualNode",
        "spec.listeners[0].tls: {",
        "New finding ",
        "Remediation: ",
        "Calls from web to recs-v1 for recs.local: TLS before, now plain text",
    ] {
        assert!(notice.body.contains(part), "{part} is missing in\n{}", notice.body);
    }
    let line = &answer["decisions"][0];
    assert_eq!((&line["decision"], &line["resource"]), (&json!("tell"), &json!(RECS)));
    assert_eq!(line["facts"]["cause"]["write"]["who"], Value::Null, "the caller is a member of the write");
    assert_eq!(line["facts"]["cause"]["write"]["caller"]["role"], "Deployer");
    let first = &line["facts"]["created"]["first"][0];
    assert_eq!(first["id"].as_str().unwrap().len(), 16, "{first}");
    let event = &shop.ports.bus.events()[0];
    assert_eq!((&*event.detail_type, &event.detail["changesCount"]), ("Meshwarden Change", &json!(1)));
}

#[tokio::test(start_paused = true)]
async fn change_without_an_event_is_found_by_the_scheduled_run_and_attributed_later() {
    let shop = Shop::open().await;
    shop.edit(RECS, &node(None));
    assert_eq!(shop.invoke("tick-rule").await.unwrap(), ["NoEvent"]);
    assert!(shop.ports.notifier.sent()[0].body.contains("by an unknown caller"));
    shop.ports.clock.advance(SignedDuration::from_mins(10));
    assert_eq!(shop.invoke("cloudtrail-update-virtual-node").await.unwrap(), ["Attributed"]);
    assert_eq!(shop.subjects()[1], format!("The author of the change of {RECS} is known"));
    assert_eq!(shop.invoke("cloudtrail-update-virtual-node").await.unwrap(), ["Unchanged"]);
    assert_eq!(shop.subjects().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn several_writes_between_two_reads_are_counted() {
    let shop = Shop::open().await;
    shop.edit(RECS, &node(None));
    shop.edit(RECS, &node(Some("PERMISSIVE")));
    let answer = shop.answer(&sample("cloudtrail-update-virtual-node")).await.unwrap();
    assert_eq!(reasons(&answer), ["WritesBetween"]);
    assert_eq!(answer["decisions"][0]["facts"]["cause"]["untold"], 1);
}

#[tokio::test(start_paused = true)]
async fn kill_switch_does_not_stop_the_audit() {
    let shop = Shop::open().await;
    let switch = KillSwitch { by: "ann".into(), reason: "incident".into(), at: morning() };
    shop.ports.state.set_kill_switch(Some(&switch)).await.unwrap();
    shop.edit(RECS, &node(None));
    assert_eq!(shop.invoke("cloudtrail-update-virtual-node").await.unwrap(), ["Written"]);
    assert_eq!(shop.subjects().len(), 1);
    assert_eq!(shop.ports.mesh.writes().len(), 0, "nor does it ever write");
}

/// Every caller is named, in any order of a deployment's events and in any division into batches.
#[tokio::test(start_paused = true)]
async fn order_of_events_is_irrelevant() {
    let version = |version: u64| {
        let mut event = sample("cloudtrail-update-virtual-node");
        event["detail"]["responseElements"]["virtualNode"]["metadata"]["version"] = json!(version);
        event["detail"]["eventID"] = json!(format!("update {version}"));
        event
    };
    let events = [version(2), version(3), sample("control-plane-tag-resource")];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
        let shop = Shop::open().await;
        shop.edit(RECS, &node(None));
        shop.edit(RECS, &node(Some("PERMISSIVE")));
        shop.tag(RECS, &[("owner", "recs")]);
        for at in order {
            shop.answer(&events[at]).await.unwrap();
        }
        let journal = shop.journal().await;
        let named: Vec<bool> = ["update 2", "update 3", "user ann"]
            .iter()
            .map(|who| journal.iter().any(|entry| entry.to_string().contains(who)))
            .collect();
        assert_eq!(journal.len(), 4, "{order:?}: {journal:?}");
        assert!(named[2], "{order:?}: {journal:?}");
        assert_eq!(shop.document()["open"], json!([]), "{order:?}: no change is unattributed");
    }
}
