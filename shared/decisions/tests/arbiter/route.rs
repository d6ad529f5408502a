//! The route, its record, its alarms and its proxies.

use std::collections::{BTreeMap, BTreeSet};

use decisions::failover::{
    Facts, KillSwitchFact, Memory, RouteFacts, RouteRecord, TagChange, current_record, restore_tag,
};
use jiff::{SignedDuration, Timestamp};
use mesh::alarm::{Alarm, AlarmName, AlarmSource, AlarmState, MetricQuery, MetricTerm};
use mesh::name::{MeshName, RouteId, VirtualNodeName};
use mesh::split::{Weight, WeightSplit, WeightedTarget};
use policy::Policy;

/// The targets of the route.
pub(crate) const NODES: [&str; 4] = ["v1", "v2", "v3", "v4"];

/// The caller of declared writes.
pub(crate) const ROLE: &str = "arn:aws:iam::123456789012:role/terraform";

const POLICY: &str = "version: 1
failover:
  dwell: 2m
  failback: {probeShare: 5, steps: [50], stepEvery: 1m}
  flaps: {limit: 200}
  edits: {holdFor: 20m}
  budget: {changes: 100000}
";

/// The policy, with a caller of declared writes.
fn policy() -> Policy {
    let declared = serde_json::json!({ "declaredBy": ["arn:aws:iam::\\d+:role/terraform"] });
    Policy { weights: serde_json::from_value(declared).unwrap(), ..Policy::read(POLICY).unwrap() }
}

/// The route with everything that its writers read and write.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) now: Timestamp,
    pub(crate) policy: Policy,
    pub(crate) split: WeightSplit,
    pub(crate) version: u64,
    pub(crate) written_by: Option<String>,
    pub(crate) tag: Option<String>,
    pub(crate) record: Option<RouteRecord>,
    pub(crate) revision: u64,
    /// The holder of the lease and its end.
    pub(crate) lease: Option<(&'static str, Timestamp)>,
    pub(crate) alarms: BTreeMap<&'static str, (AlarmState, Timestamp)>,
    pub(crate) kill_switch: Option<KillSwitchFact>,
    pub(crate) released: Option<Timestamp>,
    /// The newest version that all proxies have acknowledged.
    pub(crate) acknowledged: u64,
    /// The declared split, computed without the record.
    pub(crate) declared: WeightSplit,
    /// What happened, for the message of a violation.
    pub(crate) trace: Vec<String>,
}

pub(crate) fn node(name: &str) -> VirtualNodeName {
    VirtualNodeName::parse(name).unwrap()
}

pub(crate) fn split(weights: &[u8]) -> WeightSplit {
    let target = |(name, weight): (&&str, &u8)| WeightedTarget::new(node(name), Weight::new(*weight).unwrap());
    WeightSplit::new(NODES.iter().zip(weights).map(target).collect()).unwrap()
}

pub(crate) fn route_id() -> RouteId {
    RouteId::parse("shop/recs/all").unwrap()
}

impl Route {
    pub(crate) fn new(weights: &[u8]) -> Self {
        let now = "2026-11-30T12:00:00Z".parse().unwrap();
        let alarms = NODES.iter().take(weights.len()).map(|name| (*name, (AlarmState::Ok, now))).collect();
        Self {
            now,
            policy: policy(),
            split: split(weights),
            version: 1,
            written_by: None,
            tag: None,
            record: None,
            revision: 0,
            lease: None,
            alarms,
            kill_switch: None,
            released: None,
            acknowledged: 1,
            declared: split(weights),
            trace: Vec::new(),
        }
    }

    pub(crate) fn note(&mut self, text: impl Into<String>) {
        let line = format!("{} {} | {}", self.now, self.split, text.into());
        self.trace.push(line);
    }

    pub(crate) fn nodes(&self) -> Vec<VirtualNodeName> {
        self.split.targets().iter().map(|target| target.virtual_node.clone()).collect()
    }

    pub(crate) fn is_failing(&self, name: &VirtualNodeName) -> bool {
        self.alarms.iter().any(|(alarm, (state, _))| *alarm == name.as_str() && *state == AlarmState::Alarm)
    }

