//! The commands over stored documents and journal entries of other versions, and over unreadable documents.

use ports::StateKey;
use records::{DatedFinding, FindingsPart, SweepRecord, read_document};
use serde_json::{Value, json};

use super::super::error::{Refusal, Trouble};
use super::views::{Scratch, store};
use super::{Shop, cart};

fn sweep_key() -> StateKey {
    StateKey::mesh("compliance-sweep", &"shop".parse().unwrap())
}

/// A document in format 1, as a later version writes it.
fn later<R: records::DocumentRecord>(key: &StateKey, stored: &Value) -> Value {
    serde_json::to_value(read_document::<R>(key, stored).unwrap()).unwrap()
}

#[tokio::test]
async fn mesh_without_a_sweep_is_never_shown_as_without_findings() {
    for document in [json!({}), json!({ "wakes": ["e1"], "arn": "" })] {
        let shop = Shop::open();
        store(&shop, sweep_key(), document.clone(), None).await;
        let status = shop.run("meshwarden status").await.unwrap();
        assert!(status.contains("sweep: never") && !status.contains("no findings"), "{document}: {status}");
        let json: Value = serde_json::from_str(&shop.run("meshwarden status --format json").await.unwrap()).unwrap();
        assert_eq!(json["meshes"][0]["sweep"], Value::Null);
    }
}

#[tokio::test]
async fn sweep_with_missing_parts_is_unknown() {
    let shop = Shop::open();
    store(&shop, sweep_key(), json!({ "sweptAt": "2026-11-20T10:00:00Z", "parts": 16 }), None).await;
    let status = shop.run("meshwarden status").await.unwrap();
    assert!(status.contains("unknown: ") && status.contains("none of its 16 parts is stored"), "{status}");
    let json: Value = serde_json::from_str(&shop.run("meshwarden status --format json").await.unwrap()).unwrap();
    let sweep = &json["meshes"][0]["sweep"];
    assert!(sweep["unreadable"].is_string() && sweep.get("findings").is_none(), "{sweep}");
}

#[tokio::test]
async fn documents_of_format_1_are_shown() {
    let finding = |severity: &str| -> DatedFinding {
        serde_json::from_value(
            json!({ "firstSeen": "2026-11-20T06:00:00Z", "rule": "node-unused", "severity": severity,
            "resource": "mesh/shop/virtualNode/cart-v1" }),
        )
        .unwrap()
    };
    let shop = Shop::open();
    let mut head = later::<SweepRecord>(&sweep_key(), &json!({ "sweptAt": "2026-11-20T10:00:00Z", "parts": 16 }));
    head["state"]["counts"] = json!({ "high": 1, "low": 2 });
    store(&shop, sweep_key(), head, None).await;
    let part = StateKey::part_of_mesh("compliance-sweep", &"shop".parse().unwrap(), 3, 16);
    let findings = json!({ "findings": { "0000000000000003": finding("high") } });
    store(&shop, part.clone(), later::<FindingsPart>(&part, &findings), None).await;
    let audit = StateKey::mesh("change-audit", &"shop".parse().unwrap());
    let document = later::<records::AuditRecord>(&audit, &json!({ "seenAt": "2026-11-20T10:03:00Z" }));
    store(&shop, audit, document, None).await;
    let status = shop.run("meshwarden status").await.unwrap();
    assert!(status.contains("1 high, 2 low"), "{status}");
    assert!(status.contains("changes: read "), "{status}");
}

/// A later version stored the route and was rolled back: the commands read it, and write format 0.
#[tokio::test]
async fn route_document_of_format_1_works_in_all_commands() {
    let shop = Shop::open();
    shop.fails("cart-v1");
    shop.minutes(1).await;
    let key = StateKey::route(&cart());
    let mut stored = shop.ports.state.stored(&key).unwrap();
    stored.document = later::<decisions::failover::RouteRecord>(&key, &stored.document);
    shop.ports.state.put(&key, stored);
    let status = shop.run("meshwarden status").await.unwrap();
    assert!(status.contains("shifted") && status.contains("cart-v1:8 cart-v2:2"), "{status}");
    shop.run("meshwarden hold shop/cart/all --for 1h --reason x --by dana").await.unwrap();
    let document = shop.ports.state.stored(&key).unwrap().document;
    assert!(document.get("format").is_none() && document["shift"]["restore"].is_object(), "{document}");

    let journal = shop.ports.state.journal_of(&key);
    let entry = journal.iter().find(|entry| entry.read().unwrap().observed().is_some()).unwrap();
    let body = entry.read().unwrap().to_format_1();
    let file = Scratch::new("format-1.json");
    std::fs::write(&file.0, json!({ "at": entry.at, "id": entry.id, "body": body }).to_string()).unwrap();
    let output = shop.run(&format!("meshwarden replay --file {}", file.arg())).await.unwrap();
    assert!(output.contains("Failover to cart-v1:0 cart-v2:100; the same"), "{output}");
}

