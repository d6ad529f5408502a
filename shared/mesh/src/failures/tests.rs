use serde_json::json;

use super::*;

const LIMITS: FailureLimits = FailureLimits {
    unreadable_after: SignedDuration::from_mins(10),
    repeat: SignedDuration::from_mins(60),
    in_a_row: SignedDuration::from_mins(3),
};

fn minute(minute: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + minute * 60).unwrap()
}

fn call(class: FailureClass) -> FailedCall<'static> {
    let kind = match class {
        FailureClass::Transient => "throttled",
        FailureClass::Permanent => "denied",
    };
    FailedCall { class, kind, text: "failed to list alarms" }
}

/// One letter a minute: `t` a transient failure, `p` a permanent one, `.` a success, a space no run. Gives the minutes
/// at which a page is sent.
fn pages(runs: &str) -> Vec<usize> {
    let (mut failures, mut pages) = (Failures::default(), Vec::new());
    for (at, run) in runs.chars().enumerate() {
        let now = minute(i64::try_from(at).unwrap());
        match run {
            't' => failures.failed("alarms", &call(FailureClass::Transient), &LIMITS, now),
            'p' => failures.failed("alarms", &call(FailureClass::Permanent), &LIMITS, now),
            '.' => drop(failures.succeeded("alarms")),
            _ => continue,
        }
        if let Some(page) = failures.due(&LIMITS, now) {
            failures.paged(&page, now);
            pages.push(at);
        }
        failures.expire(&LIMITS, now);
        // The stored document round-trips.
        failures = serde_json::from_value(serde_json::to_value(&failures).unwrap()).unwrap();
    }
    pages
}

#[test]
fn pages_by_class_and_duration() {
    let minutes = |run: &str, count: usize| run.repeat(count);
    for (name, runs, sent) in [
        ("one transient failure", "t....".to_owned(), vec![]),
        ("transient failures with successes between", minutes("t.", 100), vec![]),
        ("just not long enough", minutes("t", 10), vec![]),
        ("lasting", minutes("t", 61), vec![10]),
        ("lasting, paged again after repeat", minutes("t", 80), vec![10, 70]),
        ("a permanent one at once", "p".to_owned(), vec![0]),
        ("permanent, paged again after repeat", minutes("p", 125), vec![0, 60, 120]),
        ("permanent with successes between", minutes("p.", 35), vec![0, 60]),
        ("transient turns permanent", format!("{}{}", minutes("t", 20), minutes("p", 20)), vec![10, 20]),
        ("permanent turns transient", format!("{}{}", minutes("p", 5), minutes("t", 40)), vec![0]),
        ("the class takes turns", minutes("tp", 29), vec![1]),
        ("runs that are too far apart are not in a row", "t    t    t    t    t    t".to_owned(), vec![]),
        ("runs with a gap are still in a row", "t t t t t t t t".to_owned(), vec![10]),
        (
            "lasting, solved, lasting again within repeat",
            format!("{}.{}", minutes("t", 15), minutes("t", 20)),
            vec![10],
        ),
        (
            "lasting, solved, lasting again after repeat",
            format!("{}.{}", minutes("t", 15), minutes("t", 60)),
            vec![10, 70],
        ),
    ] {
        assert_eq!(pages(&runs), sent, "{name}");
    }
}

/// One letter a minute: `t` a throttled call, `o` a run without enough time, `b` both, `.` a run without a failure, a
/// space no run. Gives the minutes at which a page is sent.
fn pages_of_slow_calls(runs: &str) -> Vec<usize> {
    let (mut failures, mut pages) = (Failures::default(), Vec::new());
    for (at, run) in runs.chars().enumerate() {
        let now = minute(i64::try_from(at).unwrap());
        let (is_throttled, is_late) = match run {
            't' => (true, false),
            'o' => (false, true),
            'b' => (true, true),
            '.' => (false, false),
            _ => continue,
        };
        if run == '.' {
            failures.succeeded("mesh/shop");
        }
        if is_throttled {
            failures.failed("mesh/shop", &call(FailureClass::Transient), &LIMITS, now);
        }
        if is_late {
            let text = "it ran out";
            let late = FailedCall { class: FailureClass::Transient, kind: "OutOfTime", text };
            failures.ran_out_of_time(&late, &LIMITS, now);
        } else {
            failures.ended_in_time(&LIMITS, now);
        }
        if let Some(page) = failures.due(&LIMITS, now) {
            failures.paged(&page, now);
            pages.push(at);
        }
        failures.expire(&LIMITS, now);
    }
    pages
}

