//! What can't be read for a moment calls nobody; what can't be read for long does. What is refused is asked again later and
//! later, and never ordered twice.

use jiff::SignedDuration;
use lambda_kit::Report;
use ports::PortErrorKind;
use ports::memory::{Effect, Failure, Fault};

use crate::shop::{DAY, Shop};

const FIVE_MINUTES: SignedDuration = SignedDuration::from_mins(5);

fn pages(shop: &Shop) -> Vec<String> {
    shop.ports.notifier.sent().into_iter().map(|notice| notice.subject).collect()
}

#[tokio::test(start_paused = true)]
async fn a_mesh_that_cannot_be_read_calls_somebody_once_it_lasts() {
    for kind in [PortErrorKind::Throttled, PortErrorKind::TimedOut, PortErrorKind::Unavailable, PortErrorKind::Denied] {
        let mut shop = Shop::open().await;
        shop.add_lab().await;
        shop.blind("lab", Some(kind));
        for _ in 0..6 {
            shop.go_on(1).await;
        }
        assert_eq!(pages(&shop), Vec::<String>::new(), "{kind:?}: not before half an hour");
        shop.go_on(2).await;
        assert_eq!(pages(&shop), ["keep: Unread mesh/lab"], "{kind:?}");
        shop.go_on(20).await;
        assert_eq!(pages(&shop).len(), 1, "{kind:?}: not again before four hours");
        shop.go_on(30).await;
        assert_eq!(pages(&shop).len(), 2, "{kind:?}");
        // It passes, and comes again: that is another time.
        shop.blind("lab", None);
        shop.go_on(1).await;
        shop.blind("lab", Some(kind));
        shop.go_on(6).await;
        assert_eq!(pages(&shop).len(), 2, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_cannot_be_read_calls_somebody_once_it_lasts() {
    for failure in [Failure::Throttled, Failure::TimedOut, Failure::Denied] {
        let mut shop = Shop::open().await;
        let fault = Fault::Fails(failure, Effect::NotDone);
        let arn = shop.imported.to_string();
        // The shop looks itself, so the fault is there only while the function runs.
        let mut wakes = async |count: usize| {
            for _ in 0..count {
                let arn = arn.clone();
                shop.ports.faults.reset();
                shop.ports
                    .faults
                    .whenever(move |call| call.name == "describe certificate" && call.subject == arn, fault.clone());
                shop.wait(FIVE_MINUTES);
                drop(shop.wake().await);
                shop.ports.faults.reset();
                shop.deliver().await;
            }
            pages(&shop)
        };
        assert_eq!(wakes(6).await, Vec::<String>::new(), "{failure:?}");
        assert_eq!(wakes(2).await.len(), 1, "{failure:?}");
        assert_eq!(wakes(20).await.len(), 1, "{failure:?}");
    }
}

/// A private CA that can't be read is not one that nobody knows: it may be readable again before anybody is awake.
#[tokio::test(start_paused = true)]
async fn a_private_ca_that_cannot_be_read_calls_somebody_once_it_lasts() {
    for failure in [Failure::Throttled, Failure::TimedOut, Failure::Denied] {
        let mut shop = Shop::open().await;
        shop.wait(DAY * 68);
        let issued = shop.issuances();
        let mut wakes = async |count: usize| {
            for _ in 0..count {
                let fault = Fault::Fails(failure, Effect::NotDone);
                shop.ports.faults.reset();
                shop.ports.faults.whenever(|call| call.name == "describe authority", fault);
                shop.wait(FIVE_MINUTES);
                drop(shop.wake().await);
                shop.ports.faults.reset();
                shop.deliver().await;
            }
            assert_eq!(shop.issuances(), issued, "{failure:?}");
            pages(&shop)
        };
        assert_eq!(wakes(6).await, Vec::<String>::new(), "{failure:?}");
        let told = wakes(2).await;
        assert!(!told.is_empty() && told.iter().all(|one| one.contains(": Unread ")), "{failure:?}: {told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttle_is_waited_for_within_the_wake() {
    let shop = Shop::open().await;
    let arn = shop.imported.to_string();
    shop.ports.faults.once(
        move |call| call.name == "describe certificate" && call.subject == arn,
        Fault::Fails(Failure::Throttled, Effect::NotDone),
    );
    let report = shop.wake().await.unwrap();
    let reasons: Vec<&str> = report.decisions.iter().map(|one| one.reason.as_str()).collect();
    assert!(!reasons.contains(&"Unread"), "{reasons:?}");
}

/// How many orders were tried.
fn orders(shop: &Shop) -> usize {
    shop.ports.faults.calls().iter().filter(|call| call.name == "issue under").count()
}

#[tokio::test(start_paused = true)]
async fn a_ca_that_asks_for_patience_is_asked_less_and_less_and_issues_once() {
    let mut shop = Shop::open().await;
    shop.wait(DAY * 62);
    let before = shop.issuances();
    shop.ports.faults.reset();
    shop.ports.faults.whenever(|call| call.name == "issue under", Fault::Fails(Failure::Throttled, Effect::NotDone));
    drop(shop.wake().await);
    // Three certificates, each once: what was throttled is not asked again within a wake.
    assert_eq!(orders(&shop), 3);
    for _ in 0..60 {
        shop.wait(FIVE_MINUTES);
        drop(shop.wake().await);
    }
    // After 5, 10, 20, 40, 80 and 160 minutes.
    assert!((15..=21).contains(&orders(&shop)), "{} orders in five hours", orders(&shop));
    assert_eq!(shop.issuances(), before);
    shop.ports.faults.reset();
    shop.deliver().await;
    for _ in 0..50 {
        shop.go_on(1).await;
    }
    assert_eq!(shop.issuances(), before + 3, "one each");
    let state = format!("{:?}", shop.ports.state);
    assert!(!state.contains("\"lost\": Number(1)"), "nothing was ordered in vain");
}

#[tokio::test(start_paused = true)]
async fn an_order_whose_answer_is_lost_is_the_same_order_again() {
    let mut shop = Shop::open().await;
    shop.wait(DAY * 62);
    let before = shop.issuances();
    shop.ports.faults.reset();
    let mut seen = 0;
    // The imported one comes first, and its key is gone with the answer; the others are ordered again by the same token.
    let after_the_first = move |call: &ports::memory::Call| {
        seen += usize::from(call.name == "issue under");
        call.name == "issue under" && seen > 1
    };
    let counted = std::sync::Mutex::new(after_the_first);
    shop.ports
        .faults
        .whenever(move |call| (counted.lock().unwrap())(call), Fault::Fails(Failure::TimedOut, Effect::Done));
    drop(shop.wake().await);
    shop.ports.faults.reset();
    shop.deliver().await;
    // Within the five minutes that the token lasts.
    shop.wait(SignedDuration::from_mins(4));
    for _ in 0..4 {
        drop(shop.wake().await);
        shop.deliver().await;
        shop.wait(SignedDuration::from_mins(5));
    }
    shop.go_on(4).await;
    let issued = shop.issuances() - before;
    assert!((3..=5).contains(&issued), "{issued}");
    let report: Report = shop.wake().await.unwrap();
    assert!(report.decisions.iter().all(|one| one.decision == "keep"), "{report:?}");
}
