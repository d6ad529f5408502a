//! Decisions on tables: the meshes that a rotation affects, and their permissions.

use decisions::rotation::{
    NotKnown, RotationDecision, RotationKeepReason, RotationRecord, RotationSubject, RotationVerdict, decide,
    renewal_reason,
};
use mesh::certificates::CertificateSource;
use policy::Succession;

use super::properties::{acm, bundle};
use super::simulation::{Call, Check, DAY, HOUR, Node, Simulation};

#[test]
fn every_documented_reason_is_explained() {
    for code in ["CAA_ERROR", "PENDING_DOMAIN_VALIDATION", "PCA_ACCESS_DENIED", "SLR_NOT_FOUND", "OTHER"] {
        assert!(!renewal_reason(code).contains("does not know"), "{code}");
    }
    assert!(renewal_reason("SOMETHING_NEW").contains("does not know"));
}

/// Two meshes: `m0` has nodes 0 and 2, `m1` has 1 and 3. Nodes 0 and 1 present `shared`, node 2 presents `own`.
struct Two {
    simulation: Simulation,
    shared: RotationSubject,
    own: RotationSubject,
}

/// So much of a life is over of all of them.
fn two(days: i32) -> Two {
    let mut simulation = Simulation::new(3);
    simulation.meshes = 2;
    let ca = simulation.add_root("old", 20);
    let shared = acm(&mut simulation, "shared", &ca, DAY * 90, false);
    let own = bundle(&mut simulation, "own", &ca, DAY * 90, &[]);
    let client = |simulation: &mut Simulation, name: &str| Some(bundle(simulation, name, &ca, DAY * 900, &[]));
    let listeners = [Some(shared.clone()), Some(shared.clone()), Some(own.clone()), None];
    for listener in listeners {
        let name = format!("client-{}", simulation.nodes.len());
        let client = client(&mut simulation, &name);
        simulation.nodes.push(Node { listener, client, callers: None });
    }
    for (from, to) in [(2, 0), (3, 1), (0, 2)] {
        simulation.calls.push(Call { from, to, check: Check::Policy(vec![ca.clone()]) });
    }
    // As old as each other.
    for source in [&shared, &own] {
        let (from, until) = (simulation.now - HOUR, simulation.now - HOUR + DAY * 90);
        let chain = Some(simulation.issue("same age", &ca, from, until));
        match source {
            CertificateSource::Acm(arn) => simulation.acm.get_mut(arn).unwrap().chain = chain,
            CertificateSource::Sds(name) => {
                let version = simulation.secrets.get_mut(name).unwrap().versions.get_mut("first").unwrap();
                version.key = chain.as_ref().map(|chain| chain.leaf.public_key.clone());
                version.chain = chain;
            }
            CertificateSource::File(..) => unreachable!(),
        }
    }
    simulation.start();
    simulation.now += DAY * days;
    let (shared, own) = (RotationSubject::Certificate(shared), RotationSubject::Certificate(own));
    Two { simulation, shared, own }
}

impl Two {
    fn decide(&self) -> Vec<RotationDecision> {
        decide(&self.simulation.observe(), &|_| Vec::new(), &self.simulation.policy, self.simulation.now)
    }

    fn decision_about(&self, subject: &RotationSubject) -> RotationDecision {
        self.decide().into_iter().find(|one| one.subject == *subject).unwrap()
    }

