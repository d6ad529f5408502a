//! A function is killed at every call, before and after its effect, and every call fails in every way: the end is the
//! same.

use std::collections::BTreeMap;

use mesh::compliance::Topic;
use ports::memory::{Call, Effect, Fault};
use serde_json::Value;

use crate::shop::{MESH, POLICY, Shop, V1, V2};

/// How often Lambda tries an asynchronous event again.
const RETRIES: usize = 2;

/// What happens.
#[derive(Clone, Copy, Debug)]
enum Scenario {
    /// Two nodes lack a tag; the schedule.
    Tags,
    /// A node lacks a tag; AWS Config asks.
    TagsAsked,
    /// Nothing can be mended.
    TagsHeld,
    /// The filter is open; AWS Config asks.
    Egress,
    /// A backend leads nowhere; somebody wrote.
    Backend,
}

impl Scenario {
    fn begin(self) -> Shop {
        let topic = match self {
            Self::Tags | Self::TagsAsked | Self::TagsHeld => Topic::Tags,
            Self::Egress | Self::Backend => Topic::Egress,
        };
        let shop = Shop::with(topic, &format!("{POLICY}egress: {{removeDangling: true}}\n"));
        match self {
            Self::Tags => shop.untag(&[V1, V2]),
            Self::TagsAsked => shop.untag(&[V2]),
            Self::TagsHeld => shop.untag(&[MESH]),
            Self::Egress => shop.open_filter(),
            Self::Backend => shop.calls(V2, "old.shop.local"),
        }
        shop
    }

    const fn event(self) -> &'static str {
        match self {
            Self::Tags | Self::TagsHeld => "tick-rule",
            Self::TagsAsked => "config-change",
            Self::Egress => "config-change-mesh",
            Self::Backend => "cloudtrail-update-mesh",
        }
    }

    const fn asks(self) -> bool {
        match self {
            Self::TagsAsked | Self::Egress => true,
            Self::Tags | Self::TagsHeld | Self::Backend => false,
        }
    }
}

/// The end of a run that is disturbed by this, or not at all; and the calls that its first event took.
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
            // Lambda tries an asynchronous event again, after a minute at the earliest.
            shop.wait(1);
            answer = Some(function.sample(scenario.event()).await);
        }
    }
    assert!(matches!(answer, Some(Ok(_))), "{answer:?}");
    for _ in 0..2 {
        function.later(5).await;
    }
    assert_eq!(scenario.asks(), !shop.told().is_empty(), "AWS Config has its answer");
    (shop.world(), calls)
}

/// A read has no effect that could be done although its answer is lost; a write is never stale.
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
            let told = format!("{scenario:?}, {fault:?} at call {}: {call}", call.number);
            let (world, _) = end(scenario, Some((call.number, fault))).await;
            // Tags that are read too late look as if somebody had set them already: a change that was paid for is not
            // made, and is paid for again by the next wake.
            let too_late = told.contains("StaleRead") && call.name == "list tags of";
            for (name, value) in undisturbed.iter().filter(|(name, _)| !(too_late && *name == "spent")) {
                assert_eq!(world.get(name), Some(value), "{told}: {name}");
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

disturbed! { tags Tags, tags_asked TagsAsked, tags_held TagsHeld, egress Egress, backend Backend }
