//! Calls that fail temporarily or permanently: effects, notifications and retries.

use std::time::Duration;

use ports::Deadline;
use ports::{ConfigResource, PortErrorKind};
use ports_memory::{Effect, Failure, Fault};
use rules::compliance::Topic;
use serde_json::json;

use crate::shop::{MESH, PAYMENTS, Shop, V1, V2, arn, decision, line};

fn shop() -> Shop {
    let shop = Shop::new(Topic::Tags);
    shop.untag(&[V2]);
    shop
}

#[tokio::test(start_paused = true)]
async fn without_the_state_table_nothing_is_written_and_its_page_is_withheld_but_aws_config_is_answered() {
    let shop = shop();
    shop.breaks("load state", Failure::Unavailable);
    let function = shop.start().await;
    for _ in 0..3 {
        function.sample("config-change").await.unwrap_err();
        shop.wait(1);
    }
    assert_eq!((shop.calls_of("tag"), shop.calls_of("begin"), shop.pages_withheld()), (0, 0, 0), "it may pass");
    assert_eq!(shop.evaluated()[V2].0, "NON_COMPLIANT");
    shop.wait(10);
    // The alarm on the metric stays on for as long as each run reports it.
    for run in 1..=10 {
        function.scheduled_run().await.unwrap_err();
        assert_eq!((shop.pages().len(), shop.pages_withheld()), (0, run), "it lasts");
        shop.wait(15);
    }
    shop.ports.faults.reset();
    function.later(1).await;
    assert_eq!(shop.owner(V2).as_deref(), Some("platform"));
}

#[tokio::test(start_paused = true)]
async fn denied_write_is_reported_and_paged_and_blocks_no_other_write() {
    let shop = shop();
    shop.untag(&[V1]);
    let of_v1 = |call: &ports_memory::Call| call.name == "tag" && call.subject.ends_with("recommendations-v1");
    shop.ports.faults.whenever(of_v1, Fault::Fails(Failure::Denied, Effect::NotDone));
    let function = shop.start().await;
    let answer = function.scheduled_run().await.unwrap();
    let failed = decision(&answer, V1);
    assert_eq!(failed["outcome"]["outcome"], "Failed");
    assert!(failed["outcome"]["error"].as_str().unwrap().contains("denied"), "{failed}");
    assert_eq!(shop.owner(V2).as_deref(), Some("platform"));
    assert_eq!((shop.pages().len(), shop.spent()), (1, 2));
    for _ in 0..2 {
        function.later(5).await;
    }
    assert_eq!(
        (shop.pages().len(), shop.spent()),
        (1, 2),
        "a denied write counts once against the budget, and pages once"
    );
    for _ in 0..94 {
        function.later(15).await;
    }
    assert_eq!(shop.pages().len(), 1, "one page a day");
    for _ in 0..3 {
        function.later(15).await;
    }
    assert_eq!(shop.pages().len(), 2, "a reminder after a day");
}

#[tokio::test(start_paused = true)]
async fn throttled_write_is_retried() {
    let shop = shop();
    shop.breaks("tag", Failure::Throttled);
    let function = shop.start().await;
    let why = function.sample("config-change").await.unwrap_err();
    assert!(why.contains("throttled"), "{why}");
    shop.ports.faults.reset();
    shop.wait(1);
    function.sample("config-change").await.unwrap();
    assert_eq!((shop.owner(V2).as_deref(), shop.spent()), (Some("platform"), 1));
}

#[tokio::test(start_paused = true)]
async fn unreadable_mesh_does_not_block_other_meshes() {
    let shop = shop();
    shop.put("mesh/bank", &json!({}));
    let of_bank = |call: &ports_memory::Call| call.name == "describe" && call.subject == "mesh/bank";
    shop.ports.faults.whenever(of_bank, Fault::Fails(Failure::Denied, Effect::NotDone));
    let answer = shop.start().await.sample("config-scheduled").await.unwrap();
    assert_eq!(shop.owner(V2).as_deref(), Some("platform"));
    assert_eq!(line(&answer, "mesh/bank")["reason"], "CannotObserve");
    assert_eq!(line(&answer, "mesh/bank")["facts"]["kind"], json!(PortErrorKind::Denied));
    assert_eq!((shop.evaluated().len(), shop.pages().len()), (10, 1));
    assert!(!shop.evaluated().contains_key("mesh/bank"));
}

