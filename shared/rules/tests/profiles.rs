//! Profiles, on the meshes of the corpus and on the recorded cases next to the repository.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the meshes are files next to the repository, and a skipped test says so"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use mesh::certificates::Readings;
use policy::Policy;
use readers::{File, Note, Reading, Surroundings, read_all};
use rules::pack::{Certainty, Finding, Profile, Severity, judge, judge_faults, rules};

/// Meshes of the corpus in which nothing is broken: all that they refer to is among the files, and no rule of `core` but
/// those on plain text finds anything. Most of them are in plain text throughout, as examples are.
const HEALTHY: [&str; 35] = [
    "cfn/blogs__ecs-cross-account__account_backend__appmesh_resources.yml",
    "cfn/blogs__ecs-ec2-crossvpc-with-tls__mesh.yml",
    "cfn/examples__apps__colorapp__servicemesh__appmesh-colorapp.yaml",
    "cfn/walkthroughs__fargate__appmesh-colorapp.yaml",
    "cfn/walkthroughs__howto-alb__app.yaml",
    "cfn/walkthroughs__howto-ecs-basics__deploy__3-routing.yaml",
    "cfn/walkthroughs__howto-grpc-ingress-gateway__mesh.yaml",
    "cfn/walkthroughs__howto-http-retries__app.yaml",
    "cfn/walkthroughs__howto-http2__mesh.yaml",
    "cfn/walkthroughs__howto-ipv6__cloud__mesh__mesh-v4-only.yaml",
    "cfn/walkthroughs__howto-ipv6__cloud__mesh__mesh-v4-preferred.yaml",
    "cfn/walkthroughs__howto-ipv6__cloud__mesh__mesh-v6-only.yaml",
    "cfn/walkthroughs__howto-ipv6__dns__mesh__mesh-v4-preferred.yaml",
    "cfn/walkthroughs__howto-ipv6__dns__mesh__mesh-v6-only.yaml",
    "cfn/walkthroughs__howto-metrics-extension-ecs__deploy__djapp-v1.yaml",
    "cfn/walkthroughs__howto-metrics-extension-ecs__deploy__djapp-v3.yaml",
    "cfn/walkthroughs__howto-metrics-extension-ecs__deploy__djapp-v4.yaml",
    "cfn/walkthroughs__howto-metrics-extension-ecs__deploy__djapp-v5.yaml",
    "cfn/walkthroughs__howto-mutual-tls-file-provided-by-acm__infrastructure__deploy.yaml",
    "cfn/walkthroughs__howto-mutual-tls-file-provided-by-acm__infrastructure__mesh.yaml",
    "cfn/walkthroughs__howto-servicediscovery-cloudmap__mesh.yaml",
    "k8s/blogs__cert-manager-tls__yelb-base.yaml",
    "k8s/examples__apps__djapp__2_meshed_application__meshed_app.yaml",
    "k8s/walkthroughs__howto-k8s-alb__v1beta2__manifest.yaml.template",
    "k8s/walkthroughs__howto-k8s-cloudmap__v1beta2__manifest.yaml.template",
    "k8s/walkthroughs__howto-k8s-connection-pools__v1beta2__manifest.yaml.template",
    "k8s/walkthroughs__howto-k8s-fargate__v1beta2__manifest.yaml.template",
    "k8s/walkthroughs__howto-k8s-grpc-ingress-v2__v1beta2__manifest.yaml.template",
    "k8s/walkthroughs__howto-k8s-http-headers__v1beta2__manifest.yaml.template",
    "k8s/walkthroughs__howto-k8s-ingress-gateway__v1beta2__manifest.yaml.template",
    "k8s/walkthroughs__howto-k8s-ipv6__v1beta2__cloud__manifest.yaml.template",
    "k8s/walkthroughs__howto-k8s-ipv6__v1beta2__dns__manifest.yaml.template",
    "k8s/walkthroughs__howto-k8s-metrics-extension__deploy__djapp-v1.yaml.template",
    "k8s/walkthroughs__howto-k8s-multi-region__v1beta2__manifest.yaml.template",
    "k8s/walkthroughs__howto-k8s-outlier-detection__v1beta2__manifest.yaml.template",
];

