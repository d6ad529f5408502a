//! No stored state and no answer of a CA stops a rotation without a page.
//!
//! Every case of a product is run by the production decisions and the executor of the other suites:
//!
//! ```text
//! keeper x validity x current leaf x pending version x what the CA answers x what operators do
//!   phase 1: the CA answers so for half a day    ─▶ each run: new state, deadline, or page; none is silent
//!   phase 2: the CA is good, operators release   ─▶ a fresh leaf is served
//! ```
//!
//! A run of the suite plays every fifth case; `STANDSTILL_CASES=all` plays the whole product.

use std::collections::BTreeSet;

use decisions::rotation::{RotationDecision, RotationKeepReason, RotationSubject, RotationVerdict, decide};
use jiff::{SignedDuration, Timestamp};
use mesh::certificates::{AuthorityArn, CertificateSource, SecretName};
use policy::Succession;

mod cases;

use super::properties::{acm, bundle};
use super::simulation::{Answer, Call, Check, DAY, HOUR, Node, Simulation, Version};

const MINUTES: fn(i64) -> SignedDuration = SignedDuration::from_mins;
const ANSWERS: [Answer; 13] = [
    Answer::Good,
    Answer::Slow(25),
    Answer::Never,
    Answer::Ended,
    Answer::EndsSoon,
    Answer::Later(10),
    Answer::NotBackdated,
    Answer::ForeignKey,
    Answer::WrongName,
    Answer::OtherIssuer,
    Answer::Failed,
    Answer::Denied,
    Answer::Throttled,
];
const VALIDITIES: [SignedDuration; 3] = [HOUR, SignedDuration::from_hours(7 * 24), SignedDuration::from_hours(90 * 24)];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Bundle,
    Imported,
    Private,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Current {
    Due,
    Urgent,
    Ended,
    Succession,
    /// Not backdated, issued two minutes ago, and its CA is being replaced.
    JustIssuedThenSuccession,
    NotYetValid,
    OtherKey,
    UnknownIssuer,
    Revoked,
}

const CURRENTS: [Current; 9] = [
    Current::Due,
    Current::Urgent,
    Current::Ended,
    Current::Succession,
    Current::JustIssuedThenSuccession,
    Current::NotYetValid,
    Current::OtherKey,
    Current::UnknownIssuer,
    Current::Revoked,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    Nothing,
    /// A key of an attempt that no record knows.
    ForeignKey,
    /// The version of the next attempt existed before, without a label.
    TakenVersion,
    Good,
    Ended,
    BeginsIn(i64),
    OtherKey,
    OtherName,
    OtherIssuer,
    /// Its validity began before that of the present leaf.
    BegunEarlier,
    Trust,
    OtherTrust,
    Unreadable,
}

const PENDINGS: [Pending; 14] = [
    Pending::Nothing,
    Pending::ForeignKey,
    Pending::TakenVersion,
    Pending::Good,
    Pending::Ended,
    Pending::BeginsIn(10),
    Pending::BeginsIn(5000),
    Pending::OtherKey,
    Pending::OtherName,
    Pending::OtherIssuer,
    Pending::BegunEarlier,
    Pending::Trust,
    Pending::OtherTrust,
    Pending::Unreadable,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Absent,
    /// Moves the current version back once.
    RollsBackOnce,
    /// Moves it back whenever it changes.
    RollsBackAlways,
    /// Removes the label of the pending version, once.
    DropsPending,
}

#[derive(Debug, Clone, Copy)]
struct Case {
    kept: Kept,
    validity: SignedDuration,
    current: Current,
    pending: Pending,
    answer: Answer,
    operator: Operator,
}

/// A case while it runs.
struct Play {
    case: Case,
    simulation: Simulation,
    source: CertificateSource,
    seen: BTreeSet<String>,
    /// Since when a decision is not final and no page was sent.
    silent: Option<Timestamp>,
    promotions: usize,
    served: String,
    rolled_back: usize,
    /// The decision of the last run.
    last: Option<RotationDecision>,
}

const SECRET: &str = "server";

