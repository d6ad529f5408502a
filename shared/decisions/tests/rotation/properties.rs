//! At every instant each client trusts what each server presents.

use std::rc::Rc;

use decisions::rotation::{RotationVerdict, decide};
use jiff::SignedDuration;
use mesh::certificates::{AuthorityArn, Certificate, CertificateArn, CertificateSource, Chain, SecretName};
use policy::Succession;
use proptest::prelude::*;

use super::observed_mesh::observed_mesh_is_unchanged;
use super::simulation::{AcmCertificate, Call, Check, DAY, Node, Part, Secret, Simulation, Version};

/// A mesh of so many nodes, with every kind of certificate and trust at random, all by one CA.
pub(super) fn random_mesh(seed: u64, nodes: usize, density: u64) -> (Simulation, AuthorityArn) {
    random_meshes(seed, 1, nodes, density)
}

/// Several meshes that share certificates and trust.
pub(super) fn random_meshes(seed: u64, meshes: usize, nodes: usize, density: u64) -> (Simulation, AuthorityArn) {
    let mut simulation = Simulation::new(seed);
    simulation.meshes = meshes;
    for _ in 0..8 {
        simulation.draw(2);
    }
    let old = simulation.add_root("old", 20);
    let roots = vec![simulation.anchor_of(&old)];
    let shared = SecretName::new("ca");
    add_secret(&mut simulation, &shared, None, roots.clone());
    for node in 0..nodes {
        let name = format!("n{node}.local");
        let lifetime = DAY * i32::try_from(20 + simulation.draw(100)).unwrap();
        let shared_with = (meshes > 1 && node > 0 && simulation.draw(3) == 0).then(|| simulation.draw(node as u64));
        let shared_with =
            shared_with.and_then(|other| simulation.nodes[usize::try_from(other).unwrap()].listener.clone());
        let listener = match simulation.draw(3) {
            _ if shared_with.is_some() => shared_with.unwrap(),
            0 => acm(&mut simulation, &name, &old, lifetime, true),
            1 => acm(&mut simulation, &name, &old, lifetime, false),
            _ => bundle(&mut simulation, &format!("listener-{node}"), &old, lifetime, &[]),
        };
        // Some hold both their certificate and their trust in one secret.
        let trust = if simulation.draw(3) == 0 { roots.clone() } else { Vec::new() };
        let own = bundle(&mut simulation, &format!("client-{node}"), &old, lifetime, &trust);
        let callers = (simulation.draw(2) == 0)
            .then(|| if trust.is_empty() { shared.clone() } else { SecretName::new(format!("client-{node}")) });
        simulation.nodes.push(Node { listener: Some(listener), client: Some(own), callers });
    }
    for from in 0..nodes {
        for to in (0..nodes).filter(|to| *to != from) {
            if simulation.mesh_of(from) != simulation.mesh_of(to) || simulation.draw(100) >= density {
                continue;
            }
            let is_acm = matches!(simulation.nodes[to].listener, Some(CertificateSource::Acm(_)));
            let requires_client = simulation.nodes[to].callers.is_some();
            let check = match simulation.draw(3) {
                // Without a policy no client certificate is presented either.
                0 if is_acm && !requires_client => Check::Implicit,
                1 => Check::Bundle(shared.clone()),
                _ => Check::Policy(vec![old.clone()]),
            };
            simulation.calls.push(Call { from, to, check });
        }
    }
    simulation.start();
    (simulation, old)
}

pub(super) fn acm(
    simulation: &mut Simulation,
    name: &str,
    by: &AuthorityArn,
    lifetime: SignedDuration,
    private: bool,
) -> CertificateSource {
    let chain = simulation.leaf(name, by, lifetime);
    let arn = CertificateArn::new(format!("arn:acm:{}", simulation.acm.len()));
    let one = AcmCertificate {
        name: name.to_owned(),
        authority: private.then(|| by.clone()),
        chain: Some(chain),
        eligible: false,
        ready: None,
        replaces: None,
        lifetime,
        token: None,
    };
    simulation.acm.insert(arn.clone(), one);
    CertificateSource::Acm(arn)
}

pub(super) fn bundle(
    simulation: &mut Simulation,
    name: &str,
    by: &AuthorityArn,
    lifetime: SignedDuration,
    trust: &[Rc<Certificate>],
) -> CertificateSource {
    let chain = simulation.leaf(name, by, lifetime);
    let name = SecretName::new(name);
    add_secret(simulation, &name, Some(chain), trust.to_vec());
    CertificateSource::Sds(name)
}

fn add_secret(simulation: &mut Simulation, name: &SecretName, chain: Option<Rc<Chain>>, trust: Vec<Rc<Certificate>>) {
    let key = chain.as_ref().map(|chain| chain.leaf.public_key.clone());
    let first = Version { chain, requested: false, trust, key };
    let secret = Secret {
        versions: [("first".to_owned(), first)].into(),
        current: Some("first".to_owned()),
        ..Secret::default()
    };
    simulation.secrets.insert(name.clone(), secret);
}

pub(super) fn show(simulation: &Simulation) -> String {
    let decisions = decide(&simulation.observe(), &|_| Vec::new(), &simulation.policy, simulation.now);
    let open = decisions.iter().filter(|one| !matches!(&one.verdict, RotationVerdict::Keep(reason) if !reason.holds()));
    open.map(|one| format!("{}: {:?}", one.subject, one.verdict)).collect::<Vec<_>>().join("\n")
}

