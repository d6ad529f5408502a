//! Invocations in the life cycle of a route, each with its expected end state, to be disturbed by other tests.

use std::collections::BTreeMap;

use decisions::failover::{RESTORE_TAG, RouteRecord, restore_tag};
use decisions::weights::{DrillLayer, Move, Moves, RolloutLayer, StoredLayers};
use jiff::SignedDuration;
use mesh::alarm::AlarmState;
use policy::Percent;
use ports::{StateKey, Stored, TagWriter};
use records::{read_record, write_record};
use serde_json::Value;

use crate::alarms::errors_of;
use crate::lifecycle::{capped_shop, standby_shop};
use crate::shop::{Function, POLICY, Shop, TWO_ROUTERS, errors_event, event, node, route};

/// A scenario: its history, and the disturbed invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// The target of a rollout fails: rollback, and drain of its declared share in the same write.
    RolloutTarget,
    /// The restore deadline of a drill has passed.
    OverdueDrill,
    /// The state table is lost during a rollout; the tag has the declared weights.
    LostRollout,
}

pub(crate) const ALL: [Scenario; 16] = [
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
    Scenario::RolloutTarget,
    Scenario::OverdueDrill,
    Scenario::LostRollout,
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
            Self::RolloutTarget => {
                function.scheduled_run().await.unwrap();
                put_layers(&shop, rollout(&shop), &[5, 5]).await;
                shop.fails("cart-v2");
                errors_event("cart-v2")
            }
            Self::OverdueDrill => {
                function.scheduled_run().await.unwrap();
                put_layers(&shop, overdue_drill(&shop), &[0, 100]).await;
                event("tick-rule")
            }
            Self::LostRollout => {
                function.scheduled_run().await.unwrap();
                put_layers(&shop, rollout(&shop), &[5, 5]).await;
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
            | Self::Hold
            | Self::RolloutTarget
            | Self::OverdueDrill
            | Self::LostRollout => 3,
        }
    }
}

/// A rollout from v1 to v2 at 50 %.
fn rollout(shop: &Shop) -> StoredLayers {
    let (from, to) = (node("cart-v1"), node("cart-v2"));
    let layer = RolloutLayer {
        id: "cart-v2-1".to_owned(),
        moves: Moves::new(vec![Move { from, to }]).unwrap(),
        percent: Percent::new(50).unwrap(),
        since: shop.now(),
        acknowledged: Some(shop.now()),
        attend_by: shop.now() + SignedDuration::from_hours(1),
        to_capacity: None,
    };
    StoredLayers { rollout: Some(layer), ..StoredLayers::default() }
}

/// A drill of v1 that was to be restored a minute ago.
fn overdue_drill(shop: &Shop) -> StoredLayers {
    let minute = SignedDuration::from_mins(1);
    let layer = DrillLayer {
        id: "cart-1".to_owned(),
        node: node("cart-v1"),
        since: shop.now() - minute * 35,
        restore_by: shop.now() - minute,
    };
    StoredLayers { drill: Some(layer), ..StoredLayers::default() }
}

/// Another function puts layers on the route, with its weights, record and tag.
async fn put_layers(shop: &Shop, layers: StoredLayers, weights: &[u8]) {
    let id = route("cart");
    let declared = shop.ports.mesh.route(&id).unwrap().spec.split();
    shop.edits("cart", weights);
    let data = shop.ports.mesh.route(&id).unwrap();
    let key = StateKey::route(&id);
    let stored = shop.ports.state.stored(&key).unwrap();
    let mut record: RouteRecord = read_record(&key, &stored.document).unwrap();
    record.layers = StoredLayers { declared, ..layers };
    record.split = data.spec.split().unwrap();
    record.version = data.metadata.version.get().unsigned_abs();
    record.epoch = 1;
    let tags = BTreeMap::from([(RESTORE_TAG.to_owned(), restore_tag(&record).unwrap())]);
    TagWriter::tag(&shop.ports.mesh, &data.metadata.arn.to_string(), &tags).await.unwrap();
    let revision = stored.revision + 1;
    shop.ports.state.put(&key, Stored { document: write_record(&record), revision, epoch: revision, ..stored });
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
