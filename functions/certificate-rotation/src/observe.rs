//! Reads the input of a decision: all meshes, and the stores of their certificates.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use decisions::failover::{HarmFact, KillSwitchFact};
use decisions::rotation::{
    MeshCertificates, MeshFacts, Recorded, RotationFacts as Facts, RotationMemory as Memory, RotationRecord as Record,
    RotationSubject as Subject, TrustId,
};
use jiff::Timestamp;
use mesh::certificates::{
    Anchor, AuthorityArn, CertificateArn, CertificateSource as Source, Fingerprint, Readings, SourceReading as Reading,
};
use mesh::change::Change;
use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourcePath};
use mesh::resource::Resource;
use policy::edges::{edge_harms, edges_by_policy};
use policy::{Policy, RuleId};
use ports::{BudgetWindow, Pace, PortError, PortErrorKind, StateKey, StateView, survey};
use records::{certificate_memory, read_record};
use runner::ObservationData;

use crate::calls::Calls;
use crate::evidence::Evidence;
use crate::facts::Read;
use crate::stores::{InAcm, InSecret};
use crate::trigger::{EventNotice, MessageId, Trigger};
use crate::{Ports, stores};

/// Calls at a time: App Mesh's own controller reads at up to 40 a second.
const AT_A_TIME: usize = 8;

/// All data as it was read: the input of decisions, and the data that is needed to act.
#[derive(Debug)]
pub(crate) struct Observation {
    /// The input of decisions.
    pub(crate) facts: Facts,
    /// The state table as read.
    pub(crate) state: StateView,
    /// The virtual nodes and gateways as read, with every field that has to survive a write.
    pub(crate) resources: BTreeMap<ResourcePath, Resource>,
    /// Subjects with a record that contains a fact which only an event carries, and the messages that delivered it. The
    /// messages are repeated until the record is stored.
    pub(crate) unstored: BTreeMap<String, BTreeSet<MessageId>>,
    /// Messages with a fact about a subject that cannot be read now.
    pub(crate) unplaced: BTreeSet<MessageId>,
    /// The events to page, by subject.
    pub(crate) event_pages: BTreeMap<String, EventNotice>,
    /// The events about certificates and CAs that no mesh uses.
    pub(crate) unused: Vec<EventNotice>,
    /// The readings of certificates and trusts.
    pub(crate) readings: Readings,
    models: BTreeMap<MeshName, Mesh>,
    /// The records by subject, with facts from events.
    memories: BTreeMap<String, Memory>,
    /// The what-if checks that were made, with their results.
    what_ifs: Mutex<Vec<(Change, Vec<HarmFact>)>>,
}

impl Observation {
    /// The revision of a subject's record as read; 0 when there is none.
    pub(crate) fn revision(&self, subject: &str) -> u64 {
        self.state.documents.get(&StateKey::certificate(subject)).map_or(0, |stored| stored.revision)
    }

    /// The record of a subject, with facts from events; `None` without a readable record.
    pub(crate) fn record(&self, subject: &str) -> Option<&Record> {
        match self.memories.get(subject)? {
            Memory::Record(record) => Some(record),
            Memory::None | Memory::Unreadable(_) | Memory::Newer { .. } => None,
        }
    }

    /// The record of a subject as stored in the state table, without facts from later events.
    pub(crate) fn stored_record(&self, subject: &str) -> Option<Record> {
        let key = StateKey::certificate(subject);
        read_record(&key, &self.state.documents.get(&key)?.document).ok()
    }

    /// Whether there is a record that this version must not replace.
    pub(crate) fn is_foreign(&self, subject: &str) -> bool {
        matches!(self.memories.get(subject), Some(Memory::Unreadable(_) | Memory::Newer { .. }))
    }

