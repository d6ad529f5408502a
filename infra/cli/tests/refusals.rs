//! `meshwarden check` finds every violation that the API refuses, in each file format.

#![expect(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../../../shared/mesh/tests/refusals/mod.rs"]
mod examples;
#[path = "../../../shared/readers/tests/readers/writers.rs"]
mod writers;

mod folder;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use mesh::name::ResourcePath;
use mesh::spec::Refusal;
use serde_json::{Value, json};

use examples::{Example, examples};
use folder::Folder;
use writers::{Written, api, cloudformation, config, hcl, manifest, terraform};

/// The mesh after the write.
fn after(example: &Example) -> Vec<Written> {
    let mut resources = vec![("", json!({"egressFilter": {"type": "DROP_ALL"}}))];
    resources.extend(example.before.iter().cloned());
    resources.retain(|(path, _)| *path != example.written.0);
    resources.push(example.written.clone());
    // The mesh comes first, since the other resources refer to it.
    resources.sort_by_key(|(path, _)| !path.is_empty());
    let written = |(path, spec): (&str, Value)| {
        let path = ResourcePath::parse(format!("mesh/shop/{path}").trim_end_matches('/')).unwrap();
        Written { path, spec, tags: Vec::new() }
    };
    resources.into_iter().map(written).collect()
}

/// A Terraform configuration is known by the name of its file.
fn checked_configuration(text: &str) -> (i32, Value) {
    let folder = Folder::new(&[("main.tf", text)]);
    let (code, output) = folder.check(&[".", "--format", "json"]);
    (code, serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}\n{text}")))
}

fn checked(text: &str) -> (i32, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_meshwarden"))
        .args(["check", "-", "--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), report)
}

/// Whether the report contains the fault with its member: as a finding of the rule, or as an unreadable
/// resource or member.
fn is_found(example: &Example, report: &Value) -> bool {
    let last = example.member.rsplit('.').next().unwrap_or_default();
    let findings = report["findings"].as_array().unwrap();
    let by_rule = findings.iter().any(|finding| finding["rule"] == example.rule);
    let misspelt = findings.iter().any(|finding| {
        finding["rule"] == "member-unknown"
            && finding["part"].as_str().is_some_and(|part| part.to_lowercase().ends_with(last))
    });
    let refusals = report["refusals"].as_array().unwrap();
    let mut unread = refusals.iter().flat_map(|refusal| refusal["violations"].as_array().unwrap());
    // Manifests refer to objects, so an unreadable reference has no target.
    let by_reference =
        example.code == "malformed" && findings.iter().any(|finding| finding["rule"] == "reference-dangling");
    by_rule || misspelt || by_reference || unread.any(|violation| violation["path"] == example.member)
}

#[test]
fn check_finds_every_refusal_of_the_api_in_each_form() {
    let mut missing = Vec::new();
    let mut seen = BTreeSet::new();
    for example in examples() {
        seen.insert(example.code);
        let mesh = after(&example);
        for (form, text) in [
            ("API", api(&mesh)),
            ("AWS Config", config(&mesh)),
            ("CloudFormation", cloudformation(&mesh)),
            ("Terraform", terraform(&mesh)),
            ("manifest", manifest(&mesh)),
            ("HCL", hcl(&mesh)),
        ] {
            let (code, report) = if form == "HCL" { checked_configuration(&text) } else { checked(&text) };
            if code == 0 || !is_found(&example, &report) {
                missing.push(format!("{form}: {} of {:?} (exit {code})", example.code, example.written));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    assert_eq!(seen, Refusal::CODES.iter().copied().collect(), "each refusal has an example");
}

/// An egress filter of an unknown type is neither open nor closed.
#[test]
fn unknown_egress_filter_is_refused_with_the_values_that_there_are() {
    let document = json!({"meshName": "shop", "spec": {"egressFilter": {"type": "DENY_ALL"}}}).to_string();
    let (code, report) = checked(&document);
    assert_eq!(code, 1);
    let findings = report["findings"].as_array().unwrap();
    let refused = findings.iter().find(|finding| finding["rule"] == "spec-refused").unwrap();
    assert_eq!(refused["facts"]["code"], "value-unknown");
    assert_eq!(refused["message"], "spec.egressFilter.type: is `DENY_ALL`, must be one of ALLOW_ALL, DROP_ALL");
    assert!(findings.iter().all(|finding| finding["rule"] != "mesh-egress-open"), "{report}");
}
