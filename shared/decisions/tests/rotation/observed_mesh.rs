//! A mesh in observe mode: no other mesh waits for it, except where both share a certificate or trust.

use decisions::rotation::{RotationSubject, RotationVerdict, TrustId, decide};
use jiff::SignedDuration;
use mesh::certificates::{AuthorityArn, CertificateSource, SecretName};
use policy::Succession;
use proptest::prelude::*;

use super::properties::{bundle, random_meshes, show};
use super::simulation::{Call, Check, DAY, Node, Part, Simulation, Slot};

/// Replaces a CA while the first mesh is in observe mode: its certificates and trust stay, and the other meshes change
/// all that they do not share with it.
pub(super) fn observed_mesh_is_unchanged(
    seed: u64,
    meshes: usize,
    nodes: usize,
    pace: u64,
) -> Result<(), TestCaseError> {
    let (mut simulation, old) = random_meshes(seed, meshes, nodes, 60);
    let new = simulation.add_root("new", 20);
    simulation.policy.successions = vec![Succession { from: old, to: new.clone() }];
    simulation.watching.insert(0);
    let before = simulation.clone();
    for round in 0..120 {
        simulation.unread.clear();
        if round % 5 == 0 {
            let mesh = usize::try_from(simulation.draw(meshes as u64)).unwrap();
            simulation.unread.insert(mesh);
        }
        simulation.run(0);
        simulation.deliver(pace);
        simulation.now += SignedDuration::from_mins(5);
        simulation.settle();
        simulation.check();
    }
    let root = simulation.anchor_of(&new);
    for node in 0..nodes {
        if simulation.mesh_of(node) == 0 {
            prop_assert_eq!(simulation.wanted(node), before.wanted(node));
            continue;
        }
        for (slot, part) in simulation.wanted(node) {
            if is_held_by_first_mesh(&before, node, &slot) {
                continue;
            }
            let is_changed = match &part {
                Part::Leaf(chain) => simulation.authorities[&new].certificate.issued(&chain.leaf),
                Part::Trust(roots) => roots.contains(&root),
            };
            prop_assert!(is_changed, "{slot:?} of n{node} is held: {}", show(&simulation));
        }
    }
    Ok(())
}

/// Whether a slot of a node of another mesh can change only together with the first mesh: the first mesh uses the same
/// certificate or the same trust, or the same trust verifies the certificate.
fn is_held_by_first_mesh(simulation: &Simulation, node: usize, slot: &Slot) -> bool {
    let first_mesh = || (0..simulation.nodes.len()).filter(|other| simulation.mesh_of(*other) == 0);
    let is_trust_of_first = |name: &SecretName| {
        first_mesh().any(|other| {
            let mut calls = simulation.calls.iter().filter(|call| call.from == other);
            simulation.nodes[other].callers.as_ref() == Some(name)
                || calls.any(|call| call.check == Check::Bundle(name.clone()))
        })
    };
    let is_check_of_first = |check: &Check| matches!(check, Check::Bundle(name) if is_trust_of_first(name));
    let spec = &simulation.nodes[node];
    match slot {
        Slot::Called(index) => is_check_of_first(&simulation.calls[*index].check),
        Slot::Callers => spec.callers.as_ref().is_some_and(is_trust_of_first),
        Slot::Listener => {
            let shares = |other: usize| simulation.nodes[other].listener == spec.listener;
            let mut calls = simulation.calls.iter().filter(|call| shares(call.to));
            first_mesh().any(shares) || calls.any(|call| is_check_of_first(&call.check))
        }
        Slot::Client => {
            let mut calls = simulation.calls.iter().filter(|call| call.from == node);
            calls.any(|call| simulation.nodes[call.to].callers.as_ref().is_some_and(is_trust_of_first))
        }
    }
}

