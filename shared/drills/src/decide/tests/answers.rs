//! Every phase has an answer, records of other releases are read, and results have the measured traffic.

use super::*;

#[test]
fn every_phase_has_an_answer() {
    let policy = policy("");
    let answer = |record: &MeshDrills| {
        let answer = crate::answer(&"shop".parse().unwrap(), &"recs".parse().unwrap(), record);
        (serde_json::to_value(answer.state).unwrap(), answer.result.clone(), answer.is_pending())
    };
    assert_eq!(answer(&MeshDrills::default()), ("none".into(), "NONE".to_owned(), false));
    assert_eq!(answer(&requested()), ("requested".into(), "PENDING".to_owned(), true));
    for phase in
        [DrillPhase::Checking, DrillPhase::Draining, DrillPhase::Confirming, DrillPhase::Running, DrillPhase::Restoring]
    {
        assert_eq!(answer(&in_phase(phase)), (phase.as_str().into(), "PENDING".to_owned(), true));
    }
    let (_, ended) = run(&in_phase(DrillPhase::Restoring), facts(&policy), &policy, 60);
    assert_eq!(answer(&ended), ("ended".into(), "INTERRUPTED".to_owned(), false));
}

#[test]
fn record_without_members_reads_and_unknown_members_survive() {
    assert_eq!(serde_json::from_str::<MeshDrills>("{}").unwrap(), MeshDrills::default());
    let stored = serde_json::json!({ "later": { "a": 1 } });
    let record: MeshDrills = serde_json::from_value(stored.clone()).unwrap();
    assert_eq!(serde_json::to_value(record).unwrap(), stored);
    let full = in_phase(DrillPhase::Running);
    let text = serde_json::to_string(&full).unwrap();
    assert_eq!(serde_json::from_str::<MeshDrills>(&text).unwrap(), full);
}

/// The result has the last measured traffic; data that is missing afterwards does not replace it, and is never 0.
#[test]
fn result_has_the_measured_traffic_of_the_receivers() {
    let traffic = |requests: Measured, failures: Measured, peak: Measured| DrillTraffic {
        from: at(0),
        until: at(60),
        receivers: [(node("v2"), ReceiverTraffic { requests, failures, peak })].into(),
    };
    let missing = || Measured::Missing("no data points".to_owned());
    let known = traffic(Measured::Known(900.0), Measured::Known(3.0), Measured::Known(16.0));
    let unknown = traffic(missing(), missing(), missing());
    for (readings, expected, peak) in [
        ([known.clone(), unknown.clone()], &known, Some(16.0)),
        ([unknown.clone(), known.clone()], &known, Some(16.0)),
        ([unknown.clone(), unknown.clone()], &unknown, None),
    ] {
        let policy = policy("");
        let mut record = in_phase(DrillPhase::Running);
        let [during, last] = readings;
        let mut running = in_place(&policy);
        running.load = Load::Unknown { why: "no metric".to_owned() };
        running.traffic = Some(during);
        (_, record) = run(&record, running, &policy, 60);
        record.requests.push(request("stop", RequestAction::Stop));
        let mut restored = facts(&policy);
        restored.load = Load::Unknown { why: "no metric".to_owned() };
        restored.traffic = Some(last);
        let (decision, record) = run(&record, restored, &policy, 120);
        let end = record.plans.values().next().unwrap().last.clone().unwrap();
        assert_eq!(end.traffic.as_ref(), Some(expected));
        assert_eq!(end.peaks.get(&node("v2")).copied(), peak);
        let news = decision.news.iter().find(|news| news.phase.is_none()).unwrap();
        assert_eq!(news.result.as_deref(), Some(&end));
    }
}

#[test]
fn declared_capacity_is_no_measured_peak() {
    let policy = policy("");
    let mut running = in_place(&policy);
    let declared = ReceiverLoad { present: 0.0, highest: 0.0, declared: true };
    running.load = Load::Known { node: 0.0, receivers: [(node("v2"), declared)].into() };
    let (_, record) = run(&in_phase(DrillPhase::Running), running, &policy, 60);
    assert!(record.active.unwrap().peaks.is_empty());
}
