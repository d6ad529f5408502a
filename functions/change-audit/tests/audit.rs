//! Audits over in-memory ports: what is told of each event, once, whatever goes wrong in between.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use change_audit::{ChangeAudit, NAME, Ports};
use jiff::{SignedDuration, Timestamp};
use lambda_kit::{Emitter, Invocation, PolicyKeeper};
use mesh::name::{ResourceKind, ResourcePath};
use mesh::policy::{BUILT_IN, Policy};
use mesh::spec::Spec;
use ports::memory::{ACCOUNT, Effect, Failure, Fault, MemoryPorts};
use ports::{BuiltInPolicy, Deadline, KillSwitch, StateKey, StateStore as _};
use serde_json::{Value, json};

const RECS: &str = "mesh/shop/virtualNode/recs-v1";
const ROUTE: &str = "mesh/shop/virtualRouter/recs/route/main";

fn morning() -> Timestamp {
    "2026-11-20T10:00:00Z".parse().unwrap()
}

fn node(mode: Option<&str>) -> Value {
    let mut listener = json!({ "portMapping": { "port": 8080, "protocol": "http" } });
    if let Some(mode) = mode {
        let acm = json!({ "certificateArn": "arn:aws:acm:eu-west-1:123456789012:certificate/5f6c2b1e" });
        listener["tls"] = json!({ "mode": mode, "certificate": { "acm": acm } });
    }
    json!({ "listeners": [listener], "serviceDiscovery": { "dns": { "hostname": "recs-v1.internal" } } })
}

fn route(target: &str) -> Value {
    let targets = json!([{ "virtualNode": target, "weight": 1 }]);
    json!({ "httpRoute": { "match": { "prefix": "/" }, "action": { "weightedTargets": targets } } })
}

/// A mesh in which `web` calls `recs-v1` by TLS, and the function that has seen it at ten.
struct Shop {
    ports: MemoryPorts,
    reports: bool,
}

impl Shop {
    fn new() -> Self {
        let ports = MemoryPorts::at(morning());
        let backends = json!([{ "virtualService": { "virtualServiceName": "recs.local" } }]);
        for (path, spec) in [
            ("mesh/shop", json!({ "egressFilter": { "type": "DROP_ALL" } })),
            ("mesh/shop/virtualNode/web", json!({ "backends": backends })),
            (RECS, node(Some("STRICT"))),
            (
                "mesh/shop/virtualRouter/recs",
                json!({ "listeners": [{ "portMapping": { "port": 8080, "protocol": "http" } }] }),
            ),
            (ROUTE, route("recs-v1")),
            (
                "mesh/shop/virtualService/recs.local",
                json!({ "provider": { "virtualRouter": { "virtualRouterName": "recs" } } }),
            ),
        ] {
            ports.mesh.put_spec(&path.parse().unwrap(), &spec).unwrap();
        }
        Self { ports, reports: true }
    }

    async fn open() -> Self {
        let shop = Self::new();
        assert_eq!(shop.wake("tick-rule").await.unwrap(), ["FirstSight"]);
        shop.ports.clock.advance(SignedDuration::from_mins(4));
        shop
    }

    /// Somebody writes a spec.
    fn edit(&self, path: &str, spec: &Value) {
        let path: ResourcePath = path.parse().unwrap();
        self.ports.mesh.edit_resource(&path, Spec::read(path.kind(), spec).unwrap());
    }

    fn tag(&self, path: &str, tags: &[(&str, &str)]) {
        let tags: BTreeMap<String, String> =
            tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.ports.mesh.set_tags(&format!("arn:aws:appmesh:eu-west-1:{ACCOUNT}:{path}"), tags);
    }

    /// A fresh process answers an event.
    async fn answer(&self, event: &Value) -> Result<Value, String> {
        self.answer_within(Duration::from_mins(1), event).await
    }

