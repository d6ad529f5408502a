//! Runs `meshwarden alarms` as in a pipeline: CloudFormation and Terraform tools accept the templates.
#![cfg(feature = "aws")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs the command without access to an AWS account.
fn meshwarden(args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_meshwarden"))
        .args(args)
        .current_dir(root())
        .env_remove("MESHWARDEN_POLICY")
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .output()
        .unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

const DEMO: [&str; 4] = ["alarms", "shop", "--source", "infra/dev/local/demo-mesh"];

#[test]
fn cfn_lint_finds_nothing_in_the_template() {
    let template = std::env::temp_dir().join(format!("meshwarden-alarms-{}.json", std::process::id()));
    let mut args = DEMO.to_vec();
    args.extend(["--output", template.to_str().unwrap()]);
    let (code, stdout, stderr) = meshwarden(&args);
    assert_eq!(code, 0, "{stdout}{stderr}");
    let linter = root().join(".local/venv/bin/cfn-lint");
    if linter.is_file() {
        let Output { status, stdout, .. } =
            Command::new(linter).args(["--regions", "eu-west-1", "--"]).arg(&template).output().unwrap();
        assert!(status.success(), "{}", String::from_utf8_lossy(&stdout));
    } else {
        println!("skipped: .local/venv/bin/cfn-lint is not there; `cargo xtask setup` installs it");
    }
    std::fs::remove_file(template).unwrap();
}

#[test]
fn both_forms_have_an_alarm_and_a_composite_alarm_for_each_target() {
    let (code, text, stderr) = meshwarden(&DEMO);
    assert_eq!(code, 0, "{stderr}");
    let template: Value = serde_json::from_str(&text).unwrap();
    let resources = template["Resources"].as_object().unwrap();
    let count = |kind: &str| resources.values().filter(|resource| resource["Type"] == kind).count();
    let targets = count("AWS::CloudWatch::CompositeAlarm");
    assert!(targets >= 10, "{targets}");
    assert_eq!(count("AWS::CloudWatch::Alarm"), targets);

    let mut args = DEMO.to_vec();
    args.extend(["--format", "terraform"]);
    let (code, text, stderr) = meshwarden(&args);
    assert_eq!(code, 0, "{stderr}");
    let document: Value = serde_json::from_str(&text).unwrap();
    for kind in ["aws_cloudwatch_metric_alarm", "aws_cloudwatch_composite_alarm"] {
        assert_eq!(document["resource"][kind].as_object().unwrap().len(), targets, "{kind}");
    }
}

#[test]
fn terraform_reads_the_document() {
    if Command::new("terraform").arg("version").output().is_err() {
        println!("skipped: terraform is not installed");
        return;
    }
    let folder = std::env::temp_dir().join(format!("meshwarden-alarms-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let document = folder.join("alarms.tf.json");
    let mut args = DEMO.to_vec();
    args.extend(["--format", "terraform", "--output", document.to_str().unwrap()]);
    let (code, stdout, stderr) = meshwarden(&args);
    assert_eq!(code, 0, "{stdout}{stderr}");
    // Terraform reads the whole configuration here, without installed providers.
    let Output { status, stdout, stderr } =
        Command::new("terraform").arg("providers").current_dir(&folder).output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let output = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success() && output.contains("registry.terraform.io/hashicorp/aws"), "{output}");
}

#[test]
fn one_target_can_be_selected() {
    let mut args = DEMO.to_vec();
    args.extend(["--node", "catalog-v2", "--metrics", "app-mesh"]);
    let (code, text, stderr) = meshwarden(&args);
    assert_eq!(code, 0, "{stderr}");
    let template: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(template["Resources"].as_object().unwrap().len(), 2);
    assert!(text.contains("envoy_appmesh_HTTPCode_Target_5XX_Count"), "{text}");
}

#[test]
fn invalid_arguments_are_reported_with_the_remedy() {
    let table: [(&[&str], &str); 5] = [
        (&["alarms", "shop", "--source", "vanished.yaml"], "vanished.yaml: "),
        (
            &["alarms", "other", "--source", "shared/readers/tests/readers/fixtures/shop/api.json"],
            "mesh other is not in the files; they contain: shop",
        ),
        (
            &["alarms", "shop", "--source", "infra/dev/local/demo-mesh", "--node", "gone"],
            "virtual node gone is not a target of a route of mesh shop",
        ),
        (&["alarms", "shop", "--source", "infra/dev/local/demo-mesh", "--format", "table"], "invalid format: "),
        (
            &["alarms", "shop", "--source", "infra/dev/local/demo-mesh", "--check", "--format", "terraform"],
            "invalid format: ",
        ),
    ];
    for (args, expected) in table {
        let (code, stdout, stderr) = meshwarden(args);
        assert!(code == 2 && stdout.is_empty(), "{args:?}: {code} {stderr}");
        assert!(stderr.contains(expected), "{args:?}: {stderr}");
    }
}
