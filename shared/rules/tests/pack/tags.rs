//! Tags: missing, inherited and repaired.

use std::collections::BTreeMap;

use jiff::Timestamp;
use policy::Policy;
use rules::tags::{Grace, Inherited, TagFault, TagStatus, grace, judge, repairs};
use serde_json::json;

use super::case::{Case, path_of, tags_of};

/// A service in front of a router with one route to a node, and a second service of the same router.
const SHOP: &str = "
resources:
  mesh/shop: {}
  virtualService/one.local: {provider: {virtualRouter: {virtualRouterName: r}}}
  virtualService/two.local: {provider: {virtualRouter: {virtualRouterName: r}}}
  virtualRouter/r: {listeners: [{portMapping: {port: 80, protocol: http}}]}
  virtualRouter/r/route/all: {httpRoute: {match: {prefix: /}, action: {weightedTargets: [{virtualNode: a, weight: 1}]}}}
  virtualNode/a: {}
  virtualGateway/edge: {listeners: []}
  virtualGateway/edge/gatewayRoute/all:
    {httpRoute: {match: {prefix: /}, action: {target: {virtualService: {virtualServiceName: one.local}}}}}
";

/// Tags, a resource, and the value that it inherits.
type Row<'t> = (Tagged<'t>, &'t str, &'t str);

/// Resources with their tags.
type Tagged<'t> = Vec<(&'t str, Pairs<'t>)>;

/// Keys and values.
type Pairs<'t> = &'t [(&'t str, &'t str)];

fn shop(policy: &str, tags: &[(&str, &[(&str, &str)])]) -> Case {
    let mut case = Case::read(SHOP);
    case.policy = Policy::read(&format!("version: 1\ntags: {policy}")).unwrap();
    for (path, tags) in tags {
        let tags: BTreeMap<String, String> =
            tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        case.mesh.set_tags(path_of(path), tags_of(&tags));
    }
    case
}

/// The judgement if only the tags of this resource are unknown. Resources without tags here have none.
fn known_except(path: &str, policy: &str, tags: &[(&str, &[(&str, &str)])]) -> Case {
    let mut case = shop(policy, tags);
    for other in case.mesh.paths().into_iter().filter(|other| *other != path_of(path)) {
        if !case.mesh.tags.contains_key(&other) {
            case.mesh.set_tags(other, tags_of(&BTreeMap::new()));
        }
    }
    case
}

const OWNER: &str = "{required: [{key: owner}]}";

/// The value that a resource without the tag would inherit.
fn inherited_tag(case: &Case, path: &str) -> String {
    let judgement = judge(&case.mesh, &case.policy.tags);
    let faults = judgement.faults.get(&path_of(path)).cloned().unwrap_or_default();
    let inherited = faults.into_iter().find_map(|fault| match fault {
        TagFault::Missing { inherited, .. } => Some(inherited),
        TagFault::Untagged | TagFault::OtherCase { .. } | TagFault::Value { .. } | TagFault::Differs { .. } => None,
    });
    match inherited {
        Some(Inherited::Value { value, from }) => format!("{value} from {}", from.name()),
        Some(Inherited::Conflict { values }) => {
            format!("conflict {}", values.into_keys().collect::<Vec<_>>().join(" "))
        }
        Some(Inherited::Nothing) => "nothing".to_owned(),
        Some(Inherited::Unknown) => "unknown".to_owned(),
        None => "not missing".to_owned(),
    }
}

#[test]
fn value_is_inherited_if_all_parents_agree() {
    let sre: Pairs<'_> = &[("owner", "sre")];
    let pay: Pairs<'_> = &[("owner", "pay")];
    let none: Pairs<'_> = &[];
    let table: Vec<Row<'_>> = vec![
        (vec![("virtualNode/a", none)], "virtualNode/a", "nothing"),
        (vec![("virtualNode/a", none), ("mesh/shop", sre)], "virtualNode/a", "sre from shop"),
        (
            vec![("virtualNode/a", none), ("mesh/shop", sre), ("virtualService/one.local", pay)],
            "virtualNode/a",
            "conflict pay sre",
        ),
        (
            vec![("virtualNode/a", none), ("virtualService/one.local", pay), ("virtualService/two.local", pay)],
            "virtualNode/a",
            "pay from one.local",
        ),
        (vec![("virtualNode/a", none), ("virtualService/one.local", pay)], "virtualNode/a", "pay from one.local"),
        (
            vec![("virtualRouter/r", none), ("virtualService/one.local", pay), ("virtualService/two.local", sre)],
            "virtualRouter/r",
            "conflict pay sre",
        ),
        (
            vec![("virtualRouter/r/route/all", none), ("virtualRouter/r", pay)],
            "virtualRouter/r/route/all",
            "pay from r",
        ),
        (
            vec![("virtualRouter/r/route/all", none), ("virtualRouter/r", none), ("mesh/shop", sre)],
            "virtualRouter/r/route/all",
            "sre from shop",
        ),
        (vec![("virtualGateway/edge", none), ("mesh/shop", sre)], "virtualGateway/edge", "sre from shop"),
        (
            vec![("virtualGateway/edge/gatewayRoute/all", none), ("virtualGateway/edge", pay), ("mesh/shop", sre)],
            "virtualGateway/edge/gatewayRoute/all",
            "pay from edge",
        ),
        (vec![("mesh/shop", none)], "mesh/shop", "nothing"),
        // It has a value.
        (vec![("virtualNode/a", sre), ("mesh/shop", pay)], "virtualNode/a", "not missing"),
        // Unread tags are not missing.
        (vec![("mesh/shop", sre)], "virtualNode/a", "not missing"),
    ];
    for (tags, path, expected) in table {
        assert_eq!(inherited_tag(&known_except(path, OWNER, &tags), path), expected, "{path} with {tags:?}");
    }
}

