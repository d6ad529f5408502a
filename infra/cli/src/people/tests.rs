//! The operator commands and route-failover over shared memory ports: each respects the writes of the other.

mod alarms;
mod drill;
mod faults;
mod kill;
mod stored;
mod views;

use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use jiff::{SignedDuration, Timestamp};
use mesh::alarm::{Alarm, AlarmName, AlarmSource, AlarmState, MetricQuery, MetricTerm};
use mesh::name::{ResourcePath, RouteId};
use policy::{BUILT_IN, Policy};
use ports::{Clock as _, Deadline};
use ports_memory::{MemoryPolicy, MemoryPorts};
use route_failover::Recipient;
use runner::{Emitter, Invocation, PolicyKeeper};
use serde_json::{Value, json};

use super::desk::{Desk, Ports};
use super::error::{Refusal, Trouble};
use crate::args::{Args, Command};

const POLICY: &str = "version: 1\nmodes: {default: enforce}\n";

/// A mesh with one route over two nodes, each with an alarm that is `OK`.
struct Shop {
    ports: MemoryPorts,
    answer: bool,
}

impl Shop {
    fn open() -> Self {
        let ports = MemoryPorts::at("2026-11-20T10:04:00Z".parse().unwrap());
        let shop = Self { ports, answer: true };
        shop.put("mesh/shop", &json!({}));
        for node in ["cart-v1", "cart-v2"] {
            let port = json!({ "port": 8080, "protocol": "http" });
            shop.put(
                &format!("mesh/shop/virtualNode/{node}"),
                &json!({
                    "listeners": [{ "portMapping": port }],
                    "serviceDiscovery": { "dns": { "hostname": format!("{node}.shop.local") } },
                }),
            );
            shop.ports.alarms.put(alarm(node, shop.now()));
        }
        let listener = json!({ "listeners": [{ "portMapping": { "port": 8080, "protocol": "http" } }] });
        shop.put("mesh/shop/virtualRouter/cart", &listener);
        shop.put("mesh/shop/virtualRouter/cart/route/all", &spec(&[8, 2]));
        shop
    }

    fn put(&self, path: &str, spec: &Value) {
        self.ports.mesh.put_spec(&ResourcePath::parse(path).unwrap(), spec).unwrap();
    }

    fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    fn fails(&self, node: &str) {
        self.ports.alarms.set_state(&errors_of(node), AlarmState::Alarm, self.now());
    }

    fn quiets(&self, node: &str) {
        self.ports.alarms.set_state(&errors_of(node), AlarmState::Ok, self.now());
    }

    fn weights(&self) -> Vec<u8> {
        self.ports.mesh.route(&cart()).unwrap().spec.split().unwrap().weights()
    }

    fn has_restore_tag(&self) -> bool {
        let arn = self.ports.mesh.route(&cart()).unwrap().metadata.arn.to_string();
        self.ports.mesh.tags_of(&arn).contains_key("meshwarden:restore")
    }

    /// Starts route-failover cold, and invokes it `count` times with a minute in between.
    async fn minutes(&self, count: usize) {
        let source = MemoryPolicy::new(POLICY, self.ports.faults.clone());
        let keeper = PolicyKeeper::start(Box::new(source), Policy::read, self.now()).await.unwrap();
        let ports = self.ports.clone();
        let function = route_failover::function(
            route_failover::Ports {
                clock: Arc::new(ports.clock),
                meshes: Arc::new(ports.mesh.clone()),
                routes: Arc::new(ports.mesh),
                alarms: Arc::new(ports.alarms),
                state: Arc::new(ports.state),
                notifier: Arc::new(ports.notifier),
                bus: Arc::new(ports.bus),
                reports: Arc::new(ports.reports),
            },
            keeper,
            Recipient::default(),
        );
        let tick = include_str!("../../../../events/route-failover/tick-rule.json");
        let tick: Value = serde_json::from_str(tick).unwrap();
        for _ in 0..count {
            self.ports.clock.advance(SignedDuration::from_mins(1));
            let deadline = Deadline::after(Duration::from_secs(25));
            let invocation = Invocation { function: route_failover::NAME, request_id: "r", deadline };
            invocation.answer(&function, &Emitter::to(std::io::sink()), &tick).await.unwrap();
        }
    }

