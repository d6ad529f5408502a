//! What can't be read for a moment calls nobody; what can't be read for long does. What is refused is asked again later and
//! later, and never ordered twice.

use jiff::SignedDuration;
use ports::PortErrorKind;
use ports::certificates::{Bundle, VersionId};
use ports::memory::{Effect, Failure, Fault};
use runner::Report;

use crate::shop::{DAY, Shop};

const FIVE_MINUTES: SignedDuration = SignedDuration::from_mins(5);

fn pages(shop: &Shop) -> Vec<String> {
    shop.ports.notifier.sent().into_iter().map(|notice| notice.subject).collect()
}

#[tokio::test(start_paused = true)]
async fn a_mesh_that_cannot_be_read_calls_somebody_once_it_lasts() {
    for kind in [PortErrorKind::Throttled, PortErrorKind::TimedOut, PortErrorKind::Unavailable, PortErrorKind::Denied] {
        let is_permanent = kind == PortErrorKind::Denied;
        let mut shop = Shop::open().await;
        shop.add_lab().await;
        shop.blind("lab", Some(kind));
        shop.go_on(6).await;
        assert_eq!(pages(&shop).len(), usize::from(is_permanent), "{kind:?}: not before half an hour");
        shop.go_on(2).await;
        assert_eq!(pages(&shop), [format!("certificate-rotation: cannot access mesh/lab: {}", kind.name())]);
        // Hours pass in runs that are just in a row.
        let hours = async |hours: i64| {
            for _ in 0..hours * 60 / 14 {
                shop.wait(SignedDuration::from_mins(14));
                drop(shop.wake().await);
            }
            pages(&shop).len()
        };
        if kind == PortErrorKind::Throttled {
            assert_eq!(hours(22).await, 1, "{kind:?}: not again within a day");
            assert_eq!(hours(3).await, 2, "{kind:?}");
        }
        let sent = pages(&shop).len();
        // It passes, and comes again.
        shop.blind("lab", None);
        shop.go_on(1).await;
        shop.blind("lab", Some(kind));
        shop.go_on(10).await;
        assert_eq!(pages(&shop).len(), sent, "{kind:?}: within the day of its page");
    }
}

/// A role that lost a permission fails at everything: that is one page.
#[tokio::test(start_paused = true)]
async fn everything_that_fails_is_one_page() {
    let mut shop = Shop::open().await;
    shop.add_lab().await;
    shop.blind("lab", Some(PortErrorKind::Denied));
    let denied = ["describe certificate", "describe authority", "describe secret"];
    for _ in 0..10 {
        let fault = Fault::Fails(Failure::Denied, Effect::NotDone);
        shop.ports.faults.whenever(move |call| denied.contains(&call.name), fault);
        shop.wait(FIVE_MINUTES);
        drop(shop.wake().await);
        shop.ports.faults.reset();
        shop.deliver().await;
    }
    let sent = shop.ports.notifier.sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    for target in ["mesh/lab", shop.imported.as_str(), shop.old.as_str(), "mesh-pay"] {
        assert!(sent[0].body.contains(target), "{target}: {}", sent[0].body);
    }
}

/// What can be read and holds nothing is no failed call, and pages all the same.
#[tokio::test(start_paused = true)]
async fn secret_without_a_certificate_calls_somebody_once_it_lasts() {
    let mut shop = Shop::open().await;
    let version = VersionId::parse(&format!("{:-<32}", "empty")).unwrap();
    shop.held.clear();
    shop.ports.certificates.bundles.set_text("mesh-pay", &version, &Bundle::default().text());
    for expected in [0, 0, 0, 0, 0, 0, 1, 1, 1] {
        drop(shop.wake().await);
        assert_eq!(pages(&shop).len(), expected, "{:?}", pages(&shop));
        shop.wait(FIVE_MINUTES);
    }
    assert!(pages(&shop)[0].contains("contents of sds:pay"), "{:?}", pages(&shop));
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
        assert_eq!(wakes(6).await.len(), usize::from(failure == Failure::Denied), "{failure:?}");
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
        assert_eq!(wakes(6).await.len(), usize::from(failure == Failure::Denied), "{failure:?}");
        let told = wakes(2).await;
        assert!(told.len() == 1 && told[0].contains("cannot access private CA"), "{failure:?}: {told:?}");
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