#[test]
fn throttle_that_takes_the_time_of_some_runs_is_one_fault() {
    let minutes = |run: &str, count: usize| run.repeat(count);
    for (name, runs, sent) in [
        ("only the call", minutes("t", 30), vec![10]),
        ("only the time", minutes("o", 30), vec![10]),
        ("both in each run", minutes("b", 30), vec![10]),
        ("the call, then the time", format!("{}{}", minutes("t", 15), minutes("o", 30)), vec![10]),
        ("the time, then the call", format!("{}{}", minutes("o", 15), minutes("t", 30)), vec![10]),
        ("in turns", minutes("to", 30), vec![10]),
        ("in turns of several runs", minutes("tttttttttttttooooooooooooo", 2), vec![10]),
        ("the time in most runs", minutes("ooot", 15), vec![10]),
        ("the time first, in turns of several runs", minutes("oooooooooooottt", 4), vec![10]),
        ("paged again after repeat", minutes("to", 40), vec![10, 70]),
        (
            "the time, then the call, paged again after repeat",
            format!("{}{}", minutes("o", 15), minutes("t", 70)),
            vec![10, 70],
        ),
        // Another fault, since all calls of a run succeeded in between.
        ("the call, a success, the time", format!("{}....{}", minutes("t", 15), minutes("o", 30)), vec![10, 29]),
        ("the time, a success, the call", format!("{}....{}", minutes("o", 15), minutes("t", 30)), vec![10, 29]),
        ("the time once", "...o....t...".to_owned(), vec![]),
    ] {
        assert_eq!(pages_of_slow_calls(&runs), sent, "{name}");
    }
}

#[test]
fn run_without_enough_time_does_not_hide_a_permanent_failure() {
    let mut failures = Failures::default();
    for at in 0..12 {
        failures.ran_out_of_time(&call(FailureClass::Transient), &LIMITS, minute(at));
        if let Some(page) = failures.due(&LIMITS, minute(at)) {
            failures.paged(&page, minute(at));
        }
    }
    failures.failed("mesh/shop", &call(FailureClass::Permanent), &LIMITS, minute(12));
    assert!(failures.is_due("mesh/shop", &LIMITS, minute(12)));
}

#[test]
fn two_runs_are_needed_however_long_they_take() {
    let limits = FailureLimits { in_a_row: SignedDuration::from_hours(48), ..LIMITS };
    let mut failures = Failures::default();
    for _ in 0..3 {
        failures.failed("mesh/shop", &call(FailureClass::Transient), &limits, minute(0));
    }
    assert_eq!(failures.due(&limits, minute(0)), None, "several failures of a run count once");
    failures.failed("mesh/shop", &call(FailureClass::Transient), &limits, minute(24 * 60));
    assert!(failures.due(&limits, minute(24 * 60)).is_some(), "a daily run");
}

#[test]
fn everything_due_in_a_run_is_one_page() {
    let mut failures = Failures::default();
    for at in 0..30 {
        failures.failed(&format!("route/{at}"), &call(FailureClass::Permanent), &LIMITS, minute(0));
    }
    failures.failed("alarms", &call(FailureClass::Transient), &LIMITS, minute(0));
    let page = failures.due(&LIMITS, minute(0)).unwrap();
    assert_eq!(page.targets.len(), 30, "the transient one is not due");
    assert_eq!(page.subject(), "cannot access 30 resources: denied");
    assert_eq!(page.to_string().lines().count(), LISTED + 1);
    assert!(page.to_string().ends_with("and 10 more"), "{page}");
    failures.paged(&page, minute(0));
    assert_eq!(failures.due(&LIMITS, minute(0)), None);
}

#[test]
fn a_page_that_was_not_sent_is_due_at_the_next_run() {
    let mut failures = Failures::default();
    for at in 0..2 {
        failures.failed("alarms", &call(FailureClass::Permanent), &LIMITS, minute(at));
        let page = failures.due(&LIMITS, minute(at)).unwrap();
        assert_eq!(page.subject(), "cannot access alarms: denied");
        assert!(failures.is_due("alarms", &LIMITS, minute(at)));
    }
}

