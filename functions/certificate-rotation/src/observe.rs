//! Reads what a decision is made from: all meshes, and what their certificates are kept by.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mesh::certificates::{Anchor, AuthorityArn, CertificateArn, Readings, Source};
use mesh::change::Change;
use mesh::edges::{edge_harms, edges};
use mesh::failover::{HarmFact, KillSwitchFact};
use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourcePath};
use mesh::policy::Policy;
use mesh::resource::Resource;
use mesh::rotation::{Facts, Memory, Record, Survey, TrustId};
use ports::{BudgetWindow, Pace, PortError, PortErrorKind, StateKey, StateView, survey};

use crate::evidence::Evidence;
use crate::facts::Read;
use crate::wake::Wake;
use crate::{Ports, stores};

/// Calls at a time: App Mesh's own controller reads at up to 40 a second.
const AT_A_TIME: usize = 8;

/// Everything as it was read: what is decided from, and what is needed to act.
#[derive(Debug)]
pub(crate) struct Observation {
    /// What is decided from.
    pub(crate) facts: Facts,
    /// The state table as read.
    pub(crate) state: StateView,
    /// The virtual nodes and gateways as read, with everything that has to survive a write.
    pub(crate) resources: BTreeMap<ResourcePath, Resource>,
    /// Subjects whose record says something new although nobody stored it yet.
    pub(crate) unstored: BTreeSet<String>,
    models: BTreeMap<MeshName, Mesh>,
    readings: Readings,
}

impl Observation {
    /// The revision of a subject's record as read; 0 when there is none.
    pub(crate) fn revision(&self, subject: &str) -> u64 {
        self.state.documents.get(&StateKey::certificate(subject)).map_or(0, |stored| stored.revision)
    }

    /// What is remembered of a subject.
    pub(crate) fn record(&self, subject: &str) -> Option<&Record> {
        let leaves = self.facts.leaves.iter().map(|leaf| (leaf.source.to_string(), &leaf.memory));
        let mut all = leaves.chain(self.facts.trusts.iter().map(|trust| (trust.id.to_string(), &trust.memory)));
        match all.find(|(name, _)| name == subject)?.1 {
            Memory::Record(record) => Some(record),
            Memory::None | Memory::Unreadable(_) => None,
        }
    }

    /// What a change would break that nobody has taken on.
    pub(crate) fn harms(&self, change: &Change, policy: &Policy, now: Timestamp) -> Vec<HarmFact> {
        let failed = |text: String| vec![HarmFact { id: "what-if-failed".to_owned(), text }];
        let Some(before) = self.models.get(change.resource().mesh()) else {
            return failed("the mesh was not read".to_owned());
        };
        let mut after = before.clone();
        if let Err(error) = change.apply(&mut after) {
            return failed(error.to_string());
        }
        let harms = edge_harms(&edges(before, &self.readings, now), &edges(&after, &self.readings, now));
        let taken_on = |id: &str, resource: &ResourcePath| {
            policy.waivers.iter().any(|waiver| waiver.permits(id, &resource.to_string(), now))
        };
        let open = harms.into_iter().filter(|harm| !taken_on(harm.id(), &harm.edge().from));
        open.map(|harm| HarmFact { id: harm.id().to_owned(), text: harm.to_string() }).collect()
    }
}

/// Reads all meshes together: a certificate may be used in several.
pub(crate) async fn observe(
    ports: &Ports,
    policy: &Policy,
    window: &BudgetWindow,
    wake: &Wake,
) -> Result<Observation, PortError> {
    let mut models = BTreeMap::new();
    let mut resources = BTreeMap::new();
    let mut surveyed = Survey::default();
    for found in ports.meshes.meshes().await? {
        let name = found.path.mesh().clone();
        let read = survey(ports.meshes.as_ref(), &name, &mut Pace::new(AT_A_TIME, AT_A_TIME)).await?;
        if let Some((_, error)) = read.unread.into_iter().next() {
            // What is missing would look as if nobody used it.
            return Err(error);
        }
        let mut model = Mesh::new(name.clone());
        for (path, found) in read.resources {
            let kept = found.resource.clone();
            if matches!(path, ResourcePath::VirtualNode(..) | ResourcePath::VirtualGateway(..)) {
                resources.insert(path.clone(), kept);
            }
            model
                .insert_resource(found.resource)
                .map_err(|error| PortError::new(format!("read {path}"), PortErrorKind::Other, error.to_string()))?;
        }
        surveyed.join(Survey::of(&model));
        models.insert(name, model);
    }
    let read = read(ports, policy, &surveyed).await?;
    let keys: Vec<StateKey> = subjects(&surveyed).iter().map(|subject| StateKey::certificate(subject)).collect();
    let state = ports.state.load(&keys, window).await?;
    let (memories, unstored) = memories(&surveyed, &state, wake);
    let memory = |subject: &str| memories.get(subject).cloned().unwrap_or(Memory::None);
    let kill_switch = state.kill_switch.as_ref();
    let facts = Facts {
        meshes: models.keys().cloned().collect(),
        leaves: read.leaves(&memory),
        trusts: read.trusts(&memory),
        meetings: surveyed.meetings.clone(),
        authorities: read.authorities.values().filter_map(|one| one.as_ref().ok()).cloned().collect(),
        kill_switch: kill_switch.map(|switch| KillSwitchFact { by: switch.by.clone(), reason: switch.reason.clone() }),
        budget_used: state.budget.used,
    };
    let readings = read.readings();
    Ok(Observation { facts, state, resources, unstored, models, readings })
}

