//! Unreadable resources, tags and documents, and notices that cannot be sent.

use compliance_sweep::NAME;
use jiff::SignedDuration;
use ports::{Note, StateKey, StateStore as _, Urgency};
use ports_memory::{Call, Effect, Failure, Fault, MemoryPorts};
use serde_json::{Value, json};

use super::shop::{found, function, morning, put, reasons, remembered, rules, shop, sweep, sweep_at};

const WEB: &str = "mesh/shop/virtualNode/web";

fn breaks(ports: &MemoryPorts, name: &'static str, path: &'static str, failure: Failure) {
    let of_it = move |call: &Call| call.name == name && call.subject.ends_with(path);
    ports.faults.whenever(of_it, Fault::Fails(failure, Effect::NotDone));
}

fn pages(ports: &MemoryPorts) -> Vec<String> {
    let pages = ports.notifier.sent().into_iter().filter(|notice| notice.urgency == Urgency::Page);
    pages.map(|notice| format!("{}\n{}", notice.subject, notice.body)).collect()
}

fn ids(ports: &MemoryPorts) -> Vec<String> {
    remembered(ports)["findings"].as_object().unwrap().keys().cloned().collect()
}

/// The tags of one resource cannot be listed: only findings that depend on them are unknown, and stay unchanged.
#[tokio::test(start_paused = true)]
async fn only_findings_on_unlistable_tags_are_unknown() {
    for (failure, comes_again) in [(Failure::Denied, false), (Failure::TimedOut, true), (Failure::Throttled, true)] {
        let ports = shop();
        let function = function(&ports).await;
        sweep(&function).await.unwrap();
        let before = ids(&ports);
        assert!(rules(&ports).iter().any(|rule| rule.starts_with("tag-")), "{:?}", rules(&ports));

        ports.clock.advance(SignedDuration::from_hours(6));
        breaks(&ports, "list tags of", WEB, failure);
        put(&ports, "mesh/shop/virtualNode/lonely", &json!({}));
        let (report, retried) = match sweep(&function).await {
            Ok(report) => (report, false),
            Err(retry) => (retry.report.unwrap(), true),
        };
        assert_eq!((reasons(&report), retried), (vec!["Changed", "PartlyRead"], comes_again), "{failure:?}");
        let facts = &report.decisions[0].facts;
        assert_eq!(facts["resolvedCount"], 0, "an unknown finding is not resolved: {facts}");
        assert!(facts["newCount"].as_u64().unwrap() > 0, "the others are judged: {facts}");
        assert!(facts["unread"][0].as_str().unwrap().starts_with(&format!("tags of {WEB}: ")), "{facts}");
        let unread = &report.decisions[1].facts;
        assert_eq!((&unread["count"], &unread["unread"][WEB]["part"]), (&json!(1), &json!("tags")));
        assert!(before.iter().all(|id| ids(&ports).contains(id)));
        let on_web =
            |finding: &&Value| finding["resource"] == WEB && finding["rule"].as_str().unwrap().starts_with("tag-");
        assert_eq!(found(&ports).iter().filter(on_web).count(), 0, "an unknown resource has no findings");
        let stored = ports.reports.stored();
        let document: Value = serde_json::from_slice(&stored["compliance/mesh/shop/findings.json"]).unwrap();
        assert!(document["unread"][0].as_str().unwrap().contains(WEB), "{}", document["unread"]);
        let notice = ports.notifier.sent().into_iter().find(|notice| notice.body.contains("Not known, 1"));
        assert!(notice.is_some(), "{:?}", ports.notifier.sent());
        let about_it = pages(&ports).iter().filter(|page| page.contains("PartlyRead")).count();
        assert_eq!(about_it, usize::from(!comes_again), "{failure:?}: {:?}", pages(&ports));

        ports.faults.reset();
        ports.clock.advance(SignedDuration::from_hours(6));
        assert_eq!(reasons(&sweep(&function).await.unwrap()), ["Unchanged"], "{failure:?}");
    }
}

/// A resource that cannot be described has no new and no resolved findings, and no reference to it counts as dangling.
#[tokio::test(start_paused = true)]
async fn resource_that_cannot_be_described_is_neither_deleted_nor_judged() {
    for path in [WEB, "mesh/shop/virtualService/web.local"] {
        let ports = shop();
        let backend = json!({ "virtualService": { "virtualServiceName": "web.local" } });
        put(&ports, "mesh/shop/virtualNode/caller", &json!({ "backends": [backend] }));
        let function = function(&ports).await;
        sweep(&function).await.unwrap();
        let before = ids(&ports);
        ports.clock.advance(SignedDuration::from_hours(6));
        breaks(&ports, "describe", path, Failure::Denied);
        let report = sweep(&function).await.unwrap();
        assert_eq!(reasons(&report), ["Unchanged", "PartlyRead"], "{path}: {:?}", report.decisions);
        assert_eq!(ids(&ports), before, "{path}");
        assert!(found(&ports).iter().all(|finding| finding["resource"] != path), "{path}");
        assert!(!rules(&ports).contains(&"reference-dangling".to_owned()), "{path}");
        assert_eq!(pages(&ports).iter().filter(|page| page.contains("(PartlyRead)")).count(), 1, "{:?}", pages(&ports));
    }
}