impl Play {
    fn set(case: Case, reuses_versions: bool) -> Self {
        let mut simulation = Simulation::new(5);
        simulation.starts_broken = true;
        simulation.reuses_versions = reuses_versions;
        let old = simulation.add_root("old", 20);
        let source = match case.kept {
            Kept::Bundle => bundle(&mut simulation, SECRET, &old, DAY, &[]),
            Kept::Imported => acm(&mut simulation, SECRET, &old, case.validity, false),
            Kept::Private => acm(&mut simulation, SECRET, &old, case.validity, true),
        };
        simulation.nodes.push(Node { listener: Some(source.clone()), client: None, callers: None });
        simulation.nodes.push(Node::default());
        simulation.calls.push(Call { from: 1, to: 0, check: Check::Policy(vec![old.clone()]) });
        let mut play = Self {
            case,
            simulation,
            source,
            seen: BTreeSet::new(),
            silent: None,
            promotions: 0,
            served: String::new(),
            rolled_back: 0,
            last: None,
        };
        play.simulation.start();
        play.set_current(&old);
        play.set_pending(&old);
        play.simulation.proxies.clear();
        play.simulation.start();
        play.served = play.fingerprint();
        play.simulation.answer = case.answer;
        play
    }

    fn set_current(&mut self, old: &AuthorityArn) {
        let (now, validity) = (self.simulation.now, self.case.validity);
        let lived = |percent: i32| (now - validity * percent / 100, now - validity * percent / 100 + validity);
        let (from, until) = match self.case.current {
            Current::Due | Current::UnknownIssuer => lived(70),
            Current::Urgent => lived(90),
            Current::Ended => lived(105),
            Current::Succession | Current::OtherKey | Current::Revoked => lived(30),
            Current::JustIssuedThenSuccession => (now - MINUTES(2), now - MINUTES(2) + validity),
            Current::NotYetValid => (now + HOUR * 2, now + HOUR * 2 + validity),
        };
        let by = match self.case.current {
            Current::UnknownIssuer => self.simulation.add_root("gone", 20),
            _ => old.clone(),
        };
        let chain = self.simulation.issue(SECRET, &by, from, until);
        if self.case.current == Current::UnknownIssuer {
            self.simulation.authorities.remove(&by);
        }
        match &self.source {
            CertificateSource::Acm(arn) => self.simulation.acm.get_mut(arn).unwrap().chain = Some(chain),
            CertificateSource::Sds(name) => {
                let key = if self.case.current == Current::OtherKey { "another" } else { &chain.leaf.public_key };
                let first = Version { key: Some(key.to_owned()), chain: Some(chain), requested: false, trust: vec![] };
                self.simulation.secrets.get_mut(name).unwrap().versions.insert("first".to_owned(), first);
            }
            CertificateSource::File(..) => unreachable!(),
        }
        if matches!(self.case.current, Current::Succession | Current::JustIssuedThenSuccession) {
            let to = self.simulation.add_root("new", 20);
            self.simulation.policy.successions = vec![Succession { from: old.clone(), to }];
        }
        if self.case.current == Current::Revoked {
            let record = self.decision().record.unwrap();
            self.simulation.records.insert(self.source.to_string(), record);
            self.simulation.records.get_mut(&self.source.to_string()).unwrap().leaf.as_mut().unwrap().revoked = true;
        }
    }

    fn set_pending(&mut self, old: &AuthorityArn) {
        let (now, validity) = (self.simulation.now, self.case.validity);
        let begun = self.simulation.stored(&self.source).leaf.not_before;
        let by = match self.case.pending {
            Pending::OtherIssuer => self.simulation.add_root("stranger", 20),
            _ => old.clone(),
        };
        let (from, until) = match self.case.pending {
            Pending::Ended => (now - HOUR, now - MINUTES(1)),
            Pending::BeginsIn(minutes) => (now + MINUTES(minutes), now + MINUTES(minutes) + validity),
            Pending::BegunEarlier => (begun - HOUR, now + validity),
            _ => (now - MINUTES(1), now + validity),
        };
        let name = if self.case.pending == Pending::OtherName { "other.local" } else { SECRET };
        let chain = self.simulation.issue(name, &by, from, until);
        let key = if self.case.pending == Pending::OtherKey { "another" } else { &chain.leaf.public_key };
        let mut version = Version { key: Some(key.to_owned()), chain: None, requested: false, trust: vec![] };
        let mut id = "pending".to_owned();
        match self.case.pending {
            Pending::Nothing => return,
            Pending::ForeignKey => version.requested = true,
            Pending::TakenVersion => match self.decision().verdict.plan().map(|plan| plan.step.clone()) {
                Some(decisions::rotation::RotationStep::Prepare { version: taken, .. }) => id = taken,
                _ => return,
            },
            Pending::Trust => {
                let name = SecretName::new(SECRET);
                version = self.simulation.secrets[&name].versions["first"].clone();
            }
            Pending::Unreadable => {}
            Pending::OtherTrust => {
                version.chain = Some(chain);
                version.trust = vec![self.simulation.anchor_of(old)];
            }
            _ => version.chain = Some(chain),
        }
        let secret = self.simulation.secrets.get_mut(&SecretName::new(SECRET)).unwrap();
        secret.versions.insert(id.clone(), version);
        secret.pending = (self.case.pending != Pending::TakenVersion).then_some(id);
    }

