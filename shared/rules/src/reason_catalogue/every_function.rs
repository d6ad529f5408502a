//! Codes that every function reports.

use super::ReasonTable;
use decisions::reason_entry::{Paging, ReasonEntry};
use mesh::watch::NoProgress;

pub(super) const TABLES: [ReasonTable; 2] = [
    ReasonTable { title: "Every function", entries: &EVENTS },
    ReasonTable { title: "Outcomes of a plan", entries: &OUTCOMES },
];

const EVENTS: [ReasonEntry; 3] = [
    ReasonEntry {
        code: "NotOurs",
        paging: Paging::Never,
        meaning: "The event is valid, but of a kind that the function does not handle.",
        action: "Correct the rule or the subscription that delivers it.",
    },
    ReasonEntry {
        code: "UnreadableEvent",
        paging: Paging::Never,
        meaning: "A part of the event cannot be parsed. A queue message goes to the dead-letter queue, which has an alarm.",
        action: "`meshwarden dead-letters show` prints the message; the facts name the invalid member.",
    },
    ReasonEntry {
        code: NoProgress::CODE,
        paging: Paging::AtOnce,
        meaning: "A decision that is not final has stayed the same, on the same facts, for longer than it may.",
        action: "Run the command that the page names, and resolve the reason of the underlying decision.",
    },
];

const OUTCOMES: [ReasonEntry; 9] = [
    ReasonEntry {
        code: "WouldApply",
        paging: Paging::Never,
        meaning: "The mode is `observe`, so nothing was written.",
        action: "",
    },
    ReasonEntry { code: "Applied", paging: Paging::Never, meaning: "The change is written.", action: "" },
    ReasonEntry {
        code: "AlreadyInPlace",
        paging: Paging::Never,
        meaning: "The resource already had the planned state.",
        action: "",
    },
    ReasonEntry {
        code: "InProgress",
        paging: Paging::Never,
        meaning: "The other service is still working on the step (certificate-rotation).",
        action: "",
    },
    ReasonEntry {
        code: "Superseded",
        paging: Paging::Never,
        meaning: "Another writer changed the resource between the read and the write. It is observed and decided again.",
        action: "",
    },
    ReasonEntry {
        code: "Refused",
        paging: Paging::Never,
        meaning: "The state table refused the change: kill switch, budget, another lease holder, or a newer record. The first two page.",
        action: "As for `KillSwitchOn` and `BudgetSpent`.",
    },
    ReasonEntry {
        code: "Overwrote",
        paging: Paging::AtOnce,
        meaning: "The change is written, but over a change that had not been read. The server ignores `x-meshwarden-if-version`.",
        action: "Compare the resource's history with the journal, and repeat the lost edit.",
    },
    ReasonEntry {
        code: "Failed",
        paging: Paging::IfLasting,
        meaning: "A call failed. The next run resumes. A permanent failure, such as a denied call, pages at once.",
        action: "Resolve the error that the facts name.",
    },
    ReasonEntry {
        code: "OutOfTime",
        paging: Paging::IfLasting,
        meaning: "The invocation had no time left. The next run resumes.",
        action: "If it repeats, look for slow or throttled calls in the log.",
    },
];
