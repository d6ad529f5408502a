//! Tests of `alarms` over memory ports.

use decisions::monitoring::{Metrics, required};
use policy::FailoverPolicy;
use serde_json::Value;

use super::*;

impl Shop {
    /// Adds the generated alarms to the account.
    async fn deploy(&self) {
        let read =
            ports::survey(&self.ports.mesh, &"shop".parse().unwrap(), &mut ports::Pace::new(8, 8)).await.unwrap();
        let model = read.model(&"shop".parse().unwrap()).unwrap();
        let all = required(&model, &FailoverPolicy::default(), Metrics::Envoy, "AppMesh");
        for node in &all {
            for alarm in node.as_read() {
                let arn = format!("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{}", alarm.name);
                self.ports.alarms.set_tags(&arn, node.tags.clone());
                self.ports.alarms.put(Alarm { arn, state: AlarmState::Ok, ..alarm });
            }
        }
    }
}

#[tokio::test]
async fn an_account_without_alarms_has_no_usable_one_for_any_target() {
    let shop = Shop::open();
    for node in ["cart-v1", "cart-v2"] {
        shop.ports.alarms.remove(&errors_of(node));
    }
    let Err(Trouble::Refused(refusal)) = shop.run("meshwarden alarms shop --check").await else {
        panic!("every target lacks an alarm")
    };
    let Refusal::WithoutAlarm { lacking, all, text } = *refusal else { panic!("{refusal:?}") };
    assert_eq!((lacking, all), (2, 2));
    assert!(text.contains("shop/cart-v1: no usable alarm\n  alarm meshwarden/shop/cart-v1 does not exist\n"), "{text}");
}

#[tokio::test]
async fn an_account_with_the_generated_alarms_passes() {
    let shop = Shop::open();
    shop.deploy().await;
    let text = shop.run("meshwarden alarms shop --check").await.unwrap();
    assert!(text.ends_with("2 targets, 0 without a usable alarm\n"), "{text}");
    let json: Value =
        serde_json::from_str(&shop.run("meshwarden alarms shop --check --format json").await.unwrap()).unwrap();
    assert_eq!(json["targets"][0]["problems"], serde_json::json!([]));
}
