//! Properties of every mesh.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use mesh::change::diff_meshes;
use mesh::graph::Mesh;
use mesh::harm::harms;
use mesh::name::{ResourcePath, RouteId};
use mesh::resource::Tags;
use mesh::spec::Spec;
use proptest::collection::vec;
use proptest::prelude::*;
use rules::pack::{Finding, Group, Severity, judge, rule_named};

use super::case::{self, Case};

/// All resources and tags of all inputs. They use the same few names, so that any subset is a mesh.
struct Pool {
    resources: Vec<(ResourcePath, Spec)>,
    tags: Vec<(ResourcePath, Tags)>,
    cases: Vec<Case>,
}

static POOL: LazyLock<Pool> = LazyLock::new(|| {
    let cases: Vec<Case> = case::all().into_iter().map(|(_, case)| case).collect();
    let resources = cases.iter().flat_map(|case| case.mesh.resources()).collect();
    let tags = cases.iter().flat_map(|case| case.mesh.tags.clone()).collect();
    Pool { resources, tags, cases }
});

/// A mesh of random resources and tags, with the policy and the certificates of one of the inputs.
fn any_case() -> impl Strategy<Value = Case> {
    let pool = &*POOL;
    let resources = vec(0..pool.resources.len(), 0..40);
    let tags = vec(0..pool.tags.len(), 0..12);
    (resources, tags, 0..pool.cases.len()).prop_map(|(resources, tags, base)| {
        let base = &POOL.cases[base];
        let resources: BTreeMap<_, _> = resources.into_iter().map(|index| POOL.resources[index].clone()).collect();
        let tags: BTreeMap<_, _> = tags.into_iter().map(|index| POOL.tags[index].clone()).collect();
        // Faults of a file concern its resources, which are not those of this mesh.
        let faults = Vec::new();
        Case { mesh: built(&resources.into_iter().collect::<Vec<_>>(), &tags), faults, ..base.clone() }
    })
}

fn built(resources: &[(ResourcePath, Spec)], tags: &BTreeMap<ResourcePath, Tags>) -> Mesh {
    let mut mesh = Mesh::new("shop".parse().unwrap());
    for (path, spec) in resources {
        mesh.insert(path.clone(), spec.clone()).unwrap();
    }
    mesh.tags.clone_from(tags);
    mesh
}

fn ids(findings: &[Finding]) -> BTreeSet<String> {
    findings.iter().map(|finding| finding.id().to_string()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn findings_do_not_depend_on_the_order_of_the_resources(case in any_case(), seed in any::<u64>()) {
        let mut resources = case.mesh.resources();
        // A fixed shuffle: any will do.
        let mut state = seed;
        for index in (1..resources.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            resources.swap(index, usize::try_from(state >> 33).unwrap() % (index + 1));
        }
        let other = built(&resources, &case.mesh.tags);
        let write = |mesh: &Mesh| serde_json::to_string(&judge(mesh, &case.readings, &case.policy, case.now)).unwrap();
        prop_assert_eq!(write(&case.mesh), write(&other));
    }

    #[test]
    fn finding_id_is_unique(case in any_case()) {
        let findings = case.judge().findings;
        prop_assert_eq!(ids(&findings).len(), findings.len());
        prop_assert!(findings.windows(2).all(|pair| pair[0].resource <= pair[1].resource));
        for finding in &findings {
            let is_of_the_policy = finding.resource == ResourcePath::Mesh(case.mesh.name.clone());
            prop_assert!(case.mesh.has(&finding.resource) || is_orphan(&finding.resource) || is_of_the_policy, "{}", finding.resource);
            let rule = rule_named(finding.rule).unwrap();
            prop_assert!(rule.on.contains(&finding.resource.kind()), "{} on {}", rule.id, finding.resource);
        }
    }

    #[test]
    fn remediation_removes_its_finding_without_harm(case in any_case()) {
        let before = case.judge().findings;
        let known = ids(&before);
        let routes: Vec<RouteId> = case.mesh.routes().map(|(id, _)| id).collect();
        for finding in &before {
            let Some(change) = &finding.remediation else { continue };
            let mut after = case.clone();
            prop_assert_eq!(change.apply(&mut after.mesh), Ok(()), "{}", change);
            let changed = diff_meshes(&case.mesh, &after.mesh);
            prop_assert!(changed.keys().all(|path| *path == change.resource()), "{} changes {:?}", change, changed);
            let left = after.judge().findings;
            prop_assert!(!ids(&left).contains(finding.id().as_str()), "{} leaves {:?}", change, finding);
            prop_assert_eq!(harms(&case.mesh, &after.mesh, &routes), vec![]);
            // Each insecure or broken resource was so before.
            let worse = left.iter().find(|left| {
                let group = rule_named(left.rule).map(|rule| rule.group);
                left.severity >= Severity::High
                    && matches!(group, Some(Group::Tls | Group::Egress | Group::Routing | Group::Discovery))
                    && !known.contains(left.id().as_str())
            });
            prop_assert!(worse.is_none(), "{} makes {:?}", change, worse);
        }
    }
}

/// A route without its router, or a gateway route without its gateway, has findings.
fn is_orphan(path: &ResourcePath) -> bool {
    matches!(path, ResourcePath::Route(_) | ResourcePath::GatewayRoute(..))
}

#[test]
fn properties_cover_every_remediation() {
    let pool = &*POOL;
    let kinds: BTreeSet<String> = pool
        .cases
        .iter()
        .flat_map(|case| case.judge().findings)
        .filter_map(|finding| finding.remediation)
        .map(|change| serde_json::to_value(change).unwrap()["change"].as_str().unwrap().to_owned())
        .collect();
    let expected =
        ["enforceClientTls", "setAccessLog", "setEgressFilter", "setIpPreference", "setListenerTlsMode", "setTags"];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
}
