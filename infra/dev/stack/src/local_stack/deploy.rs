//! Packages the functions for Lambda, and deploys infra/template.yaml with them to the local `CloudFormation`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::bucket::{BUCKET, POLICY};
use super::endpoints::Endpoints;
use super::folder::Folder;
use super::local_aws::LocalAws;
use super::outputs::Outputs;
use crate::console::Progress;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::programs::Programs;
use crate::workspace::Workspace;

const STACK: &str = "meshwarden";
/// The stack of the alarms that `meshwarden alarms` writes.
pub(super) const ALARMS_STACK: &str = "meshwarden-alarms";
const TEMPLATE: &str = "template.yaml";
/// The bucket for large observations of the functions and for the pages of the sweep.
pub const REPORTS: &str = "meshwarden-reports";
const DEPLOYMENT_TIMEOUT: Duration = Duration::from_mins(1);

/// Uploads the package of each function to a bucket, and sets its location in the template.
fn upload(folder: &Folder, programs: &Programs, aws: &mut LocalAws, template: &str) -> Result<String> {
    for name in programs.functions() {
        let body = json!({"$zip": {"bootstrap": stripped(folder.path(), name, programs.path(name)?)}});
        aws.call("s3", "put_object", &json!({"Bucket": BUCKET, "Key": key(name), "Body": body}))?;
    }
    let names: Vec<&str> = programs.functions().collect();
    packaged(template, &names)
}

/// The program without its symbols, as profile `lambda` builds it: half as large. Returns the program itself if
/// `strip` is not installed, which is part of every C toolchain.
fn stripped(folder: &Path, name: &str, program: &Path) -> PathBuf {
    let output = folder.join(format!("{name}.bootstrap"));
    let run = Command::new("strip").arg("-o").arg(&output).arg(program).output();
    if run.is_ok_and(|run| run.status.success()) { output } else { program.to_path_buf() }
}

fn key(function: &str) -> String {
    format!("{function}.zip")
}

/// Deploys the template. The local `CloudFormation` accepts some settings without applying them (the table's time to
/// live and its backups), and enforces no permissions. It does not support rules of AWS Config, so
/// they stay disabled.
pub(super) fn deploy(
    workspace: &Workspace,
    folder: &Folder,
    aws: &mut LocalAws,
    endpoints: &Endpoints,
    programs: &Programs,
    progress: &mut Progress,
) -> Result<Outputs> {
    for bucket in [BUCKET, REPORTS] {
        aws.call("s3", "create_bucket", &json!({"Bucket": bucket}))?;
    }
    progress.at("packages");
    let template = upload(folder, programs, aws, &read_template(workspace)?)?;
    put_policy(aws, &demo_policy(workspace)?)?;
    let parameters = json!([
        {"ParameterKey": "ControlPlaneEndpoint", "ParameterValue": endpoints.app_mesh},
        {"ParameterKey": "PolicyObject", "ParameterValue": format!("{BUCKET}/{POLICY}")},
        {"ParameterKey": "ReportsBucket", "ParameterValue": REPORTS},
        {"ParameterKey": "Compliance", "ParameterValue": "yes"},
        {"ParameterKey": "ConfigRules", "ParameterValue": "no"},
        {"ParameterKey": "Rotation", "ParameterValue": "yes"},
        {"ParameterKey": "Drills", "ParameterValue": "yes"},
    ]);
    let capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"];
    let request = json!({"StackName": STACK, "Parameters": parameters, "Capabilities": capabilities});
    let values = create_stack(folder, aws, endpoints, (TEMPLATE, &template), request, progress)?;
    Ok(Outputs { aws: endpoints.aws.clone(), shop: String::new(), values })
}

/// The stack of a mesh's alarms.
#[derive(Clone, Copy, Debug)]
pub(super) struct AlarmStack<'a> {
    /// The name of the stack.
    pub(super) name: &'a str,
    /// The template that `meshwarden alarms` wrote.
    pub(super) template: &'a str,
    /// The topic of route-failover.
    pub(super) topic: &'a str,
}

/// Deploys the alarms that `meshwarden alarms` wrote, as users do: the unchanged template, with the topic of
/// route-failover as its parameter.
pub(super) fn deploy_alarms(
    folder: &Folder,
    aws: &mut LocalAws,
    endpoints: &Endpoints,
    AlarmStack { name, template, topic }: AlarmStack<'_>,
    progress: &mut Progress,
) -> Result<()> {
    let parameters = json!([{"ParameterKey": "AlarmTopicArn", "ParameterValue": topic}]);
    let request = json!({"StackName": name, "Parameters": parameters});
    create_stack(folder, aws, endpoints, (&format!("{name}.json"), template), request, progress).map(drop)
}

/// Creates a stack from a template, which is stored in the bucket under this key, and returns the stack's outputs.
fn create_stack(
    folder: &Folder,
    aws: &mut LocalAws,
    endpoints: &Endpoints,
    (key, template): (&str, &str),
    mut request: Value,
    progress: &mut Progress,
) -> Result<BTreeMap<String, String>> {
    // A template in a request is limited to 51,200 bytes; in a bucket, to a megabyte.
    aws.call("s3", "put_object", &json!({"Bucket": BUCKET, "Key": key, "Body": template}))?;
    let stack = request.get("StackName").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(members) = request.as_object_mut() {
        members.insert("TemplateURL".to_owned(), format!("{}/{BUCKET}/{key}", endpoints.aws).into());
    }
    aws.call("cloudformation", "create_stack", &request)?;
    until_created(aws, folder, &stack, progress)
}

