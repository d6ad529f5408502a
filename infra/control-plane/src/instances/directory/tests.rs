//! Polling in virtual time, of a directory in memory.

use ports_memory::{Call, Effect, Failure, Fault, Faults, MemoryInstances};

use super::*;

struct PollFixture {
    faults: Faults,
    memory: MemoryInstances,
    polled: Arc<PolledInstances>,
}

fn cart() -> CloudMapService {
    ("prod".to_owned(), "cart".to_owned())
}

fn at(address: &str) -> InstanceAttributes {
    BTreeMap::from([("AWS_INSTANCE_IPV4".to_owned(), address.to_owned())])
}

impl PollFixture {
    fn new() -> Self {
        let faults = Faults::default();
        let memory = MemoryInstances::new(faults.clone());
        let polled = PolledInstances::start(Arc::new(memory.clone()), InstanceDirectorySettings::default());
        Self { faults, memory, polled }
    }

    fn register(&self, addresses: &[&str]) {
        self.memory.register("prod", "cart", addresses.iter().map(|address| (at(address), true)));
    }

    fn calls(&self) -> usize {
        self.faults.calls().len()
    }

    /// Waits for the next change, in virtual time, and returns the state after it.
    async fn changed(&self, changes: &mut watch::Receiver<u64>) -> (Option<usize>, Option<&'static str>) {
        timeout(Duration::from_mins(10), changes.changed()).await.expect("a change follows").unwrap();
        self.state()
    }

    fn state(&self) -> (Option<usize>, Option<&'static str>) {
        let book = self.polled.known();
        (book.known.get(&cart()).map(Vec::len), book.problems.get(&cart()).map(|problem| problem.id))
    }

    /// Makes every later call fail.
    fn fail(&self, failure: Failure) {
        self.faults.whenever(|_: &Call| true, Fault::Fails(failure, Effect::NotDone));
    }
}

#[tokio::test(start_paused = true)]
async fn polling_starts_with_the_first_lookup() {
    let fixture = PollFixture::new();
    fixture.register(&["10.0.0.2", "10.0.0.1"]);
    sleep(REFRESH * 3).await;
    assert_eq!(fixture.calls(), 0);
    let mut changes = fixture.polled.changes();
    assert_eq!(fixture.polled.unlisted(&cart()), Unlisted::Pending);
    assert_eq!(fixture.changed(&mut changes).await, (Some(2), None));
    // The same instances in another order are not a change.
    fixture.register(&["10.0.0.1", "10.0.0.2"]);
    sleep(REFRESH * 10).await;
    assert!(!changes.has_changed().unwrap());
    assert!((9..=12).contains(&fixture.calls()), "{}", fixture.calls());
    // An empty list is a valid result.
    fixture.register(&[]);
    assert_eq!(fixture.changed(&mut changes).await, (Some(0), None));
}