#[test]
fn mesh_that_shares_all_trust_with_an_observed_mesh_waits() {
    // The trust bundle `ca` verifies each edge of the second mesh, and the first mesh uses it as well.
    observed_mesh_is_unchanged(2_582_327_593_173_911_710, 2, 5, 30).unwrap();
}

/// Two meshes: `m0`, in observe mode, has the nodes 0 and 2, and `m1` the nodes 1 and 3. In each mesh, the first node
/// calls the second, and `callers` is the trust of the second node of `m1`. The CA of all certificates has a successor.
fn two_meshes(callers: Option<SecretName>) -> (Simulation, AuthorityArn) {
    let mut simulation = Simulation::new(5);
    simulation.meshes = 2;
    let old = simulation.add_root("old", 20);
    let new = simulation.add_root("new", 20);
    let roots = vec![simulation.anchor_of(&old)];
    for node in 0..4 {
        let listener = Some(bundle(&mut simulation, &format!("listener-{node}"), &old, DAY * 90, &[]));
        let client: Option<CertificateSource> =
            Some(bundle(&mut simulation, &format!("client-{node}"), &old, DAY * 90, &roots));
        simulation.nodes.push(Node { listener, client, callers: None });
    }
    simulation.nodes[3].callers = callers;
    for (from, to) in [(0, 2), (1, 3)] {
        simulation.calls.push(Call { from, to, check: Check::Policy(vec![old.clone()]) });
    }
    simulation.start();
    simulation.policy.successions = vec![Succession { from: old, to: new.clone() }];
    simulation.watching.insert(0);
    (simulation, new)
}

/// Runs for ten hours. The proxies of the first mesh receive no update.
fn run_second_mesh(simulation: &mut Simulation) {
    for _ in 0..120 {
        simulation.run(0);
        let first_mesh: Vec<_> = [0, 2].map(|node| (node, simulation.proxies[node].clone())).into();
        simulation.deliver(100);
        for (node, proxies) in first_mesh {
            simulation.proxies[node] = proxies;
        }
        simulation.now += SignedDuration::from_mins(5);
        simulation.settle();
        simulation.check();
    }
}

fn is_issued_by(simulation: &Simulation, node: usize, authority: &AuthorityArn) -> bool {
    let chain = simulation.stored(simulation.nodes[node].listener.as_ref().unwrap());
    simulation.authorities[authority].certificate.issued(&chain.leaf)
}

#[test]
fn unacknowledged_trust_of_an_observed_mesh_is_not_the_canary_of_another_mesh() {
    let (mut simulation, new) = two_meshes(None);
    // An operator of the observed mesh adds the new CA, and its proxies do not acknowledge the change.
    let Check::Policy(authorities) = &mut simulation.calls[0].check else { unreachable!() };
    authorities.push(new.clone());
    run_second_mesh(&mut simulation);
    assert!(is_issued_by(&simulation, 3, &new), "{}", show(&simulation));
    assert!(!is_issued_by(&simulation, 2, &new));
}

#[test]
fn trust_in_a_secret_of_an_observed_mesh_is_reported_as_its_plan() {
    // A node of the second mesh trusts the roots in the secret with the certificate of a node of the first mesh. The
    // certificate is due for renewal, but that renewal is only reported, so the trust does not wait for it.
    let secret = SecretName::new("client-0");
    let (mut simulation, _) = two_meshes(Some(secret.clone()));
    let before = simulation.wanted(0);
    run_second_mesh(&mut simulation);
    let decisions = decide(&simulation.observe(), &|_| Vec::new(), &simulation.policy, simulation.now);
    let trust = RotationSubject::Trust(TrustId::Sds { name: secret });
    let decision = decisions.into_iter().find(|one| one.subject == trust).unwrap();
    assert!(matches!(decision.verdict, RotationVerdict::Distribute(_)), "{:?}", decision.verdict);
    assert_eq!(decision.watching, [Simulation::mesh_name(0)].into());
    assert_eq!(simulation.wanted(0), before, "the secret of the observed mesh does not change");
}
