//! Failures that pass page no operator; lasting ones page once a day. A refused call is repeated with increasing delay,
//! and never ordered twice.

use jiff::SignedDuration;
use ports::PortErrorKind;
use ports::certificates::{Bundle, VersionId};
use ports_memory::{Effect, Failure, Fault};
use runner::Report;

use crate::shop::{DAY, Shop};

const FIVE_MINUTES: SignedDuration = SignedDuration::from_mins(5);

fn pages(shop: &Shop) -> Vec<String> {
    shop.ports.notifier.sent().into_iter().map(|notice| notice.subject).collect()
}

#[tokio::test(start_paused = true)]
async fn unreadable_mesh_pages_once_it_lasts() {
    for kind in [PortErrorKind::Throttled, PortErrorKind::TimedOut, PortErrorKind::Unavailable, PortErrorKind::Denied] {
        let is_permanent = kind == PortErrorKind::Denied;
        let mut shop = Shop::open().await;
        shop.add_lab().await;
        shop.set_unreadable("lab", Some(kind));
        shop.go_on(6).await;
        assert_eq!(pages(&shop).len(), usize::from(is_permanent), "{kind:?}: not before half an hour");
        shop.go_on(2).await;
        assert_eq!(pages(&shop), [format!("certificate-rotation: cannot access mesh/lab: {}", kind.name())]);
        // The runs of these hours are far apart, and still count as consecutive.
        let hours = async |hours: i64| {
            for _ in 0..hours * 60 / 14 {
                shop.wait(SignedDuration::from_mins(14));
                drop(shop.invoke().await);
            }
            pages(&shop).len()
        };
        if kind == PortErrorKind::Throttled {
            assert_eq!(hours(22).await, 1, "{kind:?}: not again within a day");
            assert_eq!(hours(3).await, 2, "{kind:?}");
        }
        let sent = pages(&shop).len();
        // The failure passes and occurs again.
        shop.set_unreadable("lab", None);
        shop.go_on(1).await;
        shop.set_unreadable("lab", Some(kind));
        shop.go_on(10).await;
        assert_eq!(pages(&shop).len(), sent, "{kind:?}: within the day of its page");
    }
}

/// A role without a permission fails at every resource, which is one page.
#[tokio::test(start_paused = true)]
async fn all_failures_of_a_run_are_one_page() {
    let mut shop = Shop::open().await;
    shop.add_lab().await;
    shop.set_unreadable("lab", Some(PortErrorKind::Denied));
    let denied = ["describe certificate", "describe authority", "describe secret"];
    for _ in 0..10 {
        let fault = Fault::Fails(Failure::Denied, Effect::NotDone);
        shop.ports.faults.whenever(move |call| denied.contains(&call.name), fault);
        shop.wait(FIVE_MINUTES);
        drop(shop.invoke().await);
        shop.ports.faults.reset();
        shop.deliver().await;
    }
    let sent = shop.ports.notifier.sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    for target in ["mesh/lab", shop.imported.as_str(), shop.old.as_str(), "mesh-pay"] {
        assert!(sent[0].body.contains(target), "{target}: {}", sent[0].body);
    }
}

/// A readable secret without a certificate is not a failed call, and pages as well.
#[tokio::test(start_paused = true)]
async fn secret_without_a_certificate_pages_once_it_lasts() {
    let mut shop = Shop::open().await;
    let version = VersionId::parse(&format!("{:-<32}", "empty")).unwrap();
    shop.held.clear();
    shop.ports.certificates.bundles.set_text("mesh-pay", &version, &Bundle::default().text());
    for expected in [0, 0, 0, 0, 0, 0, 1, 1, 1] {
        drop(shop.invoke().await);
        assert_eq!(pages(&shop).len(), expected, "{:?}", pages(&shop));
        shop.wait(FIVE_MINUTES);
    }
    assert!(pages(&shop)[0].contains("contents of sds:pay"), "{:?}", pages(&shop));
}

#[tokio::test(start_paused = true)]
async fn unreadable_certificate_pages_once_it_lasts() {
    for failure in [Failure::Throttled, Failure::TimedOut, Failure::Denied] {
        let mut shop = Shop::open().await;
        let fault = Fault::Fails(failure, Effect::NotDone);
        let arn = shop.imported.to_string();
        // The test reads, too, so the fault is active only while the function runs.
        let mut runs = async |count: usize| {
            for _ in 0..count {
                let arn = arn.clone();
                shop.ports.faults.reset();
                shop.ports
                    .faults
                    .whenever(move |call| call.name == "describe certificate" && call.subject == arn, fault.clone());
                shop.wait(FIVE_MINUTES);
                drop(shop.invoke().await);
                shop.ports.faults.reset();
                shop.deliver().await;
            }
            pages(&shop)
        };
        assert_eq!(runs(6).await.len(), usize::from(failure == Failure::Denied), "{failure:?}");
        assert_eq!(runs(2).await.len(), 1, "{failure:?}");
        assert_eq!(runs(20).await.len(), 1, "{failure:?}");
    }
}