/// Rules of `core` with findings on a working mesh in plain text.
const PLAIN: [&str; 3] = ["edge-plaintext", "gateway-listener-without-tls", "mesh-without-tls"];

#[test]
fn recommended_finds_at_most_one_thing_for_three_resources_of_a_healthy_mesh() {
    let Some(folder) = inputs("corpus") else { return };
    let mut noisy = Vec::new();
    for file in HEALTHY {
        let (resources, findings) = check(&[folder.join(file)], Profile::Recommended);
        assert!(resources > 3, "{file} has {resources} resources");
        let rules: Vec<&str> = findings.iter().map(|finding| finding.rule.as_str()).collect();
        if findings.len() * 3 > resources {
            noisy.push(format!("{file}: {} findings on {resources} resources: {rules:?}", findings.len()));
        }
        let (_, core) = check(&[folder.join(file)], Profile::Core);
        let broken: Vec<&Finding> = core.iter().filter(|finding| !PLAIN.contains(&finding.rule.as_str())).collect();
        if !broken.is_empty() {
            noisy.push(format!("{file} is not healthy: {broken:?}"));
        }
    }
    assert!(noisy.is_empty(), "{}", noisy.join("\n"));
}

/// The subject of a case: the rule that reports it, and the case's files. The rule's finding is among the first that
/// are shown: nothing that follows from it stands before it.
const CAUSES: [(&str, &[&str]); 30] = [
    ("manifest-gateway-missing", &["02-k8s-gateway-selectors/a-route-selector-only.yaml"]),
    ("manifest-gateway-ambiguous", &["02-k8s-gateway-selectors/b-two-gateways-match.yaml"]),
    ("member-unknown", &["03-k8s-wrong-member-case/v1beta2.yaml"]),
    ("member-unknown", &["03-k8s-wrong-member-case/snake.yaml"]),
    ("member-unknown", &["03-k8s-wrong-member-case/cfn-camel.yaml"]),
    ("member-unknown", &["03-k8s-wrong-member-case/v1beta2-podselector-labels.yaml"]),
    ("spec-refused", &["03-k8s-wrong-member-case/enum-api.json"]),
    ("listener-protocol-unlike-port", &["05-external-https/http-on-443.yaml"]),
    ("listener-limit-without-effect", &["06-timeout-node-provider/template.yaml"]),
    ("listener-limit-without-effect", &["06-timeout-node-provider/b-route-default-listener-long.json"]),
    ("time-limit-cut-by-listener", &["07-grpc-stream-limits/template.yaml"]),
    ("idle-limit-cut-by-listener", &["07-grpc-stream-limits/template.yaml"]),
    ("idle-limit-cut-by-listener", &["07-grpc-stream-limits/b-idle-only.yaml"]),
    ("time-limit-cut-by-listener", &["07-grpc-stream-limits/c-listener-idle-only.yaml"]),
    ("idle-limit-cut-by-listener", &["07-grpc-stream-limits/d-http-idle.json"]),
    ("idle-limit-cut-by-listener", &["07-grpc-stream-limits/e-tcp-idle.json"]),
    ("route-target-other-protocol", &["08-protocol-mismatch/api.json"]),
    ("route-target-other-protocol", &["08-protocol-mismatch/b-router-http-node-tcp.json"]),
    ("route-target-other-protocol", &["08-protocol-mismatch/d-router-grpc-node-http.json"]),
    ("route-kind-other-than-router", &["08-protocol-mismatch/e-router-http-route-tcp-node-http.json"]),
    ("route-kind-other-than-router", &["08-protocol-mismatch/f-router-tcp-route-http-node-tcp.json"]),
    ("route-kind-other-than-router", &["08-protocol-mismatch/g-router-http-route-tcp-node-tcp.json"]),
    ("spec-refused", &["12-many-listeners-no-port/manifests.yaml"]),
    ("spec-refused", &["13-health-checks/a-http2-without-path.json"]),
    ("health-check-grpc-without-http2", &["13-health-checks/b-grpc-check-on-http-gateway.json"]),
    ("gateway-host-replaced", &["39-host-replaced/api.json"]),
    ("route-shadowed", &["42-test-route-takes-all/plan-null.json"]),
    ("spec-refused", &["48-target-port-missing/api.json"]),
    ("route-target-not-listening", &["48-target-port-missing/api.json"]),
    ("spec-refused", &["49-bad-enumerations/a-cfn.yaml"]),
];

