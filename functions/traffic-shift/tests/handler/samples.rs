//! The documented examples of other tools as requests: each is valid and starts.

use std::path::Path;

use jiff::SignedDuration;
use policy::RolloutRequest;
use ports::FunctionAnswer;
use rollouts::RolloutState;
use serde_json::json;

use crate::shop::{Shop, requested};

/// The expected rollout of a sample.
struct Expected {
    name: &'static str,
    /// The percents of the steps; 100 % follows, unless it is the last one.
    percents: &'static [u8],
    /// The minutes of each step, and the bake time.
    minutes: (i64, i64),
    /// The number of alarms, metric gates and hooks.
    counts: (usize, usize, usize),
}

const SAMPLES: [Expected; 6] = [
    Expected { name: "argo-canary", percents: &[20, 40, 60, 80, 100], minutes: (10, 0), counts: (0, 1, 0) },
    Expected { name: "codedeploy-all-at-once", percents: &[100], minutes: (5, 5), counts: (1, 0, 0) },
    Expected { name: "ecs-canary", percents: &[5, 100], minutes: (10, 30), counts: (1, 0, 1) },
    Expected {
        name: "ecs-linear",
        percents: &[10, 20, 30, 40, 50, 60, 70, 80, 90, 100],
        minutes: (6, 30),
        counts: (1, 0, 0),
    },
    Expected { name: "ecs-test-listener", percents: &[0, 100], minutes: (10, 10), counts: (1, 0, 1) },
    Expected {
        name: "flagger-canary",
        percents: &[5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 100],
        minutes: (1, 0),
        counts: (0, 2, 0),
    },
];

#[tokio::test(start_paused = true)]
async fn documented_examples_of_other_tools_are_valid_and_start() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/samples/rollouts");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, SAMPLES.map(|sample| sample.name));
    for Expected { name, percents, minutes, counts } in SAMPLES {
        let text = std::fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap();
        let request = RolloutRequest::read(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let shop = Shop::open();
        let succeeded = FunctionAnswer::Returned(json!({ "hookStatus": "SUCCEEDED" }));
        shop.ports.functions.answer("recs-smoke-test", [succeeded]);
        let mut event = requested(&json!({}));
        event["detail"] = serde_json::to_value(&request).unwrap();
        let function = shop.start().await;
        function.answer(&event).await.unwrap();
        let record = shop.record(name).unwrap();
        assert!(matches!(record.state, RolloutState::Watching | RolloutState::Bake), "{name}: {record:#?}");
        let rollout = &record.rollout;
        let found: Vec<u8> = rollout.steps.iter().map(|step| step.percent).collect();
        assert_eq!(found, percents, "{name}");
        let (interval, bake) = (SignedDuration::from_mins(minutes.0), SignedDuration::from_mins(minutes.1));
        assert!(rollout.bake == bake && percents.len() == 1 || rollout.steps[0].interval == interval, "{name}");
        assert_eq!((rollout.alarms.len(), rollout.metrics.len(), rollout.hooks.len()), counts, "{name}");
        let share = |route: &str| {
            let weights: Vec<u32> = shop.weights(route).into_iter().map(u32::from).collect();
            100 * weights[1] / (weights[0] + weights[1])
        };
        let first = if rollout.first.is_empty() { 0 } else { 100 };
        assert_eq!((share("all"), share("beta")), (u32::from(percents[0]), first), "{name}");
    }
}