    /// The harms that a change would cause and that no waiver permits.
    pub(crate) fn harms(&self, change: &Change, policy: &Policy, now: Timestamp) -> Vec<HarmFact> {
        let harms = self.what_if(change, policy, now);
        self.what_ifs.lock().unwrap_or_else(PoisonError::into_inner).push((change.clone(), harms.clone()));
        harms
    }

    fn what_if(&self, change: &Change, policy: &Policy, now: Timestamp) -> Vec<HarmFact> {
        let failed = |text: String| vec![HarmFact { id: "what-if-failed".to_owned(), text }];
        let Some(before) = self.models.get(change.resource().mesh()) else {
            return failed("the mesh was not read".to_owned());
        };
        let mut after = before.clone();
        if let Err(error) = change.apply(&mut after) {
            return failed(error.to_string());
        }
        let edges = |mesh: &Mesh| edges_by_policy(mesh, &self.readings, &policy.egress, now);
        let harms = edge_harms(&edges(before), &edges(&after));
        let taken_on = |id: &str, resource: &ResourcePath| {
            policy.waivers.iter().any(|waiver| waiver.permits(id, &resource.to_string(), now))
        };
        let open = harms.into_iter().filter(|harm| !taken_on(harm.id(), &harm.edge().from));
        open.map(|harm| HarmFact { id: harm.id().to_owned(), text: harm.to_string() }).collect()
    }
}

impl ObservationData for Observation {
    fn recorded(&self, policy: &Policy, now: Timestamp) -> records::Observation {
        let harms = self.what_ifs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let recorded = Recorded { now, facts: self.facts.clone(), harms, policy: policy.certificates.clone() };
        records::Observation::Rotation(Box::new(recorded))
    }

    fn object(&self, now: Timestamp, text: &str) -> String {
        // One run observes several times, perhaps within a millisecond.
        let mut digest = Fingerprint::from_der(text.as_bytes()).to_string();
        digest.truncate(12);
        format!("observations/{}-{digest}.json", now.as_millisecond())
    }
}

/// A mesh that was read as a whole.
struct SeenMesh {
    model: Mesh,
    /// Its virtual nodes and gateways.
    resources: BTreeMap<ResourcePath, Resource>,
}