    async fn answer_within(&self, time: Duration, event: &Value) -> Result<Value, String> {
        let policy = PolicyKeeper::start(Box::new(BuiltInPolicy(BUILT_IN)), Policy::read, morning()).await.unwrap();
        let ports = Ports {
            clock: Arc::new(self.ports.clock.clone()),
            meshes: Arc::new(self.ports.mesh.clone()),
            state: Arc::new(self.ports.state.clone()),
            notifier: Arc::new(self.ports.notifier.clone()),
            bus: Arc::new(self.ports.bus.clone()),
            reports: self.reports.then(|| Arc::new(self.ports.reports.clone()) as _),
        };
        let deadline = Deadline::after(time);
        let invocation = Invocation { function: NAME, request_id: "r", deadline };
        let emitter = Emitter::to(std::io::sink());
        invocation.answer(&ChangeAudit::new(ports, policy), &emitter, event).await.map_err(|error| error.to_string())
    }

    /// The reasons that a sample event leads to; of a batch the messages that failed.
    async fn wake(&self, event: &str) -> Result<Vec<String>, String> {
        self.answer(&sample(event)).await.map(|answer| reasons(&answer))
    }

    fn subjects(&self) -> Vec<String> {
        self.ports.notifier.sent().into_iter().map(|notice| notice.subject).collect()
    }

    async fn journal(&self) -> Vec<Value> {
        let key = StateKey::mesh(NAME, &"shop".parse().unwrap());
        self.ports.state.journal(&key, 100).await.unwrap().into_iter().map(|entry| entry.body).collect()
    }

    fn document(&self) -> Value {
        let stored = self.ports.state.stored(&StateKey::mesh(NAME, &"shop".parse().unwrap()));
        stored.map_or(Value::Null, |stored| stored.document)
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/change-audit")
}

fn sample(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap()).unwrap()
}

fn reasons(answer: &Value) -> Vec<String> {
    match answer.get("decisions").and_then(Value::as_array) {
        Some(decisions) => decisions.iter().map(|line| line["reason"].as_str().unwrap().to_owned()).collect(),
        None => vec![answer["batchItemFailures"].to_string()],
    }
}

/// Does what an event tells of, so that there is something to see.
fn happen(shop: &Shop, event: &str) {
    match event {
        "cloudtrail-update-virtual-node" | "sns-cloudtrail" | "sqs-sns-cloudtrail" => shop.edit(RECS, &node(None)),
        "cloudtrail-create-virtual-node" => {
            let path = "mesh/shop/virtualNode/recs-v2".parse().unwrap();
            shop.ports.mesh.put_spec(&path, &node(None)).unwrap();
        }
        "cloudtrail-delete-virtual-node" => shop.ports.mesh.remove(&RECS.parse().unwrap()),
        "control-plane-tag-resource" => shop.tag(RECS, &[("owner", "recs")]),
        "control-plane-route-failover" => shop.edit(ROUTE, &route("recs-v1")),
        "sqs-mesh-writes" => {
            shop.edit(RECS, &node(None));
            shop.tag(RECS, &[("owner", "recs")]);
        }
        "tick-rule" | "cloudtrail-denied" | "cloudtrail-refused" | "cloudtrail-describe" => {}
        other => panic!("say what {other} is about"),
    }
}

