//! Random sequences of events and runs.

use decisions::failover::{KillSwitchFact, OwedNote, RouteRecord, Verdict, restoration, with_hold};
use decisions::weights::{EndReason, LayerKind, Move, Moves};
use mesh::alarm::AlarmState;
use mesh::split::WeightSplit;

use crate::actors::{Disturbance, DrillFunction, Gate, Progress, RolloutFunction, RunReport, run_failover};
use crate::checks::{self, OverdueRuns};
use crate::execution::{Kill, Write, Written};
use crate::route::{NODES, ROLE, Route, node, split};

/// A defect that a sequence plants, so that the invariants are known to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    None,
    /// A rollback removes the layer and leaves the split.
    RollbackToPresentSplit,
    /// A drill starts on a route on hold.
    DrillIgnoresHold,
    /// A rollout takes its next step without acknowledgement and data.
    StepIgnoresGate,
    /// route-failover ignores deadlines of rollouts and drills.
    DeadlineIgnored,
    /// A rollout stores the present split as its restore point.
    NestedRestorePoint,
}

/// A small random generator with a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }
}

/// One random sequence: about an hour of disturbed runs, then an hour without disturbance.
pub(crate) struct Sequence {
    random: Random,
    defect: Defect,
    route: Route,
    targets: WeightSplit,
    rollout: RolloutFunction,
    drill: DrillFunction,
    gate: Gate,
    overdue: OverdueRuns,
    /// The function that does not run in this sequence.
    stopped: Option<&'static str>,
    started: usize,
    /// The id of the last promoted rollout.
    promoted: String,
}

impl Sequence {
    pub(crate) fn new(seed: u64, defect: Defect) -> Self {
        let mut random = Random(seed);
        let count = 2 + random.below(3);
        let weights = loop {
            let weights: Vec<u8> = (0..count).map(|_| [0, 0, 1, 7, 20, 50, 100][random.below(7)]).collect();
            if weights.iter().any(|weight| *weight > 0) {
                break weights;
            }
        };
        let route = Route::new(&weights);
        let stopped = [None, None, None, Some("traffic-shift"), Some("failover-drill")][random.below(5)];
        Self {
            random,
            defect,
            targets: route.split.clone(),
            route,
            rollout: RolloutFunction::new(),
            drill: DrillFunction::default(),
            gate: Gate::Pass,
            overdue: OverdueRuns::default(),
            stopped,
            started: 0,
            promoted: String::new(),
        }
    }

