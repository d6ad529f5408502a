//! Codes of compliance-sweep.

use super::ReasonTable;
use decisions::reason_entry::{Paging, ReasonEntry};

pub(super) const TABLES: [ReasonTable; 2] =
    [ReasonTable { title: "Sweeps", entries: &SWEEPS }, ReasonTable { title: "Holds", entries: &HOLDS }];

const SWEEPS: [ReasonEntry; 6] = [
    ReasonEntry {
        code: "Changed",
        paging: Paging::Never,
        meaning: "The mesh has new or resolved findings, which are notified. A new critical finding pages.",
        action: "Resolve the findings; `infra/policy/rules.md` describes each rule.",
    },
    ReasonEntry {
        code: "Unchanged",
        paging: Paging::Never,
        meaning: "The mesh has the same findings as before.",
        action: "",
    },
    ReasonEntry {
        code: "Gone",
        paging: Paging::Never,
        meaning: "The mesh was deleted. Its findings are resolved and archived.",
        action: "",
    },
    ReasonEntry {
        code: "Swept",
        paging: Paging::Never,
        meaning: "The same trigger has already swept the mesh, so nothing is done.",
        action: "",
    },
    ReasonEntry {
        code: "Overtaken",
        paging: Paging::IfLasting,
        meaning: "Another sweep of the mesh stored its findings at the same time. This one is repeated.",
        action: "",
    },
    ReasonEntry {
        code: "AskedFor",
        paging: Paging::Never,
        meaning: "A sweep of the mesh was requested by a queue message. Requests without sweeps page `NoProgress`.",
        action: "",
    },
];

const HOLDS: [ReasonEntry; 9] = [
    ReasonEntry {
        code: "Unreadable",
        paging: Paging::IfLasting,
        meaning: "The list of meshes or the mesh could not be read, so it is not evaluated. A denied call pages at once.",
        action: "Permit the call that the facts name, or wait for the service.",
    },
    ReasonEntry {
        code: "PartlyRead",
        paging: Paging::IfLasting,
        meaning: "Some resources, tags or certificates could not be read. Their findings stay as they were.",
        action: "Permit the calls that the facts name, or wait for the service.",
    },
    ReasonEntry {
        code: "StateUnreachable",
        paging: Paging::IfLasting,
        meaning: "The state table could not be read or written, so new findings are not distinguishable from old ones.",
        action: "Check the table, its permissions and the network of the function.",
    },
    ReasonEntry {
        code: "RecordUnreadable",
        paging: Paging::AtOnce,
        meaning: "The stored findings of the mesh cannot be read.",
        action: "Repair the item, or run `meshwarden forget DOCUMENT`, which the page names.",
    },
    ReasonEntry {
        code: "NewerFormat",
        paging: Paging::AtOnce,
        meaning: "A newer version wrote the stored findings of the mesh.",
        action: "Deploy that version, or run `meshwarden forget DOCUMENT`.",
    },
    ReasonEntry {
        code: "ReportNotKept",
        paging: Paging::IfLasting,
        meaning: "A report could not be stored below `MESHWARDEN_REPORTS`. The sweep is repeated.",
        action: "Check the bucket and `s3:PutObject`.",
    },
    ReasonEntry {
        code: "NotImported",
        paging: Paging::IfLasting,
        meaning: "Security Hub did not accept the findings. The next sweep repeats the import.",
        action: "Enable Security Hub in the account and region, and permit `securityhub:BatchImportFindings`.",
    },
    ReasonEntry {
        code: "NotTold",
        paging: Paging::IfLasting,
        meaning: "A notification or an event could not be sent. It is stored, and the next sweep sends it.",
        action: "Check the topic and the bus, and their permissions.",
    },
    ReasonEntry {
        code: "NotAskedFor",
        paging: Paging::IfLasting,
        meaning: "The sweeps of the meshes could not be requested on the event bus.",
        action: "Check the bus and `events:PutEvents`.",
    },
];
