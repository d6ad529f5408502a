//! Turns the kill switch on in the state table of a built function, and checks that the function changes nothing and that
//! its alarm reports the switch.

use std::collections::BTreeMap;
use std::time::Instant;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;

use crate::alarms;
use crate::attack::changes;
use crate::disturbed::Scene;
use crate::function::PATIENCE;
use crate::stack::sdk_config;
use crate::template::Template;

/// The variable of the state table's service.
const ENDPOINT: &str = "AWS_ENDPOINT_URL_DYNAMODB";

/// The stack's alarm on the switch.
const ALARM: &str = "kill-switch";

/// Checks a function with a scene in which it has a change to make.
///
/// # Panics
/// Panics if a resource changes while the switch is on, if the alarm on the switch is not on then, or if it is still on
/// afterwards. Panics if the function has no change to make without the switch.
pub async fn check<S: Scene>(function: &str, scene: &S) {
    let build = scene.build();
    let table = build.variable("MESHWARDEN_TABLE").expect("the function has a table").to_owned();
    let (_, endpoint) = scene.way().variables().iter().find(|(variable, _)| variable == ENDPOINT).unwrap();
    let client = Client::new(&sdk_config(endpoint).await);
    let key = BTreeMap::from([("pk", "kill-switch"), ("sk", "state")]);
    let item = || key.iter().map(|(name, value)| ((*name).to_owned(), AttributeValue::S((*value).to_owned())));
    client.put_item().table_name(&table).set_item(Some(item().collect())).send().await.unwrap();

    let all_alarms = Template::read().alarms(function);
    let before = changes(scene.way());
    let mut process = build.start().await;
    process.answer(&scene.event()).await.expect("a run with the switch on succeeds");
    let log = process.log_with("\"KillSwitchOn\":1").await;
    assert_eq!(changes(scene.way()), before, "{function} changed something: {log}");
    let on = alarms::on(&all_alarms, &log, 0);
    assert!(on.contains(ALARM), "the alarm {ALARM} does not report the switch: {on:?}");

    client.delete_item().table_name(&table).set_key(Some(item().collect())).send().await.unwrap();
    // A new resource has a time of grace, which may not be over yet.
    let give_up = Instant::now() + PATIENCE;
    while changes(scene.way()) == before {
        assert!(Instant::now() < give_up, "{function} has no change to make: {}", process.log());
        scene.settle().await;
        process.answer(&scene.next_event()).await.expect("a run with the switch off succeeds");
    }
    let log = process.log_with("\"KillSwitchOn\":0").await.split_off(log.len());
    let on = alarms::on(&all_alarms, &log, 0);
    assert!(!on.contains(ALARM), "the alarm {ALARM} is still on: {on:?}");
}
