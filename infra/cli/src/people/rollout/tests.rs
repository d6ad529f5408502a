//! The commands and traffic-shift over shared memory ports.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use jiff::SignedDuration;
use mesh::name::{ResourcePath, RouteId};
use policy::Policy;
use ports::certificates::{AcknowledgedSecrets, ProxyStream};
use ports::{Clock as _, Deadline};
use ports_memory::{MemoryPolicy, MemoryPorts};
use runner::{Emitter, Invocation, PolicyKeeper, Runner};
use serde_json::{Value, json};
use traffic_shift::TrafficShift;

use super::super::desk::{Desk, Ports};
use super::super::error::Trouble;
use crate::args::{Args, Command};

const POLICY: &str = "version: 1\nmodes: {default: enforce}\n";

const REQUEST: &str = "id: r1\nmesh: shop\nroutes: [recs/all]\nmoves: [{from: recs-v1, to: recs-v2}]\nstrategy: canary\n\
                       steps: [25, 50]\ninterval: 2m\nbake: 0s\nungated: a test\n";

struct Shop {
    ports: MemoryPorts,
    folder: std::path::PathBuf,
}

impl Shop {
    fn open(name: &str) -> Self {
        let ports = MemoryPorts::at("2026-11-20T10:00:00Z".parse().unwrap());
        let folder = std::env::temp_dir().join(format!("meshwarden-rollout-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let put = |path: &str, spec: &Value| {
            ports.mesh.put_spec(&ResourcePath::parse(path).unwrap(), spec).unwrap();
        };
        let listener = json!({ "portMapping": { "port": 8080, "protocol": "http" } });
        put("mesh/shop", &json!({}));
        for node in ["recs-v1", "recs-v2"] {
            put(
                &format!("mesh/shop/virtualNode/{node}"),
                &json!({ "listeners": [listener],
                "serviceDiscovery": { "dns": { "hostname": "recs.shop.local" } } }),
            );
        }
        put("mesh/shop/virtualRouter/recs", &json!({ "listeners": [listener] }));
        let targets = json!([{ "virtualNode": "recs-v1", "weight": 8 }, { "virtualNode": "recs-v2", "weight": 0 }]);
        let rule = json!({ "match": { "prefix": "/" }, "action": { "weightedTargets": targets } });
        put("mesh/shop/virtualRouter/recs/route/all", &json!({ "httpRoute": rule }));
        let provider = json!({ "provider": { "virtualRouter": { "virtualRouterName": "recs" } } });
        put("mesh/shop/virtualService/recs.shop.local", &provider);
        let backend = json!({ "virtualService": { "virtualServiceName": "recs.shop.local" } });
        put(
            "mesh/shop/virtualNode/web",
            &json!({ "listeners": [listener], "backends": [backend],
            "serviceDiscovery": { "dns": { "hostname": "web.shop.local" } } }),
        );
        let stream = |node: &str| ProxyStream {
            proxy: ResourcePath::parse(&format!("mesh/shop/virtualNode/{node}")).unwrap(),
            peer: "10.0.0.1:1".to_owned(),
            since: ports.clock.now(),
            up_to_date: true,
            rejected: None,
            secrets: AcknowledgedSecrets::Unknown,
        };
        ports.certificates.proxies.set(["web", "recs-v1", "recs-v2"].map(stream).into());
        Self { ports, folder }
    }

    fn weights(&self) -> Vec<u8> {
        let route = RouteId::parse("shop/recs/all").unwrap();
        self.ports.mesh.route(&route).unwrap().spec.split().unwrap().weights()
    }

    async fn say(&self, line: &str) -> Result<String, Trouble> {
        let words = std::iter::once("meshwarden").chain(line.split_whitespace());
        let Command::People(command) = Args::try_parse_from(words).unwrap().command else { panic!("{line}") };
        let ports = self.ports.clone();
        let ports = Ports {
            clock: Arc::new(ports.clock),
            meshes: Arc::new(ports.mesh.clone()),
            routes: Arc::new(ports.mesh),
            alarms: Arc::new(ports.alarms),
            metrics: Arc::new(ports.metrics),
            state: Arc::new(ports.state),
            proxies: Arc::new(ports.certificates.proxies),
            reports: None,
        };
        let prompt = |_: &str| Ok(true);
        let policy = Policy::read(POLICY).unwrap();
        let desk = Desk { ports, policy, by: "dana".to_owned(), prompt: &prompt };
        super::super::execute(&desk, &command).await
    }

    /// A request in a file.
    fn file(&self, text: &str) -> String {
        let path = self.folder.join("request.yaml");
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    async fn start(&self) -> Runner<TrafficShift> {
        let policy = Box::new(MemoryPolicy::new(POLICY, self.ports.faults.clone()));
        let keeper = PolicyKeeper::start(policy, Policy::read, self.ports.clock.now()).await.unwrap();
        let ports = self.ports.clone();
        traffic_shift::function(
            traffic_shift::Ports {
                clock: Arc::new(ports.clock),
                meshes: Arc::new(ports.mesh.clone()),
                routes: Arc::new(ports.mesh),
                alarms: Arc::new(ports.alarms),
                metrics: Arc::new(ports.metrics),
                proxies: Arc::new(ports.certificates.proxies),
                functions: Arc::new(ports.functions),
                state: Arc::new(ports.state),
                notifier: Arc::new(ports.notifier),
                bus: Arc::new(ports.bus),
                reports: Arc::new(ports.reports),
            },
            keeper,
        )
    }

    /// So many minutes, each with a run of the function.
    async fn minutes(&self, function: &Runner<TrafficShift>, count: usize) {
        for _ in 0..count {
            self.ports.clock.advance(SignedDuration::from_mins(1));
            let deadline = Deadline::after(Duration::from_secs(55));
            let invocation = Invocation { function: traffic_shift::NAME, request_id: "r", deadline };
            let tick = json!({ "detail-type": "Scheduled Event", "source": "aws.events" });
            invocation.answer(function, &Emitter::to(std::io::sink()), &tick).await.unwrap();
        }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

#[tokio::test]
async fn rollout_is_started_shown_and_promoted() {
    let shop = Shop::open("promoted");
    let function = shop.start().await;
    let file = shop.file(REQUEST);
    let said = shop.say(&format!("rollout start {file}")).await.unwrap();
    assert!(said.contains("rollout r1 is requested"), "{said}");
    assert!(shop.say(&format!("rollout start {file}")).await.unwrap().contains("already"));
    shop.minutes(&function, 1).await;
    assert_eq!(shop.weights(), [6, 2]);
    let now = shop.ports.clock.now();
    for (node, requests) in [("recs-v1", 300.0), ("recs-v2", 100.0)] {
        shop.ports.metrics.add(node, "envoy_cluster_upstream_rq_completed", "Sum", now, requests);
    }
    // Before the minute in which the step began.
    let before = now - SignedDuration::from_mins(2);
    shop.ports.metrics.add("recs-v2", "envoy_cluster_upstream_rq_5xx", "Sum", before, 9.0);
    shop.ports.clock.advance(SignedDuration::from_secs(5));
    let said = shop.say("rollout status").await.unwrap();
    for part in [
        "shop/r1 watching 25 % step 1/3",
        "recs-v1 to recs-v2, requested by dana",
        "recs-v1:8 recs-v2:0",
        "recs-v1:6 recs-v2:2",
        "requests since 2026-11-20T10:01:00Z: recs-v1 300, 0 failed; recs-v2 100, 0 failed",
    ] {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
    assert!(shop.say("status").await.unwrap().contains("rollout shop/r1 watching"));
    let said = shop.say("rollout status r1").await.unwrap();
    assert!(said.contains("Journal"), "{said}");
    shop.say("rollout promote r1").await.unwrap();
    shop.minutes(&function, 2).await;
    assert_eq!(shop.weights(), [0, 8]);
    let said = shop.say("rollout status r1").await.unwrap();
    assert!(said.contains("shop/r1 promoted"), "{said}");
}

#[tokio::test]
async fn paused_rollout_stays_and_an_aborted_one_is_rolled_back() {
    let shop = Shop::open("aborted");
    let function = shop.start().await;
    let file = shop.file(REQUEST);
    shop.say(&format!("rollout start {file}")).await.unwrap();
    shop.minutes(&function, 1).await;
    shop.say("rollout pause r1").await.unwrap();
    shop.minutes(&function, 5).await;
    assert_eq!(shop.weights(), [6, 2]);
    assert!(shop.say("rollout status r1").await.unwrap().contains("paused by dana"));
    let error = shop.say("rollout pause r1").await.unwrap_err();
    assert_eq!((error.exit_code(), error.to_string().contains("is paused")), (1, true), "{error}");
    shop.say("rollout resume r1").await.unwrap();
    shop.minutes(&function, 1).await;
    shop.say("rollout abort r1").await.unwrap();
    shop.minutes(&function, 2).await;
    assert_eq!(shop.weights(), [8, 0]);
    let error = shop.say(&format!("rollout start {file}")).await.unwrap_err();
    assert_eq!((error.exit_code(), error.to_string().contains("--retry")), (1, true), "{error}");
    let said = shop.say(&format!("rollout start --retry {file}")).await.unwrap();
    assert!(said.contains("rollout r1.2 is requested"), "{said}");
    shop.minutes(&function, 1).await;
    assert_eq!(shop.weights(), [6, 2]);
}

#[tokio::test]
async fn kill_switch_lists_an_active_rollout_and_can_restore_it_first() {
    for (option, restored) in [("", false), (" --restore-first", true)] {
        let shop = Shop::open(&format!("kill-{restored}"));
        let function = shop.start().await;
        shop.say(&format!("rollout start {}", shop.file(REQUEST))).await.unwrap();
        shop.minutes(&function, 1).await;
        assert_eq!(shop.weights(), [6, 2]);
        let output = shop.say(&format!("kill on --reason x{option}")).await.unwrap();
        if restored {
            assert!(
                output.contains("restored first:\n  shop/recs/all: from recs-v1:6 recs-v2:2 to recs-v1:8 recs-v2:0"),
                "{output}"
            );
            assert_eq!(shop.weights(), [8, 0]);
        } else {
            assert!(output.contains("unchanged while the switch is on:\n  rollout shop/r1 watching 25 %"), "{output}");
            assert_eq!(shop.weights(), [6, 2]);
        }
        shop.say("kill off").await.unwrap();
        shop.minutes(&function, 2).await;
        let shown = shop.say("rollout status r1").await.unwrap();
        assert_eq!(shown.contains("rolled-back"), restored, "{shown}");
        assert_eq!(shop.weights() == [8, 0], restored);
    }
}

#[tokio::test]
async fn rollout_that_has_not_begun_is_ended_before_the_switch_is_on() {
    let shop = Shop::open("kill-waiting");
    let function = shop.start().await;
    shop.say(&format!("rollout start {}", shop.file(REQUEST))).await.unwrap();
    shop.say("kill on --reason x --restore-first").await.unwrap();
    shop.say("kill off").await.unwrap();
    shop.minutes(&function, 2).await;
    assert_eq!(shop.weights(), [8, 0]);
}

#[tokio::test]
async fn wait_fails_unless_the_rollout_is_promoted() {
    let shop = Shop::open("wait");
    let function = shop.start().await;
    shop.say(&format!("rollout start {}", shop.file(REQUEST))).await.unwrap();
    shop.minutes(&function, 1).await;
    shop.say("rollout abort r1").await.unwrap();
    shop.minutes(&function, 2).await;
    let error = shop.say("rollout status r1 --watch").await.unwrap_err();
    assert_eq!((error.exit_code(), error.to_string().contains("rolled-back: Aborted")), (1, true), "{error}");
}

/// A watch of all rollouts reports the end of each rollout that it has shown.
#[tokio::test(start_paused = true)]
async fn watch_without_an_id_reports_the_end_of_the_rollouts_that_it_watched() {
    for (command, expected) in [("promote", None), ("abort", Some("rolled-back: Aborted"))] {
        let shop = Shop::open(&format!("watch-{command}"));
        let function = shop.start().await;
        shop.say(&format!("rollout start {}", shop.file(REQUEST))).await.unwrap();
        shop.minutes(&function, 1).await;
        let ends = async {
            // After the first read of the watch.
            tokio::time::sleep(super::EVERY + super::EVERY / 2).await;
            shop.say(&format!("rollout {command} r1")).await.unwrap();
            shop.minutes(&function, 3).await;
        };
        let (watched, ()) = tokio::join!(shop.say("rollout status --watch"), ends);
        match expected {
            None => assert!(watched.is_ok(), "{watched:?}"),
            Some(expected) => {
                let error = watched.unwrap_err();
                assert_eq!((error.exit_code(), error.to_string().contains(expected)), (1, true), "{error}");
            }
        }
    }
    // Without any rollout the watch ends at once.
    assert!(Shop::open("watch-none").say("rollout status --watch").await.is_ok());
}

#[tokio::test]
async fn invalid_request_and_unknown_rollout_are_refused_with_the_place() {
    let shop = Shop::open("invalid");
    let file = shop.file(&REQUEST.replace("[25, 50]", "[50, 25]"));
    let error = shop.say(&format!("rollout start {file}")).await.unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("line 6") && error.to_string().contains("steps[1]"), "{error}");
    let error = shop.say("rollout abort r9").await.unwrap_err();
    assert_eq!((error.exit_code(), error.to_string().contains("does not exist")), (1, true), "{error}");
}