    fn decision(&self) -> RotationDecision {
        let decisions =
            decide(&self.simulation.observe(), &|_| Vec::new(), &self.simulation.policy, self.simulation.now);
        let is_it = |one: &RotationDecision| matches!(&one.subject, RotationSubject::Certificate(_));
        decisions.into_iter().find(is_it).unwrap()
    }

    /// The leaf that the listener presents now: a new private one may have been requested.
    fn fingerprint(&self) -> String {
        let source = self.simulation.nodes[0].listener.clone().unwrap();
        self.simulation.stored(&source).leaf.fingerprint.to_string()
    }

    /// Everything that is stored, without when it was.
    fn state(&self) -> String {
        let secret = self.simulation.secrets.get(&SecretName::new(SECRET));
        let secret = secret.map(|one| (one.current.clone(), one.pending.clone(), one.versions.len()));
        let acm: Vec<_> = self
            .simulation
            .acm
            .iter()
            .map(|(arn, one)| (arn, one.ready, one.chain.is_some(), one.replaces.clone()))
            .collect();
        let records = self.simulation.records.iter().map(|(name, record)| {
            let leaf = record.leaf.as_ref();
            let attempt = leaf.and_then(|leaf| leaf.attempt.as_ref());
            let attempt = attempt.map(|one| (one.number, one.order.clone(), one.placed));
            let given_up = leaf.map(|leaf| (leaf.discarded.len(), leaf.lost, leaf.times_moved_back));
            (name.clone(), attempt, given_up, record.failures.as_ref().map(|failures| failures.count))
        });
        let records: Vec<_> = records.collect();
        let checks: Vec<_> = self.simulation.calls.iter().map(|call| &call.check).collect();
        format!("{secret:?} {acm:?} {records:?} {} {checks:?}", self.fingerprint())
    }

    fn fails(&self, what: &str) -> ! {
        let decision = self.decision();
        panic!(
            "{what}: {:?}\nat {}, {:?}: {:?}\nrecord: {:?}\npages: {:?}",
            self.case,
            self.simulation.now,
            decision.verdict.code(),
            decision.verdict,
            self.simulation.records.get(&self.source.to_string()).map(|record| {
                let leaf = record.leaf.as_ref();
                (leaf.and_then(|leaf| leaf.attempt.clone()), leaf.map(|leaf| leaf.issued), record.failures.clone())
            }),
            self.simulation.pages,
        )
    }

    /// One run: up to six rounds, as the function does.
    fn run(&mut self) {
        for _ in 0..6 {
            let before = self.state();
            let round = self.simulation.run(0);
            let after = self.state();
            if !round.acted {
                break;
            }
            let waits = matches!(
                self.decision().verdict.plan().map(|plan| &plan.step),
                Some(decisions::rotation::RotationStep::Collect { give_up_at, .. }) if *give_up_at + MINUTES(5) >= self.simulation.now
            );
            // Every action has to lead to a new state: a repeated state is a cycle.
            if !waits && (before == after || self.seen.contains(&after)) {
                self.fails("a cycle without progress");
            }
            self.seen.insert(before);
            if waits {
                break;
            }
        }
        self.check_served();
        self.operate();
        self.simulation.deliver(100);
        self.simulation.settle();
        self.note_silence();
    }

    /// Nothing unusable is ever made current.
    fn check_served(&mut self) {
        let now = self.fingerprint();
        if now == self.served {
            return;
        }
        self.served = now;
        self.promotions += 1;
        let source = self.simulation.nodes[0].listener.clone().unwrap();
        let leaf = &self.simulation.stored(&source).leaf;
        let in_force = leaf.not_before <= self.simulation.now && self.simulation.now < leaf.not_after;
        let trusted = ["CN=old", "CN=new"].contains(&leaf.issuer.as_str());
        let key = match &source {
            CertificateSource::Sds(name) => {
                let secret = &self.simulation.secrets[name];
                secret.versions[secret.current.as_ref().unwrap()].key.as_deref() == Some(&leaf.public_key)
            }
            _ => true,
        };
        if !in_force || !trusted || !key || leaf.names.dns != [SECRET] {
            self.fails("an unusable leaf is served");
        }
    }

