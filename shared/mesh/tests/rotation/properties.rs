//! At every instant each client trusts what each server presents.

use std::rc::Rc;

use jiff::SignedDuration;
use mesh::certificates::{AuthorityArn, Certificate, CertificateArn, Chain, SecretName, Source};
use mesh::policy::Succession;
use mesh::rotation::{Verdict, decide};
use proptest::prelude::*;

use super::world::{AcmCertificate, Call, Check, DAY, Node, Part, Secret, Version, World};

/// A mesh of so many nodes, with every kind of certificate and trust at random, all by one CA.
pub(super) fn random_mesh(seed: u64, nodes: usize, density: u64) -> (World, AuthorityArn) {
    random_meshes(seed, 1, nodes, density)
}

/// The same with several meshes, which share some of it.
pub(super) fn random_meshes(seed: u64, meshes: usize, nodes: usize, density: u64) -> (World, AuthorityArn) {
    let mut world = World::new(seed);
    world.meshes = meshes;
    for _ in 0..8 {
        world.draw(2);
    }
    let old = world.add_root("old", 20);
    let roots = vec![world.anchor_of(&old)];
    let shared = SecretName::new("ca");
    add_secret(&mut world, &shared, None, roots.clone());
    for node in 0..nodes {
        let name = format!("n{node}.local");
        let lifetime = DAY * i32::try_from(20 + world.draw(100)).unwrap();
        let shared_with = (meshes > 1 && node > 0 && world.draw(3) == 0).then(|| world.draw(node as u64));
        let shared_with = shared_with.and_then(|other| world.nodes[usize::try_from(other).unwrap()].listener.clone());
        let listener = match world.draw(3) {
            _ if shared_with.is_some() => shared_with.unwrap(),
            0 => acm(&mut world, &name, &old, lifetime, true),
            1 => acm(&mut world, &name, &old, lifetime, false),
            _ => bundle(&mut world, &format!("listener-{node}"), &old, lifetime, &[]),
        };
        // Some hold both their certificate and their trust in one secret.
        let trust = if world.draw(3) == 0 { roots.clone() } else { Vec::new() };
        let own = bundle(&mut world, &format!("client-{node}"), &old, lifetime, &trust);
        let callers = (world.draw(2) == 0)
            .then(|| if trust.is_empty() { shared.clone() } else { SecretName::new(format!("client-{node}")) });
        world.nodes.push(Node { listener: Some(listener), client: Some(own), callers });
    }
    for from in 0..nodes {
        for to in (0..nodes).filter(|to| *to != from) {
            if world.mesh_of(from) != world.mesh_of(to) || world.draw(100) >= density {
                continue;
            }
            let is_acm = matches!(world.nodes[to].listener, Some(Source::Acm(_)));
            let requires_client = world.nodes[to].callers.is_some();
            let check = match world.draw(3) {
                // Without a policy no client certificate is presented either.
                0 if is_acm && !requires_client => Check::Implicit,
                1 => Check::Bundle(shared.clone()),
                _ => Check::Policy(vec![old.clone()]),
            };
            world.calls.push(Call { from, to, check });
        }
    }
    world.start();
    (world, old)
}

pub(super) fn acm(world: &mut World, name: &str, by: &AuthorityArn, lifetime: SignedDuration, private: bool) -> Source {
    let chain = world.leaf(name, by, lifetime);
    let arn = CertificateArn::new(format!("arn:acm:{}", world.acm.len()));
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
    world.acm.insert(arn.clone(), one);
    Source::Acm(arn)
}

pub(super) fn bundle(
    world: &mut World,
    name: &str,
    by: &AuthorityArn,
    lifetime: SignedDuration,
    trust: &[Rc<Certificate>],
) -> Source {
    let chain = world.leaf(name, by, lifetime);
    let name = SecretName::new(name);
    add_secret(world, &name, Some(chain), trust.to_vec());
    Source::Sds(name)
}

fn add_secret(world: &mut World, name: &SecretName, chain: Option<Rc<Chain>>, trust: Vec<Rc<Certificate>>) {
    let key = chain.as_ref().map(|chain| chain.leaf.public_key.clone());
    let first = Version { chain, requested: false, trust, key };
    let secret = Secret {
        versions: [("first".to_owned(), first)].into(),
        current: Some("first".to_owned()),
        ..Secret::default()
    };
    world.secrets.insert(name.clone(), secret);
}

fn show(world: &World) -> String {
    let decisions = decide(&world.observe(), &|_| Vec::new(), &world.policy, world.now);
    let open = decisions.iter().filter(|one| !matches!(&one.verdict, Verdict::Keep(reason) if !reason.holds()));
    open.map(|one| format!("{}: {:?}", one.subject, one.verdict)).collect::<Vec<_>>().join("\n")
}

