//! Executes decisions, with a crash at every possible point.

use std::collections::BTreeSet;
use std::rc::Rc;

use decisions::rotation::{
    CertificateTemplate, KeyMatch, RotationDecision, RotationKeepReason, RotationPlan, RotationRecord, RotationStep,
    RotationSubject, RotationVerdict, StepResult, TrustId, decide, issued_defect, rotation_notification, standstill,
};
use jiff::SignedDuration;
use mesh::certificates::{AuthorityArn, CertificateArn, CertificateSource, Chain, SecretName};
use mesh::change::Change;
use mesh::name::ResourcePath;
use serde_json::json;

use super::observe::trust_id;
use super::simulation::{AcmCertificate, Answer, Check, Issued, Page, Part, Simulation, Slot, Version};

/// The result of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) acted: bool,
    /// Whether no step was left.
    pub(super) settled: bool,
}

/// An injected fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// Killed before or after a step.
    Crash,
    /// The step is refused, and nothing came of it.
    Refused,
}

impl Simulation {
    /// One run.
    pub(super) fn run(&mut self, fault_percent: u64) -> Round {
        let decisions = decide(&self.observe(), &|_| Vec::new(), &self.policy, self.now);
        let is_done = |one: &RotationDecision| matches!(&one.verdict, RotationVerdict::Keep(reason) if !reason.holds() && *reason != RotationKeepReason::BeingIssued);
        let settled = decisions.iter().all(is_done);
        let mut acted = false;
        for decision in decisions {
            let name = decision.subject.name();
            let fault = match self.draw(100) {
                drawn if drawn * 2 < fault_percent => Fault::Crash,
                drawn if drawn < fault_percent => Fault::Refused,
                _ => Fault::None,
            };
            if fault == Fault::Crash && self.draw(2) == 0 {
                return Round { acted, settled };
            }
            let record = self.report(&decision);
            if self.records.get(&name) != Some(&record)
                && (self.records.contains_key(&name) || record != RotationRecord::default())
            {
                self.records.insert(name.clone(), record);
            }
            let Some(plan) = decision.verdict.plan().cloned() else { continue };
            if !decision.watching.is_empty() {
                continue;
            }
            acted = true;
            if fault == Fault::Crash && self.draw(2) == 0 {
                return Round { acted, settled };
            }
            if fault == Fault::Refused {
                self.end(&name, &plan, &StepResult::Failed { why: "refused".to_owned(), is_unplaced: true });
                continue;
            }
            self.near_is_quiet(&plan);
            self.may_touch(&plan);
            let result = self.take(&plan);
            self.check();
            if fault == Fault::Crash {
                return Round { acted, settled };
            }
            self.end(&name, &plan, &result);
        }
        Round { acted, settled }
    }

    /// Reports a decision as the function does, and gives the record that is stored with it.
    fn report(&mut self, decision: &RotationDecision) -> RotationRecord {
        let name = decision.subject.name();
        if let RotationVerdict::Keep(reason) = &decision.verdict {
            assert_eq!(json!(reason)["reason"], reason.code(), "the code is the stored tag");
        }
        let stored = self.records.get(&name);
        let mut record = decision.record.clone().or_else(|| stored.cloned()).unwrap_or_default();
        let notification = rotation_notification(
            decision,
            record.last_notification.as_ref(),
            record.failures.as_ref(),
            &self.policy,
            self.now,
        );
        record.last_notification = notification.last_notification;
        if let Some(failures) = record.failures.as_mut().filter(|_| notification.failures_paged) {
            failures.paged = Some(self.now);
        }
        let (watch, stuck) =
            standstill(decision, record.failures.as_ref(), record.watch.as_ref(), &self.policy, self.now);
        record.watch = watch;
        let codes = notification
            .page
            .then(|| decision.verdict.code())
            .into_iter()
            .chain(stuck.map(|_| "NoProgress".to_owned()));
        let pages = codes.map(|code| Page { at: self.now, subject: name.clone(), code });
        self.pages.extend(pages);
        record
    }

    /// The end of a step in its record.
    fn end(&mut self, name: &str, plan: &RotationPlan, result: &StepResult) {
        let record = self.records.get(name).cloned().unwrap_or_default();
        let mut record = record.after(&plan.step, result, self.now);
        let is_permanent = match result {
            StepResult::Refused { .. } => Some(true),
            StepResult::Failed { why, .. } => Some(why == "denied"),
            _ => None,
        };
        if is_permanent.is_some_and(|is_permanent| record.pages_failure(is_permanent, &self.policy, self.now)) {
            self.pages.push(Page { at: self.now, subject: name.to_owned(), code: "Failed".to_owned() });
        }
        self.records.insert(name.to_owned(), record);
    }

