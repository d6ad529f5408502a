//! What people, programs and the journal are told, and that it can be decided again from that.

use mesh::compliance::{Facts, Record, Scope, Topic, decide};
use mesh::policy::Policy;
use mesh::resource::{Resource, Tags};
use ports::Urgency;
use serde_json::Value;

use crate::shop::{ALL, MESH, POLICY, Shop, V1, V2, arn};

#[tokio::test(start_paused = true)]
async fn news_are_told_once_and_so_is_their_end() {
    let shop = Shop::with(Topic::Tags, "version: 1\ntags: {required: [{key: owner, inherit: false}]}\n");
    let function = shop.start().await;
    function.wake().await.unwrap();
    assert_eq!((shop.ports.notifier.sent().len(), shop.ports.bus.events().len()), (0, 0), "all is well");
    shop.untag(&[V1, V2]);
    function.later(5).await;
    let sent = shop.ports.notifier.sent();
    assert_eq!((sent.len(), shop.ports.bus.events().len()), (1, 2), "one notice a mesh, one event a resource");
    assert_eq!(sent[0].urgency, Urgency::Note);
    assert_eq!(sent[0].subject, "tag-compliance: mesh/shop: 0 mended, 2 not compliant, 0 again");
    assert!(sent[0].body.contains(V1) && sent[0].body.contains(V2), "{}", sent[0].body);
    assert_eq!(shop.ports.bus.events()[0].resources, [arn(V1)]);
    function.later(5).await;
    // Another process remembers, too.
    shop.start().await.later(5).await;
    assert_eq!(shop.ports.notifier.sent().len(), 1);
    shop.owns(V1, "recs");
    function.later(5).await;
    let sent = shop.ports.notifier.sent();
    assert_eq!(sent[1].subject, "tag-compliance: mesh/shop: 0 mended, 0 not compliant, 1 again");
    function.later(5).await;
    assert_eq!(shop.ports.notifier.sent().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_repair_is_told_once() {
    let shop = Shop::of(Topic::Egress);
    shop.open_filter();
    let function = shop.start().await;
    for _ in 0..3 {
        function.later(5).await;
    }
    let sent = shop.ports.notifier.sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].body.contains("mended: set the egress filter of mesh shop to DROP_ALL"), "{}", sent[0].body);
    let ids: Vec<_> = shop.ports.state.journal_of(&shop.key()).into_iter().map(|entry| entry.id).collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
    assert!(ids.iter().any(|id| id.ends_with("-begun")) && ids.iter().any(|id| id.ends_with("-ended")), "{ids:?}");
}

/// What the journal says of all that was told.
fn told(shop: &Shop) -> Value {
    let entries = shop.ports.state.journal_of(&shop.key());
    entries.into_iter().rfind(|entry| entry.id.ends_with("-told")).unwrap().body
}

/// The facts that a journal entry's observation holds.
fn facts(recorded: &Value) -> Facts {
    let resources = recorded["resources"].as_array().unwrap().iter().map(|read| {
        let kind = read["kind"].as_str().unwrap().parse().unwrap();
        let tags: std::collections::BTreeMap<String, String> = serde_json::from_value(read["tags"].clone()).unwrap();
        (Resource::read(kind, &read["resource"]).unwrap(), Some(Tags::read(tags).unwrap()))
    });
    let mut facts = Facts::of(&recorded["mesh"].as_str().unwrap().parse().unwrap(), resources).unwrap();
    facts.record = serde_json::from_value::<Record>(recorded["record"].clone()).unwrap();
    facts.kill_switch = serde_json::from_value(recorded["killSwitch"].clone()).unwrap();
    facts.budget_used = serde_json::from_value(recorded["budgetUsed"].clone()).unwrap();
    facts
}

#[tokio::test(start_paused = true)]
async fn a_decision_can_be_made_again_from_what_was_recorded() {
    for topic in [Topic::Tags, Topic::Egress] {
        let shop = Shop::with(topic, POLICY);
        shop.untag(&[V2]);
        shop.open_filter();
        shop.calls(V1, "api.partner.example");
        shop.start().await.wake().await.unwrap();
        let entry = told(&shop);
        let mut observed = entry["observed"].clone();
        if let Some(place) = observed["at"].as_str() {
            let stored = shop.ports.reports.stored();
            observed = serde_json::from_slice(&stored[place.trim_start_matches("memory:")]).unwrap();
        }
        let policy: Policy = serde_json::from_value(observed["policy"].clone()).unwrap();
        let now = serde_json::from_value(observed["now"].clone()).unwrap();
        let decisions = decide(topic, &facts(&observed["facts"]), &policy, now, Scope::All);
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
async fn a_large_observation_goes_to_the_reports() {
    let shop = Shop::of(Topic::Tags);
    for n in 0..100 {
        let path = format!("mesh/shop/virtualNode/n{n}");
        shop.put(&path, &serde_json::json!({}));
        shop.owns(&path, "platform");
    }
    shop.untag(&[V2]);
    shop.start().await.wake().await.unwrap();
    let entry = told(&shop);
    let place = entry["observed"]["at"].as_str().unwrap();
    assert!(shop.ports.reports.stored().contains_key(place.trim_start_matches("memory:")), "{place}");
    assert_eq!(shop.ports.reports.stored().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn resources_that_are_gone_are_forgotten() {
    let shop = Shop::with(Topic::Tags, "version: 1\ntags: {required: [{key: owner, inherit: false}]}\n");
    shop.untag(&ALL);
    let function = shop.start().await;
    function.wake().await.unwrap();
    let told = || shop.ports.state.stored(&shop.key()).unwrap().document["told"].as_object().unwrap().len();
    assert_eq!(told(), 10);
    shop.ports.mesh.remove(&V2.parse().unwrap());
    function.later(5).await;
    assert_eq!(told(), 9);
    assert!(shop.ports.state.stored(&shop.key()).unwrap().document["told"][MESH].is_string());
}
