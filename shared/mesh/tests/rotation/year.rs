//! Time passes, and nothing ends, nothing is issued in vain.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use mesh::certificates::{SecretName, Source};

use super::properties::{acm, bundle, random_mesh};
use super::world::{Answer, Call, Check, DAY, HOUR, Node, Version, World};

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
    // The event comes from 45 days before the end, as if nothing had been done until then.
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

/// What happens in a simulation, and for how long.
struct Trouble {
    validity: SignedDuration,
    /// Between two runs.
    step: SignedDuration,
    time: SignedDuration,
    /// How long a CA misbehaves at a time: shorter than the rest of a leaf's validity when it is renewed.
    outage: SignedDuration,
}

#[test]
fn leaves_of_an_hour_survive_bad_answers_and_roll_backs() {
    let minutes = SignedDuration::from_mins;
    troubled(&Trouble { validity: HOUR, step: minutes(5), time: DAY * 5, outage: minutes(6) }, 21);
}

#[test]
fn leaves_of_a_week_survive_bad_answers_and_roll_backs() {
    troubled(&Trouble { validity: DAY * 7, step: SignedDuration::from_mins(30), time: DAY * 90, outage: HOUR * 5 }, 22);
}

#[test]
fn leaves_of_90_days_survive_a_year_of_bad_answers_and_roll_backs() {
    troubled(&Trouble { validity: DAY * 90, step: HOUR * 3, time: DAY * 365, outage: DAY * 3 }, 23);
}

const BAD: [Answer; 8] = [
    Answer::Ended,
    Answer::ForeignKey,
    Answer::WrongName,
    Answer::OtherIssuer,
    Answer::Slow(7),
    Answer::Never,
    Answer::Denied,
    Answer::Failed,
];
const SERVERS: usize = 6;

/// One client calls some servers. The law of the world is checked at each step: every leaf that is served is accepted.
fn troubled(trouble: &Trouble, seed: u64) {
    let mut world = World::new(seed);
    let ca = world.add_root("ca", 20);
    for server in 0..SERVERS {
        let name = format!("s{server}");
        let listener = bundle(&mut world, &name, &ca, DAY, &[]);
        let chain = world.issue(&name, &ca, world.now - SignedDuration::from_mins(5), world.now + trouble.validity);
        let key = Some(chain.leaf.public_key.clone());
        let first = Version { chain: Some(chain), requested: false, trust: vec![], key };
        world.secrets.get_mut(&SecretName::new(&name)).unwrap().versions.insert("first".to_owned(), first);
        world.nodes.push(Node { listener: Some(listener), client: None, callers: None });
        world.calls.push(Call { from: SERVERS, to: server, check: Check::Policy(vec![ca.clone()]) });
    }
    world.nodes.push(Node::default());
    world.start();
    let end = world.now + trouble.time;
    let (mut bad_until, mut outages, mut roll_backs) = (world.now, 0_usize, 0_usize);
    let mut quiet_until: BTreeMap<usize, Timestamp> = BTreeMap::new();
    while world.now < end {
        if world.now >= bad_until {
            world.answer = Answer::Good;
            // Long enough in between for what failed to be tried again.
            if world.now >= bad_until + trouble.validity / 6 && world.draw(6) == 0 {
                world.answer = BAD[usize::try_from(world.draw(BAD.len() as u64)).unwrap()];
                bad_until = world.now + trouble.outage;
                outages += 1;
            }
        }
        let server = usize::try_from(world.draw(SERVERS as u64)).unwrap();
        if quiet_until.get(&server).is_none_or(|until| *until <= world.now)
            && rolls_back(&mut world, server, trouble.validity)
        {
            quiet_until.insert(server, world.now + trouble.validity * 2);
            roll_backs += 1;
        }
        for _ in 0..6 {
            if !world.wake(0).acted {
                break;
            }
        }
        world.deliver(100);
        world.check();
        world.now += trouble.step;
        world.settle();
        world.check();
    }
    let issued = world.issued.len();
    println!("{issued} issued, {outages} outages, {roll_backs} roll-backs, {} pages", world.pages.len());
    assert!(outages > 5 && roll_backs > 5, "{outages} {roll_backs}");
    // Two thirds of a validity each, and twice as much for bad answers and rollbacks.
    let lives = usize::try_from(trouble.time.as_secs() / (trouble.validity.as_secs() * 6 / 10)).unwrap();
    assert!(issued >= lives / 2 * SERVERS, "{issued}");
    assert!(issued <= lives * SERVERS * 2 + outages * SERVERS, "{issued} for {lives} lives of {SERVERS}");
    let moved = world.pages.iter().filter(|page| page.code == "MovedBack").count();
    // What lives for an hour is near its end by then, so that the roll-back is overruled at once.
    let is_held = trouble.validity > DAY;
    assert!((moved > 0 || !is_held) && moved <= roll_backs, "{moved} pages for {roll_backs} roll-backs");
}

/// An operator moves the current version of a secret back, where the one before is still valid for a while.
fn rolls_back(world: &mut World, server: usize, validity: SignedDuration) -> bool {
    let name = SecretName::new(format!("s{server}"));
    let secret = &world.secrets[&name];
    let Some(previous) = secret.previous.clone() else { return false };
    let leaf = secret.versions[&previous].chain.as_ref().unwrap().leaf.clone();
    let left = leaf.not_after.duration_since(world.now);
    let present_end = world.stored(&Source::Sds(name.clone())).leaf.not_after;
    if leaf.not_after >= present_end || left < validity / 5 {
        return false;
    }
    let secret = world.secrets.get_mut(&name).unwrap();
    secret.previous = secret.current.replace(previous);
    true
}