/// Reads all meshes one by one, and then the certificates of all readable meshes together, because meshes
/// share certificates.
pub(crate) async fn observe(
    ports: &Ports,
    policy: &Policy,
    window: &BudgetWindow,
    trigger: &Trigger,
    calls: &Calls<'_>,
) -> Result<Observation, PortError> {
    let mut pace = Pace::new(AT_A_TIME, AT_A_TIME);
    let mut models = BTreeMap::new();
    let mut resources = BTreeMap::new();
    let mut surveyed = MeshCertificates::default();
    let mut has = BTreeMap::new();
    for found in ports.meshes.meshes().await? {
        let name = found.path.mesh().clone();
        match calls.noted(&format!("mesh/{name}"), mesh(ports, &name, &mut pace).await) {
            Ok(seen) => {
                let of_mesh = MeshCertificates::from_mesh(&seen.model);
                has.insert(name.clone(), Reading::Known(of_mesh.shareable()));
                surveyed.join(of_mesh);
                resources.extend(seen.resources);
                models.insert(name, seen.model);
            }
            Err(error) => {
                has.insert(name, Reading::Unread(error));
            }
        }
    }
    // The records are read before the certificates. A copy of this function that issues a certificate in between raises
    // the revision of its record, so that a change on the older facts cannot begin.
    let mut subjects = subjects(&surveyed, has.keys());
    let with_notices = subjects.iter().chain(trigger.notices.keys()).chain(&trigger.healed);
    let keys: BTreeSet<StateKey> = with_notices.map(|subject| StateKey::certificate(subject)).collect();
    let state = ports.state.load(&keys.into_iter().collect::<Vec<_>>(), window).await?;
    let read = read(ports, policy, &surveyed, &mut pace, calls).await?;
    let in_use = |subject: &String| read.has(subject);
    let (used, unused): (BTreeMap<_, _>, BTreeMap<_, _>) =
        trigger.notices.clone().into_iter().partition(|(subject, _)| in_use(subject));
    // A mesh that can't be read may use the certificate.
    let all_read = has.values().all(|one: &Reading<_>| matches!(one, Reading::Known(_)));
    let (used, unused) = if all_read { (used, unused) } else { (trigger.notices.clone(), BTreeMap::new()) };
    subjects.extend(used.keys().cloned());
    subjects.extend(trigger.healed.iter().cloned());
    subjects.sort();
    subjects.dedup();
    let mut remembered = Remembered::read(&subjects, &state);
    let unplaced = remembered.revoke(trigger, all_read);
    remembered.note(&used, &trigger.healed, ports.clock.now());
    let Remembered { memories, unstored, event_pages } = remembered;
    let memory = |subject: &str| memories.get(subject).cloned().unwrap_or(Memory::None);
    let mesh_facts = |(name, has): (MeshName, Reading<BTreeSet<String>>)| {
        let mode = policy.modes.mode(RuleId::CertificateRotation, &name);
        let memory = memory(&Subject::Mesh(name.clone()).name());
        (name, MeshFacts { mode, has, memory })
    };
    let kill_switch = state.kill_switch.as_ref();
    let facts = Facts {
        meshes: has.into_iter().map(mesh_facts).collect(),
        leaves: read.leaves(&memory),
        trusts: read.trusts(&memory),
        meetings: surveyed.meetings.clone(),
        authorities: read.authorities.values().filter_map(|one| one.as_ref().ok()).cloned().collect(),
        unread_authorities: read
            .authorities
            .iter()
            .filter_map(|(arn, one)| Some((arn.clone(), one.as_ref().err()?.clone())))
            .collect(),
        kill_switch: kill_switch.map(|switch| KillSwitchFact { by: switch.by.clone(), reason: switch.reason.clone() }),
        budget_used: state.budget.used,
    };
    let readings = read.readings();
    let unused = unused.into_values().flatten().collect();
    Ok(Observation {
        facts,
        state,
        resources,
        unstored,
        unplaced,
        event_pages,
        unused,
        readings,
        models,
        memories,
        what_ifs: Mutex::default(),
    })
}

/// Reads a mesh as a whole: a missing resource would make its certificates look unused.
async fn mesh(ports: &Ports, name: &MeshName, pace: &mut Pace) -> Result<SeenMesh, PortError> {
    let read = survey(ports.meshes.as_ref(), name, pace).await?;
    if let Some((_, error)) = read.unread.into_iter().next() {
        return Err(error);
    }
    let mut seen = SeenMesh { model: Mesh::new(name.clone()), resources: BTreeMap::new() };
    for (path, found) in read.resources {
        if matches!(path, ResourcePath::VirtualNode(..) | ResourcePath::VirtualGateway(..)) {
            seen.resources.insert(path.clone(), found.resource.clone());
        }
        seen.model
            .insert_resource(found.resource)
            .map_err(|error| PortError::new(format!("read {path}"), PortErrorKind::Other, error.to_string()))?;
    }
    Ok(seen)
}

