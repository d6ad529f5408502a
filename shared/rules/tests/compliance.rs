//! The compliance status of resources by tags and egress, and the decisions about them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mesh::name::ResourcePath;
use mesh::resource::{Resource, Tags};
use policy::Policy;
use proptest::prelude::*;
use rules::compliance::{
    ComplianceDecision, ComplianceStatus, ComplianceVerdict, DecisionScope, ResourceFacts, Topic, decide, is_news,
    judge,
};
use serde_json::{Value, json};

const MESH: &str = "mesh/shop";
const SERVICE: &str = "mesh/shop/virtualService/recs.local";
const OTHER: &str = "mesh/shop/virtualService/cart.local";
const NODE: &str = "mesh/shop/virtualNode/recs-v1";

const TAGGED: &str = "version: 1\nmodes: {default: enforce}\ntags: {required: [{key: owner}]}\n";
const REMOVES: &str = "version: 1\nmodes: {default: enforce}\negress: {removeDangling: true}\n";

fn now() -> Timestamp {
    "2026-11-20T10:00:00Z".parse().unwrap()
}

fn policy(text: &str) -> Policy {
    Policy::read(text).unwrap()
}

/// A resource of version 7, created a day and an hour ago.
fn resource(path: &str, spec: &Value) -> Resource {
    let path: ResourcePath = path.parse().unwrap();
    let body = json!({
        "meshName": path.mesh(), format!("{}Name", path.kind()): path.name(), "spec": spec,
        "metadata": { "arn": format!("arn:aws:appmesh:eu-west-1:123456789012:{path}"), "createdAt": 1_795_078_800,
            "lastUpdatedAt": 1_795_078_800, "meshOwner": "123456789012", "resourceOwner": "123456789012",
            "uid": "u", "version": 7 },
        "status": { "status": "ACTIVE" },
    });
    Resource::read(path.kind(), &body).unwrap()
}