/// Findings that a person sees without scrolling, each with a line or two, below the heading.
const FIRST_SCREEN: usize = 10;

#[test]
fn root_cause_of_each_case_is_on_the_first_screen() {
    let Some(folder) = inputs("cases/mesh") else { return };
    let mut missing = Vec::new();
    for (rule, files) in CAUSES {
        let files: Vec<PathBuf> = files.iter().map(|file| folder.join(file)).collect();
        let (_, findings) = check(&files, Profile::Recommended);
        let shown: Vec<String> = findings
            .iter()
            .take(FIRST_SCREEN)
            .map(|finding| format!("{} {}", finding.severity, finding.rule))
            .collect();
        if !shown.iter().any(|shown| shown.ends_with(rule)) {
            missing.push(format!("{}: no {rule} among {shown:?}", files[0].display()));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Stacks that are read together are one mesh: a resource of one is not missing in another.
#[test]
fn stacks_read_together_resolve() {
    let Some(folder) = inputs("cases/mesh/09-cdk-two-stacks") else { return };
    for files in [
        &["MeshCore.template.json", "MeshShop.template.json"][..],
        &["b/core.yaml", "b/svc.yaml", "b/root.yaml", "b/caller.yaml"],
    ] {
        let files: Vec<PathBuf> = files.iter().map(|file| folder.join(file)).collect();
        let (resources, findings) = check(&files, Profile::Strict);
        assert!(resources > 3, "{files:?}");
        let wrong = ["reference-dangling", "mesh-empty", "edge-broken", "service-without-provider"];
        let wrong: Vec<&Finding> = findings.iter().filter(|finding| wrong.contains(&finding.rule.as_str())).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

/// Pairs of rules that both report the same member, each for a different defect.
const BOTH: [(&str, &str, &str); 2] = [
    (
        "idle-limit-cut-by-listener",
        "idle-limit-without-effect",
        "the listener of the target ends idle streams, and the route's own limit on requests ends them: both need a change",
    ),
    ("retries-of-writes", "retries-without-room", "which requests are tried again, and how long all tries may take"),
];

/// One defect is one finding: no two rules report the same member of a resource, except for the listed pairs.
#[test]
fn no_two_rules_report_the_same_member() {
    let mut doubles: BTreeMap<(String, String), String> = BTreeMap::new();
    for file in ["corpus", "cases/mesh"].into_iter().filter_map(inputs).flat_map(|folder| files_in(&folder)) {
        let name = file.display().to_string();
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        let (reading, _) = read_all(&[File { name: &name, text: &text }], &Surroundings::default());
        let mut rules: BTreeMap<(String, String), BTreeSet<&str>> = BTreeMap::new();
        let (_, findings) = judged(&reading, Profile::Strict);
        for finding in &findings {
            let declared = reading.resources.iter().find(|declared| declared.path == finding.resource);
            let member = declared.map(|declared| finding.member(&declared.spec.to_json())).unwrap_or_default();
            if !member.is_empty() && member != "tags" {
                let member = (finding.resource.to_string(), member);
                rules.entry(member).or_default().insert(finding.rule.as_str());
            }
        }
        for ((resource, member), rules) in rules {
            for pair in rules.iter().zip(rules.iter().skip(1)) {
                let (one, other) = pair;
                if !BOTH.iter().any(|(first, second, _)| first == one && second == other) {
                    let example = format!("{name}: {resource} {member}");
                    doubles.entry(((*one).to_owned(), (*other).to_owned())).or_insert(example);
                }
            }
        }
    }
    assert!(doubles.is_empty(), "{doubles:#?}");
}

#[test]
fn route_by_which_nothing_gets_through_is_critical() {
    let Some(folder) = inputs("cases/mesh") else { return };
    for (file, severity) in [
        ("e-router-http-route-tcp-node-http.json", Some(Severity::Critical)),
        ("f-router-tcp-route-http-node-tcp.json", Some(Severity::Critical)),
        ("g-router-http-route-tcp-node-tcp.json", Some(Severity::Critical)),
        ("c-router-http2-node-http.json", None),
    ] {
        let (_, findings) = check(&[folder.join("08-protocol-mismatch").join(file)], Profile::Core);
        let kind = findings.iter().find(|finding| finding.rule.as_str() == "route-kind-other-than-router");
        assert_eq!(kind.map(|finding| finding.severity), severity, "{file}: {findings:?}");
        assert!(severity.is_none() || findings[0].severity == Severity::Critical, "{file}: {findings:?}");
    }
}

#[test]
fn call_to_a_host_outside_is_not_broken() {
    let Some(folder) = inputs("cases/mesh") else { return };
    let (_, findings) = check(&[folder.join("37-tls-origination-sni/api.json")], Profile::Strict);
    let wrong = ["edge-broken", "edge-plaintext", "listener-protocol-unlike-port", "node-listener-without-tls"];
    assert!(!findings.iter().any(|finding| wrong.contains(&finding.rule.as_str())), "{findings:?}");
}

#[test]
fn each_profile_includes_the_previous_ones() {
    let count = |profile: Profile| rules().filter(|rule| rule.profile <= profile).count();
    assert!((20..=30).contains(&count(Profile::Core)), "core has {} rules", count(Profile::Core));
    assert!(count(Profile::Core) < count(Profile::Recommended));
    assert_eq!(count(Profile::Strict), rules().count());
}

/// The folder with inputs next to the repository; prints why a test is skipped.
fn inputs(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no {name} next to the repository");
    None
}

/// All files below a folder.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files_in(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

/// The findings of the built-in policy in files, with the number of their resources.
fn check(files: &[PathBuf], profile: Profile) -> (usize, Vec<Finding>) {
    let texts: Vec<(String, String)> =
        files.iter().map(|file| (file.display().to_string(), std::fs::read_to_string(file).unwrap())).collect();
    let files: Vec<File<'_>> = texts.iter().map(|(name, text)| File { name, text }).collect();
    judged(&read_all(&files, &Surroundings::default()).0, profile)
}

/// The findings of the built-in policy in the read files, with the number of resources.
fn judged(reading: &Reading, profile: Profile) -> (usize, Vec<Finding>) {
    let policy = Policy { profile, ..Policy::built_in().unwrap() };
    let now: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
    let mut stand_ins: Vec<&str> = Vec::new();
    for remark in &reading.remarks {
        if let Note::Unresolved { expression } | Note::LeftOut { expression } = &remark.note {
            stand_ins.push(expression);
        }
    }
    let (mut resources, mut all) = (0, judge_faults(&reading.faults, &policy, now).findings);
    for mesh in reading.meshes().values() {
        resources += mesh.paths().len();
        let is_whole = mesh.spec.is_some() && mesh.paths().len() > 1 && reading.refusals.is_empty();
        let certainty = Certainty { is_whole, stand_ins: stand_ins.clone() };
        let findings = judge(mesh, &Readings::default(), &policy, now).findings;
        all.extend(findings.into_iter().filter(|finding| certainty.is_sure_of(finding)));
    }
    all.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    (resources, all)
}
