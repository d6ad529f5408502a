//! Codes of route-failover.

use super::ReasonTable;
use decisions::failover::{ActReason, HoldReason, KeepReason, NoAnswer, Unmapped};
use decisions::reason_entry::{Paging, ReasonEntry};
use decisions::weights::{DeclaredCode, EndReason};

pub(super) const TABLES: [ReasonTable; 9] = [
    ReasonTable { title: "Changes", entries: ActReason::ENTRIES },
    ReasonTable { title: "Holds", entries: HoldReason::ENTRIES },
    ReasonTable { title: "No change", entries: KeepReason::ENTRIES },
    ReasonTable { title: "Declared writes", entries: DeclaredCode::ENTRIES },
    ReasonTable { title: "Ends of rollouts and drills", entries: EndReason::ENTRIES },
    ReasonTable { title: "Alarms without a target", entries: Unmapped::ENTRIES },
    ReasonTable { title: "Alarms that cannot be read", entries: NoAnswer::ENTRIES },
    ReasonTable { title: "Unreadable parts", entries: &OWN },
    ReasonTable { title: "Operators, in the journal only", entries: &OPERATORS },
];

const OWN: [ReasonEntry; 3] = [
    ReasonEntry {
        code: "CannotObserve",
        paging: Paging::IfLasting,
        meaning: "Alarms, a mesh, a route or the data of an alarm could not be read. A denied call pages at once.",
        action: "Permit the call that the facts name, or wait for the service.",
    },
    ReasonEntry {
        code: "RecordUnreadable",
        paging: Paging::AtOnce,
        meaning: "The document `route-failover`, which remembers pages, is malformed. It is not overwritten, and failover continues. It pages again after `remindAfter`.",
        action: "Repair the item, or run `meshwarden forget route-failover`.",
    },
    ReasonEntry {
        code: "NewerFormat",
        paging: Paging::AtOnce,
        meaning: "A newer version wrote the document `route-failover`, which remembers pages. It is not overwritten, and failover continues. It pages again after `remindAfter`.",
        action: "Deploy the version that wrote it, or run `meshwarden forget route-failover`.",
    },
];

const OPERATORS: [ReasonEntry; 5] = [
    ReasonEntry {
        code: "PersonHeld",
        paging: Paging::Never,
        meaning: "An operator ran `meshwarden hold` on the route.",
        action: "",
    },
    ReasonEntry {
        code: "PersonReleased",
        paging: Paging::Never,
        meaning: "An operator ran `meshwarden release` on the route.",
        action: "",
    },
    ReasonEntry {
        code: "PersonRestored",
        paging: Paging::Never,
        meaning: "An operator ran `meshwarden restore` on the route.",
        action: "",
    },
    ReasonEntry {
        code: "PersonSwitchedOff",
        paging: Paging::Never,
        meaning: "An operator ran `meshwarden kill on`.",
        action: "",
    },
    ReasonEntry {
        code: "PersonSwitchedOn",
        paging: Paging::Never,
        meaning: "An operator ran `meshwarden kill off`.",
        action: "",
    },
];
