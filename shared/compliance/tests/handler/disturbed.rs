//! A function is killed at every call, before and after its effect, and every call fails in every way: the final state
//! is the same.

use std::collections::BTreeMap;

use ports_memory::{Call, Effect, Fault};
use rules::compliance::Topic;
use serde_json::Value;

use crate::shop::{MESH, POLICY, Shop, V1, V2};

/// How often Lambda retries an asynchronous event.
const RETRIES: usize = 2;

/// A scenario: the initial state and the event.
#[derive(Clone, Copy, Debug)]
enum Scenario {
    /// Two nodes lack a tag; a scheduled run.
    Tags,
    /// A node lacks a tag; a request of AWS Config.
    TagsRequested,
    /// No finding can be remediated.
    TagsHeld,
    /// The filter is open; a request of AWS Config.
    Egress,
    /// A backend is dangling; a write to the mesh.
    Backend,
}

impl Scenario {
    fn begin(self) -> Shop {
        let topic = match self {
            Self::Tags | Self::TagsRequested | Self::TagsHeld => Topic::Tags,
            Self::Egress | Self::Backend => Topic::Egress,
        };
        let shop = Shop::with(topic, &format!("{POLICY}egress: {{removeDangling: true}}\n"));
        match self {
            Self::Tags => shop.untag(&[V1, V2]),
            Self::TagsRequested => shop.untag(&[V2]),
            Self::TagsHeld => shop.untag(&[MESH]),
            Self::Egress => shop.open_filter(),
            Self::Backend => shop.calls(V2, "old.shop.local"),
        }
        shop
    }

    const fn event(self) -> &'static str {
        match self {
            Self::Tags | Self::TagsHeld => "tick-rule",
            Self::TagsRequested => "config-change",
            Self::Egress => "config-change-mesh",
            Self::Backend => "cloudtrail-update-mesh",
        }
    }

    const fn requests_answer(self) -> bool {
        match self {
            Self::TagsRequested | Self::Egress => true,
            Self::Tags | Self::TagsHeld | Self::Backend => false,
        }
    }
}

/// The final state of a run with this disturbance, or with none; and the calls of its first event.
async fn end(scenario: Scenario, wrong: Option<(usize, Fault)>) -> (BTreeMap<String, Value>, Vec<Call>) {
    let shop = scenario.begin();
    let killed = matches!(wrong, Some((_, Fault::Crash(_))));
    if let Some((call, fault)) = wrong {
        shop.ports.faults.at(call, fault);
    }
    let mut function = shop.start().await;
    let mut answer = shop.ports.faults.run(function.sample(scenario.event())).await;
    assert_eq!(answer.is_none(), killed);
    let calls = shop.ports.faults.calls();
    if killed {
        function = shop.start().await;
    }
    for _ in 0..RETRIES {
        if !matches!(answer, Some(Ok(_))) {
            // Lambda retries an asynchronous event after a minute at the earliest.
            shop.wait(1);
            answer = Some(function.sample(scenario.event()).await);
        }
    }
    assert!(matches!(answer, Some(Ok(_))), "{answer:?}");
    for _ in 0..2 {
        function.later(5).await;
    }
    assert_eq!(scenario.requests_answer(), !shop.evaluated().is_empty(), "AWS Config has an answer");
    (shop.state(), calls)
}

/// Whether a fault is possible at a call. A read has no effect that could survive a lost answer, and a write is never
/// stale, unlike a read.
fn can_happen(fault: &Fault, call: &Call) -> bool {
    match fault {
        Fault::Fails(_, Effect::Done) => call.writes,
        Fault::StaleRead => !call.writes,
        Fault::Fails(_, Effect::NotDone) | Fault::Crash(_) | Fault::Waits(_) => true,
    }
}

async fn every_disturbance(scenario: Scenario, faults: fn() -> Vec<Fault>) {
    let (undisturbed, calls) = end(scenario, None).await;
    assert!(calls.len() > 20, "{calls:?}");
    for call in calls {
        for fault in faults().into_iter().filter(|fault| can_happen(fault, &call)) {
            let case = format!("{scenario:?}, {fault:?} at call {}: {call}", call.number);
            let (state, _) = end(scenario, Some((call.number, fault))).await;
            // Tags from a stale read look as if another writer had already set them: the change was counted, is not
            // made, and is counted again by the next invocation.
            let too_late = case.contains("StaleRead") && call.name == "list tags of";
            for (name, value) in undisturbed.iter().filter(|(name, _)| !(too_late && *name == "spent")) {
                assert_eq!(state.get(name), Some(value), "{case}: {name}");
            }
        }
    }
}

macro_rules! disturbed {
    ($($name:ident $scenario:ident),* $(,)?) => {
        mod killed {
            use super::*;
            $(
                #[tokio::test(start_paused = true)]
                async fn $name() {
                    every_disturbance(Scenario::$scenario, || Fault::crashes().to_vec()).await;
                }
            )*
        }
        mod failing {
            use super::*;
            $(
                #[tokio::test(start_paused = true)]
                async fn $name() {
                    every_disturbance(Scenario::$scenario, Fault::every).await;
                }
            )*
        }
    };
}

disturbed! { tags Tags, tags_requested TagsRequested, tags_held TagsHeld, egress Egress, backend Backend }
