//! Executes a plan: lease and intent, tags or spec, and the outcome in the state table.

use std::collections::{BTreeMap, BTreeSet};

use mesh::change::Change;
use mesh::compliance::{Plan, Record};
use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use mesh::resource::Resource;
use ports::{
    Begin, Begun, BudgetWindow, Deadline, Finish, JournalEntry, MeshWrite, PortError, PortErrorKind, Refusal, Spend,
    StateKey, StoreOutcome, Surveyed, VirtualNodeWrite, Written,
};
use records::{JournalBody, Layout, OutcomeEntry, write_record};
use serde::Serialize;

use crate::Ports;

/// The outcome of a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all_fields = "camelCase")]
pub(crate) enum ExecutionOutcome {
    /// The mode is observe; nothing was written.
    WouldApply,
    /// The change was made.
    Applied,
    /// The change was in place already.
    AlreadyInPlace,
    /// Another writer changed the resource first; it is read and decided again.
    Superseded,
    /// The state table refused the change.
    Refused {
        /// The reason.
        #[serde(flatten)]
        refusal: Refusal,
    },
    /// The change was made, but replaced a change that had not been read.
    Overwrote {
        /// The resource's new version.
        version: u64,
    },
    /// A call failed; the next invocation resumes the plan.
    Failed {
        /// The call and its error.
        error: String,
        /// Whether a retry may succeed.
        may_heal: bool,
    },
    /// The remaining time was too short; the next invocation resumes the plan.
    OutOfTime,
}

impl ExecutionOutcome {
    pub(crate) fn failed(error: &PortError) -> Self {
        Self::Failed { error: error.to_string(), may_heal: error.kind.may_heal() }
    }

    /// Whether the resource is in its planned state.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Applied | Self::AlreadyInPlace | Self::Overwrote { .. } => true,
            Self::WouldApply | Self::Superseded | Self::Refused { .. } | Self::Failed { .. } | Self::OutOfTime => false,
        }
    }

    /// Whether the next plan of the same mesh would have the same outcome.
    pub(crate) fn halts(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::OutOfTime => true,
            Self::WouldApply
            | Self::Applied
            | Self::AlreadyInPlace
            | Self::Superseded
            | Self::Overwrote { .. }
            | Self::Failed { .. } => false,
        }
    }
}

impl From<&ExecutionOutcome> for OutcomeEntry {
    fn from(outcome: &ExecutionOutcome) -> Self {
        match outcome {
            ExecutionOutcome::WouldApply => Self::WouldApply { watching: BTreeSet::new() },
            ExecutionOutcome::Applied => Self::Applied { version: None },
            ExecutionOutcome::AlreadyInPlace => Self::AlreadyInPlace,
            ExecutionOutcome::Superseded => Self::Superseded,
            ExecutionOutcome::Refused { refusal } => Self::Refused { refusal: refusal.code().to_owned() },
            ExecutionOutcome::Overwrote { version } => Self::Overwrote { version: *version },
            ExecutionOutcome::Failed { error, may_heal } => {
                Self::Failed { error: error.clone(), may_heal: Some(*may_heal), kind: None }
            }
            ExecutionOutcome::OutOfTime => Self::OutOfTime,
        }
    }
}

/// The stored record of a mesh while its resources are changed one after another.
#[derive(Debug)]
pub(crate) struct LeasedRecord {
    /// The key of the document.
    pub(crate) key: StateKey,
    /// The current record.
    pub(crate) record: Record,
    /// The revision of the stored record.
    pub(crate) revision: u64,
    /// The holder of the lease; unique for each invocation.
    pub(crate) holder: String,
    /// The budget window.
    pub(crate) window: BudgetWindow,
    /// The number of changes that the window permits.
    pub(crate) cap: u32,
}

/// A plan with the input for its execution.
#[derive(Debug)]
pub(crate) struct Execution<'a> {
    /// The plan.
    pub(crate) plan: &'a Plan,
    /// The resource as read.
    pub(crate) read: &'a Surveyed,
    /// The journal entry of its beginning: the decision with its observation.
    pub(crate) journal: JournalBody,
}

/// Executes a plan. It is idempotent: if it is killed between any two calls, the next execution leads to the same
/// result. The record holds the intent before any write, the write of a spec is conditional on its version, and tags
/// are compared with the tags read.
pub(crate) async fn execute_plan(ports: &Ports, leased: &mut LeasedRecord, work: &Execution<'_>) -> ExecutionOutcome {
    let mut begun = leased.record.clone();
    begun.intents.insert(work.plan.resource.clone(), work.plan.id.clone());
    let epoch = match ports.state.begin(&begin(ports, leased, work, &begun)).await {
        Ok(Begun::Granted { epoch, revision }) => {
            leased.revision = revision;
            epoch
        }
        Ok(Begun::Refused(refusal)) => return ExecutionOutcome::Refused { refusal },
        Err(error) => return ExecutionOutcome::failed(&error),
    };
    leased.record = begun;
    let outcome = match write(ports, work).await {
        Ok(outcome) => outcome,
        // The call may have had an effect.
        Err(error) => ExecutionOutcome::failed(&error),
    };
    // After a failure the intent stays, so the same plan does not count against the budget twice. After a success it
    // stays until the change is reported: if that fails, or the process ends, the next invocation reports the change.
    if !matches!(outcome, ExecutionOutcome::Failed { .. }) && !outcome.is_done() {
        leased.record.intents.remove(&work.plan.resource);
    }
    let finish = Finish {
        key: leased.key.clone(),
        epoch,
        document: write_record(&leased.record),
        journal: entry(ports, work, "ended", &ended(work, &outcome)),
    };
    match ports.state.finish(&finish).await {
        Ok(StoreOutcome::Stored) => leased.revision = epoch + 1,
        Ok(StoreOutcome::Overtaken) => {
            tracing::warn!(resource = %work.plan.resource, "lease expired before the change ended");
        }
        // The change is in place, and the lease expires.
        Err(error) => {
            tracing::warn!(%error, resource = %work.plan.resource, "failed to record the outcome of a change");
        }
    }
    outcome
}