/// No node trusts the old root any more, and no certificate is from the old CA.
fn nothing_is_old(world: &World, old: &AuthorityArn) -> Result<(), TestCaseError> {
    let root = world.anchor_of(old);
    for part in world.proxies.iter().flatten().flat_map(|proxy| proxy.values()) {
        match part {
            Part::Leaf(chain) => prop_assert!(!world.authorities[old].certificate.issued(&chain.leaf)),
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
        let (mut world, old) = random_mesh(seed, nodes, density);
        let new = world.add_root("new", 20);
        let to = if subordinate { world.add_subordinate("sub", &new) } else { new.clone() };
        world.policy.successions = vec![Succession { from: old.clone(), to: to.clone() }];
        let mut rounds = 0;
        let mut quiet = 0;
        while quiet < 3 {
            rounds += 1;
            prop_assert!(rounds < 3000, "not done after {rounds} rounds: {}", show(&world));
            world.silent.clear();
            if rounds % 7 == 0 && faults > 0 {
                let node = usize::try_from(world.draw(nodes as u64)).unwrap();
                world.silent.insert(node);
            }
            let round = world.wake(faults);
            quiet = if round.settled && !round.acted { quiet + 1 } else { 0 };
            world.deliver(pace);
            world.now += SignedDuration::from_mins(5);
            world.settle();
            world.check();
        }
        nothing_is_old(&world, &old)?;
        // One issuance each, except issuances lost in a crash and issuances that could not wait.
        let sources = world.observe().leaves.len();
        let urgent = world.issued.iter().filter(|one| one.at >= one.replaced.leaf.not_after - DAY * 40).count();
        prop_assert!(world.issued.len() <= sources + world.lost() as usize + urgent, "{} for {sources}", world.issued.len());
    }

    #[test]
    fn a_new_subordinate_under_the_same_root_needs_no_trust_stage(seed in 1_u64..u64::MAX, nodes in 2_usize..6) {
        let (mut world, old) = random_mesh(seed, nodes, 40);
        let sub = world.add_subordinate("sub", &old);
        world.policy.successions = vec![Succession { from: old, to: sub }];
        let before: Vec<Check> = world.calls.iter().map(|call| call.check.clone()).collect();
        let mut rounds = 0;
        while !world.wake(0).settled {
            rounds += 1;
            prop_assert!(rounds < 500, "{}", show(&world));
            world.deliver(50);
            world.now += SignedDuration::from_mins(5);
            world.settle();
        }
        prop_assert_eq!(before, world.calls.iter().map(|call| call.check.clone()).collect::<Vec<_>>());
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
        let (mut world, old) = random_meshes(seed, meshes, nodes, 60);
        let new = world.add_root("new", 20);
        world.policy.successions = vec![Succession { from: old.clone(), to: new }];
        if never_read {
            world.unread.insert(0);
        }
        let (mut rounds, mut quiet) = (0, 0);
        while quiet < 3 {
            rounds += 1;
            prop_assert!(rounds < 3000, "not done after {rounds} rounds: {}", show(&world));
            if rounds < 150 && rounds % 11 == 0 {
                world.unread.clear();
                if world.draw(4) > 0 {
                    let mesh = usize::try_from(world.draw(meshes as u64)).unwrap();
                    world.unread.insert(mesh);
                }
            } else if rounds >= 150 {
                world.unread.clear();
            }
            world.edit_unseen();
            if rounds >= 160 {
                // What an unseen edit moved back is left alone until an operator releases it.
                world.release_what_was_moved_back();
            }
            let round = world.wake(faults);
            quiet = if round.settled && !round.acted && rounds > 160 { quiet + 1 } else { 0 };
            world.deliver(pace);
            world.now += SignedDuration::from_mins(5);
            world.settle();
            world.check();
        }
        nothing_is_old(&world, &old)?;
    }

    #[test]
    fn what_a_mesh_has_that_only_watches_is_never_changed(
        seed in 1_u64..u64::MAX,
        meshes in 2_usize..4,
        nodes in 3_usize..9,
        pace in 30_u64..100,
    ) {
        let (mut world, old) = random_meshes(seed, meshes, nodes, 60);
        let new = world.add_root("new", 20);
        world.policy.successions = vec![Succession { from: old.clone(), to: new }];
        world.watching.insert(0);
        let before: Vec<_> = (0..nodes).map(|node| world.wanted(node)).collect();
        for round in 0..120 {
            world.unread.clear();
            if round % 5 == 0 {
                let mesh = usize::try_from(world.draw(meshes as u64)).unwrap();
                world.unread.insert(mesh);
            }
            world.wake(0);
            world.deliver(pace);
            world.now += SignedDuration::from_mins(5);
            world.settle();
            world.check();
        }
        let mut same = true;
        for (node, before) in before.iter().enumerate() {
            if world.mesh_of(node) == 0 {
                prop_assert_eq!(&world.wanted(node), before);
            } else {
                same &= world.wanted(node) == *before;
            }
        }
        prop_assert!(!same || nodes < meshes, "others go on");
    }
}
