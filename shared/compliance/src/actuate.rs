//! Carries out a plan: lease and intent, tags or spec, and the end of it in the state table.

use std::collections::BTreeMap;

use mesh::change::Change;
use mesh::compliance::{Plan, Record};
use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use mesh::resource::Resource;
use ports::{
    Begin, Begun, BudgetWindow, Deadline, Finish, JournalEntry, MeshWrite, PortError, PortErrorKind, Refusal, Spend,
    StateKey, StoreOutcome, Surveyed, VirtualNodeWrite, Written,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::Ports;

/// What became of a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all_fields = "camelCase")]
pub(crate) enum Outcome {
    /// The mode is observe; nothing was written.
    WouldApply,
    /// It is done.
    Applied,
    /// It was so already.
    AlreadyInPlace,
    /// Somebody wrote first; it is observed and decided again.
    Superseded,
    /// The state table did not allow it to begin.
    Refused {
        /// Why not.
        #[serde(flatten)]
        refusal: Refusal,
    },
    /// It is done, over a change that had not been seen.
    Overwrote {
        /// The resource's new version.
        version: u64,
    },
    /// A call failed; what it was about is taken up again by the next wake.
    Failed {
        /// What was tried and what came back.
        error: String,
        /// Whether trying again may help.
        may_heal: bool,
    },
    /// There was no time left for it; the next wake goes on.
    OutOfTime,
}

impl Outcome {
    pub(crate) fn failed(error: &PortError) -> Self {
        Self::Failed { error: error.to_string(), may_heal: error.kind.may_heal() }
    }

    /// Whether the resource is now as it was meant to be.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Applied | Self::AlreadyInPlace | Self::Overwrote { .. } => true,
            Self::WouldApply | Self::Superseded | Self::Refused { .. } | Self::Failed { .. } | Self::OutOfTime => false,
        }
    }

    /// Whether the next plan of the same mesh would fare no better.
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

/// A mesh's record in the state table while its resources are changed one after the other.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Which document.
    pub(crate) key: StateKey,
    /// The record as it stands.
    pub(crate) record: Record,
    /// The revision it has.
    pub(crate) revision: u64,
    /// Who acts: one name an invocation.
    pub(crate) holder: String,
    /// The budget window.
    pub(crate) window: BudgetWindow,
    /// The changes that the window allows.
    pub(crate) cap: u32,
}

/// A plan with what is needed to carry it out.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    /// The plan.
    pub(crate) plan: &'a Plan,
    /// The resource as read.
    pub(crate) read: &'a Surveyed,
    /// What is journalled with its beginning: the decision with its observation.
    pub(crate) journal: Value,
}

/// Carries out a plan. Killed between any two calls and run again, it ends the same: the record holds the intent before
/// anything is written, a spec is compared with the version that was read, and tags with what they were.
pub(crate) async fn actuate(ports: &Ports, ledger: &mut Ledger, work: &Work<'_>) -> Outcome {
    let mut begun = ledger.record.clone();
    begun.intents.insert(work.plan.resource.clone(), work.plan.id.clone());
    let epoch = match ports.state.begin(&begin(ports, ledger, work, &begun)).await {
        Ok(Begun::Granted { epoch, revision }) => {
            ledger.revision = revision;
            epoch
        }
        Ok(Begun::Refused(refusal)) => return Outcome::Refused { refusal },
        Err(error) => return Outcome::failed(&error),
    };
    ledger.record = begun;
    let outcome = match write(ports, work).await {
        Ok(outcome) => outcome,
        // Whether it was done is unknown.
        Err(error) => Outcome::failed(&error),
    };
    // A failure leaves the intent, so that the same plan is not paid for twice. What is done leaves it until it is
    // reported: if that fails, or the process ends, the next run reports it.
    if !matches!(outcome, Outcome::Failed { .. }) && !outcome.is_done() {
        ledger.record.intents.remove(&work.plan.resource);
    }
    let finish = Finish {
        key: ledger.key.clone(),
        epoch,
        document: document(&ledger.record),
        journal: entry(ports, work, "ended", json!({ "plan": work.plan.id, "outcome": outcome })),
    };
    match ports.state.finish(&finish).await {
        Ok(StoreOutcome::Stored) => ledger.revision = epoch + 1,
        Ok(StoreOutcome::Overtaken) => {
            tracing::warn!(resource = %work.plan.resource, "the lease ran out before the change ended; the next wake looks again");
        }
        // The change stands; its lease runs out by itself.
        Err(error) => tracing::warn!(%error, resource = %work.plan.resource, "the end of a change is not recorded yet"),
    }
    outcome
}

fn begin(ports: &Ports, ledger: &Ledger, work: &Work<'_>, begun: &Record) -> Begin {
    Begin {
        key: ledger.key.clone(),
        revision: ledger.revision,
        holder: ledger.holder.clone(),
        now: ports.clock.now(),
        lease: Deadline::lease(),
        document: document(begun),
        spend: work.plan.spends.then(|| Spend { window: ledger.window.clone(), cap: ledger.cap }),
        journal: entry(ports, work, "begun", work.journal.clone()),
    }
}

async fn write(ports: &Ports, work: &Work<'_>) -> Result<Outcome, PortError> {
    let mut after = work.read.resource.clone();
    let mut of_tags = Outcome::AlreadyInPlace;
    for change in &work.plan.apply {
        if let Change::SetTags { tags, .. } = change {
            of_tags = set_tags(ports, work.read, tags).await?;
        } else {
            after = changed(after, change)?;
        }
    }
    // One write, whatever it changes: a second one would be based on a version that is gone.
    if after == work.read.resource { Ok(of_tags) } else { write_spec(ports, work, after).await }
}

async fn write_spec(ports: &Ports, work: &Work<'_>, after: Resource) -> Result<Outcome, PortError> {
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
        Written::Applied { .. } => Outcome::Applied,
        Written::Superseded => Outcome::Superseded,
        Written::Overwrote { version } => Outcome::Overwrote { version },
    })
}

/// Sets tags unless somebody else has set one of them since they were read: the API compares nothing itself.
async fn set_tags(ports: &Ports, read: &Surveyed, tags: &BTreeMap<String, String>) -> Result<Outcome, PortError> {
    let arn = read.resource.metadata().arn.to_string();
    // No plan is made for tags that could not be read.
    let before = |key: &String| read.tags.as_ref().and_then(|tags| tags.value(key));
    let present = ports.meshes.tags(&arn).await?;
    if tags.iter().all(|(key, value)| present.get(key) == Some(value)) {
        return Ok(Outcome::AlreadyInPlace);
    }
    if tags.keys().any(|key| present.get(key).map(String::as_str) != before(key)) {
        return Ok(Outcome::Superseded);
    }
    ports.tags.tag(&arn, tags).await.map(|()| Outcome::Applied)
}

/// The resource with the change made, and everything else as it was.
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

fn entry(ports: &Ports, work: &Work<'_>, stage: &str, body: Value) -> JournalEntry {
    JournalEntry { at: ports.clock.now(), id: format!("{}-{stage}", work.plan.id), body }
}

/// A record as the state table keeps it.
pub(crate) fn document(record: &Record) -> Value {
    // A record has only string keys, so this can't fail.
    serde_json::to_value(record).unwrap_or_default()
}
