//! Routes, alarms and a state table, small enough for a test; every decision is carried out at once.

use std::collections::{BTreeMap, BTreeSet};

use decisions::failover::{
    AlarmData, Decision, Facts, HarmFact, KillSwitchFact, Memory, RouteFacts, RouteRecord, Subject, TagChange, Verdict,
    decide, with_hold,
};
use jiff::{SignedDuration, Timestamp};
use mesh::alarm::{Alarm, AlarmName, AlarmSource, AlarmState, MetricQuery, MetricTerm};
use mesh::name::{MeshName, RouteId, RouteName, VirtualNodeName, VirtualRouterName, VirtualServiceName};
use mesh::split::{Weight, WeightSplit, WeightedTarget};
use policy::Policy;

/// The mesh of every test.
pub(crate) const SHOP: &str = "shop";

#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) split: WeightSplit,
    pub(crate) version: u64,
    pub(crate) record: Option<RouteRecord>,
    pub(crate) tag: Option<String>,
    released: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) routes: BTreeMap<RouteId, Route>,
    pub(crate) alarms: BTreeMap<AlarmName, Alarm>,
    pub(crate) calls: BTreeMap<VirtualNodeName, BTreeSet<VirtualNodeName>>,
    pub(crate) provides: BTreeMap<VirtualNodeName, Vec<VirtualServiceName>>,
    pub(crate) missing: BTreeSet<VirtualNodeName>,
    pub(crate) silent: BTreeSet<VirtualNodeName>,
    /// What the metrics of alarms had; empty: data points as earlier versions recorded them.
    pub(crate) alarm_data: BTreeMap<VirtualNodeName, Vec<AlarmData>>,
    pub(crate) harms: Vec<HarmFact>,
    pub(crate) kill_switch: Option<KillSwitchFact>,
    pub(crate) budget_used: u32,
    pub(crate) shifts: usize,
    policy: String,
}

pub(crate) fn node(name: &str) -> VirtualNodeName {
    VirtualNodeName::parse(name).unwrap()
}

pub(crate) fn route(router: &str) -> RouteId {
    let (router, route) = (VirtualRouterName::parse(router).unwrap(), RouteName::parse("all").unwrap());
    RouteId::new(MeshName::parse(SHOP).unwrap(), router, route)
}

/// Reads `v1:60 v2:40`.
pub(crate) fn split(text: &str) -> WeightSplit {
    let target = |target: &str| {
        let (name, weight) = target.split_once(':').unwrap();
        WeightedTarget::new(node(name), Weight::new(weight.parse().unwrap()).unwrap())
    };
    WeightSplit::new(text.split_whitespace().map(target).collect()).unwrap()
}

impl World {
    /// A world at noon, with these routes as `recs v1:60 v2:40`, and this content of `failover` in the policy.
    pub(crate) fn new(routes: &[&str], policy: &str) -> Self {
        let mut world = Self {
            now: "2026-10-05T12:00:00Z".parse().unwrap(),
            routes: BTreeMap::new(),
            alarms: BTreeMap::new(),
            calls: BTreeMap::new(),
            provides: BTreeMap::new(),
            missing: BTreeSet::new(),
            silent: BTreeSet::new(),
            alarm_data: BTreeMap::new(),
            harms: Vec::new(),
            kill_switch: None,
            budget_used: 0,
            shifts: 0,
            policy: policy.to_owned(),
        };
        for text in routes {
            let (router, targets) = text.split_once(' ').unwrap();
            world.add_route(router, targets);
        }
        world
    }

    pub(crate) fn add_route(&mut self, router: &str, targets: &str) {
        let new = Route { split: split(targets), version: 1, record: None, tag: None, released: None };
        self.routes.insert(route(router), new);
    }

    pub(crate) fn add_policy(&mut self, line: &str) {
        self.policy.push_str(line);
        self.policy.push('\n');
    }

    /// The policy: the lines under `failover`, or a whole document that begins with its version.
    pub(crate) fn policy(&self) -> Policy {
        if self.policy.starts_with("version") {
            return Policy::read(&self.policy).unwrap();
        }
        let lines: String = self.policy.lines().flat_map(|line| ["  ", line, "\n"]).collect();
        let text = if lines.is_empty() { String::new() } else { format!("failover:\n{lines}") };
        Policy::read(&format!("version: 1\n{text}")).unwrap()
    }

    /// Moves a node's request alarm, called like the node, into a state; it is made when it is not there.
    pub(crate) fn alarm(&mut self, of: &str, state: AlarmState) {
        let dimensions = [("Mesh", SHOP), ("VirtualNode", of)];
        let term = MetricTerm::Stat {
            namespace: "AppMesh".to_owned(),
            metric: "Errors".to_owned(),
            dimensions: dimensions.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            period: 60,
            stat: "Sum".to_owned(),
            unit: None,
        };
        let query = MetricQuery::new("m1", term);
        self.put_alarm(of, state, AlarmSource::Metric(vec![query]));
    }

    /// Moves an alarm without dimensions into a state: one that a binding names.
    pub(crate) fn plain_alarm(&mut self, name: &str, state: AlarmState) {
        self.put_alarm(name, state, AlarmSource::Metric(Vec::new()));
    }