/// The file of the demo's policy.
pub const DEMO_POLICY: &str = "infra/dev/local/demo-policy.yaml";

/// The policy of the deployed functions.
pub fn demo_policy(workspace: &Workspace) -> Result<String> {
    let path = workspace.file(DEMO_POLICY);
    fs::read_to_string(&path).map_err(Failure::file("read", path))
}

/// Stores the policy of the functions.
pub fn put_policy(aws: &mut LocalAws, policy: &str) -> Result<()> {
    aws.call("s3", "put_object", &json!({"Bucket": BUCKET, "Key": POLICY, "Body": policy})).map(drop)
}

fn read_template(workspace: &Workspace) -> Result<String> {
    let path = workspace.file("infra/template.yaml");
    fs::read_to_string(&path).map_err(Failure::file("read", path))
}

/// Replaces the functions' folders by their packages, as `sam package` does.
fn packaged(template: &str, functions: &[&str]) -> Result<String> {
    const FOLDER: &str = "CodeUri: ../functions/";
    let unreadable = |why: String| Failure::Unreadable { path: "infra/template.yaml".into(), why };
    let mut packaged = String::with_capacity(template.len());
    let mut missing = functions.to_vec();
    for line in template.split_inclusive('\n') {
        let Some((indent, function)) = line.trim_end().split_once(FOLDER) else {
            packaged.push_str(line);
            continue;
        };
        let Some(at) = missing.iter().position(|name| *name == function) else {
            return Err(unreadable(format!("`{}` names no function, or repeats one", line.trim())));
        };
        missing.swap_remove(at);
        packaged.extend([indent, "CodeUri: s3://", BUCKET, "/", &key(function), "\n"]);
    }
    match missing.first() {
        None => Ok(packaged),
        Some(function) => Err(unreadable(format!("it should have the line `{FOLDER}{function}`"))),
    }
}

fn until_created(
    aws: &mut LocalAws,
    folder: &Folder,
    name: &str,
    progress: &mut Progress,
) -> Result<BTreeMap<String, String>> {
    let created = interrupt::poll(DEPLOYMENT_TIMEOUT, || {
        let answer = aws.call("cloudformation", "describe_stacks", &json!({"StackName": name}))?;
        let stack = answer.pointer("/Stacks/0").cloned().unwrap_or_default();
        let status = stack.get("StackStatus").and_then(Value::as_str).unwrap_or_default().to_owned();
        progress.at(&status);
        match status.as_str() {
            "CREATE_COMPLETE" => Ok(Some(stack_outputs(&stack))),
            "CREATE_IN_PROGRESS" => Ok(None),
            _ => Err(Failure::Command { command: "the deployment".to_owned(), status, tail: failures(aws, name)? }),
        }
    })?;
    let log = crate::process::log_file(folder.path(), "ministack");
    created.ok_or_else(|| Failure::NotReady {
        service: "the stack".to_owned(),
        seconds: DEPLOYMENT_TIMEOUT.as_secs(),
        log,
    })
}

fn stack_outputs(stack: &Value) -> BTreeMap<String, String> {
    let outputs = stack.get("Outputs").and_then(Value::as_array).into_iter().flatten();
    let text = |output: &Value, member: &str| output.get(member)?.as_str().map(ToOwned::to_owned);
    outputs.filter_map(|output| Some((text(output, "OutputKey")?, text(output, "OutputValue")?))).collect()
}

fn failures(aws: &mut LocalAws, stack: &str) -> Result<Vec<String>> {
    let events = aws.call("cloudformation", "describe_stack_events", &json!({"StackName": stack}))?;
    let events = events.get("StackEvents").and_then(Value::as_array).cloned().unwrap_or_default();
    let failures = events.iter().filter_map(|event| {
        let status = event.get("ResourceStatus")?.as_str()?;
        let resource = event.get("LogicalResourceId")?.as_str()?;
        let reason = event.get("ResourceStatusReason").and_then(Value::as_str).unwrap_or_default();
        status.ends_with("FAILED").then(|| format!("{resource}: {reason}"))
    });
    Ok(failures.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_has_its_place_in_the_template() {
        let workspace = Workspace::find().unwrap();
        let functions = workspace.functions().unwrap();
        let names: Vec<&str> = functions.iter().map(String::as_str).collect();
        let packaged = packaged(&read_template(&workspace).unwrap(), &names).unwrap();
        assert!(packaged.contains("CodeUri: s3://meshwarden-packages/route-failover.zip\n"));
        assert!(!packaged.contains("../functions/"));
    }

    #[test]
    fn a_function_without_a_package_or_a_place_is_an_error() {
        let template = "Resources:\n  A:\n    CodeUri: ../functions/a\n";
        assert_eq!(
            packaged(template, &["a"]).unwrap(),
            "Resources:\n  A:\n    CodeUri: s3://meshwarden-packages/a.zip\n"
        );
        for functions in [&[][..], &["b"], &["a", "b"]] {
            assert!(packaged(template, functions).is_err(), "{functions:?}");
        }
        assert!(packaged(&template.repeat(2), &["a"]).is_err());
    }
}