    /// Runs the sequence; the error names the violated invariant, with the trace.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        self.minutes().map_err(|violation| {
            let trace = &self.route.trace;
            let last = trace.iter().skip(trace.len().saturating_sub(60)).cloned().collect::<Vec<_>>().join("\n");
            format!("{violation}\nstopped: {:?}\n{last}", self.stopped)
        })
    }

    fn minutes(&mut self) -> Result<(), String> {
        for _ in 0..45 {
            let seconds = [20, 60, 60, 60, 300, -30][self.random.below(6)];
            self.route.wait(seconds);
            for _ in 0..self.random.below(3) {
                self.event()?;
            }
            let order = [["f", "r", "d"], ["r", "d", "f"], ["d", "f", "r"]][self.random.below(3)];
            for function in order {
                if self.random.percent(80) {
                    self.function(function, true)?;
                }
            }
        }
        self.calm()
    }

    /// All alarms are off: begun writes are completed, layers end, and the declared integers are back.
    fn calm(&mut self) -> Result<(), String> {
        self.route.note("calm");
        self.stopped = None;
        self.route.kill_switch = None;
        for name in NODES.iter().take(self.targets.targets().len()) {
            self.route.set_alarm(name, AlarmState::Ok);
        }
        self.gate = Gate::Fail;
        if let Progress::Requested { .. } = self.rollout.progress
            && self.route.current().layers.rollout.is_none()
        {
            self.rollout.progress = Progress::Idle;
        }
        for minute in 0..45 {
            self.route.wait(60);
            if minute == 1 {
                self.route.released = Some(self.route.now);
            }
            for function in ["r", "d", "f"] {
                self.function(function, false)?;
            }
            if minute > 1 && self.is_over() {
                break;
            }
        }
        let record = self.route.current();
        if record.layers.has_layer() || !record.shift.phases.is_empty() || !self.rollout.is_final() {
            let layers = &record.layers;
            return Err(format!("8: not over: {layers:?} {:?} {:?}", record.shift.phases, self.rollout.progress));
        }
        if self.route.split != self.route.declared || self.route.tag.is_some() {
            let Route { split, declared, tag, .. } = &self.route;
            return Err(format!("2: the split is {split}, declared is {declared}, the tag {tag:?}"));
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        let record = self.route.current();
        let is_steady = self.route.split == self.route.declared && self.route.tag.is_none() && record.intent.is_none();
        is_steady && !record.layers.has_layer() && record.shift.phases.is_empty() && self.rollout.is_final()
    }

    fn function(&mut self, function: &str, is_disturbed: bool) -> Result<(), String> {
        self.route.acknowledged = if self.random.percent(80) || !is_disturbed { self.route.version } else { 0 };
        let kill = match self.random.below(12) {
            0 if is_disturbed => Kill::AfterBegin,
            1 if is_disturbed => Kill::AfterTag,
            2 if is_disturbed => Kill::AfterWrite,
            _ => Kill::Never,
        };
        let interferes = is_disturbed && self.random.percent(8);
        let outside = self.outside_split();
        let by = if self.random.percent(50) || self.route.record.is_none() { ROLE } else { "dana" };
        let mut between = |route: &mut Route| {
            if interferes && let Some(outside) = &outside {
                route.write_from_outside(outside, by);
            }
        };
        let disturbance = Disturbance { kill, between: &mut between };
        let was_held = self.route.is_held();
        let disturbed = kill != Kill::Never || interferes;
        let report = match function {
            "f" => return self.failover(disturbance, was_held, disturbed),
            "r" if self.stopped != Some("traffic-shift") => {
                let (acknowledged, gate) = (self.route.acknowledged == self.route.version, self.gate);
                let report = self.rollout.run(&mut self.route, self.gate, disturbance, self.defect);
                if let Some(percent) = report.raised_to
                    && !(acknowledged && gate == Gate::Pass)
                {
                    return Err(format!("6: raised to {percent} % with {gate:?}, acknowledged: {acknowledged}"));
                }
                report
            }
            "d" if self.stopped != Some("failover-drill") => self.drill.run(&mut self.route, disturbance),
            _ => RunReport::default(),
        };
        self.check(&report, was_held)
    }

    fn check(&mut self, report: &RunReport, was_held: bool) -> Result<(), String> {
        self.follow_promotion();
        checks::refusal(report)?;
        checks::write(report.written, was_held)?;
        checks::route(&self.route, &self.targets)?;
        checks::quiet(&self.route)
    }

    fn failover(&mut self, disturbance: Disturbance<'_>, was_held: bool, disturbed: bool) -> Result<(), String> {
        let before = self.route.clone();
        let run = run_failover(&mut self.route, disturbance, self.defect);
        self.follow_promotion();
        checks::plan(&run, &before)?;
        checks::write(run.written, was_held)?;
        checks::route(&self.route, &self.targets)?;
        self.overdue.check(&run, &self.route, disturbed)?;
        if let (Some(Written::Applied), Verdict::Act(plan)) = (run.written, &run.verdict) {
            self.route.note(plan.why.to_string());
            checks::repeated(&self.route, &plan.why.code())?;
        }
        checks::quiet(&self.route)
    }

    /// A promotion declares the rollout's split, as soon as it is in force.
    fn follow_promotion(&mut self) {
        let record = self.route.current();
        let promoted = record.layers.end_of(LayerKind::Rollout, &self.rollout.id);
        if promoted.is_some_and(|end| end.reason == EndReason::Promoted) && self.promoted != self.rollout.id {
            self.promoted.clone_from(&self.rollout.id);
            let moves = self.rollout.moves.clone().unwrap();
            let whole = policy::Percent::new(100).unwrap();
            self.route.declared = moves.applied_to(&self.route.declared, whole);
            self.route.note(format!("promoted {}", self.route.declared));
        }
    }

    /// A split that another program or an operator may write. A write of the split that Meshwarden wrote or is about to
    /// write is not visible as one.
    fn outside_split(&mut self) -> Option<WeightSplit> {
        let count = self.targets.targets().len();
        let weights: Vec<u8> = (0..count).map(|_| [0, 1, 10, 30, 60, 100][self.random.below(6)]).collect();
        let random = split(&weights);
        let to = if self.random.percent(40) { self.route.declared.clone() } else { random };
        let record = self.route.record.as_ref();
        let intended = record.and_then(|record| record.intent.as_ref()).is_some();
        let known = record.is_some_and(|record| record.split == to);
        (!to.is_drained() && !intended && !known && to != self.route.split).then_some(to)
    }

    fn event(&mut self) -> Result<(), String> {
        let names = &NODES[..self.targets.targets().len()];
        let name = names[self.random.below(names.len())];
        match self.random.below(16) {
            0..=3 => {
                let states = [AlarmState::Alarm, AlarmState::Ok, AlarmState::Ok, AlarmState::InsufficientData];
                let state = states[self.random.below(4)].clone();
                self.route.set_alarm(name, state);
            }
            4 | 5 => self.gate = [Gate::Pass, Gate::Pass, Gate::Unknown, Gate::Fail][self.random.below(4)],
            6 | 7 => self.start_rollout(),
            8 | 9 => return self.start_drill(name),
            10 => {
                // After the loss of the state table, an operator's edit is not distinguishable from an own write.
                if let Some(to) = self.outside_split().filter(|_| self.route.record.is_some()) {
                    self.route.write_from_outside(&to, "dana");
                }
            }
            11 | 12 => self.declare(),
            13 => self.operator(),
            14 => self.kill_switch(),
            _ => self.lose_table(),
        }
        Ok(())
    }

    fn start_rollout(&mut self) {
        if self.rollout.is_final() {
            self.started += 1;
            self.gate = Gate::Pass;
            let moves = Moves::new(vec![Move { from: node("v1"), to: node("v2") }]).unwrap();
            let id = format!("r{}", self.started);
            self.route.note(format!("rollout {id} is requested"));
            self.rollout.start(&id, moves, self.route.now);
        }
    }

    fn start_drill(&mut self, name: &str) -> Result<(), String> {
        if self.drill.drill.is_some() || self.stopped == Some("failover-drill") && self.random.percent(50) {
            return Ok(());
        }
        self.started += 1;
        self.drill.steps = self.random.percent(30);
        let id = format!("d{}", self.started);
        self.route.note(format!("drill {id} of {name} is requested"));
        let was_held = self.route.is_held();
        let mut between = |_: &mut Route| {};
        let disturbance = Disturbance { kill: Kill::Never, between: &mut between };
        let report = self.drill.start(&id, &node(name), &mut self.route, disturbance, self.defect);
        self.check(&report, was_held)
    }

    /// A declared write, sometimes of the split from before a promotion.
    fn declare(&mut self) {
        let promoted = self.route.record.as_ref().and_then(|record| record.layers.promoted.clone());
        let is_plain = self.route.record.as_ref().is_some_and(|record| {
            record.intent.is_none() && record.layers.pending.is_none() && record.split == self.route.split
        });
        match promoted {
            Some(promoted) if is_plain && promoted.before != self.route.split && self.random.percent(60) => {
                let (declared, held) = (self.route.declared.clone(), self.route.is_held());
                let is_stale = declared == promoted.promoted && !held;
                self.route.write_from_outside(&promoted.before, ROLE);
                if is_stale {
                    self.route.declared = declared;
                    self.route.note("the declaration is stale");
                    // It is read before another program writes.
                    let record = self.route.current();
                    self.route.store(self.route.revision, record);
                }
            }
            _ => {
                if let Some(to) = self.outside_split() {
                    self.route.write_from_outside(&to, ROLE);
                }
            }
        }
    }

    fn operator(&mut self) {
        let record = self.route.current();
        let revision = self.route.revision;
        match self.random.below(4) {
            0 => {
                let until = self.route.now + jiff::SignedDuration::from_mins(15);
                if let Ok(held) = with_hold(record, until, self.route.now) {
                    self.route.note("hold");
                    self.route.store(revision, held);
                }
            }
            1 => {
                self.route.note("release");
                self.route.released = Some(self.route.now);
            }
            2 => {
                let note = OwedNote { code: "PersonRestored".to_owned(), text: "dana".to_owned() };
                let facts = self.route.route_facts();
                if let Some(restoration) = restoration(&facts, &record, note, None, self.route.now) {
                    let write = Write {
                        holder: "meshwarden",
                        observed: (revision, facts.version),
                        from: restoration.from,
                        to: restoration.to,
                        tag: decisions::failover::TagChange::Clear,
                        begun: restoration.begun,
                        done: restoration.done,
                    };
                    self.route.note("restore");
                    self.route.execute(write, Kill::Never);
                }
            }
            _ if !self.rollout.is_final() => {
                self.route.note("rollout abort");
                self.gate = Gate::Fail;
            }
            _ => {}
        }
    }

    fn kill_switch(&mut self) {
        self.route.kill_switch = match self.route.kill_switch {
            Some(_) => None,
            None => {
                self.random.percent(50).then(|| KillSwitchFact { by: "dana".to_owned(), reason: "incident".to_owned() })
            }
        };
        self.route.note(format!("kill switch {}", self.route.kill_switch.is_some()));
    }

    /// The state table is lost. Only the tag is left, so it must be current.
    fn lose_table(&mut self) {
        let is_current = |record: &RouteRecord| {
            record.intent.is_none() && !record.stale_tag && !record.tag_missing && record.edit.is_none()
        };
        let known = self.route.record.clone().filter(is_current);
        let Some(record) = known.filter(|record| record.split == self.route.split && record.layers.pending.is_none())
        else {
            return;
        };
        if self.route.tag == decisions::failover::restore_tag(&record) && self.route.lease.is_none() {
            self.route.note("the state table is lost");
            self.route.record = None;
            self.route.revision += 1;
        }
    }
}
