//! The kiosk, a neglected mesh: its resources in the API, and its findings in the sweep's report.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::context::DemoContext;
use stack::REPORTS;
use stack::demo_mesh::{self, KIOSK};
use stack::failure::{Failure, Result};
use stack::http::segment;
use stack::workspace::Workspace;

/// A finding of the sweep's report.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Finding {
    pub(super) id: String,
    pub(super) rule: String,
    pub(super) severity: String,
    pub(super) resource: String,
    pub(super) message: String,
    #[serde(default)]
    pub(super) remediation: Option<Value>,
}

/// The sweep's report on the mesh.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct SweepReport {
    pub(super) findings: Vec<Finding>,
    pub(super) edges: Vec<SweptEdge>,
}

/// A call, and its encryption.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct SweptEdge {
    pub(super) from: String,
    pub(super) service: String,
    pub(super) verdict: String,
}

impl SweepReport {
    /// The findings of a rule.
    pub(super) fn with_rule(&self, rule: &str) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.rule == rule)
    }

    /// The number of findings of each severity, the worst first.
    pub(super) fn in_words(&self) -> String {
        let count = |severity: &str| self.findings.iter().filter(|finding| finding.severity == severity).count();
        let counts = ["critical", "high", "medium", "low", "info"].map(|severity| (severity, count(severity)));
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        counts.map(|(severity, count)| format!("{count} {severity}")).collect::<Vec<_>>().join(", ")
    }

    /// The encryption of a call; `-` if the mesh has no such call.
    pub(super) fn verdict(&self, from: &str, service: &str) -> &str {
        let edge = self.edges.iter().find(|edge| edge.from == from && edge.service == service);
        edge.map_or("-", |edge| edge.verdict.as_str())
    }
}

impl DemoContext {
    /// Creates the kiosk.
    pub(super) fn load_kiosk(&self) -> Result<usize> {
        demo_mesh::load_kiosk(&self.workspace, &self.stack.client, &self.stack.endpoints.app_mesh)
    }

    /// Runs a function with a sample event, and returns its decisions on the kiosk.
    pub(super) fn run_for_kiosk(&self, function: &str, event: &str) -> Result<Vec<Value>> {
        self.invoke_for_kiosk(function, &read_event(&self.workspace, function, event)?)
    }

    /// The same with another event.
    pub(super) fn invoke_for_kiosk(&self, function: &str, event: &Value) -> Result<Vec<Value>> {
        let report = self.stack.invoke(function, event)?;
        let decisions = report.get("decisions").and_then(Value::as_array).cloned().unwrap_or_default();
        let mine = |decision: &Value| {
            let resource = decision.get("resource").and_then(Value::as_str).unwrap_or_default();
            let name = resource.strip_prefix("mesh/").unwrap_or_default();
            name == KIOSK || name.starts_with(&format!("{KIOSK}/"))
        };
        Ok(decisions.into_iter().filter(mine).collect())
    }

    /// Runs the sweep with the event that its schedule sends now. The scheduled run of the same time then has nothing to do.
    pub(super) fn run_sweep(&self) -> Result<Vec<Value>> {
        let mut event = read_event(&self.workspace, "compliance-sweep", "schedule.json")?;
        if let Some(time) = event.get_mut("time") {
            *time = json!(Timestamp::now());
        }
        self.invoke_for_kiosk("compliance-sweep", &event)
    }

    /// Reads a resource of the kiosk: its path below the mesh, such as `virtualNodes/till`; empty for the mesh.
    pub(super) fn read_kiosk(&self, path: &str) -> Result<Value> {
        self.stack.client.get(&self.kiosk_url(path))?.success(path)
    }

    /// Writes a resource of the kiosk through the API, as an operator does.
    pub(super) fn write_kiosk(&self, path: &str, body: &Value) -> Result<()> {
        self.stack.client.put(&self.kiosk_url(path), body)?.success(path).map(drop)
    }

    fn kiosk_url(&self, path: &str) -> String {
        let path: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(segment).collect();
        let base = format!("{}/v20190125/meshes/{KIOSK}", self.stack.endpoints.app_mesh);
        path.iter().fold(base, |url, part| format!("{url}/{part}"))
    }

    /// The tags of a resource of the kiosk.
    pub(super) fn kiosk_tags(&self, resource: &Value) -> Result<Vec<(String, String)>> {
        let arn = resource.pointer("/metadata/arn").and_then(Value::as_str).unwrap_or_default();
        let url = format!("{}/v20190125/tags?resourceArn={}", self.stack.endpoints.app_mesh, segment(arn));
        let answer = self.stack.client.get(&url)?.success("ListTagsForResource")?;
        let tags = answer.get("tags").and_then(Value::as_array).into_iter().flatten();
        let text = |tag: &Value, member: &str| tag.get(member)?.as_str().map(ToOwned::to_owned);
        Ok(tags.filter_map(|tag| Some((text(tag, "key")?, text(tag, "value")?))).collect())
    }

    /// A report of the sweep on the kiosk.
    pub(super) fn kiosk_report(&mut self, file: &str) -> Result<String> {
        let key = format!("compliance-sweep/compliance/mesh/{KIOSK}/{file}");
        let answer = self.stack.aws.call("s3", "get_object", &json!({"Bucket": REPORTS, "Key": key}))?;
        let body = answer.get("Body").and_then(Value::as_str);
        body.map(ToOwned::to_owned).ok_or_else(|| Failure::Refused { what: key, answer: "nothing readable".to_owned() })
    }

    /// The findings of the sweep's report.
    pub(super) fn kiosk_findings(&mut self) -> Result<SweepReport> {
        let text = self.kiosk_report("findings.json")?;
        serde_json::from_str(&text)
            .map_err(|why| Failure::Unreadable { path: "findings.json".into(), why: why.to_string() })
    }
}

/// A sample event of a function.
pub(super) fn read_event(workspace: &Workspace, function: &str, event: &str) -> Result<Value> {
    let path = workspace.file("events").join(function).join(event);
    let text = std::fs::read_to_string(&path).map_err(Failure::file("read", &path))?;
    serde_json::from_str(&text).map_err(|why| Failure::Unreadable { path, why: why.to_string() })
}
