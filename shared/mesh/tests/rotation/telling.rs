//! Who is told what, and how often.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use mesh::failover::Told;
use mesh::policy::CertificatesPolicy;
use mesh::rotation::{Decision, KeepReason, Subject, Verdict, Why, telling};

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn decision(verdict: Verdict) -> Decision {
    let holds = matches!(&verdict, Verdict::Keep(reason) if reason.holds());
    let subject = Subject::Mesh("m".parse().unwrap());
    let (watching, unread) = (BTreeSet::new(), BTreeSet::new());
    let patience = SignedDuration::from_hours(24);
    Decision { subject, failing: holds, verdict, record: None, watching, unread, patience }
}

/// Told of this code so many minutes ago, and perhaps paged later.
fn told(code: &str, since: i64, paged: Option<i64>) -> Told {
    let ago = |minutes: i64| now() - SignedDuration::from_mins(minutes);
    Told { code: code.to_owned(), since: ago(since), repeats: 3, paged: paged.map(ago) }
}

#[test]
fn news_pages_and_what_is_remembered() {
    let unread = || Verdict::Keep(KeepReason::Unread { why: "throttled".to_owned() });
    let differs = || Verdict::Keep(KeepReason::SecretDiffers { secret: "s".to_owned() });
    let waits = || Verdict::Keep(KeepReason::SecretChanging);
    let verify = || Verdict::Verify(Why::NotAcknowledged { waiting: Vec::new() });
    let settled = || Verdict::Keep(KeepReason::Settled);
    // Half an hour for what can't be read, four hours for a page to be repeated.
    for (case, verdict, last, news, page, remembered) in [
        ("all is well", settled(), None, false, false, false),
        ("all is well again", settled(), Some(told("Unread", 60, Some(30))), true, false, false),
        ("unread for the first time", unread(), None, true, false, true),
        // The page is one for everything that fails.
        ("unread for long", unread(), Some(told("Unread", 300, None)), false, false, true),
        ("unread, as an earlier version paged it", unread(), Some(told("Unread", 300, Some(240))), false, false, true),
        ("unread after something else", unread(), Some(told("SecretDiffers", 300, Some(300))), true, false, true),
        ("a person has to do something", differs(), None, true, true, true),
        ("and has been told", differs(), Some(told("SecretDiffers", 239, Some(239))), false, false, true),
        ("and has been told long ago", differs(), Some(told("SecretDiffers", 240, Some(240))), false, true, true),
        ("it passes by itself", waits(), None, true, false, true),
        ("it passes by itself, slowly", waits(), Some(told("SecretChanging", 600, None)), false, false, true),
        ("a proxy has not acknowledged", verify(), None, true, false, true),
        ("nor for four hours", verify(), Some(told("NotAcknowledged", 240, None)), false, true, true),
        (
            "nor for long, and somebody knows",
            verify(),
            Some(told("NotAcknowledged", 400, Some(160))),
            false,
            false,
            true,
        ),
    ] {
        let telling = telling(&decision(verdict), last.as_ref(), None, &CertificatesPolicy::default(), now());
        assert_eq!((telling.news, telling.page, telling.told.is_some()), (news, page, remembered), "{case}");
        let Some(kept) = telling.told else { continue };
        assert_eq!(kept.since, if news { now() } else { last.as_ref().unwrap().since }, "{case}");
        assert_eq!(kept.paged == Some(now()), page, "{case}");
        assert_eq!(kept.repeats, if news { 0 } else { 4 }, "{case}");
    }
}
