//! Time passes, and nothing ends, nothing is issued in vain.

use jiff::SignedDuration;

use super::properties::{acm, random_mesh};
use super::world::{DAY, HOUR, World};

/// A day: one wake, and more every twenty minutes while something is under way.
fn day(world: &mut World, faults: u64) {
    let end = world.now + DAY;
    for _ in 0..70 {
        let round = world.wake(faults);
        world.deliver(90);
        if round.settled && !round.acted {
            break;
        }
        world.now += SignedDuration::from_mins(20);
        world.settle();
    }
    world.check();
    world.now = end.max(world.now);
    world.settle();
    world.check();
}

#[test]
fn forty_five_daily_repeats_lead_to_one_issuance() {
    let mut world = World::new(7);
    let ca = world.add_root("ca", 20);
    for private in [true, false] {
        let source = acm(&mut world, "a.local", &ca, DAY * 395, private);
        world.nodes.push(super::world::Node { listener: Some(source), client: None, callers: None });
    }
    world.start();
    // The event comes from 45 days before the end, as if nobody had done anything until then.
    for one in world.acm.values_mut() {
        let leaf = &mut std::rc::Rc::make_mut(one.chain.as_mut().unwrap()).leaf;
        leaf.not_after = world.now + DAY * 45;
        leaf.not_before = leaf.not_after - DAY * 395;
    }
    world.proxies.clear();
    world.start();
    for _ in 0..45 {
        day(&mut world, 0);
        // The same again, and again: nothing comes of it.
        assert!(!world.wake(0).acted);
        assert!(!world.wake(0).acted);
    }
    assert_eq!(world.issued.len(), 2);
}

#[test]
fn a_year_on_two_hundred_certificates() {
    pass(11, 0, 365);
}

#[test]
fn a_month_on_two_hundred_certificates_with_crashes() {
    pass(12, 10, 30);
}

fn pass(seed: u64, faults: u64, days: u32) {
    let (mut world, _) = random_mesh(seed, 100, 2);
    let certificates = world.observe().leaves.len();
    assert!(certificates >= 200, "{certificates}");
    for _ in 0..days {
        day(&mut world, faults);
    }
    assert!(world.issued.len() > certificates * usize::try_from(days).unwrap() / 365, "time has passed");
    let mut needless = 0;
    for one in &world.issued {
        let leaf = &one.replaced.leaf;
        let lifetime = leaf.not_after.duration_since(leaf.not_before);
        let lived = one.at.duration_since(leaf.not_before);
        assert!(lived < lifetime - HOUR, "{} was replaced {lived} into {lifetime}", one.source);
        needless += u32::from(lived.as_secs() * 100 < lifetime.as_secs() * 60);
    }
    assert_eq!(needless, 0);
    // One for each leaf, those aside that a crash has cost, which are counted.
    let mut replaced: Vec<_> = world.issued.iter().map(|one| one.replaced.leaf.fingerprint.clone()).collect();
    let all = replaced.len();
    replaced.sort();
    replaced.dedup();
    let lost = usize::try_from(world.lost()).unwrap();
    assert!(all - replaced.len() <= lost, "{} of {all} twice, {lost} known to be lost", all - replaced.len());
    assert!(faults > 0 || lost == 0);
}