/// No node trusts the old root any more, and no certificate is from the old CA.
fn nothing_is_old(simulation: &Simulation, old: &AuthorityArn) -> Result<(), TestCaseError> {
    let root = simulation.anchor_of(old);
    for part in simulation.proxies.iter().flatten().flat_map(|proxy| proxy.values()) {
        match part {
            Part::Leaf(chain) => prop_assert!(!simulation.authorities[old].certificate.issued(&chain.leaf)),
            Part::Trust(roots) => prop_assert!(!roots.contains(&root)),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn each_client_trusts_each_server_while_a_ca_is_replaced(
        seed in 1_u64..u64::MAX,
        nodes in 2_usize..7,
        density in 10_u64..70,
        faults in prop_oneof![Just(0_u64), 1_u64..40],
        pace in 5_u64..100,
        subordinate in any::<bool>(),
    ) {
        let (mut simulation, old) = random_mesh(seed, nodes, density);
        let new = simulation.add_root("new", 20);
        let to = if subordinate { simulation.add_subordinate("sub", &new) } else { new.clone() };
        simulation.policy.successions = vec![Succession { from: old.clone(), to: to.clone() }];
        let mut rounds = 0;
        let mut quiet = 0;
        while quiet < 3 {
            rounds += 1;
            prop_assert!(rounds < 3000, "not done after {rounds} rounds: {}", show(&simulation));
            simulation.silent.clear();
            if rounds % 7 == 0 && faults > 0 {
                let node = usize::try_from(simulation.draw(nodes as u64)).unwrap();
                simulation.silent.insert(node);
            }
            let round = simulation.run(faults);
            quiet = if round.settled && !round.acted { quiet + 1 } else { 0 };
            simulation.deliver(pace);
            simulation.now += SignedDuration::from_mins(5);
            simulation.settle();
            simulation.check();
        }
        nothing_is_old(&simulation, &old)?;
        // One issuance each, except issuances lost in a crash and issuances that could not wait.
        let sources = simulation.observe().leaves.len();
        let urgent = simulation.issued.iter().filter(|one| one.at >= one.replaced.leaf.not_after - DAY * 40).count();
        prop_assert!(simulation.issued.len() <= sources + simulation.lost() as usize + urgent, "{} for {sources}", simulation.issued.len());
    }

    #[test]
    fn a_new_subordinate_under_the_same_root_needs_no_trust_stage(seed in 1_u64..u64::MAX, nodes in 2_usize..6) {
        let (mut simulation, old) = random_mesh(seed, nodes, 40);
        let sub = simulation.add_subordinate("sub", &old);
        simulation.policy.successions = vec![Succession { from: old, to: sub }];
        let before: Vec<Check> = simulation.calls.iter().map(|call| call.check.clone()).collect();
        let mut rounds = 0;
        while !simulation.run(0).settled {
            rounds += 1;
            prop_assert!(rounds < 500, "{}", show(&simulation));
            simulation.deliver(50);
            simulation.now += SignedDuration::from_mins(5);
            simulation.settle();
        }
        prop_assert_eq!(before, simulation.calls.iter().map(|call| call.check.clone()).collect::<Vec<_>>());
    }

    #[test]
    fn the_same_over_meshes_that_share_and_that_cannot_always_be_read(
        seed in 1_u64..u64::MAX,
        meshes in 2_usize..5,
        nodes in 3_usize..9,
        faults in prop_oneof![Just(0_u64), 1_u64..30],
        pace in 10_u64..100,
        never_read in any::<bool>(),
    ) {
        let (mut simulation, old) = random_meshes(seed, meshes, nodes, 60);
        let new = simulation.add_root("new", 20);
        simulation.policy.successions = vec![Succession { from: old.clone(), to: new }];
        if never_read {
            simulation.unread.insert(0);
        }
        let (mut rounds, mut quiet) = (0, 0);
        while quiet < 3 {
            rounds += 1;
            prop_assert!(rounds < 3000, "not done after {rounds} rounds: {}", show(&simulation));
            if rounds < 150 && rounds % 11 == 0 {
                simulation.unread.clear();
                if simulation.draw(4) > 0 {
                    let mesh = usize::try_from(simulation.draw(meshes as u64)).unwrap();
                    simulation.unread.insert(mesh);
                }
            } else if rounds >= 150 {
                simulation.unread.clear();
            }
            simulation.edit_unseen();
            if rounds >= 160 {
                // A version that an unread edit rolled back stays until an operator releases it.
                simulation.release_what_was_moved_back();
            }
            let round = simulation.run(faults);
            quiet = if round.settled && !round.acted && rounds > 160 { quiet + 1 } else { 0 };
            simulation.deliver(pace);
            simulation.now += SignedDuration::from_mins(5);
            simulation.settle();
            simulation.check();
        }
        nothing_is_old(&simulation, &old)?;
    }

    #[test]
    fn certificates_of_an_observed_mesh_are_never_changed(
        seed in 1_u64..u64::MAX,
        meshes in 2_usize..4,
        nodes in 3_usize..9,
        pace in 30_u64..100,
    ) {
        observed_mesh_is_unchanged(seed, meshes, nodes, pace)?;
    }
}
