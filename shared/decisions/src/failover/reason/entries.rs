//! The documentation of each reason code of failover.

use super::{ActReason, HoldReason, KeepReason};
use crate::reason_entry::reason_entries;

reason_entries! { ActReason {
    Failover: Never,
        "Nodes fail. Their share goes to ready siblings in proportion, or to declared standbys in order.",
        "Repair the failing version. The weights return automatically when its alarms clear.";
    PartialSpill: Never,
        "Nodes fail. A part of their share moves, and the rest stays, because the other targets have no capacity for it.",
        "Add capacity to the other targets, or raise their `capacityShare`.";
    BackDown: Never,
        "A node that was returning fails again and is drained at once.",
        "Look for a failure that only occurs under load.";
    TrialEnded: Never,
        "A node had the probe share without proof (`failback.probeWithoutProof`), and its alarms did not clear with data. It is drained \
         again.",
        "Repair the node.";
    Failback: Never,
        "After the dwell, a node gets the probe share, or its next step after a step with data.",
        "";
    Restore: Never,
        "All nodes have returned. The original weights are written.",
        "";
    Rollback: IfLasting,
        "A rollout is rolled back by route-failover: a target of the rollout fails, traffic-shift does not run, or a role reverts the weights. \
         Failing nodes are drained with the same write. It pages at once for these causes.",
        "Read the cause. Start the rollout again with `--retry` when it is resolved.";
    DrillRestored: IfLasting,
        "route-failover ends a drill: a node fails, or the restore deadline has passed. It pages at once, except if the drilled node fails.",
        "Read the cause. For `RestoreOverdue`, repair failover-drill.";
    Reapplied: Never,
        "An infrastructure-as-code role wrote its split during a failover or rollout. It is declared, and the layers are written again.",
        "";
    StaleDeclaration: AtOnce,
        "An infrastructure-as-code role wrote the split from before a promotion. The promoted split is written again.",
        "Change the declared weights to the promoted split, or run `meshwarden release ROUTE --accept-declared`.";
    StateLost: AtOnce,
        "The state table was lost during a rollout or drill. The declared split of the restore tag is written, and failing nodes are drained.",
        "Check the state table, then start the rollout or drill again.";
}}

reason_entries! { KeepReason {
    Steady: Never,
        "The route has its declared weights, and no alarm of its targets is on.",
        "";
    AlreadyShifted: IfLasting,
        "A failing node is already drained. The facts name alarms that cannot clear while the node has no requests.",
        "Repair the node. If an alarm cannot clear, change its `TreatMissingData` or allow `failback.probeWithoutProof`.";
    FailingWithoutTraffic: IfLasting,
        "A node fails that gets no traffic from the route, such as a standby. It could not take over.",
        "Repair the node before it is needed.";
}}

reason_entries! { HoldReason {
    InsideDwell: Never,
        "The node's alarms are out of `ALARM`, but not for the whole `dwell`.",
        "";
    InsideStep: Never,
        "The current step of the failback is still being observed.",
        "";
    Settling: Never,
        "Another node of the route was drained a moment ago. The remaining targets are observed under its load first.",
        "";
    Unproven: IfLasting,
        "The step's time is over, but the node's request metrics have no published data points. Missing data is not health.",
        "Check that the metrics in the facts are published and that the role may read them. An idle service recovers with its requests.";
    FlapBudget: AtOnce,
        "The node was drained too often within `flaps.window`. It stays drained until the oldest drain leaves the window.",
        "Look for the cause of the repeated failures. `meshwarden restore ROUTE` returns the traffic earlier.";
    NoVerdict: AtOnce,
        "The health of a drained node is unknown, because its alarm was deleted, is muted or cannot be read.",
        "Restore the alarm, or check the node and run `meshwarden restore ROUTE --allow-unknown`.";
    PersonEdited: AtOnce,
        "An operator or a deployment changed the targets or weights, or an operator holds the route. The edit is respected until the time \
         in the facts. It pages only while a target fails.",
        "Run `meshwarden release ROUTE` if failover may take over again.";
    Unplaced: AtOnce,
        "Failing nodes keep a part of their share, because no other target has capacity for it.",
        "Add capacity, or raise `capacityShare` of the other targets.";
    NothingEligible: AtOnce,
        "A node fails, and no other target is known or declared to be ready. The facts name the obstacle of each target.",
        "Make a sibling ready, add an alarm that reports it, or declare it with `targets[].assumeReady`.";
    CommonCause: AtOnce,
        "Several nodes began to fail together, and no call between them explains it. Moving traffic would concentrate the load.",
        "Look for a shared cause: a database, a network, a deployment.";
    CallersDisagree: AtOnce,
        "Some callers report that the node fails, and another caller reports with data that it does not.",
        "Compare the callers in the facts. `failover.callerDisagreement: act` drains on any caller.";
    DependencyFailing: IfLasting,
        "The node calls another failing node, which explains its alarm.",
        "Repair the node that it calls.";
    NoRoute: AtOnce,
        "A failing node is the target of no route, so there are no weights to move.",
        "Put a virtual router in front of the node, or repair the node.";
    NodeMissing: AtOnce,
        "An alarm reports a virtual node that the mesh does not have.",
        "Correct the alarm or its binding, or delete it.";
    Muted: IfLasting,
        "An alarm of the node is in `ALARM`, but an active mute rule, a suppressor or disabled actions mute it.",
        "Nothing while the muting is intended.";
    Harmful: AtOnce,
        "What-if finds that the change would break something, such as TLS on a call. The facts name each harm.",
        "Resolve the harm, or waive it in the policy.";
    BudgetSpent: AtOnce,
        "The changes of this window (`failover.budget`) are spent.",
        "Check why so many changes were needed. Raise the budget if they were right.";
    KillSwitchOn: AtOnce,
        "The kill switch is on, so nothing is written.",
        "`meshwarden kill off` when the reason for the switch is gone.";
    RecordUnreadable: AtOnce,
        "The state table's record of the route cannot be read, or is of a newer version.",
        "Deploy the newer version, or repair the record that the facts name.";
    StaleRead: Never,
        "The route was read at an older version than a known write. It is read again.",
        "";
    DeclaredDrained: AtOnce,
        "All declared weights of the route are 0, so it sends traffic nowhere.",
        "Give a target a weight.";
    Unattended: AtOnce,
        "No run of traffic-shift has renewed the rollout on the route. It is rolled back after a limit.",
        "Repair traffic-shift; its log and its alarms name the error.";
    RestoreOverdue: AtOnce,
        "The restore deadline of a drill has passed, and the restore waits for an operator or the kill switch.",
        "Run the command of the reason, then `meshwarden drill stop`.";
    RollbackWaits: AtOnce,
        "A rollout is to be rolled back, and the rollback waits for an operator or the kill switch.",
        "Run the command of the reason.";
}}

impl HoldReason {
    /// Whether the hold pages at once: a target fails, or soon will, and nothing is done about it.
    #[must_use]
    pub const fn pages(&self) -> bool {
        matches!(self.entry().paging, crate::reason_entry::Paging::AtOnce)
    }
}