/// An unreadable document does not count as empty: the mesh is held and paged once, and the document is not overwritten.
#[tokio::test(start_paused = true)]
async fn unreadable_history_holds_and_pages_once() {
    let mesh = "shop".parse().unwrap();
    let head = StateKey::mesh(NAME, &mesh);
    let part = StateKey::part_of_mesh(NAME, &mesh, 3, 16);
    for (key, document, reason) in [
        (&head, json!({ "findings": 7 }), "RecordUnreadable"),
        (&head, json!({ "parts": 5 }), "RecordUnreadable"),
        (&head, json!({ "sweptAt": "yesterday" }), "RecordUnreadable"),
        (&head, json!([]), "RecordUnreadable"),
        (&head, json!({ "sweptAt": morning(), "parts": 16 }), "RecordUnreadable"),
        (&head, json!({ "format": 1, "findings": {} }), "RecordUnreadable"),
        (&head, json!({ "format": 2, "findings": {} }), "NewerFormat"),
        (&part, json!({ "findings": [] }), "RecordUnreadable"),
        (&part, json!({ "format": 2 }), "NewerFormat"),
    ] {
        let ports = shop();
        let store = async |key: &StateKey, document: &Value| {
            let (key, document) = (key.clone(), document.clone());
            let note = Note { key, revision: 0, now: morning(), document, journal: None };
            ports.state.note(&note).await.unwrap();
        };
        if *key == part {
            store(&head, &json!({ "sweptAt": morning(), "parts": 16 })).await;
        }
        store(key, &document).await;
        let function = function(&ports).await;
        for _ in 0..3 {
            let report = sweep(&function).await.unwrap();
            assert_eq!(reasons(&report), [reason], "{document}");
            ports.clock.advance(SignedDuration::from_mins(4));
        }
        assert_eq!(ports.state.stored(key).unwrap().document, document, "it is not written over");
        assert_eq!((ports.reports.stored().len(), ports.bus.events().len()), (0, 0), "no finding is called new");
        let sent = pages(&ports);
        assert_eq!(sent.len(), 1, "{sent:?}");
        assert!(sent[0].contains(&format!("meshwarden forget {}", key.as_str())), "{sent:?}");
    }
}

/// An unreadable roster does not count as empty: the listed meshes are swept, and the roster is not overwritten.
#[tokio::test(start_paused = true)]
async fn unreadable_roster_is_not_overwritten() {
    let ports = shop();
    let key = StateKey::meshes(NAME);
    let note = Note { key: key.clone(), revision: 0, now: morning(), document: json!({ "meshes": 7 }), journal: None };
    ports.state.note(&note).await.unwrap();
    let function = function(&ports).await;
    let report = sweep(&function).await.unwrap();
    assert!(reasons(&report).contains(&"StateUnreachable"), "{:?}", reasons(&report));
    assert_eq!(ports.state.stored(&key).unwrap().document, json!({ "meshes": 7 }));
    assert!(pages(&ports)[0].contains("document `compliance-sweep` cannot be read"), "{:?}", pages(&ports));
}

#[tokio::test(start_paused = true)]
async fn unknown_members_of_a_document_are_kept() {
    let ports = shop();
    let key = StateKey::mesh(NAME, &"shop".parse().unwrap());
    let document = json!({ "added": { "by": "a newer version" }, "findings": {} });
    ports.state.note(&Note { key, revision: 0, now: morning(), document, journal: None }).await.unwrap();
    sweep(&function(&ports).await).await.unwrap();
    assert_eq!(remembered(&ports)["added"]["by"], "a newer version");
}

/// An unsent message is stored, and the next run of any process sends it once.
#[tokio::test(start_paused = true)]
async fn notices_and_events_survive_a_failure() {
    for call in ["notify", "put events"] {
        let ports = shop();
        ports.faults.once(move |given| given.name == call, Fault::Fails(Failure::Denied, Effect::NotDone));
        let report = sweep(&function(&ports).await).await.unwrap();
        assert_eq!(reasons(&report), ["Changed", "NotTold"]);
        ports.clock.advance(SignedDuration::from_hours(6));
        for _ in 0..2 {
            sweep(&function(&ports).await).await.unwrap();
        }
        let notices = ports.notifier.sent().into_iter().filter(|notice| notice.subject.contains("findings in mesh"));
        assert_eq!((notices.count(), ports.bus.events().len()), (1, 1), "{call}");
        assert_eq!(remembered(&ports).get("owed"), None, "{call}");
    }
}

/// A failure that lasts is paged; a failure that passes is not.
#[tokio::test(start_paused = true)]
async fn lasting_failure_is_paged_once() {
    let ports = shop();
    let function = function(&ports).await;
    breaks(&ports, "load state", "compliance-sweep/shop", Failure::Unavailable);
    sweep_at(&function, morning()).await.unwrap_err();
    assert_eq!(pages(&ports).len(), 0, "it may pass");
    ports.clock.advance(SignedDuration::from_mins(11));
    sweep_at(&function, morning()).await.unwrap_err();
    assert_eq!(pages(&ports).len(), 1, "it lasts");
    ports.clock.advance(SignedDuration::from_mins(1));
    sweep_at(&function, morning()).await.unwrap_err();
    assert_eq!(pages(&ports).len(), 1, "once");
    ports.faults.reset();
    sweep_at(&function, morning()).await.unwrap();

    let ports = shop();
    let function = super::shop::function(&ports).await;
    breaks(&ports, "list", "meshes", Failure::Denied);
    sweep(&function).await.unwrap();
    assert!(pages(&ports)[0].contains("meshes (Unreadable)"), "{:?}", pages(&ports));
}