/// One entry without its observation, or of a newer format, hides none of the others and is not called the same.
#[tokio::test]
async fn entry_that_cannot_be_replayed_is_named_and_the_others_are_replayed() {
    let newer = json!({ "format": 2, "entry": "split" });
    let observed = |observed: Value| {
        json!({ "function": "route-failover", "resource": "mesh/shop/virtualRouter/cart/route/all",
            "reason": "Failover", "facts": {}, "text": "t", "plan": null, "observed": observed })
    };
    for (body, part) in [
        (newer, "cannot be read: entry.format"),
        (observed(json!({ "lost": "denied" })), "its observation was not stored: denied"),
        (observed(json!({ "at": "memory:observations/mesh/shop/1.json" })), "its observation was deleted: "),
        (observed(json!({ "now": 7 })), "its observation cannot be read: observed.now"),
    ] {
        let shop = Shop::open();
        shop.fails("cart-v1");
        shop.minutes(1).await;
        let key = StateKey::route(&cart());
        let stored = shop.ports.state.stored(&key).unwrap();
        let now = shop.now();
        let journal = Some(ports::JournalEntry { at: now, id: "x".to_owned(), body });
        let note = ports::Note { key, revision: stored.revision, now, document: stored.document, journal };
        ports::StateStore::note(&shop.ports.state, &note).await.unwrap();
        match shop.refuses("meshwarden replay shop/cart/all").await {
            Refusal::Different { different: 1, all: 2, text } => {
                assert!(text.contains(part) && text.contains("; the same"), "{text}");
            }
            other => panic!("{other:?}"),
        }
        let text = shop.run("meshwarden explain shop/cart/all").await.unwrap();
        assert!(text.contains("[Failover]"), "{text}");
    }
    let shop = Shop::open();
    let file = Scratch::new("newer.json");
    std::fs::write(&file.0, json!({ "format": 2 }).to_string()).unwrap();
    let refused = shop.run(&format!("meshwarden replay --file {}", file.arg())).await.unwrap_err();
    assert!(matches!(&refused, Trouble::NoRecord { why, .. } if why.contains("a newer version wrote it")), "{refused}");
}

/// Every entry of a state table that the version before `records` wrote is shown as a sentence.
#[test]
fn every_entry_of_the_previous_version_is_a_sentence() {
    let table = include_str!("../../../../../shared/records/tests/golden/format-0.json");
    let table: Value = serde_json::from_str(table).unwrap();
    let entries = table["journal"].as_array().unwrap();
    assert!(entries.len() > 100, "{}", entries.len());
    for entry in entries {
        let entry = ports::JournalEntry {
            at: "2026-11-20T10:00:00Z".parse().unwrap(),
            id: entry["id"].as_str().unwrap().to_owned(),
            body: entry["body"].clone(),
        };
        let sentence = super::super::sentences::entry(&entry);
        for part in
            ["failed to read the entry", "failed to read it", "an outcome of a newer version", "no text is recorded"]
        {
            assert!(!sentence.contains(part), "{sentence}");
        }
        let reason = entry.read().unwrap().decisions().first().map_or_else(String::new, |first| first.reason.clone());
        assert!(sentence.contains(&reason), "{reason}: {sentence}");
    }
}

/// The state table that the version before `records` wrote.
fn previous_table() -> Value {
    serde_json::from_str(include_str!("../../../../../shared/records/tests/golden/format-0.json")).unwrap()
}

/// `status` and `explain` over each document that the version before `records` wrote.
#[tokio::test]
async fn every_document_of_the_previous_version_is_shown() {
    let table = previous_table();
    let documents = table["documents"].as_array().unwrap();
    assert!(documents.len() > 100, "{}", documents.len());
    for stored in documents {
        let shop = Shop::open();
        let key = stored["key"].as_str().unwrap();
        let subjects: &[&str] = match key.split('/').next().unwrap() {
            "route" => &["shop/cart/all"],
            "node" => &["mesh/shop/virtualNode/cart-v1"],
            _ => &["mesh/shop", "shop/cart/all"],
        };
        // The shop has one route: a document of another route is stored as if it were of this one.
        let key: StateKey = match key.split('/').next().unwrap() {
            "route" => StateKey::route(&cart()),
            "node" => StateKey::node(&"shop".parse().unwrap(), &"cart-v1".parse().unwrap()),
            _ => serde_json::from_value(stored["key"].clone()).unwrap(),
        };
        store(&shop, key.clone(), stored["document"].clone(), None).await;
        // The head of a sweep is shown with its parts.
        let parts = documents.iter().filter(|part| part["key"].as_str().unwrap().starts_with("compliance-sweep/shop/"));
        for part in parts.filter(|_| key.as_str() == "compliance-sweep/shop") {
            let key: StateKey = serde_json::from_value(part["key"].clone()).unwrap();
            if shop.ports.state.stored(&key).is_none() {
                store(&shop, key, part["document"].clone(), None).await;
            }
        }
        let mut shown = shop.run("meshwarden status").await.unwrap();
        shown.push_str(&shop.run("meshwarden status --format json").await.unwrap());
        for subject in subjects {
            shown.push_str(&shop.run(&format!("meshwarden explain {subject}")).await.unwrap());
        }
        for part in ["cannot be read", "is unreadable", "\"unreadable\"", "newer version"] {
            assert!(!shown.contains(part), "{}: {}: {shown}", key.as_str(), stored["document"]);
        }
    }
}

/// `explain` and `replay` over the journal that the version before `records` wrote.
#[tokio::test]
async fn every_observation_of_the_previous_version_is_replayed() {
    let table = previous_table();
    let mut replayed = 0;
    for (number, entry) in table["journal"].as_array().unwrap().iter().enumerate() {
        let body = &entry["body"];
        let Some(observed) = body.get("observed").filter(|observed| observed.get("facts").is_some()) else { continue };
        let shop = Shop::open();
        let file = Scratch::new(&format!("previous-{number}.json"));
        let line = json!({ "at": "2026-11-20T10:00:00Z", "id": entry["id"], "body": body });
        std::fs::write(&file.0, line.to_string()).unwrap();
        let output = shop.run(&format!("meshwarden replay --file {}", file.arg())).await.unwrap();
        assert!(output.contains("; the same") && !output.contains("different"), "{observed}: {output}");
        replayed += 1;
    }
    assert!(replayed > 10, "{replayed}");
}
