//! A function that sets the tag `owner` of each resource of a mesh, and reports each change once.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mesh::name::MeshName;
use policy::{Budget, Policy};
use ports::{
    BudgetWindow, BusEvent, Clock as _, Deadline, MeshReader as _, Notice, PortError, StateKey, StateStore as _,
    TagWriter as _, Urgency,
};
use ports_memory::{Faults, MemoryPolicy, MemoryPorts};
use records::{ComplianceFacts, ComplianceObservation, DecisionEntry, Layout, Observation};
use runner::events::Delivery;
use runner::{
    Case, CaseAction, CaseDecision, CaseOf, Emitter, EnginePorts, Executed, Invocation, LambdaFunction, Message, News,
    NotBegun, ObservationData, Outcome, Pass, PendingChange, PolicyKeeper, Reconcile, RequestedBy, Run, Runner,
    StoredRecord, WorkItem,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(crate) const NAME: &str = "tag-compliance";
pub(crate) const WANTED: &str = "platform";
const MESH: &str = "shop";

/// The resources, in two documents: those of the nodes, and the one of the router.
pub(crate) const RESOURCES: [(&str, &str); 3] = [
    ("nodes", "mesh/shop/virtualNode/v1"),
    ("nodes", "mesh/shop/virtualNode/v2"),
    ("routers", "mesh/shop/virtualRouter/r"),
];

/// The environment of the function, shared by all its processes.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) ports: MemoryPorts,
    pub(crate) conflicts: Arc<AtomicUsize>,
    pub(crate) budget: u32,
    /// The faults of the policy's source.
    pub(crate) policy_faults: Faults,
    lines: Lines,
}

impl Shop {
    /// A shop in which no resource has an owner.
    pub(crate) fn new() -> Self {
        let ports = MemoryPorts::at("2026-11-20T10:00:00Z".parse().unwrap());
        ports.mesh.put_spec(&"mesh/shop".parse().unwrap(), &json!({})).unwrap();
        for (_, resource) in RESOURCES {
            let spec = if resource.contains("Router") {
                json!({ "listeners": [{ "portMapping": { "port": 80, "protocol": "http" } }] })
            } else {
                json!({})
            };
            ports.mesh.put_spec(&resource.parse().unwrap(), &spec).unwrap();
            ports.mesh.set_tags(&arn(resource), BTreeMap::new());
        }
        Self { ports, conflicts: Arc::default(), budget: 20, policy_faults: Faults::default(), lines: Lines::default() }
    }

    /// A new process of the function.
    pub(crate) async fn start(&self) -> Process {
        let policy = Box::new(MemoryPolicy::new("version: 1\n", self.policy_faults.clone()));
        let keeper = PolicyKeeper::start(policy, Policy::read, self.now()).await.unwrap();
        let ports = self.ports.clone();
        let engine = EnginePorts {
            clock: Arc::new(ports.clock),
            state: Arc::new(ports.state),
            notifier: Arc::new(ports.notifier),
            bus: Arc::new(ports.bus),
            reports: Arc::new(ports.reports),
        };
        Process { shop: self.clone(), runner: Runner::new(Toy(self.clone()), engine, keeper) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    pub(crate) fn owner(&self, resource: &str) -> Option<String> {
        self.ports.mesh.tags_of(&arn(resource)).remove("owner")
    }

    pub(crate) fn spent(&self) -> u32 {
        self.ports.state.spent(&BudgetWindow::at(NAME, budget(self.budget).window.get(), self.now()))
    }

    pub(crate) fn document(&self, group: &str) -> Option<Value> {
        self.ports.state.stored(&key(group)).map(|stored| stored.document)
    }

    pub(crate) fn calls_of(&self, name: &str) -> usize {
        self.ports.faults.calls().iter().filter(|call| call.name == name).count()
    }

    /// The subjects of the notices about a resource.
    pub(crate) fn notices(&self, resource: &str) -> Vec<String> {
        let sent = self.ports.notifier.sent().into_iter().map(|notice| notice.subject);
        sent.filter(|subject| subject.contains(resource)).collect()
    }

    /// The newest lines of the log with a metric of this name.
    pub(crate) fn metric(&self, name: &str) -> Option<Value> {
        let text = String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap();
        text.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok()?.get(name).cloned())
    }
}

/// One process of the function.
pub(crate) struct Process {
    shop: Shop,
    runner: Runner<Toy>,
}

impl Process {
    /// One invocation by messages of a queue that request these groups.
    pub(crate) async fn answer(&self, groups: &[&str]) -> Result<Value, String> {
        self.answer_within(groups, Duration::from_secs(55)).await
    }