    /// Runs a command line, and returns its output.
    async fn run(&self, line: &str) -> Result<String, Trouble> {
        let words = line.split(' ').map(|word| word.replace('_', " "));
        let args = Args::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
        let Command::People(command) = args.command else { panic!("{line} is not an operator command") };
        let ports = self.ports.clone();
        let ports = Ports {
            clock: Arc::new(ports.clock),
            meshes: Arc::new(ports.mesh.clone()),
            routes: Arc::new(ports.mesh),
            alarms: Arc::new(ports.alarms),
            metrics: Arc::new(ports.metrics),
            state: Arc::new(ports.state),
            proxies: Arc::new(views::Connected),
            reports: Some(Arc::new(ports.reports)),
        };
        let prompt = |_: &str| Ok(self.answer);
        let policy = Policy::read(BUILT_IN).unwrap();
        super::execute(&Desk { ports, policy, by: "dana".to_owned(), prompt: &prompt }, &command).await
    }

    async fn refuses(&self, line: &str) -> Refusal {
        match Box::pin(self.run(line)).await {
            Err(trouble @ Trouble::Refused(_)) if trouble.exit_code() != 1 => panic!("{trouble}"),
            Err(Trouble::Refused(refusal)) => *refusal,
            other => panic!("{line}: {other:?}"),
        }
    }
}

fn cart() -> RouteId {
    RouteId::parse("shop/cart/all").unwrap()
}

fn spec(weights: &[u8]) -> Value {
    let target = |(at, weight): (usize, &u8)| json!({ "virtualNode": format!("cart-v{}", at + 1), "weight": weight });
    let targets: Vec<Value> = weights.iter().enumerate().map(target).collect();
    json!({ "httpRoute": { "match": { "prefix": "/" }, "action": { "weightedTargets": targets } } })
}

fn errors_of(node: &str) -> AlarmName {
    AlarmName::parse(&format!("{node}-5xx")).unwrap()
}

fn alarm(node: &str, since: Timestamp) -> Alarm {
    let dimension = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let term = MetricTerm::Stat {
        namespace: "AppMesh".to_owned(),
        metric: "Errors".to_owned(),
        dimensions: [("Mesh", "shop"), ("VirtualNode", node)].map(dimension).into(),
        period: 60,
        stat: "Sum".to_owned(),
        unit: None,
    };
    let arn = format!("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{node}-5xx");
    let source = AlarmSource::Metric(vec![MetricQuery::new("m1", term)]);
    Alarm { since: Some(since), ..Alarm::new(errors_of(node), &arn, AlarmState::Ok, source) }
}

#[tokio::test]
async fn hold_stops_the_function_until_its_release() {
    let shop = Shop::open();
    shop.run("meshwarden hold shop/cart/all --for 24h --reason a_demo").await.unwrap();
    shop.fails("cart-v1");
    shop.minutes(5).await;
    assert_eq!(shop.weights(), [8, 2], "held");
    shop.run("meshwarden release shop/cart/all").await.unwrap();
    shop.minutes(1).await;
    assert_eq!(shop.weights(), [0, 100], "released");
}

#[tokio::test]
async fn a_hold_ends_by_itself() {
    let shop = Shop::open();
    shop.run("meshwarden hold shop/cart/all --for 10m --reason a_demo").await.unwrap();
    shop.fails("cart-v1");
    shop.minutes(9).await;
    assert_eq!(shop.weights(), [8, 2]);
    shop.minutes(2).await;
    assert_eq!(shop.weights(), [0, 100]);
}