    pub(crate) fn set_alarm(&mut self, name: &'static str, state: AlarmState) {
        let known = &self.alarms[name];
        if known.0 != state {
            self.note(format!("alarm {name} {state:?}"));
            self.alarms.insert(name, (state, self.now));
        }
    }

    pub(crate) fn facts(&self) -> Facts {
        Facts {
            mesh: MeshName::parse("shop").unwrap(),
            alarms: self.alarms.iter().map(|(name, (state, since))| alarm(name, state, *since)).collect(),
            alarm_tags: BTreeMap::new(),
            routes: vec![self.route_facts()],
            nodes: self.nodes().into_iter().collect(),
            calls: BTreeMap::<VirtualNodeName, BTreeSet<VirtualNodeName>>::new(),
            provides: BTreeMap::new(),
            kill_switch: self.kill_switch.clone(),
            budget_used: 0,
        }
    }

    pub(crate) fn route_facts(&self) -> RouteFacts {
        let serving = self.split.targets().iter().filter(|target| target.weight.get() > 0);
        RouteFacts {
            id: route_id(),
            uid: "u1".to_owned(),
            version: self.version,
            split: self.split.clone(),
            memory: self.record.clone().map_or(Memory::None, |record| Memory::Record(Box::new(record))),
            restore_tag: if self.record.is_none() { self.tag.clone() } else { None },
            data_points: serving.map(|target| (target.virtual_node.clone(), 3)).collect(),
            alarm_data: BTreeMap::new(),
            released: self.released,
            written_by: self.written_by.clone(),
        }
    }

    /// The record as any function reads it.
    pub(crate) fn current(&self) -> RouteRecord {
        current_record(&self.route_facts(), &self.policy, self.now).unwrap()
    }

    /// Whether an operator holds the route now.
    pub(crate) fn is_held(&self) -> bool {
        self.current().edit.is_some()
    }

    /// A write by another program or an operator.
    pub(crate) fn write_from_outside(&mut self, to: &WeightSplit, by: &str) {
        self.note(format!("{by} writes {to}"));
        self.split = to.clone();
        self.version += 1;
        self.written_by = Some(by.to_owned());
        self.declared = to.clone();
    }

    pub(crate) fn apply_tag(&mut self, tag: &TagChange) {
        match tag {
            TagChange::Set(value) => self.tag = Some(value.clone()),
            TagChange::Clear => self.tag = None,
            TagChange::Keep => {}
        }
    }

    /// Stores a record without a write of weights. Returns whether no other writer stored one in between.
    pub(crate) fn store(&mut self, revision: u64, record: RouteRecord) -> bool {
        let is_free = self.lease.is_none_or(|(_, until)| until <= self.now);
        if revision != self.revision || !is_free {
            return false;
        }
        self.record = Some(record);
        self.revision += 1;
        true
    }

    /// Completes the tag work that an earlier run left undone.
    pub(crate) fn finish_tags(&mut self) {
        let Some(record) = &mut self.record else { return };
        if self.kill_switch.is_some() || record.intent.is_some() {
            return;
        }
        if record.stale_tag {
            self.tag = None;
            record.stale_tag = false;
        }
        if record.tag_missing {
            self.tag = restore_tag(record);
            record.tag_missing = false;
        }
    }

    pub(crate) fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }
}

fn alarm(name: &str, state: &AlarmState, since: Timestamp) -> Alarm {
    let dimensions = [("Mesh", "shop"), ("VirtualNode", name)];
    let term = MetricTerm::Stat {
        namespace: "AppMesh".to_owned(),
        metric: "Errors".to_owned(),
        dimensions: dimensions.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        period: 60,
        stat: "Sum".to_owned(),
        unit: None,
    };
    let source = AlarmSource::Metric(vec![MetricQuery::new("m1", term)]);
    let arn = format!("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{name}");
    Alarm { since: Some(since), ..Alarm::new(AlarmName::parse(name).unwrap(), &arn, state.clone(), source) }
}
