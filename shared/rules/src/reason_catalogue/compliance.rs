//! Codes of tag-compliance and egress-compliance.

use super::ReasonTable;
use crate::compliance::{ComplianceHoldReason, ComplianceKeepReason};
use decisions::reason_entry::{Paging, ReasonEntry};

pub(super) const TABLES: [ReasonTable; 5] = [
    ReasonTable { title: "Repairs", entries: &REPAIRS },
    ReasonTable { title: "Holds", entries: ComplianceHoldReason::ENTRIES },
    ReasonTable { title: "No change", entries: ComplianceKeepReason::ENTRIES },
    ReasonTable { title: "Answers to AWS Config", entries: &ANSWERS },
    ReasonTable { title: "Meshes, notifications and unreadable parts", entries: &OWN },
];

const REPAIRS: [ReasonEntry; 1] = [ReasonEntry {
    code: "Mends",
    paging: Paging::Never,
    meaning: "A plan repairs the findings that the facts name. It is applied in mode `enforce` and reported in `observe`.",
    action: "In `observe`, read the plan and switch the mesh to `enforce` if it is right.",
}];

const ANSWERS: [ReasonEntry; 6] = [
    ReasonEntry {
        code: "Evaluated",
        paging: Paging::Never,
        meaning: "AWS Config has accepted the evaluations.",
        action: "",
    },
    ReasonEntry {
        code: "CannotAnswer",
        paging: Paging::IfLasting,
        meaning: "`PutEvaluations` failed.",
        action: "Permit `config:PutEvaluations`, or wait for the service.",
    },
    ReasonEntry {
        code: "EvaluationsRefused",
        paging: Paging::IfLasting,
        meaning: "AWS Config did not accept some of the evaluations. They were sent up to three times.",
        action: "Compare the refused evaluations in the facts with the rule's scope.",
    },
    ReasonEntry {
        code: "Unknown",
        paging: Paging::IfLasting,
        meaning: "The compliance of the resource is unknown, so AWS Config gets no evaluation. Its last one stays.",
        action: "Resolve the error that the facts name.",
    },
    ReasonEntry {
        code: "OtherMesh",
        paging: Paging::Never,
        meaning: "The item is about a mesh of the same name in another account or region, so it is not evaluated.",
        action: "Deploy the function in that account or region.",
    },
    ReasonEntry {
        code: "WithoutArn",
        paging: Paging::Never,
        meaning: "Neither the item nor its history in AWS Config has an ARN, so its mesh is unknown.",
        action: "",
    },
];

const OWN: [ReasonEntry; 7] = [
    ReasonEntry {
        code: "Judged",
        paging: Paging::Never,
        meaning: "The summary of a mesh: the number of resources by compliance.",
        action: "",
    },
    ReasonEntry {
        code: "CannotObserve",
        paging: Paging::IfLasting,
        meaning: "The list of meshes, a mesh or a stored document could not be read. A denied call pages at once.",
        action: "Permit the call that the facts name, or wait for the service.",
    },
    ReasonEntry {
        code: "PartlyRead",
        paging: Paging::IfLasting,
        meaning: "Some resources of the mesh, or their tags, could not be read. The others are evaluated.",
        action: "Permit the calls that the facts name, or wait for the service.",
    },
    ReasonEntry {
        code: "NotNotified",
        paging: Paging::Never,
        meaning: "A notification could not be sent. It is stored, and the next run sends it.",
        action: "Check the topic and `sns:Publish`.",
    },
    ReasonEntry {
        code: "NotPublished",
        paging: Paging::IfLasting,
        meaning: "Events could not be put on the bus. They are stored, and the next run puts them.",
        action: "Check the bus and `events:PutEvents`.",
    },
    ReasonEntry {
        code: "NotThere",
        paging: Paging::Never,
        meaning: "The mesh of an event does not exist, such as after its deletion.",
        action: "",
    },
    ReasonEntry {
        code: "NothingChanged",
        paging: Paging::Never,
        meaning: "The event is about a write that was refused, so nothing changed.",
        action: "",
    },
];