fn begin(ports: &Ports, leased: &LeasedRecord, work: &Execution<'_>, begun: &Record) -> Begin {
    Begin {
        key: leased.key.clone(),
        revision: leased.revision,
        holder: leased.holder.clone(),
        now: ports.clock.now(),
        lease: Deadline::lease(),
        document: write_record(begun),
        spend: work.plan.spends.then(|| Spend { window: leased.window.clone(), cap: leased.cap }),
        journal: entry(ports, work, "begun", &work.journal),
    }
}

async fn write(ports: &Ports, work: &Execution<'_>) -> Result<ExecutionOutcome, PortError> {
    let mut after = work.read.resource.clone();
    let mut of_tags = ExecutionOutcome::AlreadyInPlace;
    for change in &work.plan.apply {
        if let Change::SetTags { tags, .. } = change {
            of_tags = set_tags(ports, work.read, tags).await?;
        } else {
            after = changed(after, change)?;
        }
    }
    // All changes of a spec are one write: a second write would be based on an outdated version.
    if after == work.read.resource { Ok(of_tags) } else { write_spec(ports, work, after).await }
}

async fn write_spec(ports: &Ports, work: &Execution<'_>, after: Resource) -> Result<ExecutionOutcome, PortError> {
    let kind = after.path().kind().words();
    let (if_version, client_token) = (work.plan.version, work.plan.id.clone());
    let written = match after {
        Resource::Mesh(data) => {
            let write = MeshWrite { mesh: data.mesh_name, spec: data.spec, if_version, client_token };
            ports.specs.update_mesh(&write).await?
        }
        Resource::VirtualNode(data) => {
            let shared = data.metadata.mesh_owner != data.metadata.resource_owner;
            let write = VirtualNodeWrite {
                mesh: data.mesh_name,
                virtual_node: data.virtual_node_name,
                mesh_owner: shared.then_some(data.metadata.mesh_owner),
                spec: data.spec,
                if_version,
                client_token,
            };
            ports.specs.update_virtual_node(&write).await?
        }
        Resource::VirtualGateway(_)
        | Resource::VirtualRouter(_)
        | Resource::Route(_)
        | Resource::VirtualService(_)
        | Resource::GatewayRoute(_) => {
            let call = format!("update {}", work.plan.resource);
            return Err(PortError::new(call, PortErrorKind::Other, format!("no repair writes the spec of a {kind}")));
        }
    };
    Ok(match written {
        Written::Applied { .. } => ExecutionOutcome::Applied,
        Written::Superseded => ExecutionOutcome::Superseded,
        Written::Overwrote { version } => ExecutionOutcome::Overwrote { version },
    })
}

/// Sets tags unless another writer has changed one of them since they were read: the API has no conditional write of
/// tags.
async fn set_tags(
    ports: &Ports,
    read: &Surveyed,
    tags: &BTreeMap<String, String>,
) -> Result<ExecutionOutcome, PortError> {
    let arn = read.resource.metadata().arn.to_string();
    // No plan is made for unknown tags.
    let before = |key: &String| read.tags.as_ref().and_then(|tags| tags.value(key));
    let present = ports.meshes.tags(&arn).await?;
    if tags.iter().all(|(key, value)| present.get(key) == Some(value)) {
        return Ok(ExecutionOutcome::AlreadyInPlace);
    }
    if tags.keys().any(|key| present.get(key).map(String::as_str) != before(key)) {
        return Ok(ExecutionOutcome::Superseded);
    }
    ports.tags.tag(&arn, tags).await.map(|()| ExecutionOutcome::Applied)
}

/// The resource after the change.
fn changed(mut resource: Resource, change: &Change) -> Result<Resource, PortError> {
    let path = resource.path();
    let mut model = Mesh::new(path.mesh().clone());
    model.insert_resource(resource.clone()).map_err(|error| impossible(change, &error.to_string()))?;
    change.apply(&mut model).map_err(|error| impossible(change, &error.to_string()))?;
    match (&mut resource, &path) {
        (Resource::Mesh(data), _) => {
            if let Some(spec) = model.spec {
                data.spec = spec;
            }
        }
        (Resource::VirtualNode(data), ResourcePath::VirtualNode(_, node)) => {
            if let Some(spec) = model.nodes.remove(node) {
                data.spec = spec;
            }
        }
        _ => {}
    }
    Ok(resource)
}

fn impossible(change: &Change, why: &str) -> PortError {
    PortError::new(change.to_string(), PortErrorKind::Other, why)
}

fn entry(ports: &Ports, work: &Execution<'_>, stage: &str, body: &JournalBody) -> JournalEntry {
    JournalEntry::new(ports.clock.now(), format!("{}-{stage}", work.plan.id), body, Layout::Single)
}

fn ended(work: &Execution<'_>, outcome: &ExecutionOutcome) -> JournalBody {
    JournalBody::Ended { plan: work.plan.id.clone(), outcome: OutcomeEntry::from(outcome) }
}
