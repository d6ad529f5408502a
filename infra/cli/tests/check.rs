//! Runs `meshwarden check` as in a pipeline: exit codes and output.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/readers/tests/readers/fixtures")
}

fn meshwarden(args: &[&str], input: Option<&str>) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshwarden"));
    command.args(args).current_dir(fixtures()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, input.unwrap_or_default().as_bytes()).unwrap();
    drop(stdin);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn json(args: &[&str]) -> (i32, Value) {
    let (code, stdout, stderr) = meshwarden(args, None);
    (code, serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}")))
}

#[test]
fn exit_code_is_the_outcome_of_the_check() {
    let table: [(&[&str], Option<&str>, i32); 8] = [
        (&["check", "loose/cloudformation.yaml"], None, 1),
        (&["check", "loose/cloudformation.yaml", "--fail-on", "never"], None, 0),
        (&["check", "-", "--fail-on", "never"], Some("{\"meshName\": \"shop\"}"), 0),
        (&["check", "-"], Some("no mesh at all"), 2),
        (&["check", "-"], Some("{\"meshName\": \"\"}"), 2),
        (&["check", "vanished.json"], None, 2),
        (&["check", "loose", "--policy", "vanished.yaml"], None, 2),
        (&["check"], None, 2),
    ];
    for (args, input, expected) in table {
        let (code, stdout, stderr) = meshwarden(args, input);
        assert_eq!(code, expected, "{args:?}: {stdout}{stderr}");
    }
}

#[test]
fn unreadable_input_is_reported_with_file_resource_and_member() {
    let node = r#"{"meshName": "shop", "virtualNodeName": "a", "spec": {"listeners": [{}]}}"#;
    let (code, stdout, _) = meshwarden(&["check", "-"], Some(node));
    assert_eq!(code, 2);
    assert!(stdout.contains("-:1: virtualNode a: spec.listeners[0].portMapping: is required: add it"), "{stdout}");
}

#[test]
fn table_has_each_rule_with_file_and_line_and_a_summary() {
    let (_, stdout, _) = meshwarden(&["check", "loose/manifest.yaml", "--remarks"], None);
    let shadowed =
        stdout.lines().find(|line| line.contains("mesh/loose/virtualRouter/plain_loose/route/shadowed")).unwrap();
    let (place, _) = shadowed.trim_start().split_once("  ").unwrap();
    let (file, line) = place.split_once(':').unwrap();
    assert_eq!(file, "loose/manifest.yaml");
    let text = std::fs::read_to_string(fixtures().join(file)).unwrap();
    assert!(text.lines().nth(line.parse::<usize>().unwrap() - 1).is_some(), "{shadowed}");
    assert!(stdout.contains("assumed to be `gone_loose`"), "{stdout}");
    assert!(stdout.lines().last().unwrap().starts_with("Read: 1 file, 12 resources, 1 mesh."), "{stdout}");
    assert!(!stdout.contains('\x1b'), "a pipe gets no colours");
    let (_, colored, _) = meshwarden(&["check", "loose/manifest.yaml", "--color", "always"], None);
    assert!(colored.contains("\x1b[31mHIGH"), "{colored}");
}

/// The formats for CI systems contain each finding with its file and line. No name can inject a command.
#[test]
fn junit_and_workflow_commands_have_every_finding() {
    let (_, output) = json(&["check", "loose/cloudformation.yaml", "--format", "json"]);
    let findings = output["findings"].as_array().unwrap();
    let (code, github, _) = meshwarden(&["check", "loose/cloudformation.yaml", "--format", "github"], None);
    assert_eq!((code, github.lines().count()), (1, findings.len()));
    assert!(github.lines().all(|line| line.contains(" file=loose/cloudformation.yaml,line=")), "{github}");
    assert!(github.starts_with("::error "), "the worst comes first: {github}");
    let (_, junit, _) = meshwarden(&["check", "loose/cloudformation.yaml", "--format", "junit"], None);
    let failing = findings.iter().filter(|finding| !["low", "info"].contains(&finding["severity"].as_str().unwrap()));
    assert_eq!(junit.matches("<failure ").count(), failing.count());
    assert!(junit.contains("file=\"loose/cloudformation.yaml\" line=\""), "{junit}");
    // Unread input is an error in both formats.
    let (code, junit, _) = meshwarden(&["check", "-", "--format", "junit"], Some("{\"meshName\": \"\"}"));
    assert!(code == 2 && junit.contains("errors=\"1\"") && junit.contains("<error "), "{junit}");
    let (code, github, _) = meshwarden(&["check", "-", "--format", "github"], Some("{\"meshName\": \"\"}"));
    assert!(code == 2 && github.starts_with("::error file=-,line=1,title=meshwarden::"), "{github}");
}