/// Reads the certificates in use, several at a time; the pace adapts to the services' rate limits.
async fn read<'a>(
    ports: &Ports,
    policy: &'a Policy,
    surveyed: &'a MeshCertificates,
    pace: &mut Pace,
    calls: &Calls<'_>,
) -> Result<Read<'a>, PortError> {
    let policy = &policy.certificates;
    let used: BTreeSet<CertificateArn> = surveyed
        .leaves
        .keys()
        .filter_map(|source| match source {
            Source::Acm(arn) => Some(arn.clone()),
            Source::Sds(_) | Source::File(..) => None,
        })
        .collect();
    let answers =
        pace.each(used.iter().cloned().collect(), |arn| async move { stores::certificate(ports, &arn).await });
    let answers = answers.await;
    let target = |arn: &CertificateArn| format!("certificate {arn}");
    answers.done.iter().for_each(|(arn, _)| calls.succeeded(&target(arn)));
    let unread = answers.failed.into_iter().map(|(arn, error)| {
        calls.failed(&target(&arn), &error);
        (arn, InAcm::unread(error.to_string()))
    });
    let mut acm: BTreeMap<CertificateArn, InAcm> = answers.done.into_iter().chain(unread).collect();
    if !policy.successions.is_empty() || acm.values().any(|one| one.needs_replacement) {
        match calls.noted("replacements of certificates", stores::replacements(ports, &used, pace).await) {
            Ok((mut replacements, mut supersedes)) => {
                for (arn, read) in &mut acm {
                    if let Some(private) = &mut read.private {
                        private.replacements = replacements.remove(arn).unwrap_or_default();
                        private.supersedes = supersedes.remove(arn);
                    }
                }
            }
            // Otherwise the function would request replacements that it has already requested.
            Err(error) => {
                for read in acm.values_mut().filter(|read| read.private.is_some()) {
                    read.chain = Reading::Unread(error.clone());
                }
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
    let bound = named.chain(trusting).collect::<BTreeSet<_>>().into_iter();
    let bound = bound.filter_map(|name| Some((name.clone(), policy.bundle(name)?.secret.clone()))).collect();
    let secrets = secrets(ports, bound, pace, calls).await;
    let imported = used.iter().filter_map(|arn| Some((arn.clone(), policy.imported(arn)?.secret.clone()?)));
    let twins = self::secrets(ports, imported.collect(), pace, calls).await;
    let of_policy = policy.bundles.iter().filter_map(|bundle| bundle.authority.clone());
    let of_policy = of_policy.chain(policy.imported.iter().filter_map(|imported| imported.authority.clone()));
    let of_policy = of_policy.chain(policy.successions.iter().flat_map(|one| [one.from.clone(), one.to.clone()]));
    let of_acm = acm.values().filter_map(|one| one.private.as_ref()?.authority.clone());
    let of_mesh = surveyed.trusts.values().flat_map(|used| &used.anchors).filter_map(|anchor| match anchor {
        Anchor::Authority(arn) => Some(arn.clone()),
        Anchor::IssuerOf(_) | Anchor::Sds(_) | Anchor::File(..) => None,
    });
    let arns: BTreeSet<AuthorityArn> = of_policy.chain(of_acm).chain(of_mesh).collect();
    let answers =
        pace.each(arns.into_iter().collect(), |arn| async move { stores::authority(ports, &arn).await }).await;
    let target = |arn: &AuthorityArn| format!("private CA {arn}");
    answers.done.iter().for_each(|(arn, _)| calls.succeeded(&target(arn)));
    let unread = answers.failed.into_iter().map(|(arn, error)| {
        calls.failed(&target(&arn), &error);
        (arn, Err(error.to_string()))
    });
    let authorities = answers.done.into_iter().map(|(arn, facts)| (arn, Ok(facts))).chain(unread).collect();
    let evidence = Evidence::gather(ports, policy, surveyed).await;
    Ok(Read { survey: surveyed, policy, acm, secrets, twins, authorities, evidence })
}

/// Reads secrets, each by the key of its subject.
async fn secrets<K: Clone + Ord>(
    ports: &Ports,
    wanted: Vec<(K, String)>,
    pace: &mut Pace,
    calls: &Calls<'_>,
) -> BTreeMap<K, InSecret> {
    let answers = pace.each(wanted, |(_, secret)| async move { stores::secret(ports, &secret).await }).await;
    let target = |secret: &str| format!("secret {secret}");
    answers.done.iter().for_each(|((_, secret), _)| calls.succeeded(&target(secret)));
    let unread = answers.failed.into_iter().map(|((key, secret), error)| {
        calls.failed(&target(&secret), &error);
        (key, InSecret::unread(&secret, error.to_string()))
    });
    answers.done.into_iter().map(|((key, _), read)| (key, read)).chain(unread).collect()
}

fn subjects<'m>(surveyed: &MeshCertificates, meshes: impl Iterator<Item = &'m MeshName>) -> Vec<String> {
    let leaves = surveyed.leaves.keys().cloned().map(Subject::Certificate);
    let trusts = surveyed.trusts.keys().cloned().map(Subject::Trust);
    let subjects = leaves.chain(trusts).chain(meshes.cloned().map(Subject::Mesh));
    let names: BTreeSet<String> = subjects.map(|subject| subject.name()).collect();
    names.into_iter().collect()
}

/// The stored record of each subject, and the facts from events since.
struct Remembered {
    memories: BTreeMap<String, Memory>,
    unstored: BTreeMap<String, BTreeSet<MessageId>>,
    event_pages: BTreeMap<String, EventNotice>,
}

impl Remembered {
    fn read(subjects: &[String], state: &StateView) -> Self {
        let stored = |subject: &String| {
            let key = StateKey::certificate(subject);
            let stored = state.documents.get(&key)?;
            Some((subject.clone(), certificate_memory(&key, &stored.document)))
        };
        let memories = subjects.iter().filter_map(stored).collect();
        Self { memories, unstored: BTreeMap::new(), event_pages: BTreeMap::new() }
    }

    /// Marks revoked certificates. Returns the messages about a certificate that may belong to an unreadable subject.
    fn revoke(&mut self, trigger: &Trigger, all_read: bool) -> BTreeSet<MessageId> {
        let mut found = BTreeSet::new();
        for (subject, memory) in &mut self.memories {
            let Memory::Record(record) = memory else { continue };
            let Some(leaf) = &mut record.leaf else { continue };
            for (name, messages) in &trigger.revoked {
                // If the certificate is only ordered, the attempt is given up before the certificate can be promoted.
                let is_ordered = leaf.attempt.as_ref().is_some_and(|attempt| attempt.order.as_ref() == Some(name));
                let is_present = leaf.issued_as.as_ref() == Some(name);
                if !is_ordered && !is_present {
                    continue;
                }
                found.insert(name);
                let is_news = if is_present { !std::mem::replace(&mut leaf.revoked, true) } else { leaf.withdraw() };
                if is_news {
                    self.unstored.entry(subject.clone()).or_default().extend(messages.iter().cloned());
                }
            }
        }
        let all_known = self.memories.values().all(|memory| matches!(memory, Memory::Record(_) | Memory::None));
        let is_everything_read = all_read && all_known;
        let unplaced = trigger.revoked.iter().filter(|(name, _)| !is_everything_read && !found.contains(name));
        unplaced.flat_map(|(_, messages)| messages.iter().cloned()).collect()
    }

    /// Adds events to the records: each event is paged once, until a new certificate or a success clears it.
    fn note(&mut self, notices: &BTreeMap<String, Vec<EventNotice>>, healed: &BTreeSet<String>, now: Timestamp) {
        for subject in healed {
            if let Some(Memory::Record(record)) = self.memories.get_mut(subject)
                && !record.reported_events.is_empty()
            {
                record.reported_events.clear();
                self.unstored.entry(subject.clone()).or_default();
            }
        }
        for (subject, notices) in notices {
            let memory = self.memories.entry(subject.clone()).or_insert_with(|| Memory::Record(Box::default()));
            let Memory::Record(record) = memory else { continue };
            for notice in notices {
                if record.reported_events.contains_key(&notice.key) {
                    continue;
                }
                record.reported_events.insert(notice.key.clone(), now);
                self.unstored.entry(subject.clone()).or_default().insert(notice.message.clone());
                self.event_pages.insert(subject.clone(), notice.clone());
            }
        }
    }
}
