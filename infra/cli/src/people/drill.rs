//! `drill`: starts, shows and stops drills.
//!
//! A request is stored in the document of the mesh's drills, where failover-drill's next run reads it: it needs neither the
//! event bus nor the function at this moment.

mod view;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use drills::{
    Answer, Drill, DrillEnd, DrillFinding, MeshDrills, PlanError, Request, RequestAction, answer, findings, resolve,
};
use jiff::Timestamp;
use mesh::name::MeshName;
use policy::{DrillName, DrillPlanPolicy};
use ports::{JournalEntry, Note, StateKey, StateView, StoreOutcome};
use records::{DrillsRecord, Layout, read_record, write_record};
use serde::Serialize;
use serde_json::{Value, json};

use super::args::{DrillArgs, DrillCommand, DrillStartArgs, Shape};
use super::desk::{Desk, Said};
use super::error::{Refusal, Trouble};

/// The function's name, which begins the keys of its documents.
pub(super) const DRILLS: &str = "failover-drill";

/// Attempts to store a request while the function writes the document.
const ATTEMPTS: usize = 3;

pub(super) async fn drill(desk: &Desk<'_>, args: &DrillArgs) -> Result<String, Trouble> {
    match &args.action {
        DrillCommand::Start(args) => start(desk, args).await,
        DrillCommand::Stop { drill, mesh, .. } => stop(desk, drill, mesh.as_ref()).await,
        DrillCommand::Status { mesh, format, .. } => status(desk, mesh.as_ref(), *format).await,
    }
}

async fn start(desk: &Desk<'_>, args: &DrillStartArgs) -> Result<String, Trouble> {
    let drill = &args.drill;
    let own = args.node.as_ref().zip(args.mesh.as_ref()).map(|(node, mesh)| {
        Box::new(DrillPlanPolicy {
            name: drill.clone(),
            mesh: mesh.clone(),
            virtual_node: node.clone(),
            outcome_alarms: args.outcome_alarms.clone(),
            blocking_alarms: args.blocking_alarms.clone(),
            duration: args.length,
            every: None,
            windows: None,
        })
    });
    let mesh = match &own {
        Some(plan) => plan.mesh.clone(),
        None => resolve(drill, args.mesh.as_ref(), &desk.policy.drills)
            .map_err(|why: PlanError| Refusal::NoDrill { drill: drill.clone(), why: why.to_string() })?,
    };
    let node = own.as_ref().map(|plan| plan.virtual_node.to_string());
    let known = || {
        let plans = desk.policy.drills.plans.iter();
        plans.filter(|plan| plan.mesh == mesh && plan.name == *drill).map(|plan| plan.virtual_node.to_string()).next()
    };
    let node = node.or_else(known).unwrap_or_default();
    desk.confirm(&format!("Drain {node} of mesh {mesh} on all routes for drill {drill}, and restore it afterwards?"))?;
    let action = RequestAction::Start { plan: own };
    request(desk, &mesh, drill, action, "PersonStartedDrill").await?;
    Ok(format!(
        "drill {drill} of mesh {mesh} is requested; failover-drill takes it up with its next run, within a minute. \
         `meshwarden drill status --mesh {mesh}` shows it\n"
    ))
}

async fn stop(desk: &Desk<'_>, drill: &DrillName, mesh: Option<&MeshName>) -> Result<String, Trouble> {
    let mesh = match mesh {
        Some(mesh) => mesh.clone(),
        None => resolve(drill, None, &desk.policy.drills)
            .map_err(|why: PlanError| Refusal::NoDrill { drill: drill.clone(), why: why.to_string() })?,
    };
    desk.confirm(&format!("End drill {drill} of mesh {mesh} now, and restore the weights?"))?;
    request(desk, &mesh, drill, RequestAction::Stop, "PersonStoppedDrill").await?;
    Ok(format!("drill {drill} of mesh {mesh} ends with failover-drill's next run, within a minute\n"))
}

/// Requests the end of an active drill, without a confirmation.
pub(super) async fn request_stop(desk: &Desk<'_>, mesh: &MeshName, drill: &DrillName) -> Result<(), Trouble> {
    request(desk, mesh, drill, RequestAction::Stop, "PersonStoppedDrill").await
}