/// One page for all meshes of the files, with file and line of each finding.
#[test]
fn page_of_files_draws_every_mesh() {
    let (_, html, _) = meshwarden(&["check", "loose/api.json", "front/api.json", "--format", "html"], None);
    assert_eq!(html.matches("<svg ").count(), 2, "{html}");
    for part in ["<i>file</i> loose/api.json:", "<i>file</i> front/api.json:", "<title>Check of 2 meshes</title>"] {
        assert!(html.contains(part), "{part}");
    }
    let (code, html, _) = meshwarden(&["check", "-", "--format", "html"], Some("{\"meshName\": \"\"}"));
    assert!(code == 2 && html.contains("Not known</h2>") && !html.contains(">no findings<"), "{html}");
}

/// The author of a file name may be untrusted.
#[cfg(unix)]
#[test]
fn hidden_characters_reach_no_output() {
    let folder = std::env::temp_dir().join(format!("meshwarden-check-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let name = "a\u{1b}[31m\u{202e}\u{9b}x.json";
    let node = "{\"meshName\": \"shop\", \"virtualNodeName\": \"a\", \"spec\": {\"\u{202e}\\u001b\": 1, \"listeners\": \
        [{\"portMapping\": {\"port\": 80, \"protocol\": \"\\u001b\u{9b}\"}}]}}";
    std::fs::write(folder.join(name), node).unwrap();
    std::fs::write(folder.join("b\u{1b}[0m\n::error::.json"), "AWS::AppMesh:: {").unwrap();
    for format in ["table", "json", "sarif", "html", "junit", "github"] {
        let arguments = ["check", folder.to_str().unwrap(), "--format", format, "--remarks", "--all"];
        let (_, stdout, stderr) = meshwarden(&arguments, None);
        let hidden: Vec<char> =
            format!("{stdout}{stderr}").chars().filter(|c| reports::is_hidden(*c) && *c != '\n').collect();
        assert!(hidden.is_empty(), "{format}: {hidden:?}");
        assert!(!stdout.lines().any(|line| line.trim_start().starts_with("::error::")), "{format}: {stdout}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A folder with a mesh in five formats. The text of a finding does not depend on the format.
#[test]
fn the_findings_are_the_same_in_every_form() {
    for mesh in ["shop", "front", "loose"] {
        let findings = |path: String, tags: bool| {
            let args = ["check", &path, "--format", "json", "--region", "eu-west-1", "--account", "123456789012"];
            let (_, output) = json(&args);
            let mut findings = output["findings"].as_array().unwrap().clone();
            for finding in &mut findings {
                finding.as_object_mut().unwrap().shift_remove("source");
            }
            // A manifest has no tags, so findings about tags are left out.
            findings.retain(|finding| tags || !finding["rule"].as_str().unwrap().contains("tag"));
            serde_json::to_string_pretty(&findings).unwrap()
        };
        let api = findings(format!("{mesh}/api.json"), true);
        assert!(api.len() > 10, "{mesh} has findings");
        for form in ["config", "cloudformation.yaml", "terraform.json"] {
            assert_eq!(findings(format!("{mesh}/{form}"), true), api, "{mesh}/{form}");
        }
        let untagged = findings(format!("{mesh}/api.json"), false);
        assert_eq!(findings(format!("{mesh}/manifest.yaml"), false), untagged, "{mesh}");
    }
}

#[test]
fn sarif_points_to_lines() {
    let (_, log) = json(&["check", "loose/cloudformation.yaml", "--format", "sarif"]);
    assert_eq!(log["version"], "2.1.0");
    let results = log["runs"][0]["results"].as_array().unwrap();
    let text = std::fs::read_to_string(fixtures().join("loose/cloudformation.yaml")).unwrap();
    let shadowed =
        results.iter().find(|result| result["locations"][0]["logicalLocations"][0]["name"] == "shadowed").unwrap();
    let place = &shadowed["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "loose/cloudformation.yaml");
    let line = usize::try_from(place["region"]["startLine"].as_u64().unwrap()).unwrap();
    // The reported line is that of the wrong member, the match of the route.
    assert_eq!(text.lines().nth(line - 1).unwrap().trim(), "Match:");
    let before = text.lines().take(line).any(|line| line.trim() == "PlainLooseShadowedRoute:");
    assert!(before, "{line}");
}

#[test]
fn completions_know_the_arguments() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = meshwarden(&["completions", shell], None);
        assert_eq!(code, 0);
        assert!(script.contains("fail-on"), "{shell}");
        if cfg!(feature = "aws") {
            for command in ["status", "explain", "hold", "release", "restore", "kill"] {
                assert!(script.contains(command), "{shell}: {command}");
            }
        }
    }
}

/// A CloudFormation template with a node and an alarm with the given treatment of missing data.
fn template(missing_data: &str) -> String {
    serde_json::json!({"Resources": {
        "Mesh": {"Type": "AWS::AppMesh::Mesh", "Properties": {"MeshName": "shop"}},
        "Node": {"Type": "AWS::AppMesh::VirtualNode", "Properties": {
            "MeshName": "shop", "VirtualNodeName": "v1",
            "Spec": {"Listeners": [{"PortMapping": {"Port": 8080, "Protocol": "http"}}],
                "ServiceDiscovery": {"DNS": {"Hostname": "v1.shop.local"}}},
        }},
        "Errors": {"Type": "AWS::CloudWatch::Alarm", "Properties": {
            "AlarmName": {"Fn::Sub": "v1-errors"}, "Namespace": "AppMesh", "MetricName": "HTTPCode_Target_5XX_Count",
            "Dimensions": [{"Name": "Mesh", "Value": "shop"}, {"Name": "TargetVirtualNode", "Value": "v1"}],
            "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 2, "Threshold": 5,
            "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": missing_data,
        }},
    }})
    .to_string()
}

/// The same resources as a Terraform plan.
fn plan(missing_data: &str) -> String {
    let resource = |kind: &str, name: &str, values: Value| serde_json::json!({"address": format!("{kind}.{name}"), "mode": "managed", "type": kind, "name": name, "values": values});
    let listener = serde_json::json!([{"port_mapping": [{"port": 8080, "protocol": "http"}]}]);
    let discovery = serde_json::json!([{"dns": [{"hostname": "v1.shop.local"}]}]);
    let resources = [
        resource("aws_appmesh_mesh", "shop", serde_json::json!({"name": "shop"})),
        resource(
            "aws_appmesh_virtual_node",
            "v1",
            serde_json::json!({"name": "v1", "mesh_name": "shop",
                "spec": [{"listener": listener, "service_discovery": discovery}]}),
        ),
        resource(
            "aws_cloudwatch_metric_alarm",
            "errors",
            serde_json::json!({"alarm_name": "v1-errors", "namespace": "AppMesh",
                "metric_name": "HTTPCode_Target_5XX_Count", "dimensions": {"Mesh": "shop", "TargetVirtualNode": "v1"},
                "statistic": "Sum", "period": 60, "evaluation_periods": 2, "threshold": 5,
                "comparison_operator": "GreaterThanThreshold", "treat_missing_data": missing_data}),
        ),
    ];
    serde_json::json!({"terraform_version": "1.9.0", "planned_values": {"root_module": {"resources": resources}}})
        .to_string()
}

#[test]
fn alarm_in_the_files_that_cannot_prove_a_return_is_a_finding() {
    for (form, missing_data, expected) in [
        (template as fn(&str) -> String, "breaching", Some("missingDataBreaches")),
        (template, "ignore", Some("ignoresMissingData")),
        (template, "notBreaching", None),
        (plan, "breaching", Some("missingDataBreaches")),
        (plan, "notBreaching", None),
    ] {
        let (_, stdout, stderr) = meshwarden(&["check", "-", "--format", "json"], Some(&form(missing_data)));
        let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
        let all = ["findings", "undecided"].map(|part| report[part].as_array().unwrap().clone()).concat();
        let found: Vec<&Value> = all.iter().filter(|finding| finding["rule"] == "alarm-cannot-prove-return").collect();
        match (expected, found.as_slice()) {
            (Some(why), [finding]) => {
                assert_eq!((&finding["facts"]["alarm"], &finding["facts"]["why"]), (&"v1-errors".into(), &why.into()));
                assert_eq!(finding["resource"], "mesh/shop/virtualNode/v1");
            }
            (None, []) => {}
            _ => panic!("{missing_data}: {found:?}"),
        }
    }
}
