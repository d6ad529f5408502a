//! Time passes, and nothing ends, nothing is issued in vain.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use mesh::certificates::{CertificateSource, SecretName};

use super::properties::{acm, bundle, random_mesh};
use super::simulation::{Answer, Call, Check, DAY, HOUR, Node, Simulation, Version};

/// A day: one run, and further runs every twenty minutes while a step is in progress.
fn day(simulation: &mut Simulation, faults: u64) {
    let end = simulation.now + DAY;
    for _ in 0..70 {
        let round = simulation.run(faults);
        simulation.deliver(90);
        if round.settled && !round.acted {
            break;
        }
        simulation.now += SignedDuration::from_mins(20);
        simulation.settle();
    }
    simulation.check();
    simulation.now = end.max(simulation.now);
    simulation.settle();
    simulation.check();
}

#[test]
fn forty_five_daily_repeats_lead_to_one_issuance() {
    let mut simulation = Simulation::new(7);
    let ca = simulation.add_root("ca", 20);
    for private in [true, false] {
        let source = acm(&mut simulation, "a.local", &ca, DAY * 395, private);
        simulation.nodes.push(super::simulation::Node { listener: Some(source), client: None, callers: None });
    }
    simulation.start();
    // The event comes from 45 days before the end, as if nothing had been done until then.
    for one in simulation.acm.values_mut() {
        let leaf = &mut std::rc::Rc::make_mut(one.chain.as_mut().unwrap()).leaf;
        leaf.not_after = simulation.now + DAY * 45;
        leaf.not_before = leaf.not_after - DAY * 395;
    }
    simulation.proxies.clear();
    simulation.start();
    for _ in 0..45 {
        day(&mut simulation, 0);
        // Repeated runs change nothing.
        assert!(!simulation.run(0).acted);
        assert!(!simulation.run(0).acted);
    }
    assert_eq!(simulation.issued.len(), 2);
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
    let (mut simulation, _) = random_mesh(seed, 100, 2);
    let certificates = simulation.observe().leaves.len();
    assert!(certificates >= 200, "{certificates}");
    for _ in 0..days {
        day(&mut simulation, faults);
    }
    assert!(simulation.issued.len() > certificates * usize::try_from(days).unwrap() / 365, "time has passed");
    let mut needless = 0;
    for one in &simulation.issued {
        let leaf = &one.replaced.leaf;
        let lifetime = leaf.not_after.duration_since(leaf.not_before);
        let lived = one.at.duration_since(leaf.not_before);
        assert!(lived < lifetime - HOUR, "{} was replaced {lived} into {lifetime}", one.source);
        needless += u32::from(lived.as_secs() * 100 < lifetime.as_secs() * 60);
    }
    assert_eq!(needless, 0);
    // One for each leaf, those aside that a crash has cost, which are counted.
    let mut replaced: Vec<_> = simulation.issued.iter().map(|one| one.replaced.leaf.fingerprint.clone()).collect();
    let all = replaced.len();
    replaced.sort();
    replaced.dedup();
    let lost = usize::try_from(simulation.lost()).unwrap();
    assert!(all - replaced.len() <= lost, "{} of {all} twice, {lost} known to be lost", all - replaced.len());
    assert!(faults > 0 || lost == 0);
}

/// A disturbance of a simulation, with its length.
struct Trouble {
    validity: SignedDuration,
    /// Between two runs.
    step: SignedDuration,
    time: SignedDuration,
    /// The duration of one misbehaviour of a CA: shorter than the rest of a leaf's validity when it is renewed.
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

/// One client calls some servers. The law of the simulation is checked at each step: every leaf that is served is accepted.
fn troubled(trouble: &Trouble, seed: u64) {
    let mut simulation = Simulation::new(seed);
    let ca = simulation.add_root("ca", 20);
    for server in 0..SERVERS {
        let name = format!("s{server}");
        let listener = bundle(&mut simulation, &name, &ca, DAY, &[]);
        let chain = simulation.issue(
            &name,
            &ca,
            simulation.now - SignedDuration::from_mins(5),
            simulation.now + trouble.validity,
        );
        let key = Some(chain.leaf.public_key.clone());
        let first = Version { chain: Some(chain), requested: false, trust: vec![], key };
        simulation.secrets.get_mut(&SecretName::new(&name)).unwrap().versions.insert("first".to_owned(), first);
        simulation.nodes.push(Node { listener: Some(listener), client: None, callers: None });
        simulation.calls.push(Call { from: SERVERS, to: server, check: Check::Policy(vec![ca.clone()]) });
    }
    simulation.nodes.push(Node::default());
    simulation.start();
    let end = simulation.now + trouble.time;
    let (mut bad_until, mut outages, mut roll_backs) = (simulation.now, 0_usize, 0_usize);
    let mut quiet_until: BTreeMap<usize, Timestamp> = BTreeMap::new();
    while simulation.now < end {
        if simulation.now >= bad_until {
            simulation.answer = Answer::Good;
            // Long enough in between for what failed to be tried again.
            if simulation.now >= bad_until + trouble.validity / 6 && simulation.draw(6) == 0 {
                simulation.answer = BAD[usize::try_from(simulation.draw(BAD.len() as u64)).unwrap()];
                bad_until = simulation.now + trouble.outage;
                outages += 1;
            }
        }
        let server = usize::try_from(simulation.draw(SERVERS as u64)).unwrap();
        if quiet_until.get(&server).is_none_or(|until| *until <= simulation.now)
            && rolls_back(&mut simulation, server, trouble.validity)
        {
            quiet_until.insert(server, simulation.now + trouble.validity * 2);
            roll_backs += 1;
        }
        for _ in 0..6 {
            if !simulation.run(0).acted {
                break;
            }
        }
        simulation.deliver(100);
        simulation.check();
        simulation.now += trouble.step;
        simulation.settle();
        simulation.check();
    }
    let issued = simulation.issued.len();
    println!("{issued} issued, {outages} outages, {roll_backs} roll-backs, {} pages", simulation.pages.len());
    assert!(outages > 5 && roll_backs > 5, "{outages} {roll_backs}");
    // Two thirds of a validity each, and twice as much for bad answers and rollbacks.
    let lives = usize::try_from(trouble.time.as_secs() / (trouble.validity.as_secs() * 6 / 10)).unwrap();
    assert!(issued >= lives / 2 * SERVERS, "{issued}");
    assert!(issued <= lives * SERVERS * 2 + outages * SERVERS, "{issued} for {lives} lives of {SERVERS}");
    let moved = simulation.pages.iter().filter(|page| page.code == "MovedBack").count();
    // A leaf of one hour is near its end by then, so that the rollback is overruled at once.
    let is_held = trouble.validity > DAY;
    assert!((moved > 0 || !is_held) && moved <= roll_backs, "{moved} pages for {roll_backs} roll-backs");
}

/// An operator moves the current version of a secret back, where the one before is still valid for a while.
fn rolls_back(simulation: &mut Simulation, server: usize, validity: SignedDuration) -> bool {
    let name = SecretName::new(format!("s{server}"));
    let secret = &simulation.secrets[&name];
    let Some(previous) = secret.previous.clone() else { return false };
    let leaf = secret.versions[&previous].chain.as_ref().unwrap().leaf.clone();
    let left = leaf.not_after.duration_since(simulation.now);
    let present_end = simulation.stored(&CertificateSource::Sds(name.clone())).leaf.not_after;
    if leaf.not_after >= present_end || left < validity / 5 {
        return false;
    }
    let secret = simulation.secrets.get_mut(&name).unwrap();
    secret.previous = secret.current.replace(previous);
    true
}