#[tokio::test(start_paused = true)]
async fn answer_rejected_by_aws_config_is_reported() {
    let shop = shop();
    shop.ports.config.expire("eyJlbmNyeXB0ZWREYXRhIjpbLTQyLDEyXX0=");
    let answer = shop.start().await.sample("config-change").await.unwrap();
    assert_eq!(line(&answer, &arn(V2))["reason"], "CannotAnswer", "a rejected token is not retried");
    assert_eq!(shop.owner(V2).as_deref(), Some("platform"), "the repair is independent of the answer");

    let shop = Shop::new(Topic::Tags);
    shop.ports.config.refuse(ConfigResource { resource_type: "AWS::AppMesh::Mesh".into(), resource_id: arn(MESH) });
    let why = shop.start().await.sample("config-scheduled").await.unwrap_err();
    assert!(why.contains("EvaluationsRefused"), "{why}");
    assert_eq!((shop.evaluated().len(), shop.calls_of("put evaluations"), shop.pages().len()), (9, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn next_invocation_resumes_after_the_time_ran_out() {
    let shop = shop();
    shop.untag(&[V1, PAYMENTS]);
    shop.ports.faults.set_latency(Duration::from_millis(300));
    let function = shop.start().await;
    let event = shop.event("tick-rule");
    let answer = function.answer_by(&event, Deadline::after(Duration::from_secs(7))).await.unwrap();
    let outcomes: Vec<_> =
        [PAYMENTS, V1, V2].iter().map(|path| decision(&answer, path)["outcome"]["outcome"].clone()).collect();
    assert!(outcomes.contains(&json!("OutOfTime")), "{outcomes:?}");
    shop.ports.faults.set_latency(Duration::ZERO);
    function.later(1).await;
    for path in [V1, V2, PAYMENTS] {
        assert_eq!(shop.owner(path).as_deref(), Some("platform"), "{path}");
    }
    assert_eq!(shop.spent(), 3);
}

#[tokio::test(start_paused = true)]
async fn two_concurrent_invocations_make_one_change() {
    let shop = shop();
    let (one, other) = (shop.start().await, shop.start().await);
    let event = shop.event("config-change");
    let (first, second) = tokio::join!(one.answer(&event), other.answer(&event));
    first.unwrap();
    second.unwrap();
    assert_eq!((shop.owner(V2).as_deref(), shop.spent(), shop.calls_of("tag")), (Some("platform"), 1, 1));
}

/// A due repair that is never completed is a standstill: it pages once, with a command for the operator.
#[tokio::test(start_paused = true)]
async fn repair_that_is_never_completed_pages() {
    let shop = shop();
    let (function, event) = (shop.start().await, shop.event("tick-rule"));
    for round in 0..16 {
        // Too little time for a change.
        let answer = function.answer_by(&event, Deadline::after(Duration::from_secs(2))).await.unwrap();
        assert_eq!(decision(&answer, V2)["outcome"]["outcome"], "OutOfTime", "{round}");
        assert_eq!(shop.pages().len(), usize::from(round > 12), "{round}: {:?}", shop.pages());
        shop.wait(15);
    }
    let page = &shop.pages()[0];
    assert!(page.subject.contains("NoProgress") && page.subject.contains(V2), "{page:?}");
    assert!(page.body.contains(&format!("meshwarden explain {V2}")), "{page:?}");
    function.scheduled_run().await.unwrap();
    assert_eq!(shop.owner(V2).as_deref(), Some("platform"));
    assert_eq!(shop.ports.state.stored(&shop.key()).unwrap().document.get("watches"), None);
}