    /// While the trust of a proxy changes, no neighbour changes.
    fn near_is_quiet(&self, plan: &RotationPlan) {
        if plan.stage.is_none() {
            return;
        }
        let Some(moves) = moves(plan) else { return };
        let own: BTreeSet<usize> = (0..self.nodes.len()).filter(|node| moves.contains(&self.path(*node))).collect();
        for node in self.near(&moves).into_iter().filter(|node| !own.contains(node)) {
            let wanted = self.wanted(node);
            for proxy in &self.proxies[node] {
                assert_eq!(*proxy, wanted, "{} changes while n{node} does", plan.subject);
            }
        }
    }

    /// Nothing is changed that belongs to a mesh in observe mode, and nothing is reported as superseded that a mesh
    /// still uses.
    fn may_touch(&self, plan: &RotationPlan) {
        let users = |subject: &RotationSubject| {
            let has = |node: &usize| match subject {
                RotationSubject::Certificate(source) => {
                    [&self.nodes[*node].listener, &self.nodes[*node].client].contains(&&Some(source.clone()))
                }
                RotationSubject::Trust(TrustId::Sds { name }) => {
                    let calls = self.calls.iter().filter(|call| call.from == *node);
                    self.nodes[*node].callers.as_ref() == Some(name)
                        || calls.into_iter().any(|call| call.check == Check::Bundle(name.clone()))
                }
                RotationSubject::Trust(id) => id.policy_place().is_some_and(|(by, _)| by == self.path(*node)),
                RotationSubject::Mesh(_) => false,
            };
            (0..self.nodes.len()).filter(has).collect::<Vec<_>>()
        };
        for node in users(&plan.subject) {
            assert!(
                !self.watching.contains(&self.mesh_of(node)),
                "{} is changed under {}",
                plan.subject,
                self.path(node)
            );
        }
        if let RotationStep::MarkSuperseded { arn, .. } = &plan.step {
            assert_eq!(
                users(&RotationSubject::Certificate(CertificateSource::Acm(arn.clone()))),
                Vec::<usize>::new(),
                "{arn} is in use"
            );
        }
    }

    /// Between two runs, an operator makes a listener present the certificate of another one, where every caller
    /// accepts that.
    pub(super) fn edit_unseen(&mut self) {
        let node = usize::try_from(self.draw(self.nodes.len() as u64)).unwrap();
        let other = usize::try_from(self.draw(self.nodes.len() as u64)).unwrap();
        let new = self.nodes[other].listener.clone();
        let is_implicit = self.calls.iter().any(|call| call.to == node && call.check == Check::Implicit);
        if self.is_read(node) || is_implicit || new.is_none() {
            return;
        }
        let chain = self.stored(new.as_ref().unwrap());
        for (index, call) in self.calls.iter().enumerate().filter(|(_, call)| call.to == node) {
            let wanted = self.wanted(call.from);
            for parts in self.proxies[call.from].iter().chain([&wanted]) {
                let Part::Trust(roots) = &parts[&Slot::Called(index)] else { return };
                let roots: Vec<_> = roots.iter().map(Rc::as_ref).collect();
                if mesh::certificates::leads_to(&chain, &roots, self.now).is_err() {
                    return;
                }
            }
        }
        self.nodes[node].listener = new;
    }

    /// Takes a step.
    fn take(&mut self, plan: &RotationPlan) -> StepResult {
        match &plan.step {
            RotationStep::RenewInStore { arn, .. } => return self.renew(arn),
            RotationStep::RequestAnew { arn, authority, token, .. } => return self.request(arn, authority, token),
            RotationStep::Reimport { arn, authority, not_after, like, .. } => {
                return self.reimport(arn, authority, *not_after, like);
            }
            RotationStep::Prepare { secret, version, .. } => return self.prepare(&SecretName::new(secret), version),
            RotationStep::Order { secret, version, authority, not_after, token } => {
                return self.order(&SecretName::new(secret), version, authority, *not_after, token);
            }
            RotationStep::Collect { secret, version, issued, becomes, .. } => {
                return self.collect(&SecretName::new(secret), version, issued, becomes);
            }
            RotationStep::Promote { secret, from, to } => {
                let secret = self.secrets.get_mut(&SecretName::new(secret)).unwrap();
                assert_eq!(secret.current, *from);
                secret.previous = secret.current.replace(to.clone());
            }
            RotationStep::PublishTrust { secret, version, roots, .. } => {
                let all: Vec<_> = self.authorities.values().map(|one| one.certificate.clone()).collect();
                let secret = self.secrets.get_mut(&SecretName::new(secret)).unwrap();
                let trust = all.into_iter().filter(|one| roots.contains(&one.fingerprint)).collect();
                let now = secret.versions[secret.current.as_ref().unwrap()].clone();
                secret.versions.insert(version.clone(), Version { trust, ..now });
                secret.pending = Some(version.clone());
                secret.previous = secret.current.replace(version.clone());
            }
            RotationStep::Apply { change } => self.apply(change),
            RotationStep::MarkSuperseded { by, .. } => self.acm.get_mut(by).unwrap().replaces = None,
            RotationStep::ImportPending { .. } => unreachable!("imported certificates have no secret here"),
        }
        StepResult::Applied
    }