#[test]
fn a_target_that_no_run_reads_any_more_is_forgotten() {
    let mut failures = Failures::default();
    failures.failed("route/deleted", &call(FailureClass::Transient), &LIMITS, minute(0));
    failures.failed("alarms", &call(FailureClass::Transient), &LIMITS, minute(3));
    failures.expire(&LIMITS, minute(3));
    assert_eq!(failures.targets.keys().collect::<Vec<_>>(), ["alarms"]);
    assert!(failures.succeeded("alarms"));
    assert!(!failures.succeeded("alarms"), "a success is news once");
    assert!(failures.is_empty());
}

#[test]
fn the_document_fits_into_one_item() {
    let mut failures = Failures::default();
    let text = "x".repeat(5000);
    let call = FailedCall { class: FailureClass::Permanent, kind: "denied", text: &text };
    for at in 0..1000 {
        failures.failed(&format!("mesh/shop/virtualRouter/orders/route/{at}"), &call, &LIMITS, minute(0));
    }
    assert_eq!(failures.targets.len(), MOST_TARGETS + 1);
    assert!(failures.targets.contains_key(OTHER_TARGETS));
    let page = failures.due(&LIMITS, minute(0)).unwrap();
    failures.paged(&page, minute(0));
    assert!(serde_json::to_string(&failures).unwrap().len() < 200 * 1024);
}

#[test]
fn two_processes_see_one_failure() {
    let mut stored = Failures::default();
    for at in 0..9 {
        stored.failed("alarms", &call(FailureClass::Transient), &LIMITS, minute(at));
    }
    // A process that has just begun takes over in the next minutes.
    let mut own = Failures::default();
    own.failed("alarms", &call(FailureClass::Transient), &LIMITS, minute(9));
    own.merge(stored.clone(), &LIMITS);
    own.failed("alarms", &call(FailureClass::Transient), &LIMITS, minute(10));
    assert!(own.due(&LIMITS, minute(10)).is_some());
    // A process that observed a success overrides the stored failure.
    let mut cleared = stored.clone();
    cleared.failed("alarms", &call(FailureClass::Permanent), &LIMITS, minute(9));
    let page = cleared.due(&LIMITS, minute(9)).unwrap();
    cleared.paged(&page, minute(9));
    cleared.succeeded("alarms");
    cleared.merge(stored, &LIMITS);
    assert!(cleared.targets["alarms"].cleared);
}

#[test]
fn older_and_newer_forms_of_the_document_are_read() {
    let oldest = json!({ "targets": { "alarms": { "class": "transient", "since": "2026-11-30T00:00:00Z",
        "last": "2026-11-30T00:00:00Z", "added": 1 } }, "added": 1 });
    let read: Failures = serde_json::from_value(oldest).unwrap();
    assert_eq!(read.targets["alarms"].class, FailureClass::Transient);
    assert_eq!(serde_json::from_value::<Failures>(json!({})).unwrap(), Failures::default());
}

/// A page about the time of an invocation does not hide an outage that begins afterwards.
#[test]
fn failure_that_begins_after_the_page_about_time_is_paged() {
    for (kind, expected) in [("unavailable", true), ("throttled", false), ("timed out", false)] {
        let mut failures = Failures::default();
        let late = FailedCall { class: FailureClass::Transient, kind: "OutOfTime", text: "it ran out" };
        let mut paged = Vec::new();
        for at in 0..60 {
            let now = minute(at);
            if at >= 30 {
                let call = FailedCall { class: FailureClass::Transient, kind, text: "failed to list alarms" };
                failures.failed("mesh/shop", &call, &LIMITS, now);
                failures.ended_in_time(&LIMITS, now);
            } else {
                failures.ran_out_of_time(&late, &LIMITS, now);
            }
            if let Some(page) = failures.due(&LIMITS, now) {
                failures.paged(&page, now);
                paged.extend(page.targets.into_keys());
            }
        }
        assert_eq!(paged.first().map(String::as_str), Some(INVOCATION_TIME), "{kind}");
        assert_eq!(paged.contains(&"mesh/shop".to_owned()), expected, "{kind}: {paged:?}");
    }
}