/// An unreadable private CA is not an unknown one: it may soon be readable again.
#[tokio::test(start_paused = true)]
async fn unreadable_private_ca_pages_once_it_lasts() {
    for failure in [Failure::Throttled, Failure::TimedOut, Failure::Denied] {
        let mut shop = Shop::open().await;
        shop.wait(DAY * 68);
        let issued = shop.issuances();
        let mut runs = async |count: usize| {
            for _ in 0..count {
                let fault = Fault::Fails(failure, Effect::NotDone);
                shop.ports.faults.reset();
                shop.ports.faults.whenever(|call| call.name == "describe authority", fault);
                shop.wait(FIVE_MINUTES);
                drop(shop.invoke().await);
                shop.ports.faults.reset();
                shop.deliver().await;
            }
            assert_eq!(shop.issuances(), issued, "{failure:?}");
            pages(&shop)
        };
        assert_eq!(runs(6).await.len(), usize::from(failure == Failure::Denied), "{failure:?}");
        let pages = runs(2).await;
        assert!(pages.len() == 1 && pages[0].contains("cannot access private CA"), "{failure:?}: {pages:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn throttle_is_retried_within_the_invocation() {
    let shop = Shop::open().await;
    let arn = shop.imported.to_string();
    shop.ports.faults.once(
        move |call| call.name == "describe certificate" && call.subject == arn,
        Fault::Fails(Failure::Throttled, Effect::NotDone),
    );
    let report = shop.invoke().await.unwrap();
    let reasons: Vec<&str> = report.decisions.iter().map(|one| one.reason.as_str()).collect();
    assert!(!reasons.contains(&"Unread"), "{reasons:?}");
}

/// The number of attempted orders.
fn orders(shop: &Shop) -> usize {
    shop.ports.faults.calls().iter().filter(|call| call.name == "issue under").count()
}

#[tokio::test(start_paused = true)]
async fn throttled_ca_gets_orders_with_increasing_delay_and_issues_once() {
    let mut shop = Shop::open().await;
    shop.wait(DAY * 62);
    let before = shop.issuances();
    shop.ports.faults.reset();
    shop.ports.faults.whenever(|call| call.name == "issue under", Fault::Fails(Failure::Throttled, Effect::NotDone));
    drop(shop.invoke().await);
    // One order for each of three certificates: a throttled order is not repeated within an invocation.
    assert_eq!(orders(&shop), 3);
    for _ in 0..60 {
        shop.wait(FIVE_MINUTES);
        drop(shop.invoke().await);
    }
    // Orders after 5, 10, 20, 40, 80 and 160 minutes.
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
async fn order_with_a_lost_response_is_repeated_with_the_same_token() {
    let mut shop = Shop::open().await;
    shop.wait(DAY * 62);
    let before = shop.issuances();
    shop.ports.faults.reset();
    let mut seen = 0;
    // The first order is for the imported certificate; its key is lost with the response. The others keep their token.
    let after_the_first = move |call: &ports_memory::Call| {
        seen += usize::from(call.name == "issue under");
        call.name == "issue under" && seen > 1
    };
    let counted = std::sync::Mutex::new(after_the_first);
    shop.ports
        .faults
        .whenever(move |call| (counted.lock().unwrap())(call), Fault::Fails(Failure::TimedOut, Effect::Done));
    drop(shop.invoke().await);
    shop.ports.faults.reset();
    shop.deliver().await;
    // Within the five minutes of the token.
    shop.wait(SignedDuration::from_mins(4));
    for _ in 0..4 {
        drop(shop.invoke().await);
        shop.deliver().await;
        shop.wait(SignedDuration::from_mins(5));
    }
    shop.go_on(4).await;
    let issued = shop.issuances() - before;
    assert!((3..=5).contains(&issued), "{issued}");
    let report: Report = shop.invoke().await.unwrap();
    assert!(report.decisions.iter().all(|one| one.decision == "keep"), "{report:?}");
}

/// The step of a renewal is denied for a day, in consecutive runs, and on the next day. The step backs off, and its plan
/// stays the same: that is one page a day, whichever memory reports it.
async fn check_denied_step(call: &'static str) {
    let mut shop = Shop::open().await;
    shop.wait(DAY * 62);
    let about_pay = |notice: &ports::Notice| notice.subject.contains("sds:pay") || notice.body.contains("sds:pay");
    for (runs, pages) in [(102, 1), (8, 2)] {
        for _ in 0..runs {
            let is_step = move |one: &ports_memory::Call| one.name == call && !one.subject.contains("web");
            shop.ports.faults.whenever(is_step, Fault::Fails(Failure::Denied, Effect::NotDone));
            drop(shop.invoke().await);
            shop.ports.faults.reset();
            shop.wait(SignedDuration::from_mins(14));
            shop.deliver().await;
        }
        let sent: Vec<String> =
            shop.ports.notifier.sent().into_iter().filter(about_pay).map(|notice| notice.subject).collect();
        assert_eq!(sent.len(), pages, "{call}: {sent:#?}");
        shop.wait(DAY / 2);
    }
}

#[tokio::test(start_paused = true)]
async fn denied_order_is_one_page_a_day() {
    check_denied_step("issue under").await;
}

#[tokio::test(start_paused = true)]
async fn denied_collection_of_a_certificate_is_one_page_a_day() {
    check_denied_step("read the issued certificate").await;
}

#[tokio::test(start_paused = true)]
async fn denied_write_of_a_secret_is_one_page_a_day() {
    check_denied_step("put secret").await;
}

#[tokio::test(start_paused = true)]
async fn denied_promotion_is_one_page_a_day() {
    check_denied_step("promote secret").await;
}