/// The active drills of all meshes, and the documents that cannot be read.
pub(super) async fn active(desk: &Desk<'_>) -> Result<(Vec<(MeshName, Drill)>, Vec<String>), Trouble> {
    let meshes = desk.ports.meshes.meshes().await?;
    let meshes: Vec<MeshName> = meshes.into_iter().map(|found| found.path.mesh().clone()).collect();
    let keys: Vec<StateKey> = meshes.iter().map(|mesh| StateKey::mesh(DRILLS, mesh)).collect();
    let view = desk.load(&keys).await?;
    let (mut drills, mut unread) = (Vec::new(), Vec::new());
    for (mesh, key) in meshes.into_iter().zip(&keys) {
        match record(key, &view) {
            Ok(record) => drills.extend(record.and_then(|record| record.state.active).map(|drill| (mesh, drill))),
            Err(why) => unread.push(format!("failed to read the drills of mesh {mesh}: {why}")),
        }
    }
    Ok((drills, unread))
}

/// Stores a request with its journal entry.
async fn request(
    desk: &Desk<'_>,
    mesh: &MeshName,
    drill: &DrillName,
    action: RequestAction,
    code: &'static str,
) -> Result<(), Trouble> {
    let key = StateKey::mesh(DRILLS, mesh);
    let at = desk.now();
    let request = Request {
        id: format!("{}-{}", desk.by, at.as_millisecond()),
        by: desk.by.clone(),
        at,
        drill: drill.clone(),
        action,
    };
    for _ in 0..ATTEMPTS {
        let view = desk.load(std::slice::from_ref(&key)).await?;
        let revision = view.documents.get(&key).map_or(0, |stored| stored.revision);
        let mut record =
            record(&key, &view).map_err(|why| Refusal::NoDrill { drill: drill.clone(), why })?.unwrap_or_default();
        let is_active = record.state.active.as_ref().is_some_and(|active| active.plan.name == *drill);
        if request.action == RequestAction::Stop && !is_active {
            let why = format!("it is not active in mesh {mesh}");
            return Err(Refusal::NoDrill { drill: drill.clone(), why }.into());
        }
        record.state.requests.push(request.clone());
        let text = match &request.action {
            RequestAction::Start { .. } => format!("{} requests drill {drill}", desk.by),
            RequestAction::Stop => format!("{} stops drill {drill}", desk.by),
        };
        let facts = json!({ "drill": drill, "request": request.id });
        let said = Said { command: "drill", by: &desk.by, code, facts, text: &text, plan: None };
        let journal = JournalEntry::new(at, format!("{revision}-{code}"), &said.body(key.as_str()), Layout::Flat);
        let note =
            Note { key: key.clone(), revision, now: at, document: write_record(&record), journal: Some(journal) };
        match desk.ports.state.note(&note).await? {
            StoreOutcome::Stored => return Ok(()),
            StoreOutcome::Overtaken => {}
        }
    }
    let why = "failover-drill writes its document at the same time; repeat the command".to_owned();
    Err(Refusal::NoDrill { drill: drill.clone(), why }.into())
}

/// The document of a mesh's drills, from a view; an error text if it cannot be read.
fn record(key: &StateKey, view: &StateView) -> Result<Option<DrillsRecord>, String> {
    let stored = view.documents.get(key);
    stored.map(|stored| read_record(key, &stored.document)).transpose().map_err(|error| error.to_string())
}

/// The drills of a mesh, for `status`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DrillStatus {
    /// The state of each plan, by its name.
    drills: BTreeMap<String, PlanStatus>,
    /// The plans that are overdue or failed.
    findings: Vec<String>,
    /// Why the document cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
    /// The active drill, for the lines of `drill status`.
    #[serde(skip)]
    active: Option<Box<Drill>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PlanStatus {
    #[serde(flatten)]
    answer: Answer,
    /// The last drill of any outcome.
    #[serde(skip_serializing_if = "Value::is_null")]
    last: Value,
    /// The measurements of the last drill, as a sentence.
    #[serde(skip)]
    measured: Option<String>,
}

