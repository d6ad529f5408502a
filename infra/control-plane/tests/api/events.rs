//! Change events: sent without delaying a write, retried where that helps, and counted if lost.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use control_plane::{AdmissionMode, AdmissionSettings, EventReceiver, ReceiverKind, Server, Settings, Webhook};
use rules::audit::ApiCaller;
use rules::pack::Severity;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::client::{ARN, Plane};
use crate::process;

/// The timeout of an event.
const WITHIN: Duration = Duration::from_secs(20);

/// A web server that receives events, with configurable responses.
struct TestWebhook {
    url: String,
    events: mpsc::UnboundedReceiver<Value>,
}

/// The responses of a web server: these first, then successful ones; or none.
#[derive(Clone)]
enum Responses {
    Statuses(Arc<Mutex<VecDeque<StatusCode>>>),
    Never,
}

impl TestWebhook {
    async fn open(first: &[u16]) -> Self {
        let first = first.iter().map(|status| StatusCode::from_u16(*status).unwrap()).collect();
        Self::with_responses(Responses::Statuses(Arc::new(Mutex::new(first)))).await
    }

    async fn with_responses(responses: Responses) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let receive = async |State((responses, sender)): State<(Responses, mpsc::UnboundedSender<Value>)>,
                             body: String| {
            let status = match responses {
                Responses::Statuses(statuses) => statuses.lock().unwrap().pop_front().unwrap_or(StatusCode::NO_CONTENT),
                Responses::Never => std::future::pending().await,
            };
            if status.is_success() {
                let _ = sender.send(serde_json::from_str(&body).unwrap());
            }
            status
        };
        let router = Router::new().route("/hook", post(receive)).with_state((responses, sender));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, events }
    }

    fn receiver(&self) -> EventReceiver {
        let webhook: Webhook = self.url.parse().unwrap();
        EventReceiver { kind: ReceiverKind::Webhook, name: webhook.name(), bus: Arc::new(webhook) }
    }

    async fn plane(&self) -> Plane {
        self.plane_with(AdmissionSettings::default()).await
    }

    async fn plane_with(&self, admission: AdmissionSettings) -> Plane {
        let settings = Settings { events: vec![self.receiver()], admission, ..Plane::settings() };
        Plane::serving(Server::bind(settings).await.unwrap())
    }

    async fn next(&mut self) -> Value {
        tokio::time::timeout(WITHIN, self.events.recv()).await.expect("an event arrives").unwrap()
    }

    fn is_quiet(&mut self) -> bool {
        self.events.try_recv().is_err()
    }
}

