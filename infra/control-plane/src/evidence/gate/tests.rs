//! The rules of the merge, case by case. The simulation tries them against moves, pauses, cuts and crashes.

mod simulation;

use std::collections::BTreeMap;

use super::super::facts::SecretFacts;
use super::*;

const FRONT: &str = "mesh/m/virtualNode/front";

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn instance(name: &str, since: i64) -> InstanceFacts {
    let secret = SecretFacts { version: "v".to_owned(), certificates: None };
    InstanceFacts {
        id: FRONT.to_owned(),
        instance: name.to_owned(),
        peer: String::new(),
        since: time(since),
        cluster: String::new(),
        user_agent: String::new(),
        protocol: "delta".to_owned(),
        snapshot: None,
        up_to_date: true,
        types: BTreeMap::new(),
        secrets: BTreeMap::from([("s".to_owned(), secret)]),
    }
}

fn left(name: &str, since: i64, at: i64) -> LeftInstance {
    LeftInstance {
        id: FRONT.to_owned(),
        instance: name.to_owned(),
        first: time(since),
        since: time(since),
        at: time(at),
    }
}

fn report(id: u128, sequence: Sequence, facts: ReplicaFacts) -> ReplicaReport {
    ReplicaReport {
        id: Uuid::from_u128(id),
        state: ReplicaState::Live,
        sequence,
        unchanged: Duration::ZERO,
        serve_stale: Duration::from_hours(1),
        facts: Some(Arc::new(facts)),
    }
}

fn connected(instances: &[InstanceFacts]) -> ReplicaFacts {
    ReplicaFacts { instances: instances.to_vec(), ..ReplicaFacts::default() }
}

fn reasons(reports: &[ReplicaReport]) -> Vec<&'static str> {
    merge(7, reports, GateLimits::default()).unknown.iter().map(|unknown| unknown.reason.name()).collect()
}

#[test]
fn replica_that_may_serve_an_unknown_proxy_makes_all_unknown() {
    let own = report(1, 7, ReplicaFacts::default());
    let minutes = |minutes| Duration::from_mins(minutes);
    let cases: [(ReplicaState, Duration, Sequence, bool, &[&str]); 10] = [
        (ReplicaState::Live, Duration::ZERO, 7, true, &[]),
        (ReplicaState::Live, Duration::ZERO, 8, true, &[]),
        (ReplicaState::Live, Duration::ZERO, 6, true, &["behind"]),
        (ReplicaState::Live, Duration::ZERO, 7, false, &["unreadable"]),
        (ReplicaState::Live, Duration::from_secs(14), 7, true, &[]),
        (ReplicaState::Live, Duration::from_secs(15), 7, true, &["silent"]),
        (ReplicaState::Live, minutes(75), 7, true, &["silent"]),
        (ReplicaState::Live, minutes(75) + Duration::from_secs(15), 0, true, &[]),
        (ReplicaState::Stopped, Duration::ZERO, 0, true, &[]),
        (ReplicaState::Stopped, Duration::ZERO, 0, false, &["unreadable"]),
    ];
    for (state, unchanged, sequence, is_readable, expected) in cases {
        let other = ReplicaReport { state, unchanged, ..report(2, sequence, ReplicaFacts::default()) };
        let other = ReplicaReport { facts: other.facts.filter(|_| is_readable), ..other };
        let found = merge(7, &[own.clone(), other], GateLimits::default());
        let names: Vec<_> = found.unknown.iter().map(|unknown| unknown.reason.name()).collect();
        assert_eq!(names, expected, "{state:?} {unchanged:?} {sequence} {is_readable}");
        assert!(found.unknown.iter().all(|unknown| unknown.ids.is_none()));
    }
}

#[test]
fn left_instance_is_unknown_until_a_later_stream_replaces_it() {
    for (name, streams, expected) in [
        ("a", vec![], 1),
        ("a", vec![instance("a", 101)], 0),
        // The clocks of two replicas differ a little.
        ("a", vec![instance("a", 97)], 0),
        // This stream was open before the one that ended.
        ("a", vec![instance("a", 89)], 1),
        ("a", vec![instance("a", 94)], 1),
        ("a", vec![instance("b", 101)], 1),
        // Envoys without an id are counted.
        ("", vec![instance("", 101)], 0),
        ("", vec![instance("", 50)], 1),
    ] {
        let facts = ReplicaFacts { left: vec![left(name, 90, 100)], ..ReplicaFacts::default() };
        let found = merge(7, &[report(1, 7, facts), report(2, 7, connected(&streams))], GateLimits::default());
        assert_eq!(found.unknown.len(), expected, "{name:?} {streams:?}");
        for unknown in found.unknown {
            assert_eq!(unknown.ids, Some(BTreeSet::from([FRONT.to_owned()])));
            assert_eq!(unknown.reason, UnknownReason::Left { instance: name.to_owned(), at: time(100) });
        }
    }
    // Two left, one returned; then both.
    let both = ReplicaFacts { left: vec![left("", 10, 100), left("", 20, 100)], ..ReplicaFacts::default() };
    assert_eq!(reasons(&[report(1, 7, both.clone()), report(2, 7, connected(&[instance("", 101)]))]), ["left"]);
    let returned = connected(&[instance("", 101), instance("", 102)]);
    assert_eq!(reasons(&[report(1, 7, both), report(2, 7, returned)]), [] as [&str; 0]);
    // It moved twice, and is connected.
    let moved = ReplicaFacts { left: vec![left("a", 10, 100), left("a", 101, 110)], ..ReplicaFacts::default() };
    assert_eq!(reasons(&[report(1, 7, moved), report(2, 7, connected(&[instance("a", 111)]))]), [] as [&str; 0]);
}

#[test]
fn streams_of_a_stopped_replica_have_left() {
    let stopped = |facts, unchanged| ReplicaReport { state: ReplicaState::Stopped, unchanged, ..report(2, 0, facts) };
    let own = report(1, 7, connected(&[instance("a", 200)]));
    let facts = ReplicaFacts { left: vec![left("a", 90, 100), left("b", 90, 100)], ..ReplicaFacts::default() };
    assert_eq!(reasons(&[own.clone(), stopped(facts.clone(), Duration::ZERO)]), ["left"]);
    assert_eq!(reasons(&[own.clone(), stopped(facts, Duration::from_mins(15))]), [] as [&str; 0]);
    // A stream that the end did not reach.
    assert_eq!(reasons(&[own, stopped(connected(&[instance("a", 90)]), Duration::ZERO)]), ["left"]);
}

#[test]
fn replica_with_another_version_of_a_secret_makes_its_users_unknown() {
    let secrets = |fingerprint: &str| BTreeMap::from([("s".to_owned(), vec![fingerprint.to_owned()])]);
    let own = ReplicaFacts { secrets: secrets("new"), ..connected(&[instance("a", 1)]) };
    for (other, expected) in
        [(secrets("new"), vec![]), (BTreeMap::new(), vec![]), (secrets("old"), vec!["other-secret"])]
    {
        let other = ReplicaFacts { secrets: other, ..ReplicaFacts::default() };
        let found = merge(7, &[report(1, 7, own.clone()), report(2, 7, other)], GateLimits::default());
        assert_eq!(found.unknown.iter().map(|unknown| unknown.reason.name()).collect::<Vec<_>>(), expected);
        assert!(found.unknown.iter().all(|unknown| unknown.ids == Some(BTreeSet::from([FRONT.to_owned()]))));
    }
}
