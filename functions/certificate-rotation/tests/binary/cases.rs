//! Certificates that never arrive, are moved back, or are managed by others: cases from public bug reports, with the built
//! command.

use jiff::{SignedDuration, Timestamp};
use mesh::certificates::Chain;
use meshwarden_tests::function::Function;
use ports::certificates::Bundle;
use serde_json::{Value, json};

use crate::stage::{Kept, Stage, Theatre, sample};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Short back-offs, as in the cases.
const SOON: &str = "  backOff: {first: 1s, most: 2s}\n";

/// The time between two scheduled runs.
const INTERVAL: SignedDuration = SignedDuration::from_mins(5);

async fn tick(stage: &Stage<'_>, function: &mut Function) -> Value {
    stage.let_leases_run_out().await;
    stage.let_time_pass(INTERVAL).await;
    function.answer(&sample("tick-rule")).await.unwrap_or_else(|error| error)
}

/// The decisions and outcomes of each run.
type Runs = Vec<Vec<String>>;

fn brief(answer: &Value) -> Vec<String> {
    let Some(decisions) = answer["decisions"].as_array() else { return vec![answer.to_string()] };
    let text = |line: &Value, member: &str| line[member].as_str().unwrap_or_default().to_owned();
    let about = |line: &Value| {
        format!("{} {} {}", text(line, "reason"), line["plan"]["step"]["step"], line["outcome"]["outcome"])
    };
    decisions.iter().filter(|line| text(line, "resource").contains("key")).map(about).collect()
}

/// Runs until a leaf other than `first` is served; returns the decisions of each run.
async fn until_renewed(stage: &Stage<'_>, function: &mut Function, most: usize) -> Runs {
    let first = stage.served().await.fingerprint;
    let mut runs = Runs::new();
    while runs.len() < most {
        runs.push(brief(&tick(stage, function).await));
        if stage.served().await.fingerprint != first {
            return runs;
        }
    }
    panic!("not renewed: {runs:#?} {:?}", stage.way.pages())
}

/// 73: an expired pending leaf, stored by the function or by another program.
#[tokio::test]
async fn pending_leaf_that_has_ended_is_replaced() {
    let Some(theatre) = Theatre::open().await else { return };
    for (name, from, until) in [("ended", DAY * -60, HOUR * -1), ("ends-now", DAY * -60, SignedDuration::from_secs(1))]
    {
        let stage = Stage::set(&theatre, name, Kept::Secret).await;
        stage.write_policy(Kept::Secret, SOON);
        let now = Timestamp::now();
        let ended = stage.bundle(&theatre.root, now + from, now + until).await;
        stage.put_version(&ended, &["AWSPENDING"]).await;
        let mut function = stage.build().start().await;
        // The owner of the pending version has four hours.
        let runs = until_renewed(&stage, &mut function, 60).await;
        println!("{name}: renewed in run {}", runs.len());
        assert!(stage.served().await.not_after > now + DAY * 90, "{name}");
        // On a slow machine, a run may end between an order and its certificate.
        assert!(stage.issued() <= 2, "{name}: {} orders: {runs:#?}", stage.issued());
        assert!(stage.way.pages().len() <= 1, "{name}: {:?}", stage.way.pages());
        let issued = stage.way.count("IssueCertificate");
        for _ in 0..3 {
            tick(&stage, &mut function).await;
        }
        assert_eq!(stage.way.count("IssueCertificate"), issued, "{name}: settled");
    }
}

/// 73g: the CA of a leaf that was issued minutes ago, and not backdated, is replaced.
#[tokio::test]
async fn succession_soon_after_an_issuance_is_carried_through() {
    let Some(theatre) = Theatre::open().await else { return };
    let young = [SignedDuration::from_mins(2), HOUR, DAY];
    for (name, age) in ["minutes", "hour", "day"].into_iter().zip(young) {
        let stage = Stage::set_with(&theatre, &format!("succession-{name}"), Kept::Secret, age).await;
        let (from, to) = (&theatre.root.arn, &theatre.other.arn);
        let more = format!("{SOON}  successions: [{{from: '{from}', to: '{to}'}}]\n");
        stage.write_policy(Kept::Secret, &more);
        let mut function = stage.build().start().await;
        let runs = until_renewed(&stage, &mut function, 30).await;
        println!("{name}: reissued in run {}: {runs:?}", runs.len());
        assert!(stage.served().await.issuer.contains("another"), "{name}: {}", stage.served().await.issuer);
        assert_eq!(stage.way.pages(), Vec::<String>::new(), "{name}");
        assert!(stage.issued() <= 2, "{name}: {} orders: {runs:#?}", stage.issued());
    }
}

