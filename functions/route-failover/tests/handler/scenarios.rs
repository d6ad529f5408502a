//! Invocations in the life cycle of a route, each with its expected end state, to be disturbed by other tests.

use mesh::alarm::AlarmState;
use serde_json::Value;

use crate::alarms::errors_of;
use crate::lifecycle::{capped_shop, standby_shop};
use crate::shop::{Function, POLICY, Shop, TWO_ROUTERS, errors_event, event};

/// A scenario: its history, and the disturbed invocation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scenario {
    /// The first failover, by an event in a warm process.
    FailOver,
    /// The first failover, by an event in a new process.
    FailOverCold,
    /// The first failover, by the scheduled run.
    FailOverByWake,
    /// A partial spill: a part of the share stays.
    PartialSpill,
    /// A standby takes all traffic.
    Standby,
    /// The probe share, without data points.
    Probe,
    /// A step of the failback, with further steps to follow.
    Step,
    /// A returning node fails again.
    BackDown,
    /// The original weights are written.
    Restore,
    /// An operator's edit is observed.
    EditSeen,
    /// An edit is released while the alarm is on.
    Release,
    /// The state table is empty, and the tag has the restore point.
    LostTable,
    /// No target is eligible: a hold that pages.
    Hold,
}

pub(crate) const ALL: [Scenario; 13] = [
    Scenario::FailOver,
    Scenario::FailOverCold,
    Scenario::FailOverByWake,
    Scenario::PartialSpill,
    Scenario::Standby,
    Scenario::Probe,
    Scenario::Step,
    Scenario::BackDown,
    Scenario::Restore,
    Scenario::EditSeen,
    Scenario::Release,
    Scenario::LostTable,
    Scenario::Hold,
];

/// A scenario after its history.
pub(crate) struct Moment {
    pub(crate) shop: Shop,
    pub(crate) function: Function,
    pub(crate) event: Value,
}

impl Scenario {
    /// Plays the history.
    pub(crate) async fn begin(self) -> Moment {
        let mut shop = match self {
            Self::PartialSpill => capped_shop(),
            Self::Standby => standby_shop(),
            _ => Shop::with_routers(&TWO_ROUTERS, POLICY),
        };
        let mut function = shop.start().await;
        let failed = errors_event("cart-v1");
        let event = match self {
            Self::FailOver | Self::PartialSpill | Self::Standby => {
                function.scheduled_run().await.unwrap();
                shop.fails("cart-v1");
                failed
            }
            Self::FailOverCold => {
                shop.fails("cart-v1");
                failed
            }
            Self::FailOverByWake => {
                function.scheduled_run().await.unwrap();
                shop.fails("cart-v1");
                event("tick-rule")
            }
            Self::Hold => {
                shop.fails("cart-v1");
                shop.fails("cart-v2");
                failed
            }
            Self::Probe => {
                shift(&shop, &function).await;
                shop.ports.alarms.set_state(&errors_of("cart-v1"), AlarmState::Ok, shop.now());
                function.minutes(4).await;
                assert_eq!(shop.weights("cart"), [0, 100]);
                shop.wait(1);
                event("tick-rule")
            }
            Self::Step => returning(&shop, &function, &[5, 95]).await,
            Self::Restore => returning(&shop, &function, &[40, 60]).await,
            Self::BackDown => {
                returning(&shop, &function, &[20, 80]).await;
                shop.fails("cart-v1");
                failed
            }
            Self::EditSeen => {
                shift(&shop, &function).await;
                shop.edits("cart", &[50, 50]);
                event("tick-rule")
            }
            Self::Release => {
                shop.fails("recommendations-v2");
                function.answer(&event("alarm-metric")).await.unwrap();
                shop.edits("recommendations", &[50, 50]);
                function.minutes(1).await;
                event("release-route")
            }
            Self::LostTable => {
                shift(&shop, &function).await;
                shop = shop.without_its_table();
                function = shop.start().await;
                event("tick-rule")
            }
        };
        shop.ports.faults.reset();
        Moment { shop, function, event }
    }

    /// Whether only the event carries the request, so that no scheduled run makes up for a lost one.
    pub(crate) fn needs_its_event(self) -> bool {
        matches!(self, Self::Release)
    }

    /// The number of minutes after which nothing changes any more, even if some runs are lost.
    pub(crate) fn minutes(self) -> usize {
        match self {
            Self::Step => 8,
            Self::FailOver
            | Self::FailOverCold
            | Self::FailOverByWake
            | Self::PartialSpill
            | Self::Standby
            | Self::Probe
            | Self::BackDown
            | Self::Restore
            | Self::EditSeen
            | Self::Release
            | Self::LostTable
            | Self::Hold => 3,
        }
    }
}

async fn shift(shop: &Shop, function: &Function) {
    shop.fails("cart-v1");
    function.answer(&errors_event("cart-v1")).await.unwrap();
    assert_eq!(shop.weights("cart"), [0, 100]);
}

/// Runs until the minute in which the next step after `weights` is due.
async fn returning(shop: &Shop, function: &Function, weights: &[u8]) -> Value {
    shift(shop, function).await;
    shop.recovers("cart-v1");
    for _ in 0..30 {
        if shop.weights("cart") == weights {
            break;
        }
        function.minutes(1).await;
    }
    function.minutes(1).await;
    assert_eq!(shop.weights("cart"), weights);
    shop.wait(1);
    event("tick-rule")
}
