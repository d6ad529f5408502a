//! The notices, events and journal entries of decisions, and replays from the journal.

use mesh::resource::{Resource, Tags};
use policy::Policy;
use ports::Urgency;
use rules::compliance::{ComplianceRecord as Record, DecisionScope, ResourceFacts as Facts, Topic, decide};
use serde_json::Value;

use crate::shop::{ALL, MESH, POLICY, Shop, V1, V2, arn};

#[tokio::test(start_paused = true)]
async fn finding_and_its_resolution_are_reported_once() {
    let shop = Shop::with(Topic::Tags, "version: 1\ntags: {required: [{key: owner, inherit: false}]}\n");
    let function = shop.start().await;
    function.scheduled_run().await.unwrap();
    assert_eq!((shop.ports.notifier.sent().len(), shop.ports.bus.events().len()), (0, 0), "no findings");
    shop.untag(&[V1, V2]);
    function.later(5).await;
    let sent = shop.ports.notifier.sent();
    assert_eq!((sent.len(), shop.ports.bus.events().len()), (1, 2), "one notice per mesh, one event per resource");
    assert_eq!(sent[0].urgency, Urgency::Note);
    assert_eq!(sent[0].subject, "tag-compliance: mesh/shop: 0 remediated, 2 not compliant, 0 compliant again");
    assert!(sent[0].body.contains(V1) && sent[0].body.contains(V2), "{}", sent[0].body);
    assert_eq!(shop.ports.bus.events()[0].resources, [arn(V1)]);
    function.later(5).await;
    // Another process reads the record, too.
    shop.start().await.later(5).await;
    assert_eq!(shop.ports.notifier.sent().len(), 1);
    shop.owns(V1, "recs");
    function.later(5).await;
    let sent = shop.ports.notifier.sent();
    assert_eq!(sent[1].subject, "tag-compliance: mesh/shop: 0 remediated, 0 not compliant, 1 compliant again");
    function.later(5).await;
    assert_eq!(shop.ports.notifier.sent().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn repair_is_reported_once() {
    let shop = Shop::new(Topic::Egress);
    shop.open_filter();
    let function = shop.start().await;
    for _ in 0..3 {
        function.later(5).await;
    }
    let sent = shop.ports.notifier.sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].body.contains("remediated: set the egress filter of mesh shop to DROP_ALL"), "{}", sent[0].body);
    let ids: Vec<_> = shop.ports.state.journal_of(&shop.key()).into_iter().map(|entry| entry.id).collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
    assert!(ids.iter().any(|id| id.ends_with("-begun")) && ids.iter().any(|id| id.ends_with("-ended")), "{ids:?}");
}

/// The journal entry of the reported decisions.
fn reported_entry(shop: &Shop) -> Value {
    let entries = shop.ports.state.journal_of(&shop.key());
    entries.into_iter().rfind(|entry| entry.id.ends_with("-told")).unwrap().body
}

/// The facts in a journal entry's observation.
fn facts(recorded: &Value) -> Facts {
    let resources = recorded["resources"].as_array().unwrap().iter().map(|read| {
        let kind = read["kind"].as_str().unwrap().parse().unwrap();
        let tags: std::collections::BTreeMap<String, String> = serde_json::from_value(read["tags"].clone()).unwrap();
        (Resource::read(kind, &read["resource"]).unwrap(), Some(Tags::read(tags).unwrap()))
    });
    let mut facts = Facts::from_resources(&recorded["mesh"].as_str().unwrap().parse().unwrap(), resources).unwrap();
    facts.record = serde_json::from_value::<Record>(recorded["record"].clone()).unwrap();
    facts.kill_switch = serde_json::from_value(recorded["killSwitch"].clone()).unwrap();
    facts.budget_used = serde_json::from_value(recorded["budgetUsed"].clone()).unwrap();
    facts
}

#[tokio::test(start_paused = true)]
async fn decision_is_replayed_from_its_journal_entry() {
    for topic in [Topic::Tags, Topic::Egress] {
        let shop = Shop::with(topic, POLICY);
        shop.untag(&[V2]);
        shop.open_filter();
        shop.calls(V1, "api.partner.example");
        shop.start().await.scheduled_run().await.unwrap();
        let entry = reported_entry(&shop);
        let mut observed = entry["observed"].clone();
        if let Some(place) = observed["at"].as_str() {
            let stored = shop.ports.reports.stored();
            observed = serde_json::from_slice(&stored[place.trim_start_matches("memory:")]).unwrap();
        }
        let policy: Policy = serde_json::from_value(observed["policy"].clone()).unwrap();
        let now = serde_json::from_value(observed["now"].clone()).unwrap();
        let decisions = decide(topic, &facts(&observed["facts"]), &policy, now, DecisionScope::All);
        let lines: Vec<_> = entry["decisions"].as_array().unwrap().clone();
        assert!(!lines.is_empty(), "{topic}");
        for line in lines {
            let again = decisions.iter().find(|decision| line["resource"] == decision.resource.to_string()).unwrap();
            let verdict = serde_json::to_value(&again.verdict).unwrap();
            assert_eq!(verdict["verdict"], line["decision"], "{topic} {line:#}");
            if line["decision"] == "act" {
                assert_eq!(verdict["why"], line["plan"], "{topic}");
            } else {
                assert_eq!(verdict["why"]["reason"], line["reason"], "{topic}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn large_observation_is_stored_in_the_report_store() {
    let shop = Shop::new(Topic::Tags);
    for n in 0..100 {
        let path = format!("mesh/shop/virtualNode/n{n}");
        shop.put(&path, &serde_json::json!({}));
        shop.owns(&path, "platform");
    }
    shop.untag(&[V2]);
    shop.start().await.scheduled_run().await.unwrap();
    let entry = reported_entry(&shop);
    let place = entry["observed"]["at"].as_str().unwrap();
    assert!(shop.ports.reports.stored().contains_key(place.trim_start_matches("memory:")), "{place}");
    assert_eq!(shop.ports.reports.stored().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn entries_of_deleted_resources_are_removed() {
    let shop = Shop::with(Topic::Tags, "version: 1\ntags: {required: [{key: owner, inherit: false}]}\n");
    shop.untag(&ALL);
    let function = shop.start().await;
    function.scheduled_run().await.unwrap();
    let reported = || shop.ports.state.stored(&shop.key()).unwrap().document["told"].as_object().unwrap().clone();
    assert_eq!(reported().len(), 10);
    shop.ports.mesh.remove(&V2.parse().unwrap());
    function.later(5).await;
    assert_eq!(reported().len(), 9);
    assert!(reported()[MESH].is_string());
}
