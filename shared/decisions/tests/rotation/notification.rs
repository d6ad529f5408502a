//! Which notifications are sent, and how often.

use std::collections::BTreeSet;

use decisions::failover::LastNotification;
use decisions::rotation::{
    RotationDecision, RotationKeepReason, RotationSubject, RotationVerdict, Why, rotation_notification,
};
use jiff::{SignedDuration, Timestamp};
use policy::CertificatesPolicy;

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn decision(verdict: RotationVerdict) -> RotationDecision {
    let holds = matches!(&verdict, RotationVerdict::Keep(reason) if reason.holds());
    let subject = RotationSubject::Mesh("m".parse().unwrap());
    let (watching, unread) = (BTreeSet::new(), BTreeSet::new());
    let patience = SignedDuration::from_hours(24);
    RotationDecision { subject, failing: holds, verdict, record: None, watching, unread, patience }
}

/// This code was reported so many minutes ago, and perhaps paged later.
fn reported(code: &str, since: i64, paged: Option<i64>) -> LastNotification {
    let ago = |minutes: i64| now() - SignedDuration::from_mins(minutes);
    LastNotification { code: code.to_owned(), since: ago(since), repeats: 3, paged: paged.map(ago) }
}

#[test]
fn notification_page_and_stored_record() {
    let unread = || RotationVerdict::Keep(RotationKeepReason::Unread { why: "throttled".to_owned() });
    let differs = || RotationVerdict::Keep(RotationKeepReason::SecretDiffers { secret: "s".to_owned() });
    let waits = || RotationVerdict::Keep(RotationKeepReason::SecretChanging);
    let verify = || RotationVerdict::Verify(Why::NotAcknowledged { waiting: Vec::new() });
    let settled = || RotationVerdict::Keep(RotationKeepReason::Settled);
    // Half an hour for what can't be read, four hours for a page to be repeated.
    for (case, verdict, last, news, page, remembered) in [
        ("all is well", settled(), None, false, false, false),
        ("recovered", settled(), Some(reported("Unread", 60, Some(30))), true, false, false),
        ("unread for the first time", unread(), None, true, false, true),
        // The page is one for everything that fails.
        ("unread for long", unread(), Some(reported("Unread", 300, None)), false, false, true),
        (
            "unread, as an earlier version paged it",
            unread(),
            Some(reported("Unread", 300, Some(240))),
            false,
            false,
            true,
        ),
        ("unread after something else", unread(), Some(reported("SecretDiffers", 300, Some(300))), true, false, true),
        ("a person has to do something", differs(), None, true, true, true),
        ("and was reported", differs(), Some(reported("SecretDiffers", 239, Some(239))), false, false, true),
        ("and was reported long ago", differs(), Some(reported("SecretDiffers", 240, Some(240))), false, true, true),
        ("it is temporary", waits(), None, true, false, true),
        ("it is temporary, but slow", waits(), Some(reported("SecretChanging", 600, None)), false, false, true),
        ("a proxy has not acknowledged", verify(), None, true, false, true),
        ("nor for four hours", verify(), Some(reported("NotAcknowledged", 240, None)), false, true, true),
        (
            "nor for long, and it was paged",
            verify(),
            Some(reported("NotAcknowledged", 400, Some(160))),
            false,
            false,
            true,
        ),
    ] {
        let notification =
            rotation_notification(&decision(verdict), last.as_ref(), None, &CertificatesPolicy::default(), now());
        assert_eq!(
            (notification.news, notification.page, notification.last_notification.is_some()),
            (news, page, remembered),
            "{case}"
        );
        let Some(kept) = notification.last_notification else { continue };
        assert_eq!(kept.since, if news { now() } else { last.as_ref().unwrap().since }, "{case}");
        assert_eq!(kept.paged == Some(now()), page, "{case}");
        assert_eq!(kept.repeats, if news { 0 } else { 4 }, "{case}");
    }
}
