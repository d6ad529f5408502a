//! Resources that cannot be read completely: only these are unknown.

use ports_memory::{Call, Effect, Failure, Fault};
use records::{ObservedRef, Replay};
use rules::compliance::Topic;
use serde_json::json;

use crate::shop::{ALL, GATEWAY, MESH, PAYMENTS, POLICY, ROUTE, ROUTER, SERVICE, Shop, V1, V2, arn, decision, line};

/// Makes every call of this name about this resource fail.
fn breaks(shop: &Shop, name: &'static str, path: &str, failure: Failure) {
    let (path, arn) = (path.to_owned(), arn(path));
    let of_it = move |call: &Call| call.name == name && (call.subject == path || call.subject == arn);
    shop.ports.faults.whenever(of_it, Fault::Fails(failure, Effect::NotDone));
}

/// The tags of one resource cannot be listed: that resource is unknown, and the others are answered and repaired.
#[tokio::test(start_paused = true)]
async fn resource_with_unlistable_tags_is_the_only_one_unknown() {
    for (failure, comes_again) in [(Failure::Denied, false), (Failure::Throttled, true), (Failure::TimedOut, true)] {
        for path in ALL.into_iter().filter(|path| *path != V2) {
            let shop = Shop::new(Topic::Tags);
            shop.untag(&[V2]);
            breaks(&shop, "list tags of", path, failure);
            let answer = shop.start().await.sample("config-scheduled").await;
            assert_eq!(answer.is_err(), comes_again, "{path} {failure:?}: {answer:?}");
            let evaluated = shop.evaluated();
            assert_eq!((evaluated.len(), evaluated.get(path)), (9, None), "{path} {failure:?}");
            assert_eq!(evaluated[V2].0, "NON_COMPLIANT", "{path}");
            assert_eq!(evaluated.values().filter(|(compliance, _)| compliance == "COMPLIANT").count(), 8, "{path}");
            // A parent of the resource may have another value; only its services are parents of the node.
            let expected = if path == SERVICE { None } else { Some("platform") };
            assert_eq!(shop.owner(V2).as_deref(), expected, "{path} {failure:?}");
            assert_eq!(shop.pages().len(), usize::from(!comes_again), "{:?}", shop.pages());
            if let Ok(answer) = answer {
                let unread = line(&answer, MESH);
                assert_eq!(
                    (&unread["reason"], &unread["facts"]["count"]),
                    (&json!("PartlyRead"), &json!(1)),
                    "{answer:#}"
                );
                assert!(unread["facts"]["unread"][path]["error"].as_str().unwrap().contains("denied"), "{unread}");
                let count = &line(&answer, "rule/meshwarden-tags")["facts"]["unknown"];
                assert_eq!(count, &json!(1));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn repair_waits_for_the_tags_it_would_inherit() {
    let shop = Shop::new(Topic::Tags);
    shop.untag(&[V2]);
    breaks(&shop, "list tags of", SERVICE, Failure::Denied);
    let function = shop.start().await;
    let answer = function.scheduled_run().await.unwrap();
    let held = decision(&answer, V2);
    assert_eq!((&held["reason"], &held["facts"]["key"]), (&json!("SourceTagsUnknown"), &json!("owner")));
    assert_eq!(decision(&answer, SERVICE)["reason"], "TagsUnknown");
    shop.ports.faults.reset();
    shop.owns(SERVICE, "recs");
    function.later(15).await;
    assert_eq!(shop.owner(V2).as_deref(), Some("recs"), "not the tag of the service's parent");
}

/// Egress does not depend on tags.
#[tokio::test(start_paused = true)]
async fn egress_is_evaluated_and_repaired_without_tags() {
    for failure in [Failure::Denied, Failure::Throttled, Failure::Unavailable] {
        let shop = Shop::new(Topic::Egress);
        shop.open_filter();
        shop.breaks("list tags of", failure);
        let answer = shop.start().await.sample("config-change-mesh").await.unwrap();
        assert_eq!(
            (shop.evaluated()[MESH].0.as_str(), shop.filter()),
            ("NON_COMPLIANT", json!("DROP_ALL")),
            "{failure:?}"
        );
        assert_eq!(shop.pages().len(), 0, "{failure:?}: {answer:#}");
    }
}

/// A resource that cannot be described is unknown. The others are evaluated, and nothing is changed: the harm of a
/// change would be unknown.
#[tokio::test(start_paused = true)]
async fn resource_that_cannot_be_described_is_the_only_one_unknown() {
    for topic in [Topic::Tags, Topic::Egress] {
        for (failure, comes_again) in [(Failure::Denied, false), (Failure::Unavailable, true)] {
            for path in [V1, PAYMENTS, ROUTER, ROUTE, SERVICE, GATEWAY] {
                let shop = Shop::new(topic);
                shop.untag(&[V2]);
                shop.open_filter();
                breaks(&shop, "describe", path, failure);
                let answer = shop.start().await.sample("config-scheduled").await;
                assert_eq!(answer.is_err(), comes_again, "{topic} {path} {failure:?}: {answer:?}");
                let evaluated = shop.evaluated();
                assert_eq!((evaluated.len(), evaluated.get(path)), (9, None), "{topic} {path} {failure:?}");
                let wrong = if topic == Topic::Tags { V2 } else { MESH };
                for (resource, (compliance, annotation)) in &evaluated {
                    let expected = resource == wrong;
                    assert_eq!(compliance == "NON_COMPLIANT", expected, "{topic} {path}: {resource} {annotation}");
                }
                assert_eq!((shop.owner(V2), shop.filter()), (None, json!("ALLOW_ALL")), "{topic} {path}");
                if let Ok(answer) = answer {
                    assert_eq!(decision(&answer, wrong)["reason"], "PartlyRead", "{topic} {path}: {answer:#}");
                }
            }
        }
    }
}

/// A request about one resource does not wait for another unreadable resource.
#[tokio::test(start_paused = true)]
async fn event_about_one_resource_is_answered_while_another_is_throttled() {
    let shop = Shop::new(Topic::Tags);
    shop.untag(&[V2]);
    breaks(&shop, "list tags of", V1, Failure::Throttled);
    let answer = shop.start().await.sample("config-change").await;
    assert!(answer.is_ok(), "{answer:?}");
    assert_eq!(shop.evaluated()[V2].0, "NON_COMPLIANT");
    assert_eq!(shop.owner(V2).as_deref(), Some("platform"));
}

/// A resource that is deleted between its description and its tags is missing; an existing one without tags is unknown.
#[tokio::test(start_paused = true)]
async fn tags_that_are_not_found() {
    let shop = Shop::new(Topic::Tags);
    breaks(&shop, "list tags of", V2, Failure::NotFound);
    let answer = shop.start().await.sample("config-change").await.unwrap();
    assert_eq!((shop.evaluated().len(), &line(&answer, &arn(V2))["reason"]), (0, &json!("Unknown")));

    let shop = Shop::new(Topic::Tags);
    breaks(&shop, "list tags of", V2, Failure::NotFound);
    let (path, described) = (V2, std::sync::atomic::AtomicUsize::new(0));
    let second = move |call: &Call| {
        let is_of_it = call.name == "describe" && call.subject == path;
        is_of_it && described.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 0
    };
    shop.ports.faults.whenever(second, Fault::Fails(Failure::NotFound, Effect::NotDone));
    shop.start().await.sample("config-change").await.unwrap();
    assert_eq!(shop.evaluated()[V2].0, "NOT_APPLICABLE");
}

/// A list that is throttled between its pages is read again from the beginning, or fails.
#[tokio::test(start_paused = true)]
async fn throttled_list_is_never_a_short_list() {
    let is_list = |call: &Call| call.name == "list" && call.subject.starts_with("virtualNode");
    let shop = Shop::new(Topic::Tags);
    shop.untag(&[V2]);
    shop.ports.faults.once(is_list, Fault::Fails(Failure::Throttled, Effect::NotDone));
    shop.start().await.sample("config-scheduled").await.unwrap();
    assert_eq!((shop.evaluated().len(), shop.owner(V2).as_deref()), (10, Some("platform")));

    let shop = Shop::new(Topic::Tags);
    shop.untag(&[V2]);
    shop.ports.faults.whenever(is_list, Fault::Fails(Failure::Throttled, Effect::NotDone));
    shop.start().await.sample("config-scheduled").await.unwrap_err();
    assert_eq!((shop.evaluated().len(), shop.owner(V2), shop.pages().len()), (0, None, 0));
}

#[tokio::test(start_paused = true)]
async fn denied_mesh_does_not_affect_the_others_and_pages_once() {
    let shop = Shop::new(Topic::Tags);
    shop.untag(&[V2]);
    for name in ["bank", "club"] {
        shop.put(&format!("mesh/{name}"), &json!({}));
    }
    breaks(&shop, "describe", "mesh/bank", Failure::Denied);
    let function = shop.start().await;
    for _ in 0..3 {
        function.sample("config-scheduled").await.unwrap();
        shop.wait(4);
    }
    let evaluated = shop.evaluated();
    assert_eq!(
        (evaluated.len(), evaluated.contains_key("mesh/bank"), evaluated["mesh/club"].0.as_str()),
        (11, false, "NON_COMPLIANT")
    );
    assert_eq!(shop.pages().len(), 1, "{:?}", shop.pages());
}

/// A transient failure is not reported: no notice says that a resource is unknown, and then that it is known again.
#[tokio::test(start_paused = true)]
async fn transient_failure_is_not_reported() {
    let shop = Shop::with(Topic::Tags, "version: 1\ntags: {required: [{key: owner, inherit: false}]}\n");
    shop.untag(&[V2]);
    let function = shop.start().await;
    function.scheduled_run().await.unwrap();
    let sent = shop.ports.notifier.sent().len();
    breaks(&shop, "list tags of", V1, Failure::Unavailable);
    breaks(&shop, "describe", V2, Failure::Unavailable);
    shop.wait(5);
    function.scheduled_run().await.unwrap_err();
    shop.ports.faults.reset();
    function.later(5).await;
    assert_eq!(shop.ports.notifier.sent().len(), sent, "{:?}", shop.ports.notifier.sent());
}

/// A decision based on a partial reading is replayed from its journal entry.
#[tokio::test(start_paused = true)]
async fn partial_reading_is_replayed() {
    for topic in [Topic::Tags, Topic::Egress] {
        let shop = Shop::with(topic, &POLICY.replace("enforce", "observe"));
        shop.untag(&[V2]);
        shop.open_filter();
        breaks(&shop, "list tags of", V1, Failure::Denied);
        breaks(&shop, "describe", GATEWAY, Failure::Denied);
        shop.start().await.scheduled_run().await.unwrap();
        let entries = shop.ports.state.journal_of(&shop.key());
        assert!(!entries.is_empty(), "{topic}");
        for entry in entries {
            let body = entry.read().unwrap();
            let Some(ObservedRef::Here(observation)) = body.observed() else { panic!("{topic}: {body:?}") };
            let replays = records::replay(&body, observation).unwrap();
            assert!(!replays.is_empty() && replays.iter().all(Replay::is_same), "{topic}: {replays:?}");
        }
    }
}