#[tokio::test(start_paused = true)]
async fn the_last_valid_instances_are_served_through_failures() {
    for failure in [Failure::Throttled, Failure::TimedOut, Failure::Unavailable, Failure::Denied] {
        let fixture = PollFixture::new();
        fixture.register(&["10.0.0.1"]);
        let mut changes = fixture.polled.changes();
        fixture.polled.unlisted(&cart());
        assert_eq!(fixture.changed(&mut changes).await, (Some(1), None));
        fixture.fail(failure);
        assert_eq!(fixture.changed(&mut changes).await, (Some(1), Some(problem::UNAVAILABLE)), "{failure:?}");
        // A lasting failure is reported once.
        sleep(Duration::from_mins(5)).await;
        assert!(!changes.has_changed().unwrap(), "{failure:?}");
        let counts = fixture.polled.counts().unwrap();
        assert_eq!((counts.well, counts.with_problem, counts.missing, counts.answers), (0, 1, 0, 1));
        assert_eq!(
            (counts.throttles > 0, counts.failures > 0),
            (failure == Failure::Throttled, failure != Failure::Throttled)
        );
        fixture.faults.reset();
        fixture.register(&["10.0.0.1", "10.0.0.2"]);
        assert_eq!(fixture.changed(&mut changes).await, (Some(2), None), "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_makes_polls_less_frequent() {
    let fixture = PollFixture::new();
    fixture.register(&["10.0.0.1"]);
    let mut changes = fixture.polled.changes();
    fixture.polled.unlisted(&cart());
    fixture.changed(&mut changes).await;
    fixture.fail(Failure::Throttled);
    let before = fixture.calls();
    sleep(REFRESH * 120).await;
    // The interval doubles each time, up to ten intervals: far fewer than 120 calls.
    assert!((10..=18).contains(&(fixture.calls() - before)), "{}", fixture.calls() - before);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_service_is_missing_with_a_reason_and_polled_again_soon() {
    let fixture = PollFixture::new();
    let mut changes = fixture.polled.changes();
    fixture.polled.unlisted(&cart());
    assert_eq!(fixture.changed(&mut changes).await, (None, Some(problem::UNAVAILABLE)));
    let Unlisted::Missing(missing) = fixture.polled.unlisted(&cart()) else { panic!("it is not missing") };
    assert!(missing.message.contains("create the service"), "{}", missing.message);
    fixture.fail(Failure::Unavailable);
    assert_eq!(fixture.changed(&mut changes).await, (None, Some(problem::UNAVAILABLE)));
    fixture.faults.reset();
    fixture.register(&["10.0.0.1"]);
    let before = Instant::now();
    assert_eq!(fixture.changed(&mut changes).await, (Some(1), None));
    assert!(before.elapsed() < REFRESH, "a proxy waits");
}

#[tokio::test(start_paused = true)]
async fn a_missing_response_is_a_failure_at_the_timeout() {
    let fixture = PollFixture::new();
    fixture.faults.set_latency(Duration::from_hours(1));
    let mut changes = fixture.polled.changes();
    let before = Instant::now();
    // More services than concurrent polls: the waiting ones reach the timeout as well.
    for number in 0..MAX_CONCURRENT * 3 {
        fixture.polled.unlisted(&("prod".to_owned(), number.to_string()));
    }
    while fixture.polled.known().problems.len() < MAX_CONCURRENT * 3 {
        changes.changed().await.unwrap();
    }
    assert_eq!(before.elapsed(), TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn an_unused_service_is_removed_after_a_while() {
    let fixture = PollFixture::new();
    fixture.register(&["10.0.0.1"]);
    let mut changes = fixture.polled.changes();
    fixture.polled.unlisted(&cart());
    fixture.changed(&mut changes).await;
    let used = BTreeSet::from([cart()]);
    for _ in 0..30 {
        fixture.polled.in_use(&used);
        sleep(Duration::from_mins(1)).await;
    }
    assert_eq!(fixture.state().0, Some(1));
    for _ in 0..9 {
        fixture.polled.in_use(&BTreeSet::new());
        sleep(Duration::from_mins(1)).await;
    }
    assert_eq!(fixture.state().0, Some(1), "a restarted proxy reconnects before that");
    assert!(!changes.has_changed().unwrap());
    sleep(LINGER).await;
    fixture.polled.in_use(&BTreeSet::new());
    assert_eq!(fixture.state().0, None);
    assert!(changes.has_changed().unwrap(), "users of the book learn of the removal");
    let calls = fixture.calls();
    sleep(REFRESH * 10).await;
    assert_eq!(fixture.calls(), calls);
}

#[tokio::test(start_paused = true)]
async fn an_instance_without_an_address_is_left_out_and_reported() {
    let fixture = PollFixture::new();
    let named = BTreeMap::from([("AWS_INSTANCE_CNAME".to_owned(), "cart.example.com".to_owned())]);
    fixture.memory.register("prod", "cart", [(named, true), (at("10.0.0.1"), true), (at("cart"), true)]);
    let mut changes = fixture.polled.changes();
    fixture.polled.unlisted(&cart());
    assert_eq!(fixture.changed(&mut changes).await, (Some(1), Some(problem::NO_ADDRESS)));
    assert!(fixture.polled.known().problems[&cart()].message.starts_with("2 of 3 instances of cart.prod"));
}

#[tokio::test(start_paused = true)]
async fn unhealthy_instances_are_served_only_if_all_are_unhealthy() {
    let fixture = PollFixture::new();
    let set = |healthy: [bool; 2]| {
        fixture.memory.register("prod", "cart", [(at("10.0.0.1"), healthy[0]), (at("10.0.0.2"), healthy[1])]);
    };
    set([true, false]);
    let mut changes = fixture.polled.changes();
    fixture.polled.unlisted(&cart());
    assert_eq!(fixture.changed(&mut changes).await, (Some(1), None));
    set([false, false]);
    assert_eq!(fixture.changed(&mut changes).await, (Some(2), None));
}