    /// The remembered reading of a mesh.
    fn remember(&mut self, mesh: usize) {
        let name = RotationSubject::Mesh(Simulation::mesh_name(mesh));
        let record = self.decision_about(&name).record.unwrap();
        assert!(record.had.is_some());
        self.simulation.records.insert(name.name(), record);
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Expected {
    Done,
    /// Reported only, because of the mesh `m1`.
    Reported,
    Held(NotKnown),
}

fn found(decision: &RotationDecision) -> Expected {
    let m1 = Simulation::mesh_name(1);
    match &decision.verdict {
        RotationVerdict::Keep(RotationKeepReason::MeshUnread { meshes, unknown }) => {
            assert_eq!(meshes.keys().collect::<Vec<_>>(), [&m1], "it names the mesh");
            Expected::Held(*unknown)
        }
        verdict if verdict.plan().is_some() && decision.watching.is_empty() => Expected::Done,
        verdict if verdict.plan().is_some() => {
            assert_eq!(decision.watching.iter().collect::<Vec<_>>(), [&m1], "it names the mesh");
            Expected::Reported
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn shared_certificate_follows_the_strictest_mesh_and_others_proceed() {
    use Expected::{Done, Held, Reported};
    let arrives = Held(NotKnown::WhetherItArrives);
    // Whether m1 only watches, can't be read, was read before; days into a life of 90; shared, own.
    for (case, watches, unread, before, days, shared, own) in [
        ("all may be changed and read", false, false, false, 70, Done, Done),
        ("one only watches", true, false, false, 70, Reported, Done),
        ("one can't be read, and has it", false, true, true, 70, arrives, Done),
        ("and no time is left", false, true, true, 86, Done, Done),
        ("and it only watches", true, true, true, 86, Reported, Done),
        ("one was never read", false, true, false, 70, Done, Done),
        ("one was never read and only watches", true, true, false, 70, Reported, Reported),
    ] {
        let mut two = two(days);
        if before {
            two.remember(1);
        }
        two.simulation.unread.extend(unread.then_some(1));
        two.simulation.watching.extend(watches.then_some(1));
        let decided = (two.decision_about(&two.shared), two.decision_about(&two.own));
        assert_eq!((found(&decided.0), found(&decided.1)), (shared, own), "{case}");
        assert_eq!(decided.0.unread.is_empty(), !unread, "{case}");
        // An operator declared that it shares nothing: then it does not count.
        two.simulation.policy.rollover.separate.insert(Simulation::mesh_name(1));
        if unread {
            assert_eq!(
                (found(&two.decision_about(&two.shared)), found(&two.decision_about(&two.own))),
                (Done, Done),
                "{case}: separate"
            );
        }
    }
}

#[test]
fn trust_change_waits_for_every_mesh() {
    let mut two = two(10);
    let new = two.simulation.add_root("new", 20);
    let old = two.simulation.authorities.keys().next_back().unwrap().clone();
    assert!(old.as_str().ends_with("old"));
    two.simulation.policy.successions = vec![Succession { from: old, to: new }];
    two.remember(1);
    two.simulation.unread.insert(1);
    // Both are trusted where that can be observed; nothing is issued again, though `own` was never observed in the
    // other mesh.
    for _ in 0..40 {
        two.simulation.run(0);
        two.simulation.deliver(100);
        two.simulation.now += jiff::SignedDuration::from_mins(5);
    }
    assert_eq!(two.simulation.issued.len(), 0, "{:?}", two.simulation.issued);
    for subject in [&two.shared, &two.own] {
        assert_eq!(found(&two.decision_about(subject)), Expected::Held(NotKnown::WhoChecksIt));
    }
    // An operator declared that the meshes share nothing; but a certificate observed in both is not separate.
    two.simulation.unread.clear();
    for _ in 0..200 {
        two.simulation.run(0);
        two.simulation.deliver(100);
        two.simulation.now += jiff::SignedDuration::from_mins(5);
        let all_new = two.simulation.observe().leaves.iter().all(
            |leaf| matches!(&leaf.current, mesh::certificates::SourceReading::Known(chain) if chain.leaf.issuer == "CN=new"),
        );
        if all_new {
            break;
        }
    }
    assert!(!two.simulation.issued.is_empty());
    two.simulation.unread.insert(1);
    let held: Vec<_> =
        two.decide().into_iter().filter(|one| matches!(one.subject, RotationSubject::Trust(_))).collect();
    assert!(!held.is_empty());
    let unknown = |one: &RotationDecision| match &one.verdict {
        RotationVerdict::Keep(RotationKeepReason::MeshUnread { unknown, .. }) => Some(*unknown),
        _ => None,
    };
    assert!(held.iter().all(|one| unknown(one) == Some(NotKnown::WhatIsPresented)), "{held:?}");
}

#[test]
fn a_mesh_is_remembered_as_it_was_last_read() {
    let mut two = two(10);
    two.remember(1);
    let name = RotationSubject::Mesh(Simulation::mesh_name(1));
    assert_eq!(two.decision_about(&name).record, None, "nothing new");
    let before = two.simulation.records[&name.name()].clone();
    two.simulation.unread.insert(1);
    let decision = two.decision_about(&name);
    assert!(matches!(&decision.verdict, RotationVerdict::Keep(RotationKeepReason::Unread { .. })), "{decision:?}");
    assert_eq!((decision.record, decision.failing), (None, true), "what it had stays");
    two.simulation.unread.clear();
    two.simulation.nodes[1].listener = None;
    two.simulation.calls.retain(|call| call.to != 1);
    let RotationRecord { had, .. } = two.decision_about(&name).record.unwrap();
    assert!(had.unwrap().len() < before.had.unwrap().len());
}
