//! A mesh with one router and two versions, and a rollout that runs on it in virtual time.

use std::collections::{BTreeMap, BTreeSet};

use decisions::failover::{HarmFact, KillSwitchFact, Memory, RouteFacts, RouteRecord};
use jiff::{SignedDuration, Timestamp};
use mesh::alarm::{Alarm, AlarmSource, AlarmState, MetricQuery, MetricTerm};
use mesh::certificates::SourceReading;
use mesh::name::RouteId;
use mesh::split::WeightSplit;
use policy::{Mode, Policy, RolloutRequest};
use rollouts::{
    CommandKind, Decision, Facts, HookAnswer, HookReading, Measure, MetricReading, ProxyFact, ProxyFacts,
    RolloutRecord, RolloutState, SeriesCaller, SeriesId, command, decide, news, resolve,
};
use serde_json::{Value, json};

/// The routes of the shop: one for all requests, one for those with a header.
pub(crate) const ALL: &str = "shop/recs/all";
pub(crate) const BETA: &str = "shop/recs/beta";

pub(crate) struct World {
    pub(crate) facts: Facts,
    pub(crate) policy: Policy,
    pub(crate) now: Timestamp,
    pub(crate) harms: Vec<HarmFact>,
    /// The answers of hooks, in order; the last one is repeated.
    pub(crate) answers: Vec<HookAnswer>,
    /// The ids of the invoked hooks.
    pub(crate) invoked: Vec<String>,
    /// Whether writes fail.
    pub(crate) writes_fail: bool,
    /// The codes of the pages so far.
    pub(crate) pages: Vec<String>,
    pub(crate) decision: Option<Decision>,
}

pub(crate) fn at(minutes: i64) -> Timestamp {
    "2026-11-20T10:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
}

pub(crate) fn route(id: &str) -> RouteId {
    RouteId::parse(id).unwrap()
}

pub(crate) fn split(weights: [u8; 2]) -> WeightSplit {
    let [old, new] = weights;
    serde_json::from_value(
        json!([{ "virtualNode": "recs-v1", "weight": old }, { "virtualNode": "recs-v2", "weight": new }]),
    )
    .unwrap()
}

pub(crate) fn alarm(name: &str, state: AlarmState) -> Alarm {
    let term = MetricTerm::Stat {
        namespace: "App".to_owned(),
        metric: "CheckoutErrors".to_owned(),
        dimensions: BTreeMap::new(),
        period: 60,
        stat: "Sum".to_owned(),
        unit: None,
    };
    let source = AlarmSource::Metric(vec![MetricQuery::new("m1", term)]);
    Alarm::new(mesh::alarm::AlarmName::parse(name).unwrap(), &format!("arn:{name}"), state, source)
}

/// A request with these members replaced.
pub(crate) fn request(members: &Value) -> RolloutRequest {
    let mut request = json!({
        "id": "r1", "mesh": "shop", "routes": ["recs/all"], "moves": [{ "from": "recs-v1", "to": "recs-v2" }],
        "strategy": "canary", "steps": [10, 50], "interval": "5m", "bake": "5m", "gates": { "alarms": ["checkout"] },
    });
    for (name, value) in members.as_object().unwrap() {
        let all = request.as_object_mut().unwrap();
        if value.is_null() { drop(all.remove(name)) } else { drop(all.insert(name.clone(), value.clone())) }
    }
    let request: RolloutRequest = serde_json::from_value(request).unwrap();
    assert_eq!(request.contradiction(), None);
    request
}