/// 76: an operator or another controller moves the current version back, or stores its old content again.
#[tokio::test]
async fn version_that_was_moved_back_is_respected_until_it_is_released() {
    let Some(theatre) = Theatre::open().await else { return };
    for is_rewritten in [false, true] {
        let name = if is_rewritten { "rewritten" } else { "moved-back" };
        let stage = Stage::set(&theatre, name, Kept::Secret).await;
        stage.write_policy(Kept::Secret, SOON);
        let (first, old) = stage.at("AWSCURRENT").await.unwrap();
        let mut function = stage.build().start().await;
        until_renewed(&stage, &mut function, 5).await;
        let (second, _) = stage.at("AWSCURRENT").await.unwrap();
        if is_rewritten {
            // As External Secrets does.
            let same = Bundle { chain: old.chain.clone(), key: old.key.clone(), request: None, trust: None };
            let third = stage.put_version(&same, &["REWRITTEN"]).await;
            stage.move_current(&second, &third).await;
        } else {
            stage.move_current(&second, &first).await;
        }
        let before = stage.served().await.fingerprint;
        assert_eq!(before, Chain::read(&stage.first.certificate).unwrap().leaf.fingerprint, "{name}");
        let mut last = Value::Null;
        for _ in 0..10 {
            last = tick(&stage, &mut function).await;
            assert_eq!(stage.served().await.fingerprint, before, "{name}: not promoted over an operator");
        }
        let pages = stage.way.pages();
        assert_eq!(pages.len(), 1, "{name}: {pages:?} {:?} {last:#}", brief(&last));
        assert!(pages[0].contains("MovedBack"), "{name}: {pages:?}");
        stage.release().await;
        until_renewed(&stage, &mut function, 10).await;
        assert_eq!(stage.way.pages().len(), 1, "{name}: {:?}", stage.way.pages());
    }
}

/// Further cases of 76: an operator moves the version back, and later forward again.
#[tokio::test]
async fn version_that_was_moved_back_and_forward_again_is_settled() {
    let Some(theatre) = Theatre::open().await else { return };
    let stage = Stage::set(&theatre, "forward-again", Kept::Secret).await;
    stage.write_policy(Kept::Secret, SOON);
    let (first, _) = stage.at("AWSCURRENT").await.unwrap();
    let mut function = stage.build().start().await;
    until_renewed(&stage, &mut function, 5).await;
    let (second, _) = stage.at("AWSCURRENT").await.unwrap();
    let renewed = stage.served().await.fingerprint;
    stage.move_current(&second, &first).await;
    for _ in 0..3 {
        tick(&stage, &mut function).await;
    }
    assert_eq!(stage.way.pages().len(), 1, "{:?}", stage.way.pages());
    stage.move_current(&first, &second).await;
    let issued = stage.way.count("IssueCertificate");
    let mut last = Value::Null;
    for _ in 0..5 {
        last = tick(&stage, &mut function).await;
        assert_eq!(stage.served().await.fingerprint, renewed);
    }
    assert_eq!(stage.way.count("IssueCertificate"), issued, "{:?}", brief(&last));
    assert_eq!(stage.way.pages().len(), 1, "{:?} {:?}", stage.way.pages(), brief(&last));
    // A second roll-back is respected like the first one.
    stage.move_current(&second, &first).await;
    let before = stage.served().await.fingerprint;
    for _ in 0..5 {
        last = tick(&stage, &mut function).await;
        assert_eq!(stage.served().await.fingerprint, before, "{:?}", brief(&last));
    }
    assert_eq!(stage.way.pages().len(), 2, "{:?} {:?}", stage.way.pages(), brief(&last));
}

