//! Every shape in which an alarm, the clock or a person can wake the function.

use mesh::alarm::{AlarmSource, AlarmState};
use serde_json::{Value, json};

use crate::alarms::{alarm, query};
use crate::shop::{BEFORE, Shop, decision, event};

const SHIFTED: [u8; 2] = [100, 0];

/// The alarms that the sample events speak of, all of them on.
fn breaks(shop: &Shop) {
    shop.fails("recommendations-v2");
    let rule = "ALARM(shop-recommendations-v2-5xx) AND NOT ALARM(shop-database-down)";
    shop.ports.alarms.put(alarm(
        "shop-recommendations-v2-down",
        AlarmState::Alarm,
        shop.now(),
        AlarmSource::Composite(rule.to_owned()),
    ));
}

#[tokio::test(start_paused = true)]
async fn every_shape_of_trigger_leads_to_the_shift() {
    for name in [
        "alarm-anomaly",
        "alarm-composite",
        "alarm-composite-suppressed",
        "alarm-configuration-change",
        "alarm-daily-period",
        "alarm-metric",
        "alarm-metric-math",
        // Its state is a hint only: the alarm that is read is on.
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
async fn metric_math_and_anomaly_alarms_name_their_node_by_the_metrics_within() {
    let dimensions = [("Mesh", "shop"), ("VirtualNode", "recommendations-v2")];
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
async fn an_alarm_of_another_account_pages_and_moves_nothing() {
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