impl World {
    /// A shop in which everything is well, and the request has just arrived.
    pub(crate) fn new(members: &Value) -> Self {
        let policy = Policy::read("version: 1\nmodes: {default: enforce}\n").unwrap();
        let request = request(members);
        let record = RolloutRecord::new(resolve(&request, &[], &policy.rollouts), "dana", at(0));
        let route_facts = |id: &str| RouteFacts {
            id: route(id),
            uid: format!("uid of {id}"),
            version: 1,
            split: split([100, 0]),
            memory: Memory::None,
            restore_tag: None,
            data_points: BTreeMap::new(),
            alarm_data: BTreeMap::new(),
            released: None,
            written_by: None,
        };
        let routes = [ALL, BETA].into_iter().filter(|id| record.rollout.routes.contains(&route(id)));
        let routes = routes.map(|id| (route(id), Some(route_facts(id)))).collect();
        let proxy = |node: &str, peer: u16| ProxyFact {
            proxy: format!("mesh/shop/virtualNode/{node}").parse().unwrap(),
            peer: format!("10.0.0.{peer}"),
            up_to_date: true,
            rejected: None,
        };
        let streams = vec![
            proxy("web", 1),
            proxy("web", 2),
            proxy("recs-v1", 3),
            proxy("recs-v1", 4),
            proxy("recs-v2", 5),
            proxy("recs-v2", 6),
        ];
        let facts = Facts {
            record,
            mode: Mode::Enforce,
            kill_switch: None,
            budget_used: 0,
            active: BTreeSet::new(),
            routes,
            tcp: BTreeSet::new(),
            callers: ["mesh/shop/virtualNode/web".parse().unwrap()].into(),
            proxies: ProxyFacts::Read { at: at(0), streams },
            alarms: SourceReading::Known(vec![alarm("checkout", AlarmState::Ok)]),
            metrics: Vec::new(),
            hook: None,
        };
        Self {
            facts,
            policy,
            now: at(0),
            harms: Vec::new(),
            answers: Vec::new(),
            invoked: Vec::new(),
            writes_fail: false,
            pages: Vec::new(),
            decision: None,
        }
    }

    pub(crate) fn record(&self) -> &RolloutRecord {
        &self.facts.record
    }

    pub(crate) fn state(&self) -> RolloutState {
        self.facts.record.state
    }

    pub(crate) fn code(&self) -> String {
        self.decision.as_ref().unwrap().reason.code()
    }

    pub(crate) fn weights(&self, id: &str) -> Vec<u8> {
        self.facts.routes[&route(id)].as_ref().unwrap().split.weights()
    }

    /// The percent of the rollout's layer on a route.
    pub(crate) fn percent(&self, id: &str) -> Option<u8> {
        let route = self.facts.routes.get(&route(id))?.as_ref()?;
        let Memory::Record(record) = &route.memory else { return None };
        record.layers.rollout.as_ref().map(|layer| layer.percent.get())
    }

    fn decide(&self) -> Decision {
        let harms = |_: &RouteId, _: &WeightSplit| self.harms.clone();
        decide(&self.facts, &harms, &self.policy, self.now)
    }

    /// One pass: hooks are invoked, the record is stored, and plans are executed. Returns whether a plan was executed.
    pub(crate) fn pass(&mut self) -> bool {
        if let ProxyFacts::Read { at, .. } = &mut self.facts.proxies {
            *at = self.now;
        }
        self.facts.hook = None;
        let mut decision = self.decide();
        if let Some(call) = decision.hook.clone() {
            let answer = if self.answers.len() > 1 { self.answers.remove(0) } else { self.answers[0].clone() };
            self.invoked.push(call.id.clone());
            self.facts.hook = Some(HookReading { hook: call.id, answer });
            decision = self.decide();
        }
        let found = news(&decision, &self.policy.failover.paging, self.now);
        for message in &found.messages {
            if let rollouts::RolloutMessage::Notice { page: true, subject, .. } = message {
                self.pages.push(subject.rsplit(": ").next().unwrap().to_owned());
            }
        }
        self.facts.record = found.record;
        self.facts.record.messages.clear();
        for (id, record) in &decision.attended {
            self.store(id, record.clone());
        }
        let mut has_written = false;
        for plan in &decision.plans {
            let route = self.facts.routes.get_mut(&plan.route).unwrap().as_mut().unwrap();
            if self.writes_fail {
                route.memory = Memory::Record(Box::new(plan.begun.clone()));
                continue;
            }
            has_written = true;
            if plan.from != plan.to {
                route.version += 1;
                route.split = plan.to.clone();
            }
            let then = RouteRecord { version: route.version, ..plan.then.clone() };
            route.memory = Memory::Record(Box::new(then));
        }
        self.decision = Some(decision);
        has_written
    }