    pub(crate) fn put_alarm(&mut self, name: &str, state: AlarmState, source: AlarmSource) {
        let name = AlarmName::parse(name).unwrap();
        let known = self.alarms.get(&name);
        let since = known.filter(|alarm| alarm.state == state).and_then(|alarm| alarm.since).unwrap_or(self.now);
        let arn = format!("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{name}");
        let alarm = Alarm { since: Some(since), ..Alarm::new(name.clone(), &arn, state, source) };
        self.alarms.insert(name, alarm);
    }

    /// Changes an alarm that is there.
    pub(crate) fn change_alarm(&mut self, name: &str, change: impl FnOnce(&mut Alarm)) {
        change(self.alarms.get_mut(&AlarmName::parse(name).unwrap()).unwrap());
    }

    /// An operator holds the route for an hour; shifted weights stay shifted.
    pub(crate) fn hold(&mut self, router: &str) {
        let until = self.now + SignedDuration::from_hours(1);
        let route = self.routes.get_mut(&route(router)).unwrap();
        route.record = route.record.take().map(|record| with_hold(record, until, self.now).unwrap());
    }

    /// So many minutes, each with its scheduled run.
    pub(crate) fn minutes(&mut self, count: usize) {
        for _ in 0..count {
            self.wait(60);
            self.wake();
        }
    }

    pub(crate) fn edit(&mut self, router: &str, targets: &str) {
        let route = self.routes.get_mut(&route(router)).unwrap();
        route.split = split(targets);
        route.version += 1;
    }

    pub(crate) fn release(&mut self, router: &str) {
        self.routes.get_mut(&route(router)).unwrap().released = Some(self.now);
    }

    pub(crate) fn lose_table(&mut self) {
        for route in self.routes.values_mut() {
            route.record = None;
        }
    }

    pub(crate) fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    pub(crate) fn weights(&self, router: &str) -> Vec<u8> {
        self.routes[&route(router)].split.weights()
    }

    pub(crate) fn facts(&self) -> Facts {
        let routes: Vec<RouteFacts> = self.routes.iter().map(|(id, route)| self.route_facts(id, route)).collect();
        let targets = self.routes.values().flat_map(|route| route.split.targets()).map(|target| &target.virtual_node);
        let nodes = targets.chain(self.provides.keys()).filter(|node| !self.missing.contains(*node)).cloned().collect();
        Facts {
            mesh: MeshName::parse(SHOP).unwrap(),
            alarms: self.alarms.values().cloned().collect(),
            alarm_tags: BTreeMap::new(),
            routes,
            nodes,
            calls: self.calls.clone(),
            provides: self.provides.clone(),
            kill_switch: self.kill_switch.clone(),
            budget_used: self.budget_used,
        }
    }

    fn route_facts(&self, id: &RouteId, route: &Route) -> RouteFacts {
        // A node has data while it gets requests, unless the test says that it is silent.
        let has_data = |node: &VirtualNodeName| {
            !self.silent.contains(node) && route.split.weight_of(node).is_some_and(|weight| weight > 0)
        };
        let targets = route.split.targets().iter().map(|target| target.virtual_node.clone());
        RouteFacts {
            id: id.clone(),
            uid: format!("uid-{id}"),
            version: route.version,
            split: route.split.clone(),
            memory: route.record.clone().map_or(Memory::None, |record| Memory::Record(Box::new(record))),
            restore_tag: if route.record.is_none() { route.tag.clone() } else { None },
            data_points: targets.filter(has_data).map(|node| (node, 3)).collect(),
            alarm_data: self.alarm_data.clone(),
            released: route.released,
            written_by: None,
        }
    }

    pub(crate) fn decisions(&self) -> Vec<Decision> {
        let harms = |_: &RouteId, _: &WeightSplit| self.harms.clone();
        decide(&self.facts(), &harms, &self.policy(), self.now)
    }

    /// The decision about a route, without doing it.
    pub(crate) fn verdict(&self, router: &str) -> Verdict {
        let subject = Subject::Route(route(router));
        self.decisions().into_iter().find(|decision| decision.subject == subject).unwrap().verdict
    }

    /// Decides, and does it.
    pub(crate) fn wake(&mut self) -> Vec<Decision> {
        let decisions = self.decisions();
        for decision in &decisions {
            self.apply(decision);
        }
        decisions
    }

    pub(crate) fn apply(&mut self, decision: &Decision) {
        let Subject::Route(id) = &decision.subject else { return };
        let route = self.routes.get_mut(id).unwrap();
        route.released = None;
        match &decision.verdict {
            Verdict::Act(plan) => {
                if plan.from != plan.to {
                    route.version += 1;
                    self.shifts += 1;
                }
                route.split = plan.to.clone();
                let mut record = plan.then.clone();
                record.version = route.version;
                route.record = Some(record);
                match &plan.tag {
                    TagChange::Set(value) => route.tag = Some(value.clone()),
                    TagChange::Clear => route.tag = None,
                    TagChange::Keep => {}
                }
            }
            Verdict::Keep(_) | Verdict::Hold(_) => {
                if let Some(record) = &decision.record {
                    route.record = Some(record.clone());
                }
            }
        }
    }
}

/// The stable code of a verdict's reason.
pub(crate) fn code(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Keep(reason) => reason.code(),
        Verdict::Hold(reason) => reason.code(),
        Verdict::Act(plan) => plan.why.code(),
    }
}