async fn read<'a>(ports: &Ports, policy: &'a Policy, surveyed: &'a Survey) -> Result<Read<'a>, PortError> {
    let policy = &policy.certificates;
    let mut acm = BTreeMap::new();
    let used: BTreeSet<CertificateArn> = surveyed
        .leaves
        .keys()
        .filter_map(|source| match source {
            Source::Acm(arn) => Some(arn.clone()),
            Source::Sds(_) | Source::File(..) => None,
        })
        .collect();
    for arn in &used {
        acm.insert(arn.clone(), stores::certificate(ports, arn).await);
    }
    if !policy.successions.is_empty() || acm.values().any(|one| one.needs_replacement) {
        let (mut replacements, mut supersedes) = stores::replacements(ports, &used).await?;
        for (arn, read) in &mut acm {
            if let Some(private) = &mut read.private {
                private.replacements = replacements.remove(arn).unwrap_or_default();
                private.supersedes = supersedes.remove(arn);
            }
        }
    }
    let named = surveyed.leaves.keys().filter_map(|source| match source {
        Source::Sds(name) => Some(name),
        Source::Acm(_) | Source::File(..) => None,
    });
    let trusting = surveyed.trusts.keys().filter_map(|id| match id {
        TrustId::Sds { name } => Some(name),
        TrustId::Policy { .. } | TrustId::Implicit { .. } | TrustId::File { .. } => None,
    });
    let secrets = stores::secrets(ports, policy, named.chain(trusting)).await;
    let mut authorities = BTreeMap::new();
    let of_policy = policy.bundles.iter().filter_map(|bundle| bundle.authority.clone());
    let of_policy = of_policy.chain(policy.imported.iter().filter_map(|imported| imported.authority.clone()));
    let of_policy = of_policy.chain(policy.successions.iter().flat_map(|one| [one.from.clone(), one.to.clone()]));
    let of_acm = acm.values().filter_map(|one| one.private.as_ref()?.authority.clone());
    let of_mesh = surveyed.trusts.values().flat_map(|used| &used.anchors).filter_map(|anchor| match anchor {
        Anchor::Authority(arn) => Some(arn.clone()),
        Anchor::IssuerOf(_) | Anchor::Sds(_) | Anchor::File(..) => None,
    });
    for arn in of_policy.chain(of_acm).chain(of_mesh).collect::<BTreeSet<AuthorityArn>>() {
        let read = stores::authority(ports, &arn).await;
        authorities.insert(arn, read);
    }
    let evidence = Evidence::of(ports.proxies.proxies().await);
    Ok(Read { survey: surveyed, policy, acm, secrets, authorities, evidence })
}

fn subjects(surveyed: &Survey) -> Vec<String> {
    let leaves = surveyed.leaves.keys().map(ToString::to_string);
    leaves.chain(surveyed.trusts.keys().map(ToString::to_string)).collect()
}

/// What the state table has of each subject; and those of which an event has just told more.
fn memories(surveyed: &Survey, state: &StateView, wake: &Wake) -> (BTreeMap<String, Memory>, BTreeSet<String>) {
    let mut unstored = BTreeSet::new();
    let mut memories = BTreeMap::new();
    for subject in subjects(surveyed) {
        let Some(stored) = state.documents.get(&StateKey::certificate(&subject)) else { continue };
        let memory = match serde_json::from_value::<Record>(stored.document.clone()) {
            Ok(mut record) => {
                if let Some(leaf) = &mut record.leaf
                    && leaf.issued_as.as_ref().is_some_and(|name| wake.revoked.contains(name))
                    && !leaf.revoked
                {
                    leaf.revoked = true;
                    unstored.insert(subject.clone());
                }
                Memory::Record(Box::new(record))
            }
            Err(error) => Memory::Unreadable(error.to_string()),
        };
        memories.insert(subject, memory);
    }
    (memories, unstored)
}