    pub(crate) async fn answer_within(&self, groups: &[&str], time: Duration) -> Result<Value, String> {
        let tick = json!({ "detail-type": "Scheduled Event", "source": "aws.events" }).to_string();
        let record = |group: &&str| json!({ "eventSource": "aws:sqs", "messageId": group, "body": tick });
        let event = json!({ "Records": groups.iter().map(record).collect::<Vec<_>>() });
        let deadline = Deadline::after(time);
        let emitter = Emitter::to(self.shop.lines.clone());
        let invocation = Invocation { function: NAME, request_id: "r", deadline };
        invocation.answer(&self.runner, &emitter, &event).await.map_err(|error| error.to_string())
    }
}

/// The queue messages that an answer names as failed.
pub(crate) fn failed(answer: &Value) -> BTreeSet<String> {
    let failures = answer["batchItemFailures"].as_array().unwrap();
    failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
}

/// The function.
pub(crate) struct Toy(Shop);

impl LambdaFunction for Toy {
    type Trigger = Vec<String>;

    const INTERVAL: SignedDuration = SignedDuration::from_mins(5);

    fn name(&self) -> &'static str {
        NAME
    }

    fn trigger(&self, deliveries: Vec<Delivery>) -> Vec<String> {
        deliveries.into_iter().filter_map(|delivery| delivery.message_id).collect()
    }

    async fn run(&self, run: &Run<'_>, groups: &Vec<String>) {
        let item = |group: &String| WorkItem {
            subject: group.clone(),
            requested_by: RequestedBy::delivery(Some(group.clone())),
        };
        run.expect(groups.iter().map(item));
        for group in groups {
            let target = Group { shop: &self.0, name: group, item: item(group) };
            run.reconcile(&target.item, &target, None).await;
            run.done(group);
        }
    }
}

/// The resources of one document.
struct Group<'a> {
    shop: &'a Shop,
    name: &'a str,
    item: WorkItem,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Owners {
    intents: BTreeMap<String, String>,
    reported: BTreeMap<String, String>,
    notices: Vec<Notice>,
    events: Vec<BusEvent>,
}

impl runner::DocumentState for Owners {
    fn messages(&self) -> Vec<Message> {
        let notices = self.notices.iter().cloned().map(Message::Notice);
        notices.chain(self.events.iter().cloned().map(Message::Event)).collect()
    }

    fn set_messages(&mut self, messages: Vec<Message>) -> Vec<Message> {
        (self.notices, self.events) = (Vec::new(), Vec::new());
        for message in messages {
            match message {
                Message::Notice(notice) => self.notices.push(notice),
                Message::Event(event) => self.events.push(event),
            }
        }
        // Room for one event.
        let superfluous = self.events.len().saturating_sub(1);
        self.events.drain(..superfluous).map(Message::Event).collect()
    }
}

pub(crate) struct Seen {
    owners: BTreeMap<String, Option<String>>,
    stored: Option<StoredRecord<Owners>>,
    killed: bool,
}

impl ObservationData for Seen {
    fn recorded(&self, policy: &Policy, now: Timestamp) -> Observation {
        let facts = rules::compliance::ResourceFacts::from_resources(&mesh_name(), []).unwrap();
        let facts = ComplianceFacts::new(&facts, []);
        let observation = ComplianceObservation { now, facts, policy: policy.clone() };
        Observation::Compliance(rules::compliance::Topic::Tags, Box::new(observation))
    }

