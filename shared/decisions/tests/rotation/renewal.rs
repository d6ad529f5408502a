//! When a certificate is renewed, and from when on nothing may keep that waiting.

use decisions::rotation::{Keeper, overdue};
use jiff::SignedDuration;
use mesh::certificates::{Jitter, RenewalRule, SourceReading};
use policy::Percent;

use super::properties::acm;
use super::simulation::{DAY, Node, Simulation};

#[test]
fn two_thirds_into_the_life_less_the_jitter_and_never_before_its_half() {
    let hours = SignedDuration::from_hours;
    let minutes = SignedDuration::from_mins;
    // Lifetime, part left in percent, jitter in thousandths, lead time; renewed and urgent so long before the end.
    for (case, lifetime, before, jitter, lead, renewed, urgent) in [
        ("a year", hours(8760), 34, 0, minutes(45), hours(8760) * 34 / 100, hours(876)),
        ("with jitter", hours(1000), 34, 50, minutes(45), hours(390), hours(100)),
        ("a late point, and the way takes longer", hours(100), 1, 0, hours(10), hours(10), hours(25)),
        ("the way takes longer than half a life", hours(10), 34, 0, hours(8), hours(5), minutes(150)),
        ("a day", hours(24), 34, 0, minutes(45), minutes(24 * 60 * 34 / 100), hours(3)),
        ("from the first half on", hours(100), 100, 0, minutes(1), hours(50), hours(10)),
        ("jitter does not go past the half either", hours(100), 48, 50, minutes(1), hours(50), hours(10)),
    ] {
        let mut simulation = Simulation::new(1);
        let ca = simulation.add_root("ca", 20);
        let (from, until) = (simulation.now, simulation.now + lifetime);
        let leaf = &simulation.issue("a", &ca, from, until).leaf;
        let rule = RenewalRule { before: Percent::new(before).unwrap(), lead };
        let left = |at: jiff::Timestamp| until.duration_since(at);
        let off = (left(rule.point(leaf, Jitter(jitter))) - renewed).abs();
        assert!(off < minutes(1), "{case}: renewed {} before its end", left(rule.point(leaf, Jitter(jitter))));
        let off = (left(rule.urgent(leaf)) - urgent).abs();
        assert!(off < minutes(1), "{case}: urgent {} before its end", left(rule.urgent(leaf)));
    }
}

#[test]
fn a_jitter_is_drawn_within_its_bound() {
    let most = Percent::new(5).unwrap();
    let drawn: Vec<u16> = (0..200).map(|by| Jitter::draw(most, by).0).collect();
    assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&0), Some(&50)));
    assert_eq!(Jitter::draw(most, 7), Jitter::draw(most, 7));
}

/// One alarm suits leaves with a validity of a day and of a year.
#[test]
fn how_late_a_renewal_is_does_not_depend_on_how_long_a_certificate_lives() {
    // Lifetime in hours, how much of it is over in percent, when the CA ends in percent of it; how late that is.
    for (lifetime, over, ca_ends, late) in [
        (24, 0, 1000, 0),
        (24, 66, 1000, 0),
        (24, 75, 1000, 26),
        (24, 83, 1000, 50),
        (24, 99, 1000, 97),
        (24, 100, 1000, 100),
        (24, 300, 1000, 100),
        (8760, 66, 1000, 0),
        (8760, 83, 1000, 50),
        (8760, 120, 1000, 100),
        (8760, 30, 40, 26),
        (8760, 39, 40, 92),
        (8760, 41, 40, 100),
    ] {
        let mut simulation = Simulation::new(1);
        let ca = simulation.add_root("ca", 40);
        let leaf = acm(&mut simulation, "a", &ca, DAY, false);
        let percent = |of: i32| SignedDuration::from_mins(lifetime * 60) * of / 100;
        let chain = simulation.issue("a", &ca, simulation.now, simulation.now + percent(100));
        let mesh::certificates::CertificateSource::Acm(arn) = &leaf else { unreachable!() };
        simulation.acm.get_mut(arn).unwrap().chain = Some(chain);
        simulation.nodes.push(Node { listener: Some(leaf), client: None, callers: None });
        simulation.start();
        let mut facts = simulation.observe();
        for authority in &mut facts.authorities {
            authority.certificate.not_after = simulation.now + percent(ca_ends);
        }
        if let SourceReading::Known(chain) = &mut facts.leaves[0].current {
            chain.others.clear();
        }
        let case = format!("{lifetime} h, {over} %, {ca_ends} %");
        let found = overdue(&facts, &simulation.policy, simulation.now + percent(over)).unwrap();
        assert!(found.abs_diff(late) <= 1, "{case}: {found}");

        facts.leaves[0].keeper = Keeper::NotOurs { why: "another process renews it".to_owned() };
        assert_eq!(overdue(&facts, &simulation.policy, simulation.now), None, "{case}");
    }
}
