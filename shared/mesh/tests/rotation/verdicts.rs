//! Decisions on tables: which meshes a rotation affects, and what they permit.

use mesh::certificates::Source;
use mesh::policy::Succession;
use mesh::rotation::{Decision, KeepReason, NotKnown, Record, Subject, Verdict, decide, renewal_reason};

use super::properties::{acm, bundle};
use super::world::{Call, Check, DAY, HOUR, Node, World};

#[test]
fn every_documented_reason_is_explained() {
    for code in ["CAA_ERROR", "PENDING_DOMAIN_VALIDATION", "PCA_ACCESS_DENIED", "SLR_NOT_FOUND", "OTHER"] {
        assert!(!renewal_reason(code).contains("does not know"), "{code}");
    }
    assert!(renewal_reason("SOMETHING_NEW").contains("does not know"));
}

/// Two meshes: `m0` has nodes 0 and 2, `m1` has 1 and 3. Nodes 0 and 1 present `shared`, node 2 presents `own`.
struct Two {
    world: World,
    shared: Subject,
    own: Subject,
}

/// So much of a life is over of all of them.
fn two(days: i32) -> Two {
    let mut world = World::new(3);
    world.meshes = 2;
    let ca = world.add_root("old", 20);
    let shared = acm(&mut world, "shared", &ca, DAY * 90, false);
    let own = bundle(&mut world, "own", &ca, DAY * 90, &[]);
    let client = |world: &mut World, name: &str| Some(bundle(world, name, &ca, DAY * 900, &[]));
    let listeners = [Some(shared.clone()), Some(shared.clone()), Some(own.clone()), None];
    for listener in listeners {
        let name = format!("client-{}", world.nodes.len());
        let client = client(&mut world, &name);
        world.nodes.push(Node { listener, client, callers: None });
    }
    for (from, to) in [(2, 0), (3, 1), (0, 2)] {
        world.calls.push(Call { from, to, check: Check::Policy(vec![ca.clone()]) });
    }
    // As old as each other.
    for source in [&shared, &own] {
        let (from, until) = (world.now - HOUR, world.now - HOUR + DAY * 90);
        let chain = Some(world.issue("same age", &ca, from, until));
        match source {
            Source::Acm(arn) => world.acm.get_mut(arn).unwrap().chain = chain,
            Source::Sds(name) => {
                let version = world.secrets.get_mut(name).unwrap().versions.get_mut("first").unwrap();
                version.key = chain.as_ref().map(|chain| chain.leaf.public_key.clone());
                version.chain = chain;
            }
            Source::File(..) => unreachable!(),
        }
    }
    world.start();
    world.now += DAY * days;
    let (shared, own) = (Subject::Certificate(shared), Subject::Certificate(own));
    Two { world, shared, own }
}

impl Two {
    fn decide(&self) -> Vec<Decision> {
        decide(&self.world.observe(), &|_| Vec::new(), &self.world.policy, self.world.now)
    }

    fn of(&self, subject: &Subject) -> Decision {
        self.decide().into_iter().find(|one| one.subject == *subject).unwrap()
    }

    /// The remembered reading of a mesh.
    fn remember(&mut self, mesh: usize) {
        let name = Subject::Mesh(World::mesh_name(mesh));
        let record = self.of(&name).record.unwrap();
        assert!(record.had.is_some());
        self.world.records.insert(name.name(), record);
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Expected {
    Done,
    /// Reported only, because of the mesh `m1`.
    Reported,
    Held(NotKnown),
}

fn found(decision: &Decision) -> Expected {
    let m1 = World::mesh_name(1);
    match &decision.verdict {
        Verdict::Keep(KeepReason::MeshUnread { meshes, unknown }) => {
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
fn what_is_shared_goes_by_the_strictest_and_the_rest_goes_on() {
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
        two.world.unread.extend(unread.then_some(1));
        two.world.watching.extend(watches.then_some(1));
        let decided = (two.of(&two.shared), two.of(&two.own));
        assert_eq!((found(&decided.0), found(&decided.1)), (shared, own), "{case}");
        assert_eq!(decided.0.unread.is_empty(), !unread, "{case}");
        // An operator declared that it shares nothing: then it does not count.
        two.world.policy.rollover.separate.insert(World::mesh_name(1));
        if unread {
            assert_eq!((found(&two.of(&two.shared)), found(&two.of(&two.own))), (Done, Done), "{case}: separate");
        }
    }
}

#[test]
fn what_changes_trust_waits_for_every_mesh() {
    let mut two = two(10);
    let new = two.world.add_root("new", 20);
    let old = two.world.authorities.keys().next_back().unwrap().clone();
    assert!(old.as_str().ends_with("old"));
    two.world.policy.successions = vec![Succession { from: old, to: new }];
    two.remember(1);
    two.world.unread.insert(1);
    // Both are trusted where that can be observed; nothing is issued again, though `own` was never observed in the
    // other mesh.
    for _ in 0..40 {
        two.world.wake(0);
        two.world.deliver(100);
        two.world.now += jiff::SignedDuration::from_mins(5);
    }
    assert_eq!(two.world.issued.len(), 0, "{:?}", two.world.issued);
    for subject in [&two.shared, &two.own] {
        assert_eq!(found(&two.of(subject)), Expected::Held(NotKnown::WhoChecksIt));
    }
    // An operator declared that the meshes share nothing; but a certificate observed in both is not separate.
    two.world.unread.clear();
    for _ in 0..200 {
        two.world.wake(0);
        two.world.deliver(100);
        two.world.now += jiff::SignedDuration::from_mins(5);
        let all_new = two.world.observe().leaves.iter().all(
            |leaf| matches!(&leaf.current, mesh::certificates::Reading::Known(chain) if chain.leaf.issuer == "CN=new"),
        );
        if all_new {
            break;
        }
    }
    assert!(!two.world.issued.is_empty());
    two.world.unread.insert(1);
    let held: Vec<_> = two.decide().into_iter().filter(|one| matches!(one.subject, Subject::Trust(_))).collect();
    assert!(!held.is_empty());
    let unknown = |one: &Decision| match &one.verdict {
        Verdict::Keep(KeepReason::MeshUnread { unknown, .. }) => Some(*unknown),
        _ => None,
    };
    assert!(held.iter().all(|one| unknown(one) == Some(NotKnown::WhatIsPresented)), "{held:?}");
}

#[test]
fn a_mesh_is_remembered_as_it_was_last_read() {
    let mut two = two(10);
    two.remember(1);
    let name = Subject::Mesh(World::mesh_name(1));
    assert_eq!(two.of(&name).record, None, "nothing new");
    let before = two.world.records[&name.name()].clone();
    two.world.unread.insert(1);
    let decision = two.of(&name);
    assert!(matches!(&decision.verdict, Verdict::Keep(KeepReason::Unread { .. })), "{decision:?}");
    assert_eq!((decision.record, decision.failing), (None, true), "what it had stays");
    two.world.unread.clear();
    two.world.nodes[1].listener = None;
    two.world.calls.retain(|call| call.to != 1);
    let Record { had, .. } = two.of(&name).record.unwrap();
    assert!(had.unwrap().len() < before.had.unwrap().len());
}