#[tokio::test(start_paused = true)]
async fn each_sample_event_is_audited() {
    let mut table = vec![
        ("cloudtrail-create-virtual-node", "Written", 1, "deployer in role Deployer"),
        ("cloudtrail-delete-virtual-node", "Written", 1, "deployer in role Deployer"),
        ("cloudtrail-denied", "Refused", 0, ""),
        ("cloudtrail-describe", "NotOurs", 0, ""),
        ("cloudtrail-refused", "Refused", 0, "deployer in role Deployer"),
        ("cloudtrail-update-virtual-node", "Written", 1, "deployer in role Deployer"),
        ("control-plane-route-failover", "Written", 0, "Meshwarden's route-failover"),
        ("control-plane-tag-resource", "Written", 0, "user ann"),
        ("sns-cloudtrail", "Written", 1, "deployer in role Deployer"),
        ("sqs-mesh-writes", "[]", 1, "user ann"),
        ("sqs-sns-cloudtrail", "[]", 1, "deployer in role Deployer"),
        ("tick-rule", "Unchanged", 0, ""),
    ];
    let mut files: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    files.sort();
    assert_eq!(files, table.iter().map(|(name, ..)| *name).collect::<Vec<_>>());
    for (name, reason, notices, by) in table.drain(..) {
        let shop = Shop::open().await;
        happen(&shop, name);
        assert_eq!(shop.wake(name).await.unwrap(), [reason], "{name}");
        let sent = shop.ports.notifier.sent();
        assert_eq!(sent.len(), notices, "{name}: {sent:?}");
        let journal = shop.journal().await;
        // The first sight is journalled, too.
        assert_eq!(journal.len(), 1 + usize::from(!by.is_empty()), "{name}: {journal:?}");
        assert!(by.is_empty() || journal[0].to_string().contains(by), "{name}: {journal:?}");
        assert!(notices == 0 || sent[0].body.contains(by), "{name}: {sent:?}");
        // The same event once more: nothing is to be seen of it, and nobody hears of it again.
        let again = shop.wake(name).await.unwrap();
        let expected = if reason == "Written" { "Unchanged" } else { reason };
        assert_eq!(again, [expected], "{name}");
        let journal_again = shop.journal().await;
        assert_eq!((shop.subjects().len(), journal_again.len()), (notices, journal.len()), "{name}");
        assert_eq!(shop.document()["owed"], json!([]), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_notice_names_caller_difference_findings_and_what_mends_them() {
    let shop = Shop::open().await;
    shop.edit(RECS, &node(None));
    let answer = shop.answer(&sample("cloudtrail-update-virtual-node")).await.unwrap();
    let notice = &shop.ports.notifier.sent()[0];
    assert_eq!(notice.subject, format!("Mesh shop got worse: {RECS} was updated"));
    for part in [
        "was updated (version 1 to 2)",
        "deployer in role Deployer (account 123456789012, from 192.0.2.10, with aws-cli/2.31.0): UpdateVirtualNode",
        "spec.listeners[0].tls: {",
        "New finding ",
        "To mend it: ",
        "Calls from web to recs-v1 for recs.local: TLS before, now plain text",
    ] {
        assert!(notice.body.contains(part), "{part} is missing in\n{}", notice.body);
    }
    let line = &answer["decisions"][0];
    assert_eq!((&line["decision"], &line["resource"]), (&json!("tell"), &json!(RECS)));
    assert_eq!(line["facts"]["cause"]["write"]["who"], Value::Null, "the caller is a member of the write");
    assert_eq!(line["facts"]["cause"]["write"]["caller"]["role"], "Deployer");
    let first = &line["facts"]["created"]["first"][0];
    assert_eq!(first["id"].as_str().unwrap().len(), 16, "{first}");
    let event = &shop.ports.bus.events()[0];
    assert_eq!((&*event.detail_type, &event.detail["changesCount"]), ("Meshwarden Change", &json!(1)));
}

#[tokio::test(start_paused = true)]
async fn what_no_event_told_is_found_by_the_schedule_and_named_when_it_does() {
    let shop = Shop::open().await;
    shop.edit(RECS, &node(None));
    assert_eq!(shop.wake("tick-rule").await.unwrap(), ["NoEvent"]);
    assert!(shop.ports.notifier.sent()[0].body.contains("by nobody knows whom"));
    shop.ports.clock.advance(SignedDuration::from_mins(10));
    assert_eq!(shop.wake("cloudtrail-update-virtual-node").await.unwrap(), ["Attributed"]);
    assert_eq!(shop.subjects()[1], format!("Who changed {RECS} is known now"));
    assert_eq!(shop.wake("cloudtrail-update-virtual-node").await.unwrap(), ["Unchanged"]);
    assert_eq!(shop.subjects().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn several_writes_between_are_said_to_be_several() {
    let shop = Shop::open().await;
    shop.edit(RECS, &node(None));
    shop.edit(RECS, &node(Some("PERMISSIVE")));
    let answer = shop.answer(&sample("cloudtrail-update-virtual-node")).await.unwrap();
    assert_eq!(reasons(&answer), ["WritesBetween"]);
    assert_eq!(answer["decisions"][0]["facts"]["cause"]["untold"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_mesh_that_is_deleted_and_one_that_is_new() {
    let shop = Shop::open().await;
    let paths: Vec<ResourcePath> = [
        "mesh/shop",
        "mesh/shop/virtualNode/web",
        RECS,
        ROUTE,
        "mesh/shop/virtualRouter/recs",
        "mesh/shop/virtualService/recs.local",
    ]
    .iter()
    .map(|path| path.parse().unwrap())
    .collect();
    for path in &paths {
        shop.ports.mesh.remove(path);
    }
    let mut event = sample("cloudtrail-delete-virtual-node");
    event["detail"]["eventName"] = json!("DeleteMesh");
    event["detail"]["requestParameters"] = json!({ "meshName": "shop" });
    let told = shop.wake_with(&event).await;
    assert_eq!(told.iter().filter(|reason| *reason == "Written").count(), 1, "{told:?}");
    assert_eq!(told.len(), paths.len(), "everything in it went without an event: {told:?}");
    shop.ports.mesh.put_spec(&"mesh/shop".parse().unwrap(), &json!({})).unwrap();
    shop.ports.clock.advance(SignedDuration::from_mins(1));
    event["detail"]["eventTime"] = json!("2026-11-20T10:04:30Z");
    event["detail"]["eventName"] = json!("CreateMesh");
    event["detail"]["responseElements"] = json!({ "mesh": { "metadata": { "version": 1 } } });
    assert_eq!(shop.wake_with(&event).await, ["Written"]);
}

impl Shop {
    async fn wake_with(&self, event: &Value) -> Vec<String> {
        reasons(&self.answer(event).await.unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn the_kill_switch_stops_nothing_here() {
    let shop = Shop::open().await;
    let switch = KillSwitch { by: "ann".into(), reason: "incident".into(), at: morning() };
    shop.ports.state.set_kill_switch(Some(&switch)).await.unwrap();
    shop.edit(RECS, &node(None));
    assert_eq!(shop.wake("cloudtrail-update-virtual-node").await.unwrap(), ["Written"]);
    assert_eq!(shop.subjects().len(), 1);
    assert_eq!(shop.ports.mesh.writes().len(), 0, "nor does it ever write");
}

/// A mesh that can't be read is not known: nothing is said to be deleted, and who wrote is known when it can be.
#[tokio::test(start_paused = true)]
async fn a_mesh_that_may_not_be_read_keeps_who_wrote() {
    let shop = Shop::open().await;
    shop.edit(RECS, &node(None));
    let before = shop.document();
    for healing in [true, false] {
        let failure = if healing { Failure::Unavailable } else { Failure::Denied };
        let describes =
            |call: &ports::memory::Call| call.name.starts_with("describe") && call.subject.contains("recs-v1");
        shop.ports.faults.whenever(describes, Fault::Fails(failure, Effect::NotDone));
        let answer = shop.wake("cloudtrail-update-virtual-node").await;
        assert_eq!(answer.is_err(), healing, "what may heal comes again: {answer:?}");
        shop.ports.faults.reset();
        assert_eq!(shop.document()["state"], before["state"], "the last state stays");
    }
    assert_eq!(shop.subjects(), Vec::<String>::new());
    assert_eq!(shop.wake("tick-rule").await.unwrap(), ["Written"]);
    assert!(shop.ports.notifier.sent()[0].body.contains("deployer in role Deployer"));
    assert_eq!(shop.document()["waiting"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_large_mesh_is_kept_among_the_reports_or_said_to_be_nowhere() {
    for reports in [true, false] {
        let shop = Shop { reports, ..Shop::new() };
        for n in 0..400 {
            let path = format!("mesh/shop/virtualNode/n{n}").parse().unwrap();
            shop.ports.mesh.put_spec(&path, &node(Some("STRICT"))).unwrap();
        }
        let first = shop.wake("tick-rule").await.unwrap();
        let document = shop.document().to_string();
        assert!(document.len() < 2000, "{}", document.len());
        shop.ports.clock.advance(SignedDuration::from_mins(4));
        shop.edit(RECS, &node(None));
        let second = shop.wake("cloudtrail-update-virtual-node").await.unwrap();
        if reports {
            assert_eq!((first, second), (vec!["FirstSight".to_owned()], vec!["Written".to_owned()]));
            assert_eq!(shop.ports.reports.stored().len(), 2, "each state under its own name");
            let name = shop.document()["state"]["name"].as_str().unwrap().to_owned();
            shop.ports.reports.remove(&name);
            assert_eq!(shop.wake("tick-rule").await.unwrap(), ["FirstSight", "LastStateLost"]);
            assert_eq!(shop.wake("tick-rule").await.unwrap(), ["Unchanged"]);
        } else {
            assert_eq!(first, ["FirstSight", "NowhereToKeep"]);
            assert_eq!(second, ["FirstSight", "LastStateLost", "NowhereToKeep"]);
        }
    }
}

/// Two invocations that see the same change at the same time: one tells it.
#[tokio::test(start_paused = true)]
async fn of_two_at_a_time_one_tells() {
    let shop = Shop::open().await;
    shop.edit(RECS, &node(None));
    let event = sample("cloudtrail-update-virtual-node");
    let other = shop.answer_within(Duration::from_secs(59), &event);
    let (one, other) = tokio::join!(shop.answer(&event), other);
    let mut told = [reasons(&one.unwrap()), reasons(&other.unwrap())].concat();
    told.sort();
    assert_eq!(told, ["Unchanged", "Written"]);
    assert_eq!((shop.subjects().len(), shop.ports.bus.events().len(), shop.journal().await.len()), (1, 1, 2));
    assert_eq!(shop.document()["owed"], json!([]));
}

/// What a run ends with: what was told and journalled, less what happens to be told twice.
async fn end(shop: &Shop) -> Value {
    let mut subjects = shop.subjects();
    subjects.dedup();
    let mut document = shop.document();
    // The times differ, since the second process came later.
    document.as_object_mut().unwrap().remove("seenAt");
    json!({ "subjects": subjects, "document": document, "journal": shop.journal().await.len() })
}

/// Killed at every call, before and after its effect, and the event once more: told, at most twice, and written down
/// once.
#[tokio::test(start_paused = true)]
async fn killed_anywhere_and_run_again() {
    let undisturbed = Shop::open().await;
    undisturbed.edit(RECS, &node(None));
    let before = undisturbed.ports.faults.calls().len();
    undisturbed.wake("cloudtrail-update-virtual-node").await.unwrap();
    let calls = undisturbed.ports.faults.calls().len() - before;
    assert!(calls > 15, "{calls}");
    for call in 0..calls {
        for fault in Fault::crashes() {
            let shop = Shop::open().await;
            shop.edit(RECS, &node(None));
            shop.ports.faults.at(before + call, fault.clone());
            assert!(
                shop.ports.faults.run(shop.wake("cloudtrail-update-virtual-node")).await.is_none(),
                "{fault:?} at {call}"
            );
            shop.ports.clock.advance(SignedDuration::from_mins(5));
            shop.wake("cloudtrail-update-virtual-node").await.unwrap();
            assert_eq!(end(&shop).await, end(&undisturbed).await, "{fault:?} at {call}");
            assert!((1..=2).contains(&shop.subjects().len()), "{fault:?} at {call}: {:?}", shop.subjects());
        }
    }
}

/// Every call failing in every way, and the event once more where it asked for that: told, never not at all.
#[tokio::test(start_paused = true)]
async fn every_failure_is_said_and_nothing_is_lost() {
    let undisturbed = Shop::open().await;
    undisturbed.edit(RECS, &node(None));
    let before = undisturbed.ports.faults.calls().len();
    undisturbed.wake("cloudtrail-update-virtual-node").await.unwrap();
    let calls = undisturbed.ports.faults.calls().len() - before;
    for call in 0..calls {
        for fault in Fault::every() {
            let shop = Shop::open().await;
            shop.edit(RECS, &node(None));
            shop.ports.faults.at(before + call, fault.clone());
            let first = shop.wake("cloudtrail-update-virtual-node").await;
            shop.ports.clock.advance(SignedDuration::from_mins(5));
            if first.is_err() {
                shop.wake("cloudtrail-update-virtual-node").await.unwrap();
            }
            // An hour later the schedule comes by in any case.
            shop.ports.clock.advance(SignedDuration::from_mins(60));
            shop.wake("tick-rule").await.unwrap();
            assert!((1..=2).contains(&shop.subjects().len()), "{fault:?} at {call}: {:?}", shop.subjects());
            let (is, should) = (end(&shop).await, end(&undisturbed).await);
            assert_eq!(is, should, "{fault:?} at {call}");
        }
    }
}

/// Whatever order the events of a deployment come in, and however they are cut into batches, everybody is named.
#[tokio::test(start_paused = true)]
async fn the_order_of_events_is_irrelevant() {
    let version = |version: u64| {
        let mut event = sample("cloudtrail-update-virtual-node");
        event["detail"]["responseElements"]["virtualNode"]["metadata"]["version"] = json!(version);
        event["detail"]["eventID"] = json!(format!("update {version}"));
        event
    };
    let events = [version(2), version(3), sample("control-plane-tag-resource")];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
        let shop = Shop::open().await;
        shop.edit(RECS, &node(None));
        shop.edit(RECS, &node(Some("PERMISSIVE")));
        shop.tag(RECS, &[("owner", "recs")]);
        for at in order {
            shop.answer(&events[at]).await.unwrap();
        }
        let journal = shop.journal().await;
        let named: Vec<bool> = ["update 2", "update 3", "user ann"]
            .iter()
            .map(|who| journal.iter().any(|entry| entry.to_string().contains(who)))
            .collect();
        assert_eq!(journal.len(), 4, "{order:?}: {journal:?}");
        assert!(named[2], "{order:?}: {journal:?}");
        assert_eq!(shop.document()["open"], json!([]), "{order:?}: nothing is left to be told");
    }
}

/// Every kind is compared, and none is taken for another.
#[tokio::test(start_paused = true)]
async fn all_kinds_are_known() {
    let shop = Shop::open().await;
    let target = json!({ "target": { "virtualService": { "virtualServiceName": "recs.local" } } });
    for (path, spec) in [
        (
            "mesh/shop/virtualGateway/edge",
            json!({ "listeners": [{ "portMapping": { "port": 80, "protocol": "http" } }] }),
        ),
        (
            "mesh/shop/virtualGateway/edge/gatewayRoute/root",
            json!({ "httpRoute": { "match": { "prefix": "/" }, "action": target } }),
        ),
    ] {
        shop.ports.mesh.put_spec(&path.parse().unwrap(), &spec).unwrap();
    }
    assert_eq!(shop.wake("tick-rule").await.unwrap(), ["NoEvent", "NoEvent"]);
    let kinds: Vec<ResourceKind> = ResourceKind::ALL.into_iter().collect();
    let state = shop.document()["state"]["snapshot"]["resources"].clone();
    let seen = |kind: &ResourceKind| {
        state.as_object().unwrap().keys().any(|path| path.parse::<ResourcePath>().unwrap().kind() == *kind)
    };
    assert!(kinds.iter().all(seen), "{state}");
}