    fn object(&self, now: Timestamp, _: &str) -> String {
        format!("observations/{}.json", now.as_millisecond())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SetOwner {
    id: String,
    resource: String,
    from: Option<String>,
}

impl runner::PlanData<Owners> for SetOwner {
    fn id(&self) -> &str {
        &self.id
    }

    fn enter(&self, record: &mut Owners) {
        record.intents.insert(self.resource.clone(), self.id.clone());
    }
}

impl Reconcile for Group<'_> {
    type Observation = Seen;
    type Record = Owners;
    type Decision = String;
    type Plan = SetOwner;
    type Done = Outcome;
    const BEGUN: Layout = Layout::Single;
    const DECIDED: Layout = Layout::List;

    async fn observe(&self, run: &Run<'_>) -> Result<Seen, PortError> {
        let ports = &self.shop.ports;
        let mut owners = BTreeMap::new();
        for (_, resource) in RESOURCES.iter().filter(|(group, _)| *group == self.name) {
            owners.insert((*resource).to_owned(), ports.mesh.tags(&arn(resource)).await?.remove("owner"));
        }
        let window = run.window(&budget(self.shop.budget));
        let mut state = ports.state.load(&[key(self.name)], &window).await?;
        let stored = match state.documents.remove(&key(self.name)) {
            None => Some(StoredRecord { record: Owners::default(), revision: 0 }),
            Some(stored) => serde_json::from_value(stored.document)
                .ok()
                .map(|record| StoredRecord { record, revision: stored.revision }),
        };
        Ok(Seen { owners, stored, killed: state.kill_switch.is_some() })
    }

    fn decide(&self, pass: &Pass<'_>, seen: &Seen) -> Vec<CaseOf<Self>> {
        let in_pass = |resource: &String| pass.only.is_none_or(|only| only.contains(resource));
        let record = seen.stored.as_ref().map(|stored| stored.record.clone()).unwrap_or_default();
        let decision = |(resource, owner): (&String, &Option<String>)| {
            let needed = owner.as_deref() != Some(WANTED);
            let id = format!("{resource}-{}", owner.clone().unwrap_or_default());
            let spends = !record.intents.values().any(|intent| *intent == id);
            let plan = SetOwner { id, resource: resource.clone(), from: owner.clone() };
            let spend = spends.then(|| pass.run.spend(&budget(self.shop.budget)));
            let action = if needed && !seen.killed { CaseAction::Change { plan, spend } } else { CaseAction::None };
            CaseDecision {
                own: resource.clone(),
                entry: DecisionEntry {
                    decision: Some(if needed { "act" } else { "keep" }.to_owned()),
                    ..DecisionEntry::new(resource.clone(), if needed { "Needed" } else { "Owned" }, json!({}))
                },
                action,
                requested_by: self.item.requested_by.clone(),
                shown: true,
                is_killed: needed && seen.killed,
                has_begun: false,
                outcome: None,
            }
        };
        vec![Case {
            key: key(self.name),
            subject: self.name.to_owned(),
            stored: seen.stored.clone(),
            facts: RequestedBy::default(),
            decisions: seen.owners.iter().filter(|(resource, _)| in_pass(resource)).map(decision).collect(),
            record: record.clone(),
        }]
    }

    async fn execute(
        &self,
        change: PendingChange<'_>,
        _: &Seen,
        plan: &SetOwner,
    ) -> Result<Executed<Outcome>, NotBegun> {
        let lease = change.begin().await?;
        let ports = &self.shop.ports;
        let steps = async {
            let present = ports.mesh.tags(&arn(&plan.resource)).await?.remove("owner");
            let others = &self.shop.conflicts;
            if others.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                return Ok(Outcome::Superseded);
            }
            if present.as_deref() == Some(WANTED) {
                return Ok(Outcome::AlreadyInPlace);
            }
            if present != plan.from {
                return Ok(Outcome::Superseded);
            }
            let tags = BTreeMap::from([("owner".to_owned(), WANTED.to_owned())]);
            ports.mesh.tag(&arn(&plan.resource), &tags).await.map(|()| Outcome::Applied)
        };
        let done = steps.await;
        Ok(lease.executed(done))
    }

    fn conclude(
        &self,
        _: &Pass<'_>,
        decision: &CaseDecision<String, SetOwner>,
        done: &Result<Outcome, PortError>,
        record: &mut Owners,
    ) -> Outcome {
        let outcome = done.as_ref().map_or_else(Outcome::failed, Outcome::clone);
        if matches!(outcome, Outcome::Superseded) {
            record.intents.remove(&decision.own);
        }
        outcome
    }

    fn report(&self, pass: &Pass<'_>, seen: &Seen, case: &mut CaseOf<Self>) -> News {
        let mut news = News::default();
        for decision in &case.decisions {
            let resource = &decision.own;
            let is_done = decision.outcome.as_ref().is_some_and(Outcome::is_done);
            let is_late = decision.outcome.is_none() && !seen.killed && case.record.intents.contains_key(resource);
            if is_done || is_late {
                case.record.intents.remove(resource);
                case.record.reported.insert(resource.clone(), WANTED.to_owned());
                let subject = format!("{resource} is owned");
                news.messages.push(Message::Notice(Notice { urgency: Urgency::Page, subject, body: String::new() }));
                let detail = json!({ "resource": resource });
                let event = BusEvent { detail_type: "Owned".to_owned(), detail, resources: Vec::new() };
                news.messages.push(Message::Event(event));
                let (_, entries) = news.journal.get_or_insert_with(|| (format!("{}-reported", pass.now), Vec::new()));
                entries.push(decision.entry_with_outcome());
            }
        }
        news
    }
}

pub(crate) fn key(group: &str) -> StateKey {
    StateKey::part_of_mesh(group, &mesh_name(), 1, 1)
}

fn mesh_name() -> MeshName {
    MeshName::parse(MESH).unwrap()
}

fn budget(changes: u32) -> Budget {
    Budget { changes, ..Budget::default() }
}

fn arn(resource: &str) -> String {
    format!("arn:aws:appmesh:eu-west-1:123456789012:{resource}")
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