    pub(crate) fn store(&mut self, id: &RouteId, record: RouteRecord) {
        self.facts.routes.get_mut(id).unwrap().as_mut().unwrap().memory = Memory::Record(Box::new(record));
    }

    /// The record of a route.
    pub(crate) fn route_record(&self, id: &str) -> RouteRecord {
        let route = self.facts.routes[&route(id)].as_ref().unwrap();
        match &route.memory {
            Memory::Record(record) => record.as_ref().clone(),
            Memory::None | Memory::Unreadable(_) => {
                RouteRecord::first_seen(route.uid.clone(), route.version, route.split.clone())
            }
        }
    }

    /// One run: up to four passes.
    pub(crate) fn run(&mut self) {
        for _ in 0..4 {
            if !self.pass() {
                break;
            }
        }
    }

    /// So many minutes, each with its run.
    pub(crate) fn minutes(&mut self, count: i64) {
        for _ in 0..count {
            self.now += SignedDuration::from_mins(1);
            self.run();
        }
    }

    /// Runs until the rollout is in a state.
    pub(crate) fn until(&mut self, state: RolloutState) {
        self.run();
        for _ in 0..3_000 {
            if self.state() == state {
                return;
            }
            self.minutes(1);
        }
        panic!("still {} because of {}, not {}", self.state().name(), self.code(), state.name());
    }

    pub(crate) fn command(&mut self, kind: CommandKind) {
        self.facts.record = command(&self.facts.record, kind, "dana", self.now).unwrap();
    }

    pub(crate) fn set_alarm(&mut self, state: AlarmState) {
        self.facts.alarms = SourceReading::Known(vec![alarm("checkout", state)]);
    }

    pub(crate) fn kill(&mut self, is_on: bool) {
        self.facts.kill_switch =
            is_on.then(|| KillSwitchFact { by: "dana".to_owned(), reason: "an incident".to_owned() });
    }

    /// Gives a node this number of proxies.
    pub(crate) fn set_proxies(&mut self, node: &str, count: usize) {
        let ProxyFacts::Read { streams, .. } = &mut self.facts.proxies else { panic!("no proxies") };
        let proxy: mesh::name::ResourcePath = format!("mesh/shop/virtualNode/{node}").parse().unwrap();
        streams.retain(|stream| stream.proxy != proxy);
        streams.extend((0..count).map(|number| ProxyFact {
            proxy: proxy.clone(),
            peer: format!("10.0.1.{number}"),
            up_to_date: true,
            rejected: None,
        }));
    }

    /// Changes the streams of the callers.
    pub(crate) fn callers(&mut self, change: impl Fn(&mut ProxyFact)) {
        let ProxyFacts::Read { streams, .. } = &mut self.facts.proxies else { panic!("no proxies") };
        streams.iter_mut().filter(|stream| stream.proxy.to_string().ends_with("/web")).for_each(change);
    }

    /// Sets the data of a node in the minutes before now.
    pub(crate) fn set_metric(&mut self, node: &str, measure: Measure, per_minute: f64) {
        self.set_metric_of(None, node, measure, per_minute);
    }

    /// Sets the data of a node as one caller measures it.
    pub(crate) fn set_caller_metric(&mut self, caller: &str, node: &str, measure: Measure, per_minute: f64) {
        let caller = format!("mesh/shop/virtualNode/{caller}").parse().unwrap();
        let caller = SeriesCaller { caller, service: "recs.shop.local".parse().unwrap() };
        self.set_metric_of(Some(caller), node, measure, per_minute);
    }

    fn set_metric_of(&mut self, caller: Option<SeriesCaller>, node: &str, measure: Measure, per_minute: f64) {
        let series = SeriesId { node: node.parse().unwrap(), measure, caller };
        let points = (1..=60).rev().map(|minute| (self.now - SignedDuration::from_mins(minute), per_minute)).collect();
        self.facts.metrics.retain(|reading| reading.series != series);
        self.facts.metrics.push(MetricReading { series, data: SourceReading::Known(points) });
    }
}
