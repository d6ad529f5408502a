//! Every shape of trigger: alarms, the schedule, and operators.

use mesh::alarm::{
    Alarm, AlarmSource, AlarmState, Comparison, Condition, Contributor, MissingData, MuteRule, PromQlQuery,
};
use serde_json::{Value, json};

use crate::alarms::{alarm, name, on_node, query, target_of};
use crate::shop::{BEFORE, Shop, decision, event};

const SHIFTED: [u8; 2] = [100, 0];

/// The alarms of the sample events, all of them in `ALARM`.
fn breaks(shop: &Shop) {
    shop.fails("recommendations-v2");
    let rule = "ALARM(shop-recommendations-v2-5xx) AND NOT ALARM(shop-database-down)";
    shop.ports.alarms.put(alarm(
        "shop-recommendations-v2-down",
        AlarmState::Alarm,
        shop.now(),
        AlarmSource::Composite(rule.to_owned()),
    ));
    shop.ports.alarms.put(fleet(shop));
    let labels = [("mesh", "shop"), ("target_virtual_node", "recommendations-v2")];
    let contributor = Contributor {
        id: "6d442278dba546f6".to_owned(),
        attributes: labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into(),
        since: Some(shop.now()),
        reason: None,
    };
    shop.ports.alarms.set_contributors(&name("shop-5xx"), vec![contributor]);
}

/// A PromQL alarm on the errors of each target.
fn fleet(shop: &Shop) -> Alarm {
    let query = "sum by (mesh, target_virtual_node) (rate(envoy_cluster_upstream_rq_5xx[1m])) > 1".to_owned();
    let source = AlarmSource::PromQl(PromQlQuery { query, pending_period: Some(60), recovery_period: Some(120) });
    alarm("shop-5xx", AlarmState::Alarm, shop.now(), source)
}