    fn prepare(&mut self, secret: &SecretName, version: &str) -> StepResult {
        self.keys += 1;
        let key = format!("key {}", self.keys);
        let secret = self.secrets.get_mut(secret).unwrap();
        if secret.versions.contains_key(version) {
            // As Secrets Manager: a version that has existed can't be stored again with another text.
            let is_pending = secret.pending.as_deref() == Some(version);
            return if is_pending || self.reuses_versions {
                StepResult::AlreadyInPlace
            } else {
                StepResult::VersionTaken
            };
        }
        let trust = secret.versions[secret.current.as_ref().unwrap()].trust.clone();
        secret.versions.insert(version.to_owned(), Version { chain: None, requested: true, trust, key: Some(key) });
        secret.pending = Some(version.to_owned());
        StepResult::Applied
    }

    fn reimport(
        &mut self,
        arn: &CertificateArn,
        by: &AuthorityArn,
        until: jiff::Timestamp,
        like: &CertificateTemplate,
    ) -> StepResult {
        if let Some(failed) = self.refuses() {
            return failed;
        }
        match self.answer {
            Answer::Slow(_) | Answer::Never => {
                return StepResult::Failed { why: "it was not issued in time".to_owned(), is_unplaced: false };
            }
            Answer::Failed => return StepResult::Refused { why: "the CA refused".to_owned() },
            _ => {}
        }
        let source = CertificateSource::Acm(arn.clone());
        self.keys += 1;
        let key = format!("key {}", self.keys);
        let chain = self.issue_for(&source, by, until, Some(&key));
        let is_same = chain.leaf.public_key == key;
        let match_ = if is_same { KeyMatch::Same } else { KeyMatch::Other };
        let authority = self.authorities[by].certificate.clone();
        if let Some(defect) = issued_defect(like, &authority, &match_, &chain.leaf, self.now) {
            return StepResult::Refused { why: defect.to_string() };
        }
        self.acm.get_mut(arn).unwrap().chain = Some(chain);
        StepResult::Issued
    }

    /// The answer that the CA gives to every request.
    fn refuses(&self) -> Option<StepResult> {
        let failed = |why: &str| Some(StepResult::Failed { why: why.to_owned(), is_unplaced: true });
        match self.answer {
            Answer::Denied => failed("denied"),
            Answer::Throttled => failed("throttled"),
            _ => None,
        }
    }

    fn collect(&mut self, secret: &SecretName, version: &str, issued: &str, becomes: &str) -> StepResult {
        let (chain, at, _) = self.orders.values().find(|(_, _, name)| name == issued).unwrap().clone();
        match self.answer {
            Answer::Never => return StepResult::InProgress,
            Answer::Slow(minutes) if self.now < at + SignedDuration::from_mins(minutes.into()) => {
                return StepResult::InProgress;
            }
            Answer::Failed => return StepResult::Refused { why: "the CA refused".to_owned() },
            _ => {}
        }
        let secret = self.secrets.get_mut(secret).unwrap();
        if secret.pending.as_deref() != Some(version) {
            return StepResult::Superseded;
        }
        if secret.versions.contains_key(becomes) {
            return StepResult::VersionTaken;
        }
        let made = Version { chain: Some(chain), requested: false, ..secret.versions[version].clone() };
        secret.versions.insert(becomes.to_owned(), made);
        secret.pending = Some(becomes.to_owned());
        StepResult::Applied
    }

    fn issue_for(
        &mut self,
        source: &CertificateSource,
        by: &AuthorityArn,
        until: jiff::Timestamp,
        key: Option<&str>,
    ) -> Rc<Chain> {
        let replaced = self.stored(source);
        let name = replaced.leaf.names.dns[0].clone();
        self.issued.push(Issued { source: source.to_string(), replaced, at: self.now });
        self.answer_order(&name, by, until, key)
    }

