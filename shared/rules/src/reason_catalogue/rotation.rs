//! Codes of certificate-rotation.

use super::ReasonTable;
use decisions::reason_entry::{Paging, ReasonEntry};
use decisions::rotation::{RotationKeepReason, Why};

pub(super) const TABLES: [ReasonTable; 3] = [
    ReasonTable { title: "Steps", entries: Why::ENTRIES },
    ReasonTable { title: "Holds and no change", entries: RotationKeepReason::ENTRIES },
    ReasonTable { title: "Events and unreadable parts", entries: &OWN },
];

const OWN: [ReasonEntry; 5] = [
    ReasonEntry {
        code: "CannotObserve",
        paging: Paging::IfLasting,
        meaning: "The list of meshes could not be read, so nothing is decided. A denied call pages at once.",
        action: "Permit the call that the facts name, or wait for the service.",
    },
    ReasonEntry {
        code: "RenewalActionRequired",
        paging: Paging::AtOnce,
        meaning: "ACM reports that it cannot renew a certificate. The facts have ACM's reason and the remedy.",
        action: "Follow the remedy in the facts.",
    },
    ReasonEntry {
        code: "AuthorityFailed",
        paging: Paging::AtOnce,
        meaning: "A private CA reports a failure, such as a CRL that it could not write.",
        action: "Resolve the failure that the facts name.",
    },
    ReasonEntry {
        code: "CertificateNotUsed",
        paging: Paging::Never,
        meaning: "An event is about a certificate or a CA that no mesh uses.",
        action: "",
    },
    ReasonEntry {
        code: "NotNotified",
        paging: Paging::Never,
        meaning: "A notification could not be sent. It is stored, and the next run sends it.",
        action: "Check the topic and `sns:Publish`.",
    },
];
