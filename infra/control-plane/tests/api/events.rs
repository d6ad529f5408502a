//! Change events: told without keeping a write waiting, again where that helps, and counted where they are lost.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use control_plane::{AdmissionMode, AdmissionSettings, EventReceiver, ReceiverKind, Server, Settings, Webhook};
use mesh::audit::Caller;
use mesh::pack::Severity;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::client::{ARN, Plane};
use crate::process;

/// How long an event may take.
const WITHIN: Duration = Duration::from_secs(20);

/// A web server that takes events, and answers as it is told.
struct Hook {
    url: String,
    events: mpsc::UnboundedReceiver<Value>,
}

/// How a web server answers: with these first, then well; or never.
#[derive(Clone)]
enum Answers {
    With(Arc<Mutex<VecDeque<StatusCode>>>),
    Never,
}

impl Hook {
    async fn open(first: &[u16]) -> Self {
        let first = first.iter().map(|status| StatusCode::from_u16(*status).unwrap()).collect();
        Self::answering(Answers::With(Arc::new(Mutex::new(first)))).await
    }

    async fn answering(answers: Answers) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let take = async |State((answers, sender)): State<(Answers, mpsc::UnboundedSender<Value>)>, body: String| {
            let status = match answers {
                Answers::With(statuses) => statuses.lock().unwrap().pop_front().unwrap_or(StatusCode::NO_CONTENT),
                Answers::Never => std::future::pending().await,
            };
            if status.is_success() {
                let _ = sender.send(serde_json::from_str(&body).unwrap());
            }
            status
        };
        let router = Router::new().route("/hook", post(take)).with_state((answers, sender));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, events }
    }

    fn receiver(&self) -> EventReceiver {
        let webhook: Webhook = self.url.parse().unwrap();
        EventReceiver { kind: ReceiverKind::Webhook, bus: Arc::new(webhook) }
    }

    async fn plane(&self) -> Plane {
        self.plane_with(AdmissionSettings::default()).await
    }

    async fn plane_with(&self, admission: AdmissionSettings) -> Plane {
        let settings = Settings { events: vec![self.receiver()], admission, ..Plane::settings() };
        Plane::serving(Server::bind(settings).await.unwrap())
    }

    async fn next(&mut self) -> Value {
        tokio::time::timeout(WITHIN, self.events.recv()).await.expect("an event").unwrap()
    }

    fn is_quiet(&mut self) -> bool {
        self.events.try_recv().is_err()
    }
}

/// A counter of the metrics, once it has a value that will do.
async fn counted(plane: &Plane, outcome: &str, will_do: impl Fn(u64) -> bool) -> u64 {
    let line = format!(r#"meshwarden_change_events_total{{receiver="webhook",outcome="{outcome}"}} "#);
    let give_up = Instant::now() + WITHIN;
    loop {
        let (_, metrics) = plane.beside("/metrics").await;
        let value = metrics.lines().find_map(|of| of.strip_prefix(&line)).expect("the counter").parse().unwrap();
        if will_do(value) {
            return value;
        }
        assert!(Instant::now() < give_up, "{outcome} is {value}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn every_accepted_write_is_told_and_nothing_else_is() {
    let mut hook = Hook::open(&[]).await;
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
    let mut told = Vec::new();
    for _ in 0..6 {
        told.push(hook.next().await);
    }
    let web = json!({"meshName": "shop", "virtualNodeName": "web"});
    let with = |member: &str, value: Value| {
        let mut members = web.clone();
        members[member] = value;
        members
    };
    let tags = json!([{"key": "a", "value": "b"}]);
    for (event, (name, parameters, kind, version)) in told.iter().zip([
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
        assert_eq!(Caller::read(detail).to_string().split(" (").next(), Some("somebody unknown"), "{name}");
        let time = event["time"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.len() == 20, "{time}");
    }
    counted(&plane, "sent", |sent| sent == 6).await;
    assert!(hook.is_quiet());
}

#[tokio::test]
async fn a_receiver_that_is_away_is_tried_again() {
    let mut hook = Hook::open(&[503, 429, 500]).await;
    let plane = hook.plane().await;
    plane.put("/meshes", json!({"meshName": "shop"})).await.ok();
    assert_eq!(hook.next().await["detail"]["eventName"], "CreateMesh");
    counted(&plane, "sent", |sent| sent == 1).await;
    assert_eq!(counted(&plane, "given_up", |_| true).await, 0);
}

#[tokio::test]
async fn what_a_receiver_refuses_is_not_sent_again() {
    let mut hook = Hook::open(&[400]).await;
    let plane = hook.plane().await;
    plane.put("/meshes", json!({"meshName": "shop"})).await.ok();
    counted(&plane, "refused", |refused| refused == 1).await;
    plane.put("/meshes", json!({"meshName": "other"})).await.ok();
    assert_eq!(hook.next().await["detail"]["requestParameters"]["meshName"], "other");
}

/// A receiver that never answers keeps no write waiting; what does not fit into its queue is dropped and counted.
#[tokio::test]
async fn a_full_queue_drops_and_keeps_nobody_waiting() {
    let hook = Hook::answering(Answers::Never).await;
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
async fn what_admission_says_is_told() {
    let mut hook = Hook::open(&[]).await;
    let open = json!({"spec": {"egressFilter": {"type": "ALLOW_ALL"}}});
    for (mode, expected) in [
        (AdmissionMode::Warn, vec!["AWS API Call via CloudTrail", "Meshwarden Admission"]),
        (AdmissionMode::Deny, vec!["AWS API Call via CloudTrail", "Meshwarden Admission"]),
    ] {
        let plane = hook.plane_with(AdmissionSettings { mode, severity: Severity::High, policy: None }).await;
        plane.put("/meshes", json!({"meshName": "shop", "spec": {"egressFilter": {"type": "DROP_ALL"}}})).await;
        while hook.next().await["detail"]["eventName"] != "CreateMesh" {}
        // A mesh without tags is worth a warning.
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

/// What is queued when the server is asked to end is told before it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_waits_for_what_is_queued() {
    let mut hook = Hook::open(&[503]).await;
    let url = hook.url.clone();
    let mut running = tokio::task::spawn_blocking(move || process::start(&["--events", &url])).await.unwrap();
    let answer = reqwest::Client::new()
        .put(format!("http://{}/v20190125/meshes", running.addr))
        .body(json!({"meshName": "shop"}).to_string())
        .header("user-agent", "a test")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    process::signal(&running.child, "TERM");
    assert_eq!(hook.next().await["detail"]["userAgent"], "a test");
    let code = tokio::task::spawn_blocking(move || process::wait(&mut running.child)).await.unwrap();
    assert_eq!(code, 0);
}

/// An event that a bus would not take loses its specs, not its caller.
#[tokio::test]
async fn what_is_too_long_is_told_without_its_specs() {
    let mut hook = Hook::open(&[]).await;
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
