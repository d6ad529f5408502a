//! Many concurrent writers.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use crate::client::Plane;
use crate::fixture::{route, shop};

const ROUTE: &str = "/meshes/shop/virtualRouter/orders/routes/all";
const WRITERS: u8 = 16;
const ROUNDS: u8 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_version_has_exactly_one_writer() {
    let plane = Arc::new(Plane::start().await);
    shop(&plane).await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let plane = Arc::clone(&plane);
            tokio::spawn(async move {
                let mut won = Vec::new();
                for version in 1..=u64::from(ROUNDS) {
                    let body = json!({"spec": route("orders_v1", writer)});
                    let reply = plane.put_if(version, ROUTE, body).await;
                    if reply.status == 200 {
                        won.push(reply.ok()["metadata"]["version"].as_u64().unwrap());
                    } else {
                        reply.error("ConflictException");
                        let current: u64 = reply.header("x-meshwarden-version").unwrap().parse().unwrap();
                        assert_ne!(current, version, "the refused request had another version");
                    }
                }
                (writer, won)
            })
        })
        .collect();
    let mut winners: BTreeMap<u64, u8> = BTreeMap::new();
    for writer in writers {
        let (writer, won) = writer.await.unwrap();
        for version in won {
            assert_eq!(winners.insert(version, writer), None, "two writers created version {version}");
        }
    }
    let last = plane.get(ROUTE).await.ok();
    let version = last["metadata"]["version"].as_u64().unwrap();
    assert_eq!(winners.len() as u64, version - 1, "every version has one writer: {winners:?}");
    let weight = &last["spec"]["httpRoute"]["action"]["weightedTargets"][0]["weight"];
    assert_eq!(weight.as_u64().unwrap(), u64::from(winners[&version]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_unconditional_update_is_lost() {
    let plane = Arc::new(Plane::start().await);
    shop(&plane).await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let plane = Arc::clone(&plane);
            tokio::spawn(async move {
                for _ in 0..ROUNDS {
                    plane.put(ROUTE, json!({"spec": route("orders_v1", writer)})).await.ok();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let version = plane.get(ROUTE).await.ok()["metadata"]["version"].as_u64().unwrap();
    assert_eq!(version, 1 + u64::from(WRITERS) * u64::from(ROUNDS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_concurrent_creations_succeeds() {
    let plane = Arc::new(Plane::start().await);
    let creators: Vec<_> = (0..WRITERS)
        .map(|n| {
            let plane = Arc::clone(&plane);
            tokio::spawn(async move {
                let body = json!({"meshName": "shop", "clientToken": format!("creator-{n}")});
                plane.put("/meshes", body).await.status
            })
        })
        .collect();
    let mut statuses = Vec::new();
    for creator in creators {
        statuses.push(creator.await.unwrap());
    }
    statuses.sort_unstable();
    let mut expected = vec![409; usize::from(WRITERS)];
    expected[0] = 200;
    assert_eq!(statuses, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_target_is_not_deleted_while_a_route_to_it_is_created() {
    let plane = Arc::new(Plane::start().await);
    shop(&plane).await;
    for round in 0..u32::from(ROUNDS) {
        let nodes = "/meshes/shop/virtualNodes";
        let name = format!("n{round}");
        plane.put(nodes, json!({"virtualNodeName": name, "spec": {}})).await.ok();
        let body = json!({"routeName": name, "spec": route(&name, 1)});
        let uri = format!("{nodes}/{name}");
        let (routed, deleted) =
            tokio::join!(plane.put("/meshes/shop/virtualRouter/orders/routes", body), plane.delete(&uri),);
        match (routed.status, deleted.status) {
            (200, 409) | (404, 200) => {}
            both => unreachable!("the route and its target: {both:?}"),
        }
    }
}
