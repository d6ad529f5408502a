//! Codes of failover-drill. The reasons themselves are in the crate `drills`, which compares its codes with these tables.

use super::ReasonTable;
use decisions::reason_entry::{Paging, ReasonEntry};

pub(super) const TABLES: [ReasonTable; 4] = [
    ReasonTable { title: "Drills: progress", entries: &PROGRESS },
    ReasonTable { title: "Drills: checks before the start", entries: &CHECKS },
    ReasonTable { title: "Drills: ends", entries: &ENDS },
    ReasonTable { title: "Unreadable parts", entries: &OWN },
];

const fn entry(code: &'static str, paging: Paging, meaning: &'static str, action: &'static str) -> ReasonEntry {
    ReasonEntry { code, paging, meaning, action }
}

const PROGRESS: [ReasonEntry; 8] = [
    entry("NoDrill", Paging::Never, "No drill of the mesh is active, requested or due.", ""),
    entry(
        "DrillStarted",
        Paging::Never,
        "All checks passed. The deadline of the restore is stored before the first weight is written.",
        "",
    ),
    entry("Draining", Paging::Never, "The node is being drained: one conditional write for each route.", ""),
    entry("AwaitsProxies", Paging::Never, "The proxies have not acknowledged the drained weights yet.", ""),
    entry("DrillRunning", Paging::Never, "The node is drained, until the time in the facts.", ""),
    entry("Restoring", Paging::Never, "The weights are being restored: one conditional write for each route.", ""),
    entry(
        "AwaitsFailover",
        Paging::Never,
        "The drained node fails by itself. It stays drained, and route-failover takes it over.",
        "Repair the node.",
    ),
    entry(
        "RestoreOverdue",
        Paging::AtOnce,
        "The weights were not restored by their deadline. Each run tries again.",
        "Resolve the reason in the facts, or run `meshwarden restore ROUTE` for each route.",
    ),
];

const CHECKS: [ReasonEntry; 15] = [
    entry(
        "NodeMissing",
        Paging::Never,
        "The virtual node does not exist. The drill is not started.",
        "Correct the plan.",
    ),
    entry("NoRoute", Paging::Never, "No route gives the node weight. The drill is not started.", "Correct the plan."),
    entry(
        "UnknownPlan",
        Paging::Never,
        "A request names a plan that the policy does not have.",
        "Add it to `drills.plans`.",
    ),
    entry("BlockedDate", Paging::Never, "The policy blocks this date. The drill is not started.", ""),
    entry(
        "DrillActive",
        Paging::Never,
        "Another drill of the mesh is active. A mesh has one drill at a time.",
        "Wait for its end, or run `meshwarden drill stop`.",
    ),
    entry(
        "RouteOccupied",
        Paging::Never,
        "An operator, a failover or a rollout holds a route. The facts have the arbiter's code and the command.",
        "Run the command in the facts, or wait.",
    ),
    entry(
        "AlarmUnknown",
        Paging::Never,
        "An alarm of the plan does not exist, has no data, is muted, or cannot be evaluated. A drill does not start without usable alarms; a running one ends after five minutes.",
        "Repair the alarm that the facts name.",
    ),
    entry(
        "NodeFailing",
        Paging::Never,
        "A node of the mesh fails. A drill does not add a second failure.",
        "Repair the node.",
    ),
    entry(
        "ReceiverNotReady",
        Paging::Never,
        "A failover of the node would hold or leave traffic on it now: no other target is ready or has capacity.",
        "Follow the code of the failover in the facts: this is what the next real failure would meet.",
    ),
    entry(
        "Harmful",
        Paging::Never,
        "What-if finds that draining the node would break something. The facts name each harm.",
        "Resolve the harm, or waive it in the policy.",
    ),
    entry(
        "CapacityExceeded",
        Paging::Never,
        "A receiver would get more requests than `drills.capacity` permits.",
        "Scale the receiver, or declare its capacity in `failover.targets`.",
    ),
    entry(
        "CapacityUnknown",
        Paging::Never,
        "The request rates cannot be read, so the capacity is not known.",
        "Permit the call that the facts name, or give the node an alarm on its requests.",
    ),
    entry("BudgetSpent", Paging::Never, "The drills of this window (`drills.budget`) are used.", ""),
    entry("ObserveOnly", Paging::Never, "All checks passed. Nothing is changed, because the mode is observe.", ""),
    entry(
        "WindowMissed",
        Paging::Never,
        "The plan was due, and no drill was tried in its window.",
        "Check whether the function ran, or start the drill by command.",
    ),
];

const ENDS: [ReasonEntry; 10] = [
    entry("DurationOver", Paging::Never, "The node was drained for the whole duration: `SUCCEEDED`.", ""),
    entry(
        "OutcomeAlarm",
        Paging::AtOnce,
        "An outcome alarm went into `ALARM` during the drill: `FAILED`.",
        "A real failure of this node would reach users. Find out why before it happens.",
    ),
    entry(
        "ReceiverFailing",
        Paging::AtOnce,
        "A node that took the traffic over failed: `FAILED`.",
        "The receiver cannot carry the traffic. Scale or repair it.",
    ),
    entry("BlockingAlarm", Paging::Never, "A blocking alarm is in `ALARM`: not started, or `INTERRUPTED`.", ""),
    entry(
        "DrilledNodeFailing",
        Paging::Never,
        "The drained node failed by itself: `INTERRUPTED`. The node stays drained by route-failover.",
        "Repair the node.",
    ),
    entry(
        "LayerLost",
        Paging::Never,
        "An operator, a deployment or a failover wrote a route of the drill: `INTERRUPTED`.",
        "",
    ),
    entry("Stopped", Paging::Never, "An operator or a service stopped the drill: `INTERRUPTED`.", ""),
    entry(
        "DrainTimedOut",
        Paging::AtOnce,
        "The weights were not written within five minutes: `INTERRUPTED`. A real failover would meet the same.",
        "Resolve the reason in the page about the failed calls, or in the facts.",
    ),
    entry(
        "Unacknowledged",
        Paging::AtOnce,
        "The proxies did not acknowledge the weights within two minutes: `INTERRUPTED`.",
        "Check the proxies with `meshwarden proxies`.",
    ),
    entry(
        "KillSwitchOn",
        Paging::AtOnce,
        "The kill switch is on. A drill does not start; an active one ends, and its weights return once the switch is off.",
        "`meshwarden kill off` when the reason for the switch is gone.",
    ),
];

const OWN: [ReasonEntry; 5] = [
    entry(
        "CannotObserve",
        Paging::IfLasting,
        "Meshes, alarms or documents could not be read, so nothing is decided. A denied call pages at once.",
        "Permit the call that the facts name, or wait for the service.",
    ),
    entry(
        "NotNotified",
        Paging::Never,
        "A notification could not be sent. The next run sends it.",
        "Check the topic and `sns:Publish`.",
    ),
    entry(
        "NotPublished",
        Paging::Never,
        "An event could not be published. The next run publishes it.",
        "Check the bus and `events:PutEvents`.",
    ),
    entry(
        "RecordUnreadable",
        Paging::AtOnce,
        "The document of a mesh's drills is malformed. It is not overwritten, and no drill of the mesh starts.",
        "Repair the item that the facts name.",
    ),
    entry(
        "NewerFormat",
        Paging::AtOnce,
        "A newer version wrote the document of a mesh's drills. It is not overwritten, and no drill of the mesh starts.",
        "Deploy the version that wrote it.",
    ),
];