/// 81: events of ACM about certificates that no mesh uses, and repeated events about one in use.
#[tokio::test]
async fn event_about_an_unused_certificate_does_not_page_and_about_a_used_one_pages_once() {
    let Some(theatre) = Theatre::open().await else { return };
    let stage = Stage::set(&theatre, "events", Kept::Imported).await;
    let mut function = stage.build().start().await;
    let mut event = sample("acm-renewal-action-required");
    for foreign in ["11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"] {
        event["resources"] = json!([format!("arn:aws:acm:eu-west-1:123456789012:certificate/{foreign}")]);
        for _ in 0..2 {
            function.answer(&event).await.unwrap();
        }
    }
    assert_eq!(stage.way.pages(), Vec::<String>::new(), "none of them is used");
    for name in ["acm-renewal-action-required", "acm-renewal-action-required", "acm-renewal-action-required"] {
        // The run that renews the certificate clears the reported events of the previous leaf.
        let mut event = sample(name);
        event["resources"] = json!([stage.arn]);
        stage.let_leases_run_out().await;
        function.answer(&event).await.unwrap();
    }
    let pages = stage.way.pages();
    assert!(
        (1..=2).contains(&pages.len()) && pages.iter().all(|page| page.contains("RenewalActionRequired")),
        "{pages:?}"
    );
}

/// Further cases of 81: every event of ACM about a certificate that no mesh uses.
#[tokio::test]
async fn no_event_about_an_unused_certificate_pages() {
    let Some(theatre) = Theatre::open().await else { return };
    let stage = Stage::set(&theatre, "unused-events", Kept::Imported).await;
    let mut function = stage.build().start().await;
    for name in ["acm-expired", "acm-approaching-expiration", "acm-revoked", "acm-rotated", "acm-available"] {
        let mut event = sample(name);
        event["resources"] =
            json!(["arn:aws:acm:eu-west-1:123456789012:certificate/33333333-3333-3333-3333-333333333333"]);
        for _ in 0..2 {
            stage.let_leases_run_out().await;
            function.answer(&event).await.unwrap();
        }
        assert_eq!(stage.way.pages(), Vec::<String>::new(), "{name}");
    }
}

/// A pending leaf that does not match its key, or that another CA has issued, is never served.
#[tokio::test]
async fn pending_leaf_that_is_not_the_ordered_one_is_never_served() {
    let Some(theatre) = Theatre::open().await else { return };
    let now = Timestamp::now();
    for name in ["other-key", "other-authority"] {
        let stage = Stage::set(&theatre, name, Kept::Secret).await;
        stage.write_policy(Kept::Secret, SOON);
        let foreign = match name {
            "other-key" => {
                let leaf = stage.bundle(&theatre.root, now - HOUR, now + DAY * 90).await;
                let key = stage.bundle(&theatre.root, now - HOUR, now + DAY * 90).await.key;
                Bundle { key, ..leaf }
            }
            _ => stage.bundle(&theatre.other, now - HOUR, now + DAY * 90).await,
        };
        let leaf = Chain::read(&foreign.chain.as_ref().unwrap().leaf).unwrap().leaf.fingerprint;
        stage.put_version(&foreign, &["AWSPENDING"]).await;
        let first = stage.served().await.fingerprint;
        let mut function = stage.build().start().await;
        let mut runs = Runs::new();
        // The owner of the pending version has four hours.
        while stage.served().await.fingerprint == first && runs.len() < 60 {
            runs.push(brief(&tick(&stage, &mut function).await));
        }
        let served = stage.served().await;
        assert!(served.fingerprint != leaf, "{name}: {runs:#?}");
        let is_renewed = served.fingerprint != first && served.issuer.contains("shop");
        assert!(is_renewed || stage.way.pages().len() == 1, "{name}: {:?} {runs:#?}", stage.way.pages());
        assert!(stage.way.pages().len() <= 1, "{name}: {:?}", stage.way.pages());
        println!("{name}: {} runs, renewed: {is_renewed}", runs.len());
    }
}
