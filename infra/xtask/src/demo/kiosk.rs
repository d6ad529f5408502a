//! The kiosk: a mesh that nobody looked after, as the API shows it and as the sweep found it.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::scene::Scene;
use crate::demo_mesh::{self, KIOSK};
use crate::failure::{Failure, Result};
use crate::http::segment;
use crate::stack::REPORTS;
use crate::workspace::Workspace;

/// A finding, as the sweep's report has it.
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

/// What the sweep wrote of the mesh.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Swept {
    pub(super) findings: Vec<Finding>,
    pub(super) edges: Vec<Edge>,
}

/// A call, and how it is encrypted.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Edge {
    pub(super) from: String,
    pub(super) service: String,
    pub(super) verdict: String,
}

impl Swept {
    /// The findings of a rule.
    pub(super) fn of(&self, rule: &str) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.rule == rule)
    }

    /// How many findings there are of each severity, the worst first.
    pub(super) fn in_words(&self) -> String {
        let count = |severity: &str| self.findings.iter().filter(|finding| finding.severity == severity).count();
        let counts = ["critical", "high", "medium", "low", "info"].map(|severity| (severity, count(severity)));
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        counts.map(|(severity, count)| format!("{count} {severity}")).collect::<Vec<_>>().join(", ")
    }

    /// How a call is encrypted; `-` where nobody makes it.
    pub(super) fn verdict(&self, from: &str, service: &str) -> &str {
        let edge = self.edges.iter().find(|edge| edge.from == from && edge.service == service);
        edge.map_or("-", |edge| edge.verdict.as_str())
    }
}

impl Scene {
    /// Creates the kiosk.
    pub(super) fn load_kiosk(&self) -> Result<usize> {
        demo_mesh::load_kiosk(&self.workspace, &self.stack.client, &self.stack.endpoints.app_mesh)
    }

    /// Wakes a function, and returns what it decided of the kiosk.
    pub(super) fn wake_for_kiosk(&self, function: &str, event: &str) -> Result<Vec<Value>> {
        self.invoke_for_kiosk(function, &read_event(&self.workspace, function, event)?)
    }

    /// The same with an event that is no sample.
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

    /// Wakes the sweep as its schedule does at this moment. The schedule's wake of the same time would sweep nothing again.
    pub(super) fn wake_sweep(&self) -> Result<Vec<Value>> {
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

    /// Writes a resource of the kiosk as a person does who knows nothing of Meshwarden.
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

    /// A report that the sweep wrote of the kiosk.
    pub(super) fn kiosk_report(&mut self, file: &str) -> Result<String> {
        let key = format!("compliance-sweep/compliance/mesh/{KIOSK}/{file}");
        let answer = self.stack.aws.call("s3", "get_object", &json!({"Bucket": REPORTS, "Key": key}))?;
        let body = answer.get("Body").and_then(Value::as_str);
        body.map(ToOwned::to_owned).ok_or_else(|| Failure::Refused { what: key, answer: "nothing readable".to_owned() })
    }

    /// The same, of the findings.
    pub(super) fn kiosk_findings(&mut self) -> Result<Swept> {
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
