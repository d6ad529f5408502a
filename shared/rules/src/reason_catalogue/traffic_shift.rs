//! Codes of traffic-shift. A test of the crate `rollouts` compares them with its reasons.

use super::ReasonTable;
use decisions::reason_entry::{Paging, ReasonEntry};
use decisions::weights::{Blocker, EndReason};

pub(super) const TABLES: [ReasonTable; 6] = [
    ReasonTable { title: "Waits before the start", entries: &START },
    ReasonTable { title: "Steps", entries: &STEPS },
    ReasonTable { title: "Causes of a rollback or a refusal", entries: &FAILURES },
    ReasonTable { title: "Ends by another writer", entries: EndReason::ENTRIES },
    ReasonTable { title: "Other writers that are first", entries: Blocker::ENTRIES },
    ReasonTable { title: "Requests and calls", entries: &OWN },
];

const fn entry(code: &'static str, paging: Paging, meaning: &'static str, action: &'static str) -> ReasonEntry {
    ReasonEntry { code, paging, meaning, action }
}

const START: [ReasonEntry; 5] = [
    entry(
        "ModeObserve",
        Paging::Never,
        "The mode of traffic-shift on the mesh is `observe`. The rollout waits, or is paused.",
        "Set `modes.rules.traffic-shift` or the mode of the mesh to `enforce`.",
    ),
    entry(
        "TooManyRollouts",
        Paging::Never,
        "The mesh has as many active rollouts as `rollouts.concurrent` allows.",
        "Wait for the end of one, or raise the limit.",
    ),
    entry(
        "BudgetSpent",
        Paging::Never,
        "The starts of the window are used up (`rollouts.budget`). Steps and rollbacks never count.",
        "Wait for the next window, or raise the budget.",
    ),
    entry(
        "RouteUnclear",
        Paging::AtOnce,
        "The record of a route cannot be read, or no target may receive its traffic. Nothing is written.",
        "Follow the reason in the facts, such as deploying the version that wrote the record.",
    ),
    entry(
        "NotAcknowledged",
        Paging::Never,
        "The proxies that call the routes are not connected, or have not acknowledged the present configuration.",
        "Look at `meshwarden proxies`.",
    ),
];

const STEPS: [ReasonEntry; 9] = [
    entry("Shifting", Paging::Never, "The weights of a step are written.", ""),
    entry("Watching", Paging::Never, "Every gate passes, and the time of the step is not over.", ""),
    entry(
        "GateNoData",
        Paging::IfLasting,
        "A gate has no result: too few requests, missing or partial data, or a denied call. The clock of the step stands still. After `rollouts.noDataAfter` the rollout pauses.",
        "Restore the data that the facts name, or abort the rollout.",
    ),
    entry(
        "TooFewProxies",
        Paging::IfLasting,
        "Fewer proxies of the new version are connected than its share needs (`rollouts.minProxies`).",
        "Scale the new version up.",
    ),
    entry("HookWaits", Paging::Never, "A hook is due or in progress.", ""),
    entry(
        "AwaitingApproval",
        Paging::Never,
        "The step, or the promotion, waits for an operator.",
        "`meshwarden rollout promote --step`, or `meshwarden rollout abort`.",
    ),
    entry(
        "PersonPaused",
        Paging::Never,
        "An operator paused the rollout. Gates can still fail it, and it rolls back after `rollouts.pauseLimit.operator`.",
        "`meshwarden rollout resume`.",
    ),
    entry("Promoting", Paging::Never, "The split of the rollout becomes the declared one.", ""),
    entry(
        "RollingBack",
        Paging::AtOnce,
        "The split before the rollout is written. The page has the cause as its code.",
        "Read the cause in the table below.",
    ),
];

const FAILURES: [ReasonEntry; 13] = [
    entry(
        "RequestInvalid",
        Paging::Never,
        "The request does not fit the routes: a missing route, or a version that is not a target.",
        "Correct the request as the text says, and start it again.",
    ),
    entry(
        "GateFailingBeforeStart",
        Paging::Never,
        "An alarm of the gates is in `ALARM` before the first write, so the rollout is refused.",
        "Resolve the alarm, and start the rollout with `--retry`.",
    ),
    entry(
        "GateFailed",
        Paging::AtOnce,
        "A gate failed: an alarm, or a metric in as many evaluations as `failAfter` says.",
        "Repair the new version, and start the rollout with `--retry`.",
    ),
    entry(
        "Harmful",
        Paging::AtOnce,
        "The write would create a harm, such as a missing listener of the new version.",
        "Resolve the harm, or permit it with a waiver.",
    ),
    entry("HookFailed", Paging::AtOnce, "A hook answered `FAILED`.", "Read the reason that the hook gave."),
    entry(
        "HookTimedOut",
        Paging::AtOnce,
        "A hook did not answer `SUCCEEDED` within its time limit. Errors and unreadable answers are repeated until then.",
        "Check the function's log, and that its name matches the parameter `RolloutHooks`.",
    ),
    entry(
        "Unacknowledged",
        Paging::AtOnce,
        "The proxies have not acknowledged a step within `rollouts.acknowledge.within`. The rollout is paused.",
        "Look at `meshwarden proxies`.",
    ),
    entry(
        "ProxyRefused",
        Paging::AtOnce,
        "A proxy rejected the configuration of a step.",
        "Read the message of the proxy in the facts.",
    ),
    entry(
        "FromScaledDown",
        Paging::AtOnce,
        "The old version has fewer than half of its proxies, so that it could not take its traffic back. The rollout is paused.",
        "Scale the old version up until the bake time is over.",
    ),
    entry(
        "RouteChanged",
        Paging::AtOnce,
        "A route was deleted, recreated, or has other targets than at the start.",
        "Start the rollout again on the new route.",
    ),
    entry(
        "RolloutStalled",
        Paging::AtOnce,
        "A pause lasted longer than `rollouts.pauseLimit`, or a step could not be written within ten minutes.",
        "Resolve the cause in the text, and start the rollout with `--retry`.",
    ),
    entry(
        "RollbackFailed",
        Paging::AtOnce,
        "The rollback is not completed: a hold, a failing call, or proxies that have not acknowledged it. Every run repeats it.",
        "Resolve the obstacle in the text, such as `meshwarden release ROUTE`.",
    ),
    entry("Aborted", Paging::Never, "An operator aborted the rollout.", ""),
];

const OWN: [ReasonEntry; 4] = [
    entry("Promoted", Paging::Never, "The rollout has ended, and the new version is declared.", ""),
    entry(
        "CannotObserve",
        Paging::IfLasting,
        "The index, the rollout, its routes or its mesh could not be read, so nothing is decided. A denied call pages at once.",
        "Permit the call that the facts name, or wait for the service.",
    ),
    entry(
        "NotNotified",
        Paging::Never,
        "A notification could not be sent. It is stored, and the next run sends it.",
        "Check the topic and `sns:Publish`.",
    ),
    entry(
        "NotPublished",
        Paging::Never,
        "An event could not be published. It is stored, and the next run publishes it.",
        "Check the event bus and `events:PutEvents`.",
    ),
];
