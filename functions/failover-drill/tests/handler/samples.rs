//! The samples for AWS FIS and ARC Region switch: the function reads their events.

use std::path::Path;

use runner::events::{DrillAction, Payload, parse};
use serde_json::Value;

use crate::shop::event;

fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/samples").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The payloads of the document's invocations, with its variables filled in.
fn payloads() -> Vec<Value> {
    let document: Value = serde_saphyr::from_str(&sample("drill-automation.yaml")).unwrap();
    assert_eq!(document["schemaVersion"], "0.3");
    let steps = document["mainSteps"].as_array().unwrap();
    let invocations = steps.iter().filter(|step| step["action"] == "aws:invokeLambdaFunction");
    let fill = |step: &Value| {
        let text = step["inputs"]["Payload"].as_str().unwrap();
        let text = text.replace("{{ Drill }}", "recs-v1");
        let text = text.replace("{{ automation:EXECUTION_ID }}", "4105a4fc-f944-11e6-9d32-0a37fe6f1f6b");
        assert!(!text.contains("{{"), "{text}");
        serde_json::from_str(&text).unwrap()
    };
    invocations.map(fill).collect()
}

#[test]
fn automation_document_sends_the_sample_events() {
    assert_eq!(payloads(), [event("direct-start"), event("direct-result")]);
    let actions = payloads().into_iter().map(|payload| match parse(&payload).remove(0).payload {
        Payload::Drill(command) => command.action,
        other => panic!("{other:?}"),
    });
    assert_eq!(actions.collect::<Vec<_>>(), [DrillAction::Start, DrillAction::Result]);
}

#[test]
fn automation_waits_for_longer_than_the_deadline() {
    let document: Value = serde_saphyr::from_str(&sample("drill-automation.yaml")).unwrap();
    // The default duration, five minutes to the deadline, and two runs.
    assert_eq!(document["parameters"]["Wait"]["default"], "PT38M");
    let steps = document["mainSteps"].as_array().unwrap();
    let limit = |step: &Value| step["timeoutSeconds"].as_i64().is_none_or(|seconds| seconds <= 300);
    assert!(steps.iter().all(limit), "an invocation of Automation takes 300 seconds at most");
}

#[test]
fn experiment_and_region_switch_name_the_document_and_the_function() {
    let experiment: Value = serde_json::from_str(&sample("fis-experiment.json")).unwrap();
    let action = &experiment["actions"]["drill"];
    assert_eq!(action["actionId"], "aws:ssm:start-automation-execution");
    let parameters: Value = serde_json::from_str(action["parameters"]["documentParameters"].as_str().unwrap()).unwrap();
    let document: Value = serde_saphyr::from_str(&sample("drill-automation.yaml")).unwrap();
    for name in parameters.as_object().unwrap().keys() {
        assert!(document["parameters"][name].is_object(), "the document has no parameter {name}");
    }
    let block: Value = serde_json::from_str(&sample("region-switch-step.json")).unwrap();
    assert_eq!(block["executionBlockType"], "CustomActionLambda");
    assert_eq!(event("arc-region-switch")["stepName"], block["name"]);
}