/// A resource with unread tags may have a value, so no value is inherited from it or from its parents.
#[test]
fn unread_tags_stop_inheritance() {
    let sre: Pairs<'_> = &[("owner", "sre")];
    let pay: Pairs<'_> = &[("owner", "pay")];
    let node = "virtualNode/a";
    for (unread, tags, expected) in [
        ("virtualService/one.local", vec![(node, &[] as Pairs<'_>), ("mesh/shop", sre)], "unknown"),
        // Of two services one is known; the other may have another value.
        ("virtualService/one.local", vec![(node, &[]), ("virtualService/two.local", pay)], "unknown"),
        ("mesh/shop", vec![(node, &[])], "unknown"),
        // The nearer parents are known and take precedence.
        (
            "mesh/shop",
            vec![(node, &[]), ("virtualService/one.local", pay), ("virtualService/two.local", pay)],
            "pay from one.local",
        ),
        ("virtualGateway/edge", vec![(node, &[]), ("mesh/shop", sre)], "sre from shop"),
    ] {
        assert_eq!(inherited_tag(&known_except(unread, OWNER, &tags), node), expected, "{unread} unread, {tags:?}");
    }
}

#[test]
fn policy_selects_the_parents_of_inheritance() {
    let tags: [(&str, &[(&str, &str)]); 3] =
        [("virtualNode/a", &[]), ("virtualRouter/r", &[("owner", "pay")]), ("mesh/shop", &[("owner", "sre")])];
    for (policy, expected) in [
        ("{required: [{key: owner}]}", "sre from shop"),
        ("{required: [{key: owner}], inheritance: {virtualNode: [virtualRouter, mesh]}}", "pay from r"),
        ("{required: [{key: owner}], inheritance: {virtualNode: [route]}}", "pay from r"),
        ("{required: [{key: owner}], inheritance: {virtualNode: []}}", "nothing"),
        ("{required: [{key: owner, inherit: false}]}", "nothing"),
        ("{required: [{key: owner, kinds: [mesh]}]}", "not missing"),
        // A value that the policy excludes is not inherited.
        ("{required: [{key: owner, values: [pay]}]}", "nothing"),
    ] {
        assert_eq!(inherited_tag(&known_except("virtualNode/a", policy, &tags), "virtualNode/a"), expected, "{policy}");
    }
}

#[test]
fn tag_status_of_a_resource_follows_its_tags() {
    let case = shop(
        OWNER,
        &[("mesh/shop", &[("owner", "sre")]), ("virtualNode/a", &[]), ("virtualRouter/r", &[("owner", "x")])],
    );
    let judgement = judge(&case.mesh, &case.policy.tags);
    for (path, expected) in [
        ("mesh/shop", TagStatus::Compliant),
        ("virtualNode/a", TagStatus::Faulty),
        // A value other than the mesh's may be intended.
        ("virtualRouter/r", TagStatus::Compliant),
        ("virtualGateway/edge", TagStatus::Unknown),
    ] {
        assert_eq!(judgement.status(&path_of(path)), expected, "{path}");
    }
}

#[test]
fn repairs_set_only_inherited_tags() {
    let policy = "{required: [{key: owner}, {key: env, values: [prod, test]}, {key: cost}]}";
    let all: &[(&str, &str)] = &[("owner", "sre"), ("env", "prod"), ("cost", "1")];
    let tags: [(&str, &[(&str, &str)]); 5] = [
        ("mesh/shop", all),
        ("virtualService/one.local", all),
        ("virtualService/two.local", all),
        ("virtualNode/a", &[("env", "PROD"), ("Cost", "7")]),
        ("virtualRouter/r", &[("owner", "pay"), ("env", "other"), ("cost", "2")]),
    ];
    let mut case = shop(policy, &tags);
    let judgement = judge(&case.mesh, &case.policy.tags);
    let changes = repairs(&case.mesh, &judgement);
    let expected = json!([{"change": "setTags", "resource": "mesh/shop/virtualNode/a",
        "tags": {"cost": "7", "env": "prod", "owner": "sre"}}]);
    assert_eq!(serde_json::to_value(&changes).unwrap(), expected);
    for change in &changes {
        change.apply(&mut case.mesh).unwrap();
    }
    let tags = &case.mesh.tags[&path_of("virtualNode/a")];
    assert_eq!(tags.value("Cost"), Some("7"), "other tags are kept");
    assert_eq!(repairs(&case.mesh, &judge(&case.mesh, &case.policy.tags)), []);
}

#[test]
fn resource_with_fifty_tags_gets_no_repair() {
    let full: BTreeMap<String, String> = (0..50).map(|n| (format!("k{n}"), String::new())).collect();
    let mut case = shop(OWNER, &[("mesh/shop", &[("owner", "sre")])]);
    case.mesh.set_tags(path_of("virtualNode/a"), tags_of(&full));
    assert_eq!(repairs(&case.mesh, &judge(&case.mesh, &case.policy.tags)), []);
}

#[test]
fn no_repair_within_the_grace_period() {
    let policy = Policy::read("version: 1\ntags: {grace: 2h}").unwrap().tags;
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let now = at("2026-11-21T12:00:00Z");
    for (created, expected) in [
        (None, Grace::Unknown),
        (Some(at("2026-11-21T11:00:00Z")), Grace::Until(at("2026-11-21T13:00:00Z"))),
        (Some(at("2026-11-21T10:00:00Z")), Grace::Over),
        (Some(at("2020-01-01T00:00:00Z")), Grace::Over),
    ] {
        assert_eq!(grace(created, &policy, now), expected, "{created:?}");
    }
}