#[tokio::test(start_paused = true)]
async fn every_shape_of_trigger_leads_to_the_failover() {
    for name in [
        "alarm-anomaly",
        "alarm-composite",
        "alarm-composite-suppressed",
        "alarm-configuration-change",
        "alarm-daily-period",
        "alarm-metric",
        "alarm-metric-gateway",
        "alarm-contributor",
        "alarm-metric-math",
        // The event's state is a hint only: the alarm is read as on.
        "alarm-metric-ok",
        "direct-anomaly",
        "direct-composite",
        "direct-metric",
        "direct-metric-math",
        "sns-alarm",
        "sns-eventbridge",
        "sqs-alarm-in-sns",
        "sqs-alarm-raw",
        "sqs-batch",
        "sqs-eventbridge",
        "tick-rule",
        "tick-scheduler",
        "release-route",
    ] {
        let shop = Shop::open();
        breaks(&shop);
        let answer = shop.start().await.answer(&event(name)).await.unwrap();
        assert_eq!(shop.weights("recommendations"), SHIFTED, "{name}");
        assert_eq!(shop.weights("cart"), BEFORE, "{name}");
        if name.starts_with("sqs") {
            let unreadable = json!([{ "itemIdentifier": "2e1424d4-f796-459a-8184-9c92662be603" }]);
            let failed = if name == "sqs-batch" { unreadable } else { json!([]) };
            assert_eq!(answer, json!({ "batchItemFailures": failed }), "{name}");
        } else {
            let decision = decision(&answer, "recommendations");
            assert_eq!(decision["reason"], "Failover", "{name}: {answer:#}");
            assert_eq!(decision["outcome"]["outcome"], "Applied", "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn metric_math_and_anomaly_alarms_have_the_target_of_their_metrics() {
    let dimensions = target_of(("VirtualNode", "storefront-v1"), "recommendations-v2");
    let queries = vec![query("m1", &dimensions), query("m2", &dimensions)];
    let shop = Shop::open();
    breaks(&shop);
    shop.ports.alarms.put(alarm(
        "shop-recommendations-v2-5xx",
        AlarmState::Alarm,
        shop.now(),
        AlarmSource::Metric(queries),
    ));
    shop.start().await.answer(&event("alarm-metric-math")).await.unwrap();
    assert_eq!(shop.weights("recommendations"), SHIFTED);
}

#[tokio::test(start_paused = true)]
async fn alarm_of_another_account_pages_and_moves_nothing() {
    let foreign = |account: &str, region: &str| {
        let text = event("alarm-metric").to_string().replace("123456789012", account).replace("eu-west-1", region);
        serde_json::from_str::<Value>(&text).unwrap()
    };
    for (account, region) in [("999900001111", "eu-west-1"), ("123456789012", "us-east-1")] {
        let shop = Shop::open();
        breaks(&shop);
        let function = shop.start().await;
        for _ in 0..2 {
            let answer = function.answer(&foreign(account, region)).await.unwrap();
            let decisions = answer["decisions"].as_array().unwrap();
            assert_eq!(decisions.len(), 1, "{answer:#}");
            assert_eq!(decisions[0]["reason"], "OtherAccount");
        }
        assert_eq!(shop.weights("recommendations"), BEFORE, "{account} {region}");
        let sent = shop.ports.notifier.sent();
        assert_eq!(sent.len(), 1, "one page for repeats: {sent:?}");
        assert!(sent[0].body.contains(account) && sent[0].body.contains("Deploy Meshwarden there"), "{sent:?}");
        function.answer(&event("alarm-metric")).await.unwrap();
        assert_eq!(shop.weights("recommendations"), SHIFTED);
    }
}

/// Adds a route to the callers, so that draining a caller would show.
fn with_storefront() -> Shop {
    let shop = Shop::open();
    shop.build("storefront");
    shop
}

#[tokio::test(start_paused = true)]
async fn outbound_alarm_shifts_its_target_and_never_its_caller() {
    for caller in [("VirtualNode", "storefront-v1"), ("VirtualGateway", "edge")] {
        for trigger in [
            "alarm-metric",
            "direct-metric",
            "sns-alarm",
            "sns-eventbridge",
            "sqs-alarm-raw",
            "sqs-eventbridge",
            "tick-rule",
        ] {
            let shop = with_storefront();
            let source = AlarmSource::Metric(vec![query("m1", &target_of(caller, "recommendations-v2"))]);
            shop.ports.alarms.put(alarm("shop-recommendations-v2-5xx", AlarmState::Alarm, shop.now(), source));
            shop.start().await.answer(&event(trigger)).await.unwrap();
            assert_eq!(shop.weights("recommendations"), SHIFTED, "{caller:?} {trigger}");
            assert_eq!(shop.weights("storefront"), BEFORE, "{caller:?} {trigger}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn alarm_on_load_moves_nothing_and_is_reported_as_such() {
    let shop = with_storefront();
    let mut load = query("m1", &[("Mesh", "shop"), ("VirtualNode", "storefront-v1")]);
    if let mesh::alarm::MetricTerm::Stat { metric, .. } = &mut load.term {
        *metric = "RequestCount".to_owned();
    }
    let condition = Condition {
        comparison: Comparison::GreaterThanThreshold,
        threshold: Some(1000.0),
        band: None,
        evaluation_periods: Some(1),
        datapoints_to_alarm: None,
        missing_data: MissingData::Missing,
    };
    let scale_out = alarm("scale-out", AlarmState::Alarm, shop.now(), AlarmSource::Metric(vec![load]));
    shop.ports.alarms.put(Alarm { condition: Some(condition), ..scale_out });
    let answer = shop.start().await.answer(&crate::shop::alarm_event("scale-out")).await.unwrap();
    let decision = &answer["decisions"][0];
    assert_eq!(
        (&decision["decision"], &decision["reason"]),
        (&json!("keep"), &json!("NotAFailureMetric")),
        "{answer:#}"
    );
    assert_eq!(shop.weights("storefront"), BEFORE);
}

#[tokio::test(start_paused = true)]
async fn mute_rule_keeps_traffic_where_it_is_and_is_named() {
    let shop = Shop::open();
    shop.fails("recommendations-v2");
    let muted = MuteRule { name: "deploy".to_owned(), alarms: [name("shop-recommendations-v2-5xx")].into() };
    shop.ports.alarms.set_mute_rules(vec![muted]);
    let function = shop.start().await;
    let found = function.decision(&event("alarm-metric"), "recommendations").await;
    assert_eq!((&found["reason"], &found["facts"]["by"][0]["rule"]), (&json!("Muted"), &json!("deploy")), "{found:#}");
    assert_eq!(shop.weights("recommendations"), BEFORE);
    shop.ports.alarms.set_mute_rules(Vec::new());
    function.answer(&event("tick-rule")).await.unwrap();
    assert_eq!(shop.weights("recommendations"), BEFORE, "the rules are cached");
    shop.wait(1);
    function.answer(&event("tick-rule")).await.unwrap();
    assert_eq!(shop.weights("recommendations"), SHIFTED);
}

#[tokio::test(start_paused = true)]
async fn suppressed_composite_mutes_the_child_that_acts_through_it() {
    let shop = Shop::open();
    let child = alarm("shop-recommendations-v2-5xx", AlarmState::Alarm, shop.now(), on_node("recommendations-v2"));
    shop.ports.alarms.put(Alarm { alarm_actions: Some(Vec::new()), ..child });
    let rule = AlarmSource::Composite("ALARM(shop-recommendations-v2-5xx)".to_owned());
    let parent = alarm("recommendations-any", AlarmState::Alarm, shop.now(), rule);
    let suppressed = Some("its suppressor is in ALARM".to_owned());
    shop.ports.alarms.put(Alarm { suppressed, ..parent.clone() });
    let function = shop.start().await;
    for trigger in ["tick-rule", "alarm-metric"] {
        let found = function.decision(&event(trigger), "recommendations").await;
        assert_eq!(found["reason"], "Muted", "{trigger}: {found:#}");
        assert_eq!(shop.weights("recommendations"), BEFORE);
    }
    shop.ports.alarms.put(parent);
    function.answer(&event("alarm-metric")).await.unwrap();
    assert_eq!(shop.weights("recommendations"), SHIFTED);
}

#[tokio::test(start_paused = true)]
async fn callers_that_disagree_hold_unless_the_healthy_one_has_no_data() {
    for (has_data, expected) in [(true, BEFORE), (false, SHIFTED)] {
        let shop = Shop::open();
        shop.fails("recommendations-v2");
        let source =
            AlarmSource::Metric(vec![query("m1", &target_of(("VirtualGateway", "edge"), "recommendations-v2"))]);
        shop.ports.alarms.put(alarm("seen-by-edge", AlarmState::Ok, shop.now(), source));
        if has_data {
            shop.ports.alarms.add_data(&name("seen-by-edge"), shop.now() - jiff::SignedDuration::from_mins(2));
        }
        let found = shop.start().await.decision(&event("alarm-metric"), "recommendations").await;
        assert_eq!(shop.weights("recommendations"), expected, "{found:#}");
        assert_eq!(found["reason"], if has_data { "CallersDisagree" } else { "Failover" }, "{found:#}");
    }
}

#[tokio::test(start_paused = true)]
async fn node_drained_by_a_contributor_comes_under_judgement_when_its_series_recovers() {
    let shop = Shop::open();
    breaks(&shop);
    shop.ports.alarms.remove(&name("shop-recommendations-v2-down"));
    shop.ports.alarms.remove(&name("shop-recommendations-v2-5xx"));
    let function = shop.start().await;
    function.answer(&event("alarm-contributor")).await.unwrap();
    assert_eq!(shop.weights("recommendations"), SHIFTED);
    shop.ports.alarms.set_state(&name("shop-5xx"), AlarmState::Ok, shop.now());
    shop.ports.alarms.set_contributors(&name("shop-5xx"), Vec::new());
    shop.wait(1);
    let found = shop.start().await.decision(&event("tick-rule"), "recommendations").await;
    assert_eq!(found["reason"], "InsideDwell", "{found:#}");
}