    fn renew(&mut self, arn: &CertificateArn) -> StepResult {
        if let Some(failed) = self.refuses() {
            return failed;
        }
        let source = CertificateSource::Acm(arn.clone());
        let replaced = self.stored(&source);
        let ready = match self.answer {
            Answer::Never => jiff::Timestamp::MAX,
            Answer::Slow(minutes) => self.now + SignedDuration::from_mins(minutes.into()),
            _ => self.now + SignedDuration::from_mins(i64::try_from(self.draw(60)).unwrap()),
        };
        let one = self.acm.get_mut(arn).unwrap();
        one.eligible = true;
        if one.ready.is_none() {
            one.ready = Some(ready);
            self.issued.push(Issued { source: source.to_string(), replaced, at: self.now });
        }
        StepResult::Issued
    }

    fn request(&mut self, arn: &CertificateArn, authority: &AuthorityArn, token: &str) -> StepResult {
        if let Some(failed) = self.refuses() {
            return failed;
        }
        if self.acm.values().any(|one| one.token.as_deref() == Some(token)) {
            return StepResult::Issued;
        }
        let source = CertificateSource::Acm(arn.clone());
        let replaced = self.stored(&source);
        let lifetime = self.acm[arn].lifetime;
        let replaced_name = self.acm[arn].name.clone();
        self.issued.push(Issued { source: source.to_string(), replaced, at: self.now });
        let made = AcmCertificate {
            name: replaced_name,
            authority: Some(authority.clone()),
            chain: None,
            eligible: false,
            ready: Some(match self.answer {
                Answer::Never => jiff::Timestamp::MAX,
                Answer::Slow(minutes) => self.now + SignedDuration::from_mins(minutes.into()),
                _ => self.now + SignedDuration::from_mins(3),
            }),
            replaces: Some(arn.clone()),
            lifetime,
            token: Some(token.to_owned()),
        };
        let new = CertificateArn::new(format!("{arn}+{}", self.acm.len()));
        self.acm.insert(new, made);
        StepResult::Issued
    }

    /// A private CA takes the same token for the same order for five minutes.
    fn order(
        &mut self,
        secret: &SecretName,
        version: &str,
        by: &AuthorityArn,
        until: jiff::Timestamp,
        token: &str,
    ) -> StepResult {
        if let Some(failed) = self.refuses() {
            return failed;
        }
        let stored = &self.secrets[secret];
        let Some(key) = stored.versions[version].key.clone().filter(|_| stored.pending.as_deref() == Some(version))
        else {
            return StepResult::Superseded;
        };
        if let Some((_, at, name)) = self.orders.get(token)
            && self.now < *at + SignedDuration::from_mins(5)
        {
            return StepResult::Ordered { order: name.clone() };
        }
        let chain = self.issue_for(&CertificateSource::Sds(secret.clone()), by, until, Some(&key));
        let name = format!("{by}/certificate/{}", chain.leaf.serial);
        self.orders.insert(token.to_owned(), (chain, self.now, name.clone()));
        StepResult::Ordered { order: name }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::SetListenerCertificate { resource, certificate, .. } => {
                let node = (0..self.nodes.len()).find(|node| self.path(*node) == *resource).unwrap();
                self.nodes[node].listener = Some(CertificateSource::Acm(certificate.clone()));
            }
            Change::SetTrust { authorities, .. } => {
                assert!((1..=3).contains(&authorities.len()), "{authorities:?}");
                let place = |id: decisions::rotation::TrustId| id.policy_place();
                let Change::SetTrust { resource, place: at, .. } = change else { return };
                let wanted = Some((resource.clone(), at.clone()));
                let call = (0..self.calls.len()).find(|call| place(trust_id(self, *call)) == wanted).unwrap();
                self.calls[call].check = Check::Policy(authorities.clone());
                // The client's proxies keep the old certificate of the same slot until they get the new one.
            }
            other => unreachable!("a rotation never plans to {other}"),
        }
    }

    /// An operator releases each certificate that is held because it was moved back.
    pub(super) fn release_what_was_moved_back(&mut self) {
        let now = self.now;
        for record in self.records.values_mut() {
            let moved = record.leaf.as_ref().and_then(|leaf| leaf.moved_back.as_ref());
            if moved.is_some_and(|moved| moved.released.is_none())
                && let Some(released) = record.released(now)
            {
                *record = released;
            }
        }
    }

    /// The number of unusable issuances in the records.
    pub(super) fn lost(&self) -> u32 {
        self.records.values().filter_map(|record: &RotationRecord| record.leaf.as_ref()).map(|leaf| leaf.lost).sum()
    }
}

/// The change of a plan at the proxies.
fn moves(plan: &RotationPlan) -> Option<BTreeSet<ResourcePath>> {
    match &plan.step {
        RotationStep::Apply { change } => Some(BTreeSet::from([change.resource()])),
        // One secret may be of many proxies; those change by one write.
        _ => None,
    }
}