/// The tag `owner` of a resource.
#[derive(Clone, Copy, Debug)]
enum Owner {
    Is(&'static str),
    Missing,
    /// The tags could not be read.
    Unread,
}

impl Owner {
    fn tags(self) -> Option<Tags> {
        let owner = match self {
            Self::Is(owner) => Some(("owner".to_owned(), owner.to_owned())),
            Self::Missing => None,
            Self::Unread => return None,
        };
        Some(Tags::read(owner).unwrap())
    }
}

/// A mesh with two services, the second of which is provided by the node, too.
fn facts(owners: [Owner; 4], filter: &str, backends: &[&str]) -> ResourceFacts {
    let provider = json!({ "provider": { "virtualNode": { "virtualNodeName": "recs-v1" } } });
    let backends: Vec<_> =
        backends.iter().map(|name| json!({ "virtualService": { "virtualServiceName": name } })).collect();
    let resources = [
        resource(MESH, &json!({ "egressFilter": { "type": filter } })),
        resource(SERVICE, &provider),
        resource(OTHER, &provider),
        resource(NODE, &json!({ "backends": backends })),
    ];
    let owners = owners.map(Owner::tags);
    ResourceFacts::from_resources(&"shop".parse().unwrap(), resources.into_iter().zip(owners)).unwrap()
}

fn decision_about(decisions: &[ComplianceDecision], path: &str) -> ComplianceDecision {
    decisions.iter().find(|decision| decision.resource.to_string() == path).unwrap().clone()
}

/// The code of the decision's reason, which is also the tag of the serialised reason.
fn code(decision: &ComplianceDecision) -> String {
    let same_as_tag = |code: &str, reason: Value| {
        assert_eq!(reason.get("reason"), Some(&json!(code)));
        code.to_owned()
    };
    match &decision.verdict {
        ComplianceVerdict::Keep(reason) => same_as_tag(reason.code(), json!(reason)),
        ComplianceVerdict::Hold(reason) => same_as_tag(reason.code(), json!(reason)),
        ComplianceVerdict::Act(plan) if plan.apply.is_empty() => "Would".to_owned(),
        ComplianceVerdict::Act(_) => "Act".to_owned(),
    }
}

#[test]
fn tags_of_a_node() {
    use Owner::{Is, Missing, Unread};
    for (policy_text, owners, status, reason) in [
        (TAGGED, [Is("a"), Is("a"), Is("a"), Is("a")], ComplianceStatus::Compliant, "Compliant"),
        (TAGGED, [Is("a"), Is("a"), Is("a"), Missing], ComplianceStatus::NonCompliant, "Act"),
        (TAGGED, [Is("a"), Is("b"), Is("c"), Missing], ComplianceStatus::NonCompliant, "TagConflict"),
        (TAGGED, [Missing, Missing, Missing, Missing], ComplianceStatus::NonCompliant, "NoSafeRepair"),
        // A resource may keep a value that differs from its mesh.
        (TAGGED, [Is("a"), Is("a"), Is("a"), Is("b")], ComplianceStatus::Compliant, "WorthKnowing"),
        // Unread tags are never compliant, and never a reason to write.
        (TAGGED, [Is("a"), Is("a"), Is("a"), Unread], ComplianceStatus::InsufficientData, "TagsUnknown"),
        (
            "version: 1\ntags: {required: [{key: owner}]}\n",
            [Is("a"), Missing, Missing, Missing],
            ComplianceStatus::NonCompliant,
            "Would",
        ),
        (
            "version: 1\nmodes: {default: enforce}\ntags: {required: [{key: owner}], grace: 30h}\n",
            [Is("a"), Missing, Missing, Missing],
            ComplianceStatus::NonCompliant,
            "InsideGrace",
        ),
        (
            "version: 1\nmodes: {default: enforce}\ntags: {required: [{key: owner}], budget: {changes: 0}}\n",
            [Is("a"), Is("a"), Is("a"), Missing],
            ComplianceStatus::NonCompliant,
            "BudgetSpent",
        ),
    ] {
        let decisions =
            decide(Topic::Tags, &facts(owners, "DROP_ALL", &[]), &policy(policy_text), now(), DecisionScope::All);
        let node = decision_about(&decisions, NODE);
        assert_eq!((node.judged.status, code(&node).as_str()), (status, reason), "{policy_text} {owners:?}");
    }
}

#[test]
fn egress() {
    let owners = [Owner::Missing; 4];
    for (filter, backends, mesh, node) in [
        ("DROP_ALL", &["cart.local"][..], "Compliant", "Compliant"),
        ("ALLOW_ALL", &["cart.local"], "Act", "Compliant"),
        ("DROP_ALL", &["gone.local"], "Compliant", "Act"),
        // While everything may leave, a name that leads nowhere in the mesh may be called past it.
        ("ALLOW_ALL", &["gone.local"], "WouldCut", "FilterOpen"),
        // An unknown value may be any value.
        ("SOME", &["gone.local"], "FilterUnknown", "FilterOpen"),
    ] {
        let facts = facts(owners, filter, backends);
        let decisions = decide(Topic::Egress, &facts, &policy(REMOVES), now(), DecisionScope::All);
        assert_eq!(code(&decision_about(&decisions, MESH)), mesh, "{filter} {backends:?}");
        assert_eq!(code(&decision_about(&decisions, NODE)), node, "{filter} {backends:?}");
        assert_eq!(code(&decision_about(&decisions, SERVICE)), "NotApplicable");
    }
}

#[test]
fn a_plan_taken_up_again_costs_nothing_and_is_the_same_plan() {
    let mut facts = facts([Owner::Is("a"), Owner::Missing, Owner::Missing, Owner::Missing], "DROP_ALL", &[]);
    let first = decide(Topic::Tags, &facts, &policy(TAGGED), now(), DecisionScope::All);
    let ComplianceVerdict::Act(plan) = decision_about(&first, NODE).verdict else { unreachable!() };
    assert!(plan.spends);
    facts.record.intents.insert(plan.resource.clone(), plan.id.clone());
    let ComplianceVerdict::Act(again) =
        decision_about(&decide(Topic::Tags, &facts, &policy(TAGGED), now(), DecisionScope::All), NODE).verdict
    else {
        unreachable!()
    };
    assert_eq!((again.spends, again.id), (false, plan.id));
}

#[test]
fn a_scope_leaves_the_rest_alone() {
    let facts = facts([Owner::Is("a"), Owner::Missing, Owner::Missing, Owner::Missing], "DROP_ALL", &[]);
    let only = BTreeSet::from([NODE.parse().unwrap()]);
    let decisions = decide(Topic::Tags, &facts, &policy(TAGGED), now(), DecisionScope::Only(&only));
    assert_eq!(decisions.iter().map(|decision| decision.resource.to_string()).collect::<Vec<_>>(), [NODE]);
}

#[test]
fn a_reported_decision_is_news_only_after_a_change() {
    use Owner::{Is, Missing};
    let decided = |owners: [Owner; 4]| {
        decide(Topic::Tags, &facts(owners, "DROP_ALL", &[]), &policy(TAGGED), now(), DecisionScope::All)
    };
    let mut record = rules::compliance::ComplianceRecord::default();
    let compliant = decision_about(&decided([Is("a"), Is("a"), Is("a"), Is("a")]), NODE);
    assert!(!is_news(&compliant, &record));
    let conflicting = decision_about(&decided([Is("a"), Is("b"), Is("c"), Missing]), NODE);
    assert!(is_news(&conflicting, &record));
    record.mark_reported(&conflicting);
    assert!(!is_news(&conflicting, &record));
    let changed_conflict = decision_about(&decided([Is("a"), Is("b"), Is("d"), Missing]), NODE);
    assert!(is_news(&changed_conflict, &record) && is_news(&compliant, &record));
    record.mark_reported(&compliant);
    assert_eq!(record, rules::compliance::ComplianceRecord::default());
}

proptest! {
    #[test]
    fn deciding_again_after_a_plan_holds(
        owners in prop::array::uniform4(prop::sample::select(vec![Owner::Is("a"), Owner::Is("b"), Owner::Missing, Owner::Unread])),
        open in any::<bool>(),
        backends in prop::collection::vec(prop::sample::select(vec!["recs.local", "cart.local", "gone.local"]), 0..3),
    ) {
        let text = "version: 1\nmodes: {default: enforce}\ntags: {required: [{key: owner}]}\negress: {removeDangling: true}\n";
        let policy = policy(text);
        for topic in [Topic::Tags, Topic::Egress] {
            let mut facts = facts(owners, if open { "ALLOW_ALL" } else { "DROP_ALL" }, &backends);
            let before: BTreeMap<_, _> = judge(topic, &facts, &policy, now());
            // Closing the filter is a separate plan; after it, dangling backends may be removed.
            for _ in 0..2 {
                for decision in decide(topic, &facts, &policy, now(), DecisionScope::All) {
                    if let ComplianceVerdict::Act(plan) = decision.verdict {
                        for change in &plan.apply {
                            change.apply(&mut facts.mesh).unwrap();
                        }
                    }
                }
            }
            for decision in decide(topic, &facts, &policy, now(), DecisionScope::All) {
                prop_assert!(!matches!(decision.verdict, ComplianceVerdict::Act(_)), "{:?}", decision);
            }
            // No compliant resource became worse, and unread resources were not changed.
            let after = judge(topic, &facts, &policy, now());
            for (path, judged) in &before {
                if judged.status != ComplianceStatus::NonCompliant {
                    prop_assert_eq!(after[path].status, judged.status, "{}", path);
                }
            }
        }
    }
}
