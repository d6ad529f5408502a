//! A mesh that the API accepts is translated completely, except for the findings with a reason in the table here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use mesh::spec::{Refusal, Spec};
use mesh::validate;
use serde_json::Value;
use xds::finding;

use crate::case::Case;
use crate::corpus::path_of;
use crate::goldens::inputs;
use crate::odd::{TIME_LIMIT, all_places, edited, edits};

/// Why the API may accept a spec that leads to a finding, or the codes by which it refuses the spec.
enum Verdict {
    /// The API refuses the spec, by these codes.
    Refused(&'static [&'static str]),
    /// The API accepts it.
    Accepted(Reason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// AWS accepted it, and calls work without the member.
    WorksWithout,
    /// Another resource is missing, or does not fit. AWS accepted that, so that a mesh can be built in any order;
    /// `--admission deny` refuses it where a call worked before.
    OtherResource,
    /// Nothing in the mesh is wrong: addresses or ports are missing where the proxies run.
    Environment,
}

fn verdict(id: &str) -> Verdict {
    use Reason::{Environment, OtherResource, WorksWithout};
    use Verdict::{Accepted, Refused};
    match id {
        finding::UNUSABLE_HOSTNAME => Refused(&["hostname", "control-character"]),
        finding::DUPLICATE_LISTENER => Refused(&["port-twice", "port-of-proxy"]),
        finding::UNSUPPORTED_REGEX => Refused(&["regex"]),
        finding::GRPC_HEALTH_CHECK => Refused(&["health-check-without-http2"]),
        finding::HEALTH_CHECK_PATH => Refused(&["control-character"]),
        finding::UNKNOWN_RETRY_EVENT => Refused(&["value-unknown"]),
        finding::BAD_LOG_FORMAT => Refused(&["log-format"]),
        finding::UNRECOGNISED => Refused(&["member-unknown", "value-unknown", "not-one-member"]),
        finding::IMPOSSIBLE_MATCH => {
            Refused(&["service-name-required", "control-character", "out-of-bounds", "hostname"])
        }
        finding::IMPOSSIBLE_REWRITE => Refused(&["rewrite-without-prefix", "control-character"]),
        finding::NAMELESS_SECRET => Refused(&["secret-unnamed"]),
        finding::NO_DISCOVERY => Refused(&["discovery-required"]),
        finding::ZERO_INTERVAL | finding::UNREADABLE_DURATION | finding::DURATION_TOO_LONG => Accepted(WorksWithout),
        finding::DANGLING_TARGET
        | finding::DANGLING_BACKEND
        | finding::NO_LISTENER
        | finding::AMBIGUOUS_PORT
        | finding::PORT_CONFLICT
        | finding::DUPLICATE_DOMAIN
        | finding::ROUTE_PROTOCOL
        | finding::UNMATCHED_PORT => Accepted(OtherResource),
        finding::NO_INSTANCE_MATCHES | finding::NO_PORT => Accepted(Environment),
        other => panic!("finding {other} has no verdict: state whether the API refuses such a spec, or why not"),
    }
}

#[test]
fn every_finding_is_refused_by_the_api_or_has_a_reason() {
    let mut reasons = BTreeMap::new();
    for id in finding::ALL {
        match verdict(id) {
            Verdict::Refused(codes) => {
                for code in codes {
                    assert!(Refusal::CODES.contains(code), "{id}: {code} is not a refusal code of the API");
                }
            }
            Verdict::Accepted(reason) => reasons.entry(format!("{reason:?}")).or_insert_with(Vec::new).push(*id),
        }
    }
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    let record = include_str!("../../../../infra/decisions/0028-what-envoy-refuses.md");
    for id in finding::ALL {
        assert!(record.contains(&format!("`{id}`")), "the decision record does not name {id}");
    }
}

/// Sets odd values in random places of every spec. If the API accepts a spec, its translation has no finding that the
/// API should have refused.
#[test]
fn accepted_specs_have_no_finding_that_the_api_refuses() {
    // A mesh with a spec that the API refuses has findings in any case.
    let is_accepted = |input: &Value| {
        let specs = input["mesh"].as_object().expect("a case has a mesh");
        specs.iter().all(|(path, spec)| path_of(path).is_ok_and(|path| validate::spec(path.kind(), spec).is_ok()))
    };
    let inputs: Vec<_> = inputs().into_iter().filter(|(_, input)| is_accepted(input)).collect();
    assert!(!inputs.is_empty());
    let mut cases: Vec<Case> = inputs.iter().map(|(_, input)| Case::read(input)).collect();
    let (edits, began) = (edits(), Instant::now());
    let all = std::env::var("ODD").is_ok_and(|odd| odd == "all");
    let (mut accepted, mut wrong) = (0, BTreeSet::new());
    for (number, path, pointer) in all_places(&inputs) {
        if !all && began.elapsed() > TIME_LIMIT {
            break;
        }
        let ((name, input), case) = (&inputs[number], &mut cases[number]);
        let (at, whole) = (path_of(path).expect("is a path"), case.mesh.clone());
        let before: Vec<_> = case.proxies.iter().map(|proxy| (proxy.clone(), case.translate(proxy).findings)).collect();
        for edit in &edits {
            let Some((after, description)) = edited(&input["mesh"][path], &pointer, edit) else { continue };
            if validate::spec(at.kind(), &after).is_err() {
                continue;
            }
            let after = Spec::read(at.kind(), &after).expect("is accepted");
            if !validate::broken_by(&whole, &at, &after).is_empty() {
                continue;
            }
            accepted += 1;
            case.mesh.insert(at.clone(), after).expect("fits its path");
            for (proxy, before) in &before {
                let findings = case.translate(proxy).findings;
                for found in findings.iter().filter(|found| !before.contains(found)) {
                    if let Verdict::Refused(codes) = verdict(found.id) {
                        let message = &found.message;
                        wrong.insert(format!(
                            "{name}, {path}{pointer} {description}: {}: {message} ({codes:?})",
                            found.id
                        ));
                    }
                }
            }
        }
        case.mesh = whole;
    }
    println!("{accepted} accepted specs in {:?}", began.elapsed());
    let first: Vec<&String> = wrong.iter().take(10).collect();
    assert!(
        wrong.is_empty(),
        "accepted specs have {} findings that the API refuses, the first: {first:#?}",
        wrong.len()
    );
    assert!(accepted > 0);
}