impl DrillStatus {
    /// The drills of a mesh, from a view with the mesh's document.
    pub(super) fn new(desk: &Desk<'_>, mesh: &MeshName, view: &StateView, now: Timestamp) -> Self {
        let (state, unreadable) = match record(&StateKey::mesh(DRILLS, mesh), view) {
            Ok(record) => (record.map(|record| record.state), None),
            Err(why) => (None, Some(why)),
        };
        let known = state.unwrap_or_default();
        let policy = &desk.policy.drills;
        let plans = policy.plans.iter().filter(|plan| plan.mesh == *mesh).map(|plan| &plan.name);
        let requested = known.requests.iter().map(|request| &request.drill);
        let active = known.active.iter().map(|drill| &drill.plan.name);
        let names = known.plans.keys().chain(active).chain(requested).chain(plans);
        let plan = |name: &DrillName| (name.to_string(), PlanStatus::new(mesh, name, &known));
        let drills = names.map(plan).collect();
        let text = |finding: DrillFinding| format!("{}: {}", finding.rule(), finding.text);
        let findings = if unreadable.is_some() {
            Vec::new()
        } else {
            findings(mesh, &known, policy, now).into_iter().map(text).collect()
        };
        Self { drills, findings, unreadable, active: known.active.clone().map(Box::new) }
    }

    /// Whether there is nothing to show.
    pub(super) fn is_empty(&self) -> bool {
        self.drills.is_empty() && self.findings.is_empty() && self.unreadable.is_none()
    }

    /// Whether nothing is active, overdue, failed or unreadable.
    pub(super) fn is_settled(&self) -> bool {
        let is_pending = |plan: &PlanStatus| plan.answer.is_pending();
        self.findings.is_empty() && self.unreadable.is_none() && !self.drills.values().any(is_pending)
    }

    /// Writes a line for each drill and each finding.
    pub(super) fn lines(&self, text: &mut String) {
        for plan in self.drills.values() {
            let _ = writeln!(text, "  drill {}", plan.words());
        }
        for finding in &self.findings {
            let _ = writeln!(text, "  {finding}");
        }
        if let Some(why) = &self.unreadable {
            let _ = writeln!(text, "  drills: not known: {why}");
        }
    }
}

impl PlanStatus {
    fn new(mesh: &MeshName, name: &DrillName, state: &MeshDrills) -> Self {
        let last = state.plans.get(name).and_then(|history| history.last.as_ref());
        let measured = last.and_then(DrillEnd::measured);
        // A result has only string keys, so this cannot fail.
        let last = last.map(|end| serde_json::to_value(end).unwrap_or_default()).unwrap_or_default();
        Self { answer: answer(mesh, name, state), last, measured }
    }

    fn words(&self) -> String {
        let Answer { drill, state, result, text, restore_by, .. } = &self.answer;
        // A state has a text form.
        let state = serde_json::to_value(state).unwrap_or_default();
        let mut words = format!("{drill}: {}", state.as_str().unwrap_or_default());
        if !self.answer.is_pending() && result != "NONE" {
            let _ = write!(words, ", {result}");
        }
        if let Some(text) = text {
            let _ = write!(words, ": {text}");
        }
        if let Some(measured) = self.measured.as_ref().filter(|_| !self.answer.is_pending()) {
            let _ = write!(words, ". {measured}");
        }
        if let Some(restore_by) = restore_by {
            let _ = write!(words, "; the weights return by {restore_by:.0}");
        }
        words
    }
}

async fn status(desk: &Desk<'_>, mesh: Option<&MeshName>, format: Shape) -> Result<String, Trouble> {
    let meshes = match mesh {
        Some(mesh) => vec![mesh.clone()],
        None => desk.ports.meshes.meshes().await?.into_iter().map(|found| found.path.mesh().clone()).collect(),
    };
    let keys: Vec<StateKey> = meshes.iter().map(|mesh| StateKey::mesh(DRILLS, mesh)).collect();
    let view = desk.load(&keys).await?;
    let now = desk.now();
    let drills: BTreeMap<String, DrillStatus> =
        meshes.iter().map(|mesh| (mesh.to_string(), DrillStatus::new(desk, mesh, &view, now))).collect();
    match format {
        Shape::Json => {
            let mut text = serde_json::to_string_pretty(&drills).map_err(Trouble::Output)?;
            text.push('\n');
            Ok(text)
        }
        Shape::Table => {
            let mut text = String::new();
            for (mesh, status) in &drills {
                let _ = writeln!(text, "mesh {mesh}");
                if status.is_empty() {
                    text.push_str("  no drill is planned\n");
                }
                status.lines(&mut text);
                if let Some(drill) = &status.active {
                    text.push_str(&view::active(desk, drill).await?);
                }
            }
            Ok(text)
        }
    }
}
