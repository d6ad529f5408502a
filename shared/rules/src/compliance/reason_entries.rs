//! The documentation of each reason code of the compliance decisions.

use super::reason::{ComplianceHoldReason, ComplianceKeepReason};
use decisions::reason_entry::reason_entries;

reason_entries! { ComplianceKeepReason {
    Compliant: Never,
        "The resource has no finding of the topic.",
        "";
    NotApplicable: Never,
        "The topic has no rule for the resource.",
        "";
    WorthKnowing: Never,
        "The resource has findings of severity `info` only.",
        "";
    Waived: Never,
        "A waiver of the policy allows every finding of the resource for now.",
        "";
}}

reason_entries! { ComplianceHoldReason {
    TagsUnknown: IfLasting,
        "The resource's tags could not be read.",
        "Permit `appmesh:ListTagsForResource`, or wait for the service.";
    ResourceUnread: IfLasting,
        "The resource could not be described; only its name is known.",
        "Permit the call that the facts name, or wait for the service.";
    SourceTagsUnknown: IfLasting,
        "The tags of a resource from which the tag would be inherited could not be read.",
        "Permit `appmesh:ListTagsForResource` for it.";
    PartlyRead: IfLasting,
        "Other resources of the mesh could not be described, so the effect of a change is unknown.",
        "Permit the calls that the facts name, or wait for the service.";
    StateUnreachable: IfLasting,
        "The state table could not be read or written, so nothing is changed.",
        "Check the table, its permissions and the network of the function.";
    RecordUnreadable: AtOnce,
        "The state table's document of the mesh cannot be read.",
        "Repair the item, or run `meshwarden forget DOCUMENT`, which the page names.";
    NewerFormat: AtOnce,
        "A newer version wrote the state table's document of the mesh.",
        "Deploy that version, or run `meshwarden forget DOCUMENT`.";
    TagConflict: Never,
        "The resources from which a tag could be inherited have different values. The facts name each value with one of them.",
        "Set the tag by hand, or align the values.";
    InsideGrace: Never,
        "The resource is younger than `tags.grace`. The deployment that creates it may still set its tags.",
        "";
    AgeUnknown: Never,
        "The age of the resource is unknown, so the grace period cannot be applied.",
        "Set the tag by hand.";
    WouldCut: Never,
        "What-if finds calls that the repair would cut. The facts name them.",
        "Declare the calls as backends, or allow the hosts in `egress.allow`.";
    WouldHarm: Never,
        "What-if finds another harm of the repair. The facts name it.",
        "Resolve the harm, or waive it in the policy.";
    FilterOpen: Never,
        "A backend without a virtual service may be called outside the mesh while the egress filter is `ALLOW_ALL`, so it is not removed.",
        "Close the egress filter first, or remove the backend by hand.";
    FilterUnknown: Never,
        "The type of the mesh's egress filter is not a known one: neither open nor closed.",
        "Set `ALLOW_ALL` or `DROP_ALL`.";
    RemovalNotAllowed: Never,
        "The policy does not allow the removal of backends (`egress.removeDangling`).",
        "Create the virtual service, remove the backend by hand, or allow the removal.";
    NoSafeRepair: Never,
        "No safe automatic change resolves the finding.",
        "Resolve it by hand; `infra/policy/rules.md` describes the rule.";
    KillSwitchOn: Never,
        "The kill switch is on, so nothing is written. The function's metric `KillSwitchOn` counts it.",
        "`meshwarden kill off` when the reason for the switch is gone.";
    BudgetSpent: IfLasting,
        "The changes of this window (`tags.budget`, `egress.budget`) are spent. Three hours of that page `NoProgress`.",
        "Raise the budget if so many repairs are right.";
}}