#[tokio::test]
async fn a_restore_writes_the_original_integers_and_spends_nothing() {
    let shop = Shop::open();
    shop.fails("cart-v1");
    shop.minutes(1).await;
    assert_eq!((shop.weights(), shop.has_restore_tag()), (vec![0, 100], true));
    assert!(matches!(shop.refuses("meshwarden restore shop/cart/all").await, Refusal::Unsafe { .. }));
    shop.quiets("cart-v1");
    let output = shop.run("meshwarden restore shop/cart/all").await.unwrap();
    assert!(
        output.contains("before cart-v1:0 cart-v2:100") && output.contains("after  cart-v1:8 cart-v2:2"),
        "{output}"
    );
    assert_eq!((shop.weights(), shop.has_restore_tag()), (vec![8, 2], false));
    shop.minutes(3).await;
    assert_eq!(shop.weights(), [8, 2]);
    assert!(matches!(shop.refuses("meshwarden restore shop/cart/all").await, Refusal::NotShifted { .. }));
}

#[tokio::test]
async fn a_forced_restore_is_not_undone_a_minute_later() {
    let shop = Shop::open();
    shop.fails("cart-v1");
    shop.minutes(1).await;
    shop.run("meshwarden restore shop/cart/all --force").await.unwrap();
    shop.minutes(5).await;
    assert_eq!(shop.weights(), [8, 2]);
    shop.run("meshwarden release shop/cart/all").await.unwrap();
    shop.minutes(1).await;
    assert_eq!(shop.weights(), [0, 100]);
}

/// Unknown is never healthy: missing data of a returning target is a reason to refuse, of the other target it is not.
#[tokio::test]
async fn a_restore_to_a_target_of_unknown_health_needs_consent() {
    for is_deleted in [false, true] {
        let lose = |shop: &Shop, node: &str| {
            if is_deleted {
                shop.ports.alarms.remove(&errors_of(node));
            } else {
                shop.ports.alarms.set_state(&errors_of(node), AlarmState::InsufficientData, shop.now());
            }
        };
        let shop = Shop::open();
        shop.fails("cart-v1");
        shop.minutes(1).await;
        lose(&shop, "cart-v1");
        let refusal = shop.refuses("meshwarden restore shop/cart/all").await;
        assert!(matches!(refusal, Refusal::HealthUnknown { .. }), "{refusal}");
        let text = refusal.to_string();
        assert!(text.contains("the health of cart-v1 is unknown") && text.contains("--allow-unknown"), "{text}");
        assert_eq!(shop.weights(), [0, 100]);
        shop.run("meshwarden restore shop/cart/all --allow-unknown").await.unwrap();
        assert_eq!(shop.weights(), [8, 2]);
        // The route is not held: a failure drains the target again.
        shop.ports.alarms.put(alarm("cart-v1", shop.now()));
        shop.fails("cart-v1");
        shop.minutes(1).await;
        assert_eq!(shop.weights(), [0, 100]);
        let refusal = shop.refuses("meshwarden restore shop/cart/all --allow-unknown").await;
        assert!(matches!(refusal, Refusal::Unsafe { .. }), "a failing target is not unknown: {refusal}");

        let shop = Shop::open();
        shop.fails("cart-v1");
        shop.minutes(1).await;
        shop.quiets("cart-v1");
        lose(&shop, "cart-v2");
        shop.run("meshwarden restore shop/cart/all").await.unwrap();
        assert_eq!(shop.weights(), [8, 2]);
    }
}

#[tokio::test]
async fn kill_switch_change_is_journalled_and_shown() {
    let shop = Shop::open();
    shop.run("meshwarden kill on --reason an_incident").await.unwrap();
    assert_eq!(shop.refuses("meshwarden kill on --reason again").await, Refusal::AlreadySo { so: "on" });
    shop.fails("cart-v1");
    shop.minutes(2).await;
    assert_eq!(shop.weights(), [8, 2]);
    assert!(shop.run("meshwarden status").await.unwrap().starts_with("kill switch: ON since "));
    shop.run("meshwarden kill off").await.unwrap();
    let output = shop.run("meshwarden kill status").await.unwrap();
    assert!(
        output.contains("off") && output.contains("[PersonSwitchedOff] dana") && output.contains("[PersonSwitchedOn]")
    );
    shop.minutes(1).await;
    assert_eq!(shop.weights(), [0, 100]);
}

