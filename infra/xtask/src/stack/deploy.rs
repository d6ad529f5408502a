//! Functions as Lambda packages, and infra/template.yaml with them into the local `CloudFormation`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::endpoints::Endpoints;
use super::folder::Folder;
use crate::command::Run;
use crate::console::{Progress, step};
use crate::failure::{Failure, Result};
use crate::http::Client;
use crate::interrupt;
use crate::local_aws::LocalAws;
use crate::workspace::Workspace;

/// Where the deployed functions find their policy.
pub(super) const POLICY_PARAMETER: &str = "/meshwarden/policy";

const STACK: &str = "meshwarden";
const BUCKET: &str = "meshwarden-packages";
const TEMPLATE: &str = "template.yaml";
const DEPLOYED_WITHIN: Duration = Duration::from_mins(1);

/// What the template says about what it made, and where it was deployed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outputs {
    aws: String,
    values: BTreeMap<String, String>,
}

/// Builds a function as cargo-lambda does for AWS, but for this machine and without the link-time optimisation.
pub(super) fn package(workspace: &Workspace, function: &str) -> Result<PathBuf> {
    let folder = workspace.local("lambda");
    step(&format!("package {function}"), |progress| {
        Run::new(workspace.venv_program("cargo-lambda"), workspace.root())
            .args(["lambda", "build", "--compiler", "cargo", "--profile", "local", "--locked"])
            .args(["--package", function, "--bin", function, "--output-format", "zip"])
            .arg_pair("--lambda-dir", &folder)
            .condensed(progress)
    })?;
    Ok(folder.join(function).join("bootstrap.zip"))
}

/// Deploys the template. What the local `CloudFormation` takes without carrying it out (the table's time to live and
/// its backups) nothing here relies on; permissions are not enforced here either.
pub(super) fn deploy(
    workspace: &Workspace,
    folder: &Folder,
    aws: &mut LocalAws,
    endpoints: &Endpoints,
    package: &Path,
    progress: &mut Progress,
) -> Result<Outputs> {
    aws.call("s3", "create_bucket", &json!({"Bucket": BUCKET}))?;
    let key = "route-failover.zip";
    aws.call("s3", "put_object", &json!({"Bucket": BUCKET, "Key": key, "Body": {"$file": package}}))?;
    put_policy(workspace, aws)?;
    let template = packaged(&read_template(workspace)?, "route-failover", &format!("s3://{BUCKET}/{key}"))?;
    let parameters = json!([
        {"ParameterKey": "ControlPlaneEndpoint", "ParameterValue": endpoints.app_mesh},
        {"ParameterKey": "PolicyParameter", "ParameterValue": POLICY_PARAMETER},
        {"ParameterKey": "Compliance", "ParameterValue": "no"},
        {"ParameterKey": "Rotation", "ParameterValue": "no"},
    ]);
    let capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"];
    // A template within a request has at most 51,200 bytes; one in a bucket, a megabyte.
    aws.call("s3", "put_object", &json!({"Bucket": BUCKET, "Key": TEMPLATE, "Body": template}))?;
    let place = format!("{}/{BUCKET}/{TEMPLATE}", endpoints.aws);
    let request = json!({
        "StackName": STACK, "TemplateURL": place, "Parameters": parameters, "Capabilities": capabilities,
    });
    aws.call("cloudformation", "create_stack", &request)?;
    let values = until_created(aws, folder, progress)?;
    Ok(Outputs { aws: endpoints.aws.clone(), values })
}

fn put_policy(workspace: &Workspace, aws: &mut LocalAws) -> Result<()> {
    let path = workspace.file("infra/local/demo-policy.yaml");
    let policy = fs::read_to_string(&path).map_err(Failure::file("read", path))?;
    let parameter = json!({"Name": POLICY_PARAMETER, "Type": "String", "Tier": "Advanced", "Value": policy});
    aws.call("ssm", "put_parameter", &parameter).map(drop)
}

fn read_template(workspace: &Workspace) -> Result<String> {
    let path = workspace.file("infra/template.yaml");
    fs::read_to_string(&path).map_err(Failure::file("read", path))
}

/// Puts the uploaded package in the place of the function's folder, as `sam package` does. The other functions are
/// switched off by a parameter, but what reads the template wants a package for each all the same.
fn packaged(template: &str, function: &str, package: &str) -> Result<String> {
    const FOLDER: &str = "CodeUri: ../functions/";
    let folder = format!("{FOLDER}{function}\n");
    if template.matches(&folder).count() == 1 {
        let lines = template.split_inclusive('\n').map(|line| match line.find(FOLDER) {
            Some(at) => format!("{}CodeUri: {package}\n", " ".repeat(at)),
            None => line.to_owned(),
        });
        return Ok(lines.collect());
    }
    let why = format!("it should have the line `{}` once", folder.trim());
    Err(Failure::Unreadable { path: "infra/template.yaml".into(), why })
}

