//! When a certificate is renewed, and from when on nothing may keep that waiting.

use jiff::SignedDuration;
use mesh::certificates::{Jitter, RenewalRule};
use mesh::policy::Percent;

use super::world::World;

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
        let mut world = World::new(1);
        let ca = world.add_root("ca", 20);
        let (from, until) = (world.now, world.now + lifetime);
        let leaf = &world.issue("a", &ca, from, until).leaf;
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