    fn operate(&mut self) {
        let moves = match self.case.operator {
            Operator::Absent => false,
            Operator::RollsBackOnce => self.rolled_back == 0,
            Operator::RollsBackAlways | Operator::DropsPending => true,
        };
        let Some(secret) = self.simulation.secrets.get_mut(&SecretName::new(SECRET)) else { return };
        if self.case.operator == Operator::DropsPending {
            if self.rolled_back == 0 && secret.pending.is_some() {
                secret.pending = None;
                self.rolled_back += 1;
            }
            return;
        }
        if !moves || secret.current.as_deref() == Some("first") {
            return;
        }
        // As Secrets Manager moves labels: what loses the current one becomes the previous one.
        secret.previous = secret.current.replace("first".to_owned());
        self.rolled_back += 1;
        self.served = self.fingerprint();
    }

    fn note_silence(&mut self) {
        let decision = self.decision();
        self.last = Some(decision.clone());
        let is_final = matches!(&decision.verdict, RotationVerdict::Keep(reason) if !reason.holds() && *reason != RotationKeepReason::BeingIssued);
        let repeat = self.simulation.policy.paging.remind_after.get();
        let paged = self.simulation.pages.iter().any(|page| page.at + repeat + MINUTES(5) > self.simulation.now);
        // A page that names when it resolves is sent once.
        let held = matches!(&decision.verdict, RotationVerdict::Keep(RotationKeepReason::MovedBack { .. }))
            && !self.simulation.pages.is_empty();
        if is_final || paged || held {
            self.silent = None;
            return;
        }
        let since = *self.silent.get_or_insert(self.simulation.now);
        let leaf_patience = (self.case.validity / 4).min(HOUR * 24).max(HOUR);
        if self.simulation.now > since + leaf_patience + MINUTES(90) {
            self.fails("no page was sent");
        }
    }

    /// The next run: five minutes later, or at the awaited event.
    fn advance(&mut self, end: Timestamp) {
        let next = self.simulation.now + MINUTES(5);
        let jump = match self.last.as_ref().map(|decision| &decision.verdict) {
            Some(RotationVerdict::Keep(
                RotationKeepReason::BackingOff { until, .. } | RotationKeepReason::KeepsFailing { until, .. },
            )) => *until,
            _ => next,
        };
        self.simulation.now = jump.max(next).min(end.max(next));
        self.simulation.settle();
    }

    fn is_done(&self) -> bool {
        let last = self.last.as_ref().map(|decision| &decision.verdict);
        matches!(last, Some(RotationVerdict::Keep(RotationKeepReason::Fresh { .. })))
    }

    fn play(mut self) {
        let start = self.simulation.now;
        let end = start + HOUR * 12;
        while self.simulation.now < end && !(self.is_done() && self.case.operator == Operator::Absent) {
            self.run();
            self.advance(end);
        }
        let orders = self.simulation.issued.len();
        // Ten attempts within half a day are the back-off; renewals of what lives for an hour come on top.
        // A leaf that ends soon is accepted, and replaced early.
        let many = self.case.validity == HOUR || self.case.answer == Answer::EndsSoon;
        let most = if many { 12 * 12 } else { 16 };
        if orders > most {
            self.fails(&format!("{orders} orders"));
        }
        if self.case.operator == Operator::RollsBackAlways && self.promotions > 4 {
            self.fails(&format!("{} promotions against an operator", self.promotions));
        }
        if self.case.current == Current::UnknownIssuer {
            // Only an operator knows which CA is to issue it.
            return;
        }
        self.recover();
    }

    /// The cause is gone, and an operator has said so where one had intervened.
    fn recover(&mut self) {
        self.case.operator = Operator::Absent;
        self.simulation.answer = Answer::Good;
        for one in self.simulation.acm.values_mut().filter(|one| one.ready.is_some()) {
            one.ready = Some(self.simulation.now);
        }
        let name = self.source.to_string();
        if let Some(released) =
            self.simulation.records.get(&name).and_then(|record| record.released(self.simulation.now))
            && self.rolled_back > 0
        {
            self.simulation.records.insert(name, released);
        }
        let end = self.simulation.now + HOUR * 10;
        self.last = None;
        while !self.is_done() {
            if self.simulation.now > end {
                self.fails("it does not recover");
            }
            self.run();
            self.advance(end + MINUTES(10));
        }
        let leaf = self.simulation.stored(&self.simulation.nodes[0].listener.clone().unwrap()).leaf.clone();
        if leaf.not_after <= self.simulation.now || leaf.not_before > self.simulation.now {
            self.fails("the served certificate is not in force");
        }
    }
}