#[tokio::test]
async fn status_and_explain_show_the_state_and_its_reason() {
    let shop = Shop::open();
    shop.fails("cart-v1");
    shop.minutes(1).await;
    let status = shop.run("meshwarden status").await.unwrap();
    for part in ["shifted", "cart-v1:8 cart-v2:2", "cart-v1:0 cart-v2:100", "sweep: never"] {
        assert!(status.contains(part), "{part}: {status}");
    }
    let json: Value =
        serde_json::from_str(&shop.run("meshwarden status --mesh shop --format json").await.unwrap()).unwrap();
    assert_eq!(json["meshes"][0]["routes"][0]["state"], "shifted");
    let output = shop.run("meshwarden explain shop/cart/all").await.unwrap();
    for part in [
        "[Failover]",
        "cart-v1 has been drained since",
        "Applied: the plan is executed as version ",
        "in ALARM: cart-v1-5xx",
    ] {
        assert!(output.contains(part), "{part}: {output}");
    }
}

/// Open entries come first, and steady entries are counted. `--all` lists steady entries, and JSON
/// always contains them.
#[tokio::test]
async fn status_shows_unsteady_routes_first_and_folds_steady_ones() {
    let shop = Shop::open();
    let row = |status: &str| status.lines().any(|line| line.trim_start().starts_with("cart/all  "));
    let status = shop.run("meshwarden status").await.unwrap();
    assert!(!row(&status) && status.contains("routes: all 1 steady (--all lists them)"), "{status}");
    let all = shop.run("meshwarden status --all").await.unwrap();
    assert!(row(&all) && all.contains("steady  -") && !all.contains("--all"), "{all}");
    let json: Value = serde_json::from_str(&shop.run("meshwarden status --format json").await.unwrap()).unwrap();
    assert_eq!(json["meshes"][0]["routes"][0]["state"], "steady");

    // Two more routes: a steady one, and one with an unreadable record.
    let targets = json!({ "weightedTargets": [{ "virtualNode": "cart-v1", "weight": 1 }] });
    for route in ["mesh/shop/virtualRouter/cart/route/aaa", "mesh/shop/virtualRouter/cart/route/zzz"] {
        shop.put(route, &json!({ "httpRoute": { "match": { "prefix": "/x" }, "action": targets } }));
    }
    let unreadable = ports::StateKey::route(&"shop/cart/zzz".parse().unwrap());
    let note =
        ports::Note { key: unreadable, revision: 0, now: shop.now(), document: json!({ "split": 7 }), journal: None };
    ports::StateStore::note(&shop.ports.state, &note).await.unwrap();
    shop.fails("cart-v1");
    shop.minutes(1).await;
    let status = shop.run("meshwarden status").await.unwrap();
    let at = |part: &str| status.find(part).unwrap_or_else(|| panic!("{part}: {status}"));
    assert!(at("cart/zzz") < at("cart/all"), "what cannot be read comes first: {status}");
    let folded = status.contains("more steady (--all lists them)");
    assert_eq!(status.contains("cart/aaa"), !folded, "{status}");
}

