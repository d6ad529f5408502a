//! Codes of change-audit.

use super::ReasonTable;
use decisions::reason_entry::{Paging, ReasonEntry};

pub(super) const TABLES: [ReasonTable; 2] =
    [ReasonTable { title: "Changes", entries: &CHANGES }, ReasonTable { title: "Holds", entries: &HOLDS }];

const CHANGES: [ReasonEntry; 10] = [
    ReasonEntry {
        code: "Written",
        paging: Paging::Never,
        meaning: "One write lies between the two states of the resource, so its caller made the change. A change that breaks a call \
                  or creates a critical finding pages.",
        action: "For a change that made something worse, follow the remedy in the notification.",
    },
    ReasonEntry {
        code: "WritesBetween",
        paging: Paging::Never,
        meaning: "Several writes lie between the two states, or some have no event. All known writes are named; no member is \
                  attributed to one of them.",
        action: "As for `Written`.",
    },
    ReasonEntry {
        code: "NoEvent",
        paging: Paging::Never,
        meaning: "The resource changed without an event. The change stays open for a day, in case the event is late.",
        action: "If it is usual, check that change events reach the function's queue.",
    },
    ReasonEntry {
        code: "Attributed",
        paging: Paging::Never,
        meaning: "A late event names the caller of an earlier change.",
        action: "",
    },
    ReasonEntry {
        code: "Unchanged",
        paging: Paging::Never,
        meaning: "A write has no visible effect: it was already reported, or was reverted. Or a scheduled run found no change.",
        action: "",
    },
    ReasonEntry { code: "Refused", paging: Paging::Never, meaning: "A write was refused with an error.", action: "" },
    ReasonEntry {
        code: "FirstSight",
        paging: Paging::Never,
        meaning: "The mesh is read for the first time, so no earlier state exists for a comparison.",
        action: "",
    },
    ReasonEntry {
        code: "Together",
        paging: Paging::Never,
        meaning: "Several changes together created or resolved findings, or more than forty changes are not separated.",
        action: "As for `Written`.",
    },
    ReasonEntry {
        code: "More",
        paging: Paging::Never,
        meaning: "The report has more lines than it lists. The facts have their number.",
        action: "",
    },
    ReasonEntry {
        code: "OtherOwner",
        paging: Paging::Never,
        meaning: "Events are about a mesh of the same name that another account owns, so they are ignored.",
        action: "",
    },
];

const HOLDS: [ReasonEntry; 13] = [
    ReasonEntry {
        code: "Unreadable",
        paging: Paging::IfLasting,
        meaning: "The list of meshes or the mesh could not be read. Events come again, or their writes wait in the state table.",
        action: "Permit the call that the facts name, or wait for the service.",
    },
    ReasonEntry {
        code: "PartlyRead",
        paging: Paging::IfLasting,
        meaning: "Some resources could not be read. Their last state stays, and writes to them wait.",
        action: "Permit the calls that the facts name, or wait for the service.",
    },
    ReasonEntry {
        code: "Behind",
        paging: Paging::IfLasting,
        meaning: "The mesh was read at an older version than an event reports. The event comes again.",
        action: "",
    },
    ReasonEntry {
        code: "Overtaken",
        paging: Paging::IfLasting,
        meaning: "Other invocations stored states of the same mesh each time. The event comes again.",
        action: "",
    },
    ReasonEntry {
        code: "StateUnreachable",
        paging: Paging::IfLasting,
        meaning: "The state table could not be read or written, so nothing is compared. The events come again.",
        action: "Check the table, its permissions and the network of the function.",
    },
    ReasonEntry {
        code: "RecordUnreadable",
        paging: Paging::AtOnce,
        meaning: "The stored state of the mesh cannot be read. Its events come again.",
        action: "Repair the item, or run `meshwarden forget DOCUMENT`, which the page names.",
    },
    ReasonEntry {
        code: "NewerFormat",
        paging: Paging::AtOnce,
        meaning: "A newer version wrote the stored state of the mesh.",
        action: "Deploy that version, or run `meshwarden forget DOCUMENT`.",
    },
    ReasonEntry {
        code: "LastStateUnreadable",
        paging: Paging::IfLasting,
        meaning: "The stored state below `MESHWARDEN_REPORTS` could not be read. The events come again.",
        action: "Check the bucket, `s3:GetObject` and `s3:ListBucket`.",
    },
    ReasonEntry {
        code: "LastStateLost",
        paging: Paging::AtOnce,
        meaning: "The stored state below `MESHWARDEN_REPORTS` was deleted. Changes since it was stored are unknown.",
        action: "Exclude `states/` from the life-cycle rules of the bucket.",
    },
    ReasonEntry {
        code: "NowhereToKeep",
        paging: Paging::AtOnce,
        meaning: "The mesh is too large for the state table, and `MESHWARDEN_REPORTS` is not set.",
        action: "Set the parameter `ReportsBucket`.",
    },
    ReasonEntry {
        code: "StateNotKept",
        paging: Paging::IfLasting,
        meaning: "The state could not be stored below `MESHWARDEN_REPORTS`. The events come again.",
        action: "Check the bucket and `s3:PutObject`.",
    },
    ReasonEntry {
        code: "NotTold",
        paging: Paging::IfLasting,
        meaning: "A notification or an event could not be sent. It is stored, and the next run sends it.",
        action: "Check the topic and the bus, and their permissions.",
    },
    ReasonEntry {
        code: "NotAMesh",
        paging: Paging::AtOnce,
        meaning: "The stored state contains a resource of another mesh, so it cannot be compared.",
        action: "Run `meshwarden forget change-audit/MESH`.",
    },
];
