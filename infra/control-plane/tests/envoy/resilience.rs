//! Retries, timeouts, ejection and connection pools.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::application::{Application, Behaviour};
use crate::proxy::{Envoy, Kind};
use crate::specs::{action, client, node, with};
use crate::stage::Stage;

const SERVICE: &str = "slow.shop.local";

struct One {
    stage: Stage,
    egress: String,
    application: Application,
    running: Vec<Envoy>,
}

/// A client, a server with these members in its listener, and an optional route.
async fn one(behaviour: Behaviour, listener: Value, route: Option<Value>) -> Option<One> {
    let stage = Stage::set().await?;
    let mut server = node("http", &[]);
    for (member, value) in listener.as_object().unwrap() {
        server = with(server, &["listeners", "0", member], value.clone());
    }
    stage.node("server", server).await;
    match route {
        Some(route) => {
            stage.service_on_router(SERVICE, "router", "http").await;
            stage.route("router", "all", route).await;
        }
        None => stage.service_on_node(SERVICE, "server").await,
    }
    stage.node("client", client(&[SERVICE])).await;
    let application = stage.application("server", behaviour).await;
    let running = vec![stage.envoy(Kind::Node, "server").await, stage.envoy(Kind::Node, "client").await];
    let egress = stage.address(Kind::Node, "client", "egress", Some(SERVICE)).await;
    Some(One { stage, egress, application, running })
}

impl One {
    async fn status(&self) -> u16 {
        self.stage.client.get(format!("http://{}/", self.egress)).send().await.unwrap().status().as_u16()
    }
}

fn route(more: Value) -> Value {
    let mut route = json!({"match": {"prefix": "/"}, "action": action(&[("server", 1)])});
    route.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"httpRoute": route})
}

fn retry(events: &[&str], max: u32) -> Value {
    json!({"retryPolicy": {
        "maxRetries": max, "perRetryTimeout": {"unit": "s", "value": 5}, "httpRetryEvents": events,
    }})
}

#[tokio::test]
async fn a_503_is_retried_twice_by_default_and_a_500_is_not() {
    let Some(one) = one(Behaviour::FailFirst(2, 503), json!({}), Some(route(json!({})))).await else { return };
    assert_eq!(one.status().await, 200);
    assert_eq!(one.application.requests(), 3);
    one.application.answer_with(500);
    assert_eq!(one.status().await, 500);
    assert_eq!(one.application.requests(), 4);
}

#[tokio::test]
async fn a_retry_policy_replaces_the_default() {
    let policy = retry(&["server-error"], 3);
    let Some(one) = one(Behaviour::FailFirst(3, 500), json!({}), Some(route(policy))).await else { return };
    assert_eq!(one.status().await, 200);
    assert_eq!(one.application.requests(), 4);
}

#[tokio::test]
async fn a_policy_of_no_retries_disables_them() {
    let policy = retry(&["server-error"], 0);
    let Some(one) = one(Behaviour::FailFirst(1, 503), json!({}), Some(route(policy))).await else { return };
    assert_eq!(one.status().await, 503);
    assert_eq!(one.application.requests(), 1);
}

#[tokio::test]
async fn a_request_that_exceeds_the_timeout_of_its_route_ends() {
    let timeout = json!({"timeout": {"perRequest": {"unit": "ms", "value": 200}}});
    let slow = Behaviour::Slow(Duration::from_secs(5));
    let Some(one) = one(slow, json!({}), Some(route(timeout))).await else { return };
    let began = Instant::now();
    assert_eq!(one.status().await, 504);
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_listener_has_its_own_timeout() {
    let listener = json!({"timeout": {"http": {"perRequest": {"unit": "ms", "value": 200}}}});
    let slow = Behaviour::Slow(Duration::from_secs(5));
    let Some(one) = one(slow, listener, Some(route(json!({})))).await else { return };
    assert_eq!(one.status().await, 504);
}

#[tokio::test]
async fn an_endpoint_with_consecutive_failures_is_ejected() {
    let listener = json!({"outlierDetection": {
        "maxServerErrors": 3, "interval": {"unit": "ms", "value": 50},
        "baseEjectionDuration": {"unit": "s", "value": 30}, "maxEjectionPercent": 100,
    }});
    let Some(one) = one(Behaviour::FailFirst(1000, 500), listener, None).await else { return };
    // With a single endpoint Envoy still uses the ejected one (its panic threshold), so the test reads the
    // statistics.
    let cluster = format!("cds_egress_shop_server_http_8080/{SERVICE}/");
    let name = format!("cluster.{cluster}.outlier_detection.ejections_enforced_consecutive_5xx");
    let client = &one.running[1];
    let deadline = Instant::now() + crate::stage::TIMEOUT;
    while client.statistic(&one.stage, &name).await == 0 {
        assert_eq!(one.status().await, 500);
        assert!(Instant::now() < deadline, "the endpoint was not ejected");
    }
}

#[tokio::test]
async fn a_connection_pool_of_one_refuses_further_requests() {
    let listener = json!({"connectionPool": {"http": {"maxConnections": 1, "maxPendingRequests": 1}}});
    let no_retries = retry(&["server-error"], 0);
    let slow = Behaviour::Slow(Duration::from_secs(1));
    let Some(one) = one(slow, listener, Some(route(no_retries))).await else { return };
    let statuses = futures::future::join_all((0..6).map(|_| one.status())).await;
    assert!(statuses.contains(&503), "{statuses:?}");
    assert!(statuses.contains(&200), "{statuses:?}");
}