#[tokio::test]
async fn explain_of_an_alarm_names_its_target_or_the_missing_configuration() {
    let shop = Shop::open();
    let output = shop.run("meshwarden explain alarm/cart-v1-5xx").await.unwrap();
    for part in
        ["OK since", "Target: mesh/shop/virtualNode/cart-v1", "inbound metric", "by `errors` of the built-in list"]
    {
        assert!(output.contains(part), "{part}: {output}");
    }
    let dimensions = [("VirtualNode", "cart-v1")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let on = |metric: &str, dimensions| MetricTerm::Stat {
        namespace: "AppMesh".to_owned(),
        metric: metric.to_owned(),
        dimensions,
        period: 60,
        stat: "Sum".to_owned(),
        unit: None,
    };
    let put = |name: &str, term| {
        let (name, arn) = (AlarmName::parse(name).unwrap(), format!("arn:aws:cloudwatch:eu-west-1:1:alarm:{name}"));
        let source = AlarmSource::Metric(vec![MetricQuery::new("m1", term)]);
        shop.ports.alarms.put(Alarm::new(name, &arn, AlarmState::Alarm, source));
    };
    put("sparse", on("Errors", dimensions));
    let output = shop.run("meshwarden explain alarm/sparse").await.unwrap();
    for part in ["[LacksMesh]", "discovery:", "alarm: \"sparse\"", "virtualNode: cart-v1", "meshwarden:virtual-node"] {
        assert!(output.contains(part), "{part}: {output}");
    }
    let dimensions =
        [("Mesh", "shop"), ("VirtualNode", "cart-v1")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    put("scale-out", on("RequestCount", dimensions));
    shop.ports.alarms.set_mute_rules(vec![mesh::alarm::MuteRule {
        name: "deploy".to_owned(),
        alarms: [AlarmName::parse("scale-out").unwrap()].into(),
    }]);
    let output = shop.run("meshwarden explain alarm/scale-out").await.unwrap();
    for part in
        ["[NotAFailureMetric] Never acted on", "failureMetrics:", "[Muted] mute rule deploy", "Actions for ALARM: none"]
    {
        assert!(output.contains(part), "{part}: {output}");
    }
    assert!(matches!(shop.refuses("meshwarden explain alarm/gone").await, Refusal::NoAlarm { .. }));
}

#[tokio::test]
async fn declined_and_invalid_commands_change_nothing() {
    let mut shop = Shop::open();
    assert!(matches!(shop.refuses("meshwarden release shop/cart/all").await, Refusal::NotHeld { .. }));
    assert!(matches!(shop.refuses("meshwarden hold shop/gone/all --for 1h --reason x").await, Refusal::NoRoute { .. }));
    let past = shop.run("meshwarden hold shop/cart/all --until 2026-11-20T10:00:00Z --reason x").await;
    assert_eq!(past.unwrap_err().exit_code(), 2);
    shop.answer = false;
    assert_eq!(shop.refuses("meshwarden hold shop/cart/all --for 1h --reason x").await, Refusal::Declined);
    assert_eq!(shop.refuses("meshwarden kill on --reason x").await, Refusal::Declined);
    assert!(shop.ports.state.journal_of(&ports::StateKey::route(&cart())).is_empty());
}

#[tokio::test]
async fn released_certificate_is_renewed_again() {
    let shop = Shop::open();
    let fingerprint = "a".repeat(64);
    let document = json!({
        "leaf": {
            "fingerprint": fingerprint, "jitter": 0, "attempt": null, "issuedAs": null, "revoked": false, "issued": 2,
            "lost": 0, "timesMovedBack": 3, "movedBack": { "from": "b".repeat(64), "seen": "2026-11-20T09:00:00Z" },
        },
        "failures": { "count": 2, "last": "2026-11-20T10:00:00Z", "why": "denied" }, "told": null, "ofTomorrow": 1,
    });
    let key = ports::StateKey::certificate("sds:web");
    let note = ports::Note { key: key.clone(), revision: 0, now: shop.now(), document, journal: None };
    ports::StateStore::note(&shop.ports.state, &note).await.unwrap();
    let missing = shop.refuses("meshwarden release certificate/sds:pay").await;
    assert_eq!(missing, Refusal::NoCertificate { certificate: "sds:pay".to_owned() });
    let output = shop.run("meshwarden release certificate/sds:web").await.unwrap();
    assert!(output.contains("certificate sds:web is released"), "{output}");
    let window = ports::BudgetWindow { class: "t".to_owned(), start: shop.now(), end: shop.now() };
    let keys = std::slice::from_ref(&key);
    let view = ports::StateStore::load(&shop.ports.state, keys, &window).await.unwrap();
    let stored = &view.documents[&key].document;
    assert_eq!(stored["leaf"]["movedBack"]["released"], json!(shop.now()));
    assert_eq!((&stored["failures"], &stored["ofTomorrow"]), (&Value::Null, &json!(1)), "members of others stay");
    let again = shop.refuses("meshwarden release certificate/sds:web").await;
    assert_eq!(again, Refusal::NothingToRelease { certificate: "sds:web".to_owned() });
    let journal = ports::StateStore::journal(&shop.ports.state, &key, 5).await.unwrap();
    assert_eq!(journal[0].body["reason"], "CertificateReleased");
}