fn until_created(aws: &mut LocalAws, folder: &Folder, progress: &mut Progress) -> Result<BTreeMap<String, String>> {
    let created = interrupt::poll(DEPLOYED_WITHIN, || {
        let answer = aws.call("cloudformation", "describe_stacks", &json!({"StackName": STACK}))?;
        let stack = answer.pointer("/Stacks/0").cloned().unwrap_or_default();
        let status = stack.get("StackStatus").and_then(Value::as_str).unwrap_or_default().to_owned();
        progress.at(&status);
        match status.as_str() {
            "CREATE_COMPLETE" => Ok(Some(outputs_of(&stack))),
            "CREATE_IN_PROGRESS" => Ok(None),
            _ => Err(Failure::Command { command: "the deployment".to_owned(), status, tail: what_failed(aws)? }),
        }
    })?;
    let log = crate::process::log_file(folder.path(), "ministack");
    created.ok_or_else(|| Failure::NotReady { what: "the stack".to_owned(), seconds: DEPLOYED_WITHIN.as_secs(), log })
}

fn outputs_of(stack: &Value) -> BTreeMap<String, String> {
    let outputs = stack.get("Outputs").and_then(Value::as_array).into_iter().flatten();
    let text = |output: &Value, member: &str| output.get(member)?.as_str().map(ToOwned::to_owned);
    outputs.filter_map(|output| Some((text(output, "OutputKey")?, text(output, "OutputValue")?))).collect()
}

fn what_failed(aws: &mut LocalAws) -> Result<Vec<String>> {
    let events = aws.call("cloudformation", "describe_stack_events", &json!({"StackName": STACK}))?;
    let events = events.get("StackEvents").and_then(Value::as_array).cloned().unwrap_or_default();
    let failures = events.iter().filter_map(|event| {
        let status = event.get("ResourceStatus")?.as_str()?;
        let resource = event.get("LogicalResourceId")?.as_str()?;
        let reason = event.get("ResourceStatusReason").and_then(Value::as_str).unwrap_or_default();
        status.ends_with("FAILED").then(|| format!("{resource}: {reason}"))
    });
    Ok(failures.collect())
}

/// Where a stack's outputs are kept.
pub(super) fn outputs_file(folder: &Path) -> PathBuf {
    folder.join("outputs.json")
}

impl Outputs {
    /// An output by its name.
    pub(crate) fn named(&self, name: &str) -> Result<&str> {
        let found = self.values.get(name).map(String::as_str);
        found.ok_or_else(|| Failure::Refused { what: "the stack".to_owned(), answer: format!("without output {name}") })
    }

    /// Invokes a function by its name in this repository, and waits for what it returns.
    pub(crate) fn invoke(&self, client: &Client, function: &str, event: &Value) -> Result<Value> {
        let arn = self.named(&format!("{}Function", camel_case(function)))?;
        let name = arn.rsplit(':').next().unwrap_or(arn);
        let answer = client.post(&format!("{}/2015-03-31/functions/{name}/invocations", self.aws), event)?;
        match answer.function_error {
            Some(kind) => {
                Err(Failure::Refused { what: function.to_owned(), answer: format!("{kind} error: {}", answer.body) })
            }
            None => answer.success(function),
        }
    }

    pub(super) fn write(&self, folder: &Folder) -> Result<()> {
        let path = outputs_file(folder.path());
        fs::write(&path, json!(self).to_string()).map_err(Failure::file("write", path))
    }

    pub(super) fn read(folder: &Path) -> Result<Self> {
        let text = fs::read_to_string(outputs_file(folder)).map_err(|_| Failure::NoStack)?;
        serde_json::from_str(&text).map_err(|_| Failure::NoStack)
    }
}

fn camel_case(name: &str) -> String {
    name.split('-')
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_packaged() {
        let template = read_template(&Workspace::of_this_crate().unwrap()).unwrap();
        let packaged = packaged(&template, "route-failover", "s3://bucket/key").unwrap();
        assert!(packaged.contains("CodeUri: s3://bucket/key\n"));
        assert!(!packaged.contains("../functions/"));
    }

    #[test]
    fn a_function_that_the_template_lacks_is_an_error() {
        assert!(packaged("Resources: {}", "route-failover", "s3://bucket/key").is_err());
    }

    #[test]
    fn functions_are_named_in_the_template_as_resources_are() {
        assert_eq!(camel_case("route-failover"), "RouteFailover");
    }
}
