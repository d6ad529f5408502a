//! Processes that end at any write, and objects in random order.

use std::collections::BTreeMap;

use futures::future::join_all;
use futures::stream::{self, StreamExt as _};
use serde_json::{Value, json};

use crate::app_mesh::{Kill, Plane};
use crate::cluster::{Item, Process, apply, delete, is_active, node, router, shop, until, until_active};
use crate::server::Server;

/// The shop after its change: other weights, another host, another route, and no gateway.
fn changed_shop() -> Vec<Item> {
    let mut items = shop();
    items.retain(|item| !item.0.starts_with("gateway") && !item.0.starts_with("virtualgateway"));
    for item in &mut items {
        match (item.0, item.3) {
            ("virtualrouters", _) => {
                item.4 = router(50, 50);
                item.4["routes"][0]["httpRoute"]["match"]["prefix"] = json!("/v2");
                let second = json!({"name": "second", "httpRoute": {"match": {"prefix": "/b"}, "action":
                    {"weightedTargets": [{"virtualNodeRef": {"name": "b"}, "weight": 1}]}}});
                item.4["routes"].as_array_mut().unwrap().push(second);
            }
            ("virtualnodes", "a") => item.4 = node("other"),
            _ => {}
        }
    }
    items
}

fn change(server: &Server) {
    apply(server, &changed_shop());
    server.delete("gatewayroutes", "shop", "orders");
    server.delete("virtualgateways", "shop", "edge");
}

/// Runs the process through both states. Returns the state of App Mesh, and the number of writes.
async fn through_both_states(kill: Kill) -> (BTreeMap<String, (Value, bool)>, usize) {
    let (server, plane) = (Server::start().await, Plane::start().await);
    server.label_namespace("shop", &json!({"mesh": "shop"}));
    apply(&server, &shop());
    server.set_kill(kill.clone());
    plane.api.set_kill(kill.clone());
    let process = Process::start(&server, &plane).await;
    tokio::select! {
        () = async {
            until_active(&server, &plane, &shop()).await;
            change(&server);
            until("the changed shop", &server, async || is_active(&server, &changed_shop())).await;
        } => {}
        () = kill.killed.notified() => {}
    }
    process.kill().await;
    let calls = kill.calls();
    server.set_kill(Kill::never());
    plane.api.set_kill(Kill::never());
    change(&server);
    let process = Process::start(&server, &plane).await;
    until("the changed shop by a second process", &server, async || is_active(&server, &changed_shop())).await;
    process.kill().await;
    (plane.state().await, calls)
}

/// Ends the process before or after each of these writes, several at a time.
async fn ends_in_the_same_state(writes: impl Fn(usize) -> Vec<(usize, bool)>) {
    let (expected, calls) = through_both_states(Kill::never()).await;
    assert!(calls >= 30, "{calls}");
    assert_eq!(expected.len(), 7, "{expected:#?}");
    let cases = writes(calls).into_iter();
    let cases = cases.map(async |(at, after)| (at, after, through_both_states(Kill::at(at, after)).await.0));
    let mut ended = stream::iter(cases).buffer_unordered(6);
    while let Some((at, after, state)) = ended.next().await {
        assert_eq!(state, expected, "at {at}, after the write: {after}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_that_ends_at_a_write_is_continued_by_the_next_one() {
    ends_in_the_same_state(|calls| (1..=calls).step_by(6).map(|at| (at, at % 4 < 2)).collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: two processes for each of 40 writes, before and after it"]
async fn process_that_ends_at_any_write_is_continued_by_the_next_one() {
    ends_in_the_same_state(|calls| (1..=calls).flat_map(|at| [(at, false), (at, true)]).collect()).await;
}

/// A generator of random numbers with a seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }
}

/// Applies and deletes objects in random order while a process reconciles, and then applies one state.
async fn random_order(seed: u64, expected: &BTreeMap<String, (Value, bool)>) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (server, plane) = (Server::start().await, Plane::start().await);
    server.label_namespace("shop", &json!({"mesh": "shop"}));
    let mut process = Process::start(&server, &plane).await;
    let (before, after) = (shop(), changed_shop());
    for _ in 0..40 {
        match random.below(8) {
            0 => {
                process.kill().await;
                process = Process::start(&server, &plane).await;
            }
            1 => server.compact(),
            2 | 3 => {
                let (plural, _, namespace, name, _) = &before[random.below(before.len())];
                server.delete(plural, namespace, name);
            }
            4 => apply(&server, std::slice::from_ref(&after[random.below(after.len())])),
            _ => apply(&server, std::slice::from_ref(&before[random.below(before.len())])),
        }
        for _ in 0..random.below(30) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
    // A deleted node that a route uses would wait for the route forever, so all objects are deleted first.
    delete(&server, &before);
    until("no object", &server, async || server.objects().is_empty()).await;
    assert!(plane.paths().await.is_empty(), "seed {seed}");
    apply(&server, &after);
    until("the changed shop", &server, async || is_active(&server, &after)).await;
    process.kill().await;
    assert_eq!(plane.state().await, *expected, "seed {seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_in_random_order_end_in_the_same_state() {
    let (expected, _) = through_both_states(Kill::never()).await;
    join_all((1..=4).map(|seed| random_order(seed, &expected))).await;
}
