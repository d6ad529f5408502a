//! In virtual time, against a directory in memory.

use ports::memory::{Call, Effect, Failure, Fault, Faults, MemoryInstances};

use super::*;

struct Scene {
    faults: Faults,
    memory: MemoryInstances,
    polled: Arc<PolledInstances>,
}

fn cart() -> Service {
    ("prod".to_owned(), "cart".to_owned())
}

fn at(address: &str) -> InstanceAttributes {
    BTreeMap::from([("AWS_INSTANCE_IPV4".to_owned(), address.to_owned())])
}

impl Scene {
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

    /// Waits for the next change, in virtual time, and says what is known then.
    async fn changed(&self, changes: &mut watch::Receiver<u64>) -> (Option<usize>, Option<&'static str>) {
        timeout(Duration::from_mins(10), changes.changed()).await.expect("something changes").unwrap();
        self.standing()
    }

    fn standing(&self) -> (Option<usize>, Option<&'static str>) {
        let book = self.polled.known();
        (book.known.get(&cart()).map(Vec::len), book.problems.get(&cart()).map(|problem| problem.id))
    }

    /// From now on every call fails.
    fn fail(&self, failure: Failure) {
        self.faults.whenever(|_: &Call| true, Fault::Fails(failure, Effect::NotDone));
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_is_asked_for_once_it_is_looked_for() {
    let scene = Scene::new();
    scene.register(&["10.0.0.2", "10.0.0.1"]);
    sleep(REFRESH * 3).await;
    assert_eq!(scene.calls(), 0);
    let mut changes = scene.polled.changes();
    assert_eq!(scene.polled.unlisted(&cart()), Unlisted::Pending);
    assert_eq!(scene.changed(&mut changes).await, (Some(2), None));
    // The same ones in another order are nothing new.
    scene.register(&["10.0.0.1", "10.0.0.2"]);
    sleep(REFRESH * 10).await;
    assert!(!changes.has_changed().unwrap());
    assert!((9..=12).contains(&scene.calls()), "{}", scene.calls());
    // That there are none is a good answer.
    scene.register(&[]);
    assert_eq!(scene.changed(&mut changes).await, (Some(0), None));
}

#[tokio::test(start_paused = true)]
async fn the_last_good_ones_stay_whatever_fails() {
    for failure in [Failure::Throttled, Failure::TimedOut, Failure::Unavailable, Failure::Denied] {
        let scene = Scene::new();
        scene.register(&["10.0.0.1"]);
        let mut changes = scene.polled.changes();
        scene.polled.unlisted(&cart());
        assert_eq!(scene.changed(&mut changes).await, (Some(1), None));
        scene.fail(failure);
        assert_eq!(scene.changed(&mut changes).await, (Some(1), Some(problem::UNAVAILABLE)), "{failure:?}");
        // Told once, however long it lasts.
        sleep(Duration::from_mins(5)).await;
        assert!(!changes.has_changed().unwrap(), "{failure:?}");
        let counts = scene.polled.counts().unwrap();
        assert_eq!((counts.well, counts.with_problem, counts.missing, counts.answers), (0, 1, 0, 1));
        assert_eq!(
            (counts.throttles > 0, counts.failures > 0),
            (failure == Failure::Throttled, failure != Failure::Throttled)
        );
        scene.faults.reset();
        scene.register(&["10.0.0.1", "10.0.0.2"]);
        assert_eq!(scene.changed(&mut changes).await, (Some(2), None), "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_patience_is_asked_more_rarely() {
    let scene = Scene::new();
    scene.register(&["10.0.0.1"]);
    let mut changes = scene.polled.changes();
    scene.polled.unlisted(&cart());
    scene.changed(&mut changes).await;
    scene.fail(Failure::Throttled);
    let before = scene.calls();
    sleep(REFRESH * 120).await;
    // Twice as long each time, ten intervals at most: not 120 calls.
    assert!((10..=18).contains(&(scene.calls() - before)), "{}", scene.calls() - before);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_known_is_missing_with_a_reason_and_asked_for_soon_again() {
    let scene = Scene::new();
    let mut changes = scene.polled.changes();
    scene.polled.unlisted(&cart());
    assert_eq!(scene.changed(&mut changes).await, (None, Some(problem::UNAVAILABLE)));
    let Unlisted::Missing(missing) = scene.polled.unlisted(&cart()) else { panic!("is not there") };
    assert!(missing.message.contains("create the service"), "{}", missing.message);
    scene.fail(Failure::Unavailable);
    assert_eq!(scene.changed(&mut changes).await, (None, Some(problem::UNAVAILABLE)));
    scene.faults.reset();
    scene.register(&["10.0.0.1"]);
    let before = Instant::now();
    assert_eq!(scene.changed(&mut changes).await, (Some(1), None));
    assert!(before.elapsed() < REFRESH, "a proxy waits");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_is_a_failure_in_time() {
    let scene = Scene::new();
    scene.faults.set_latency(Duration::from_hours(1));
    let mut changes = scene.polled.changes();
    let before = Instant::now();
    // More than are asked for at a time: those that wait for their turn are told in time as well.
    for number in 0..AT_A_TIME * 3 {
        scene.polled.unlisted(&("prod".to_owned(), number.to_string()));
    }
    while scene.polled.known().problems.len() < AT_A_TIME * 3 {
        changes.changed().await.unwrap();
    }
    assert_eq!(before.elapsed(), PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_nobody_calls_any_more_is_forgotten_after_a_while() {
    let scene = Scene::new();
    scene.register(&["10.0.0.1"]);
    let mut changes = scene.polled.changes();
    scene.polled.unlisted(&cart());
    scene.changed(&mut changes).await;
    let used = BTreeSet::from([cart()]);
    for _ in 0..30 {
        scene.polled.in_use(&used);
        sleep(Duration::from_mins(1)).await;
    }
    assert_eq!(scene.standing().0, Some(1));
    for _ in 0..9 {
        scene.polled.in_use(&BTreeSet::new());
        sleep(Duration::from_mins(1)).await;
    }
    assert_eq!(scene.standing().0, Some(1), "a proxy that is started anew comes back before that");
    assert!(!changes.has_changed().unwrap());
    sleep(LINGER).await;
    scene.polled.in_use(&BTreeSet::new());
    assert_eq!(scene.standing().0, None);
    assert!(changes.has_changed().unwrap(), "nobody goes on with what is not asked for any more");
    let calls = scene.calls();
    sleep(REFRESH * 10).await;
    assert_eq!(scene.calls(), calls);
}

#[tokio::test(start_paused = true)]
async fn an_instance_without_an_address_is_left_out_and_told() {
    let scene = Scene::new();
    let named = BTreeMap::from([("AWS_INSTANCE_CNAME".to_owned(), "cart.example.com".to_owned())]);
    scene.memory.register("prod", "cart", [(named, true), (at("10.0.0.1"), true), (at("cart"), true)]);
    let mut changes = scene.polled.changes();
    scene.polled.unlisted(&cart());
    assert_eq!(scene.changed(&mut changes).await, (Some(1), Some(problem::NO_ADDRESS)));
    assert!(scene.polled.known().problems[&cart()].message.starts_with("2 of 3 instances of cart.prod"));
}

#[tokio::test(start_paused = true)]
async fn the_unhealthy_are_not_served_unless_all_are() {
    let scene = Scene::new();
    let set = |healthy: [bool; 2]| {
        scene.memory.register("prod", "cart", [(at("10.0.0.1"), healthy[0]), (at("10.0.0.2"), healthy[1])]);
    };
    set([true, false]);
    let mut changes = scene.polled.changes();
    scene.polled.unlisted(&cart());
    assert_eq!(scene.changed(&mut changes).await, (Some(1), None));
    set([false, false]);
    assert_eq!(scene.changed(&mut changes).await, (Some(2), None));
}