/// Waits until a counter has an accepted value.
async fn counted(plane: &Plane, outcome: &str, is_accepted: impl Fn(u64) -> bool) -> u64 {
    let line = format!(r#"meshwarden_change_events_total{{receiver="webhook",outcome="{outcome}"}} "#);
    let give_up = Instant::now() + WITHIN;
    loop {
        let (_, metrics) = plane.endpoint("/metrics").await;
        let value = metrics.lines().find_map(|metric| metric.strip_prefix(&line)).expect("the counter exists");
        let value = value.parse().unwrap();
        if is_accepted(value) {
            return value;
        }
        assert!(Instant::now() < give_up, "{outcome} is {value}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn every_accepted_write_is_sent_and_nothing_else() {
    let mut hook = TestWebhook::open(&[]).await;
    let plane = hook.plane().await;
    let (node, arn) = ("/meshes/shop/virtualNodes", format!("{ARN}mesh/shop/virtualNode/web"));
    plane
        .put("/meshes", json!({"meshName": "shop", "clientToken": "t-1", "tags": [{"key": "a", "value": "b"}]}))
        .await
        .ok();
    plane.put(node, json!({"virtualNodeName": "web", "spec": {}})).await.ok();
    plane.get(&format!("{node}/web")).await.ok();
    plane.put(node, json!({"virtualNodeName": "web", "spec": {"backends": []}})).await.error("ConflictException");
    plane.put(&format!("{node}/other"), json!({"spec": {}})).await.error("NotFoundException");
    plane.put(&format!("{node}/web"), json!({"spec": {"backends": []}})).await.ok();
    plane.put(&format!("/tag?resourceArn={arn}"), json!({"tags": [{"key": "owner", "value": "ann"}]})).await.ok();
    plane.put(&format!("/untag?resourceArn={arn}"), json!({"tagKeys": ["owner"]})).await.ok();
    plane.delete(&format!("{node}/web")).await.ok();
    let mut received = Vec::new();
    for _ in 0..6 {
        received.push(hook.next().await);
    }
    let web = json!({"meshName": "shop", "virtualNodeName": "web"});
    let with = |member: &str, value: Value| {
        let mut members = web.clone();
        members[member] = value;
        members
    };
    let tags = json!([{"key": "a", "value": "b"}]);
    for (event, (name, parameters, kind, version)) in received.iter().zip([
        ("CreateMesh", json!({"meshName": "shop", "spec": {}, "clientToken": "t-1", "tags": tags}), "mesh", json!(1)),
        ("CreateVirtualNode", with("spec", json!({})), "virtualNode", json!(1)),
        ("UpdateVirtualNode", with("spec", json!({"backends": []})), "virtualNode", json!(2)),
        (
            "TagResource",
            json!({"resourceArn": arn, "tags": [{"key": "owner", "value": "ann"}]}),
            "virtualNode",
            Value::Null,
        ),
        ("UntagResource", json!({"resourceArn": arn, "tagKeys": ["owner"]}), "virtualNode", Value::Null),
        ("DeleteVirtualNode", web.clone(), "virtualNode", json!(3)),
    ]) {
        let detail = &event["detail"];
        assert_eq!((&detail["eventName"], &detail["requestParameters"]), (&json!(name), &parameters), "{name}");
        assert_eq!(detail["responseElements"][kind]["metadata"]["version"], version, "{name}: {detail}");
        for (pointer, value) in [
            ("/source", "meshwarden.appmesh"),
            ("/detail-type", "AWS API Call via CloudTrail"),
            ("/account", "123456789012"),
            ("/region", "eu-west-1"),
            ("/detail/eventSource", "appmesh.amazonaws.com"),
            ("/detail/userIdentity/type", "Unknown"),
            ("/detail/sourceIPAddress", "127.0.0.1"),
        ] {
            assert_eq!(event.pointer(pointer).and_then(Value::as_str), Some(value), "{name} {pointer}");
        }
        assert_eq!(event["id"], detail["eventID"], "{name}");
        assert!(detail.get("errorCode").is_none(), "{name}");
        assert_eq!(ApiCaller::read(detail).to_string().split(" (").next(), Some("an unknown caller"), "{name}");
        let time = event["time"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.len() == 20, "{time}");
    }
    counted(&plane, "sent", |sent| sent == 6).await;
    assert!(hook.is_quiet());
}

#[tokio::test]
async fn failed_events_are_retried() {
    let mut hook = TestWebhook::open(&[503, 429, 500]).await;
    let plane = hook.plane().await;
    plane.put("/meshes", json!({"meshName": "shop"})).await.ok();
    assert_eq!(hook.next().await["detail"]["eventName"], "CreateMesh");
    counted(&plane, "sent", |sent| sent == 1).await;
    assert_eq!(counted(&plane, "given_up", |_| true).await, 0);
}

#[tokio::test]
async fn refused_events_are_not_sent_again() {
    let mut hook = TestWebhook::open(&[400]).await;
    let plane = hook.plane().await;
    plane.put("/meshes", json!({"meshName": "shop"})).await.ok();
    counted(&plane, "refused", |refused| refused == 1).await;
    plane.put("/meshes", json!({"meshName": "other"})).await.ok();
    assert_eq!(hook.next().await["detail"]["requestParameters"]["meshName"], "other");
}

/// A receiver that never responds delays no write; events beyond its queue are dropped and counted.
#[tokio::test]
async fn a_full_queue_drops_events_without_delaying_writes() {
    let hook = TestWebhook::with_responses(Responses::Never).await;
    let plane = hook.plane().await;
    plane.put("/meshes", json!({"meshName": "shop"})).await.ok();
    for _ in 0..1050 {
        plane.put("/meshes/shop", json!({})).await.ok();
    }
    let dropped = counted(&plane, "dropped", |dropped| dropped > 0).await;
    assert!((40..=50).contains(&dropped), "{dropped}");
    assert_eq!(counted(&plane, "sent", |_| true).await, 0);
}

#[tokio::test]
async fn results_of_admission_are_sent() {
    let mut hook = TestWebhook::open(&[]).await;
    let open = json!({"spec": {"egressFilter": {"type": "ALLOW_ALL"}}});
    for (mode, expected) in [
        (AdmissionMode::Warn, vec!["AWS API Call via CloudTrail", "Meshwarden Admission"]),
        (AdmissionMode::Deny, vec!["AWS API Call via CloudTrail", "Meshwarden Admission"]),
    ] {
        let plane = hook.plane_with(AdmissionSettings { mode, severity: Severity::High, policy: None }).await;
        plane.put("/meshes", json!({"meshName": "shop", "spec": {"egressFilter": {"type": "DROP_ALL"}}})).await;
        while hook.next().await["detail"]["eventName"] != "CreateMesh" {}
        // A mesh without tags has a finding.
        while let Ok(event) = tokio::time::timeout(Duration::from_millis(300), hook.events.recv()).await {
            assert_eq!(event.unwrap()["detail-type"], "Meshwarden Admission");
        }
        let reply = plane.put("/meshes/shop", open.clone()).await;
        let (call, admission) = (hook.next().await, hook.next().await);
        let types = [&call, &admission].map(|event| event["detail-type"].as_str().unwrap().to_owned());
        assert_eq!(types, *expected, "{mode:?}");
        let detail = &admission["detail"];
        assert_eq!((&detail["resource"], &detail["eventName"]), (&json!("mesh/shop"), &json!("UpdateMesh")));
        assert_eq!(admission["resources"], json!([format!("{ARN}mesh/shop")]));
        let first = &detail["findings"][0];
        assert_eq!((&first["rule"], first["id"].as_str().unwrap().len()), (&json!("mesh-egress-open"), 16));
        match mode {
            AdmissionMode::Deny => {
                reply.error("BadRequestException");
                assert_eq!(
                    (&detail["outcome"], &call["detail"]["errorCode"]),
                    (&json!("denied"), &json!("BadRequestException"))
                );
                assert_eq!(call["detail"]["responseElements"], Value::Null);
            }
            AdmissionMode::Warn | AdmissionMode::Off => {
                reply.ok();
                assert_eq!(detail["outcome"], "warned");
                assert!(call["detail"].get("errorCode").is_none());
            }
        }
    }
}

/// Queued events are sent before the process ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_sends_queued_events() {
    let mut hook = TestWebhook::open(&[503]).await;
    let url = hook.url.clone();
    let mut running = tokio::task::spawn_blocking(move || process::start(&["--events", &url])).await.unwrap();
    let response = reqwest::Client::new()
        .put(format!("http://{}/v20190125/meshes", running.addr))
        .body(json!({"meshName": "shop"}).to_string())
        .header("user-agent", "a test")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 200);
    process::signal(&running.child, "TERM");
    assert_eq!(hook.next().await["detail"]["userAgent"], "a test");
    let code = tokio::task::spawn_blocking(move || process::wait(&mut running.child)).await.unwrap();
    assert_eq!(code, 0);
}

/// An event that exceeds the limit of a bus loses its specs, but keeps its caller.
#[tokio::test]
async fn an_event_that_is_too_long_is_sent_without_its_specs() {
    let mut hook = TestWebhook::open(&[]).await;
    let plane = hook.plane().await;
    plane.put("/meshes", json!({"meshName": "shop"})).await.ok();
    let names = (0..400).map(|n| format!("{n}-{}", "x".repeat(200)));
    let attributes: Vec<Value> = names.map(|name| json!({"key": name, "value": "y".repeat(1000)})).collect();
    let map = json!({"namespaceName": "local", "serviceName": "s", "attributes": attributes});
    let spec = json!({"serviceDiscovery": {"awsCloudMap": map}});
    plane.put("/meshes/shop/virtualNodes", json!({"virtualNodeName": "big", "spec": spec})).await.ok();
    assert_eq!(hook.next().await["detail"]["eventName"], "CreateMesh");
    let detail = &hook.next().await["detail"];
    assert!(detail.to_string().len() < 4096, "{}", detail.to_string().len());
    assert_eq!(detail["additionalEventData"]["omitted"], json!(["spec"]));
    assert_eq!(detail["requestParameters"], json!({"meshName": "shop", "virtualNodeName": "big"}));
    assert_eq!(detail["responseElements"]["virtualNode"]["metadata"]["version"], 1);
}
