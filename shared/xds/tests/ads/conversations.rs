//! Single sequences of messages between a client and a server.

use std::collections::BTreeSet;

use xds::ResourceType::{self, Cluster, Endpoint, Route};
use xds::Snapshot;

use crate::client::{Client, Delta, Sotw};
use crate::synthetic::{SyntheticMesh, dangling};

fn mesh(clusters: &[(&str, u32)], routes: &[(&str, &[&str])]) -> SyntheticMesh {
    SyntheticMesh {
        clusters: clusters.iter().map(|(name, generation)| ((*name).to_owned(), *generation)).collect(),
        routes: routes
            .iter()
            .map(|(name, clusters)| {
                let clusters: BTreeSet<String> = clusters.iter().map(|name| (*name).to_owned()).collect();
                ((*name).to_owned(), (0, clusters))
            })
            .collect(),
    }
}

fn settled(mesh: &SyntheticMesh) -> Sotw {
    let mut client = Sotw::connected();
    client.settle(&mesh.snapshot());
    client.sent.clear();
    client
}

#[test]
fn changed_route_sends_only_routes() {
    let before = mesh(&[("a", 0), ("b", 0)], &[("l", &["a"])]);
    let after = mesh(&[("a", 0), ("b", 0)], &[("l", &["b"])]);
    let mut client = settled(&before);
    client.update(&after.snapshot());
    client.settle(&after.snapshot());
    assert_eq!(client.sent, [ResourceType::Route]);
}

#[test]
fn new_cluster_is_sent_before_its_route_and_old_cluster_removed_after() {
    let before = mesh(&[("old", 0)], &[("l", &["old"])]);
    let after = mesh(&[("new", 0)], &[("l", &["new"])]);
    let mut client = settled(&before);
    client.update(&after.snapshot());
    client.settle(&after.snapshot());
    // After each change of clusters a client may wait for their endpoints again, so its next request gets a response.
    assert_eq!(client.sent, [Cluster, Endpoint, Route, Cluster, Endpoint]);
}

/// A connection may be on its way to a cluster that no route names any more.
#[test]
fn previous_clusters_stay_until_time_has_passed() {
    fn play(mut client: impl Client) {
        let before = mesh(&[("old", 0)], &[("l", &["old"])]);
        let after = mesh(&[("new", 0)], &[("l", &["new"])]).snapshot();
        client.settle(&before.snapshot());
        client.update(&after);
        while client.deliver(&after) | client.receive(false) {}
        let clusters = |client: &dyn Client| client.held()[&Cluster].keys().cloned().collect::<Vec<_>>();
        assert_eq!(clusters(&client), ["new", "old"]);
        assert!(!client.has(&after));
        client.release(&after);
        while client.deliver(&after) | client.receive(false) {}
        assert_eq!(clusters(&client), ["new"]);
        assert!(client.has(&after));
    }
    play(Sotw::connected());
    play(Delta::connected());
}

#[test]
fn returning_client_with_current_resources_is_sent_nothing() {
    let mesh = mesh(&[("a", 0)], &[("l", &["a"])]);
    let mut client = settled(&mesh);
    client.reconnect();
    client.settle(&mesh.snapshot());
    assert_eq!(client.sent, []);
    assert!(client.has(&mesh.snapshot()));
}

#[test]
fn returning_delta_client_is_sent_only_changed_resources() {
    let before = mesh(&[("a", 0), ("b", 0)], &[("l", &["a"]), ("m", &["b"])]);
    let mut client = Delta::connected();
    client.settle(&before.snapshot());
    client.sent.clear();
    client.reconnect();
    client.settle(&before.snapshot());
    assert_eq!(client.sent, []);
    assert!(client.has(&before.snapshot()));
    let after = mesh(&[("a", 0), ("b", 0)], &[("l", &["b"]), ("m", &["b"])]);
    client.reconnect();
    client.settle(&after.snapshot());
    assert_eq!(client.sent, [Route]);
}

#[test]
fn returning_delta_client_has_acknowledged_its_resources() {
    let previous = mesh(&[("a", 0), ("b", 0)], &[("l", &["a"])]);
    let mut client = Delta::connected();
    client.settle(&previous.snapshot());
    let before = client.status().clone();
    // The next server has sent the client nothing.
    client.reconnect();
    client.settle(&previous.snapshot());
    assert_eq!(*client.status(), before);
    // One cluster differs on the next server. The client has the previous one until it acknowledges the new one.
    let later = mesh(&[("a", 1), ("b", 0)], &[("l", &["a"])]);
    client.reconnect();
    while client.status().types.len() < before.types.len() {
        assert!(client.deliver(&later.snapshot()));
    }
    assert_eq!(client.status().types[&Cluster].acknowledged, before.types[&Cluster].acknowledged);
    assert_eq!(client.status().types[&Cluster].resources, before.types[&Cluster].resources);
    assert!(!client.has(&later.snapshot()));
    client.settle(&later.snapshot());
    let held = later.snapshot();
    let versions = held.of(Cluster).map(|(name, resource)| (name.clone(), resource.version().clone())).collect();
    assert_eq!(client.status().types[&Cluster].resources, versions);
    assert!(client.has(&later.snapshot()));
}

/// Delivers one message each way, or lets time pass if there is none. Returns false at rest.
fn step(client: &mut impl Client, snapshot: &Snapshot) -> bool {
    let moved = client.deliver(snapshot) | client.receive(false);
    if !moved {
        client.release(snapshot);
    }
    moved || client.responses_in_flight() > 0
}

/// Reconnects while the only route moves to a cluster that the client lacks. Returns the successive sets of clusters
/// that the client holds.
fn clusters_while_route_moves(mut client: impl Client) -> Vec<String> {
    let before = mesh(&[("old", 0)], &[("l", &["old"])]);
    let after = mesh(&[("new", 0)], &[("l", &["new"])]);
    client.settle(&before.snapshot());
    client.reconnect();
    let mut held = Vec::new();
    while step(&mut client, &after.snapshot()) {
        assert!(dangling(client.held()).is_empty(), "{:?}", client.held());
        let clusters: Vec<&str> = client.held()[&Cluster].keys().map(String::as_str).collect();
        held.push(clusters.join(" "));
    }
    held.dedup();
    held
}

#[test]
fn returning_client_loses_old_cluster_after_the_route_to_it() {
    assert_eq!(clusters_while_route_moves(Sotw::connected()), ["new old", "new"]);
    assert_eq!(clusters_while_route_moves(Delta::connected()), ["new old", "new"]);
}

/// Reconnects after all resources of the mesh were deleted.
fn check_deleted_mesh(mut client: impl Client) {
    let before = mesh(&[("old", 0)], &[("l", &["old"])]);
    client.settle(&before.snapshot());
    client.reconnect();
    let nothing = SyntheticMesh::default().snapshot();
    while step(&mut client, &nothing) {
        assert!(dangling(client.held()).is_empty(), "{:?}", client.held());
    }
    assert!(client.has(&nothing));
}

#[test]
fn returning_client_loses_last_cluster_after_last_listener() {
    check_deleted_mesh(Sotw::connected());
    check_deleted_mesh(Delta::connected());
}

#[test]
fn unknown_endpoints_are_not_removed() {
    let known = mesh(&[("a", 0), ("b", 0)], &[("l", &["a", "b"])]).snapshot();
    let kinds = ResourceType::ALL.into_iter();
    let all = kinds.flat_map(|kind| known.of(kind).map(move |(name, body)| (kind, name.clone(), body.clone())));
    let unknown = Snapshot::new(all.filter(|(kind, name, _)| (*kind, name.as_str()) != (Endpoint, "a")));
    let (mut sotw, mut delta) = (Sotw::connected(), Delta::connected());
    let clients: [&mut dyn Client; 2] = [&mut sotw, &mut delta];
    for client in clients {
        client.settle(&known);
        client.reconnect();
        client.settle(&unknown);
        assert_eq!(client.held()[&Endpoint].len(), 2);
        assert!(client.has(&unknown));
    }
}

#[test]
fn unknown_sotw_client_loses_old_cluster_at_once() {
    let before = mesh(&[("old", 0)], &[("l", &["old"])]);
    let after = mesh(&[("new", 0)], &[("l", &["new"])]);
    let mut client = settled(&before);
    client.reconnect_elsewhere();
    client.settle(&after.snapshot());
    assert_eq!(client.sent, [Cluster, Endpoint, Route]);
    assert!(client.has(&after.snapshot()));
}

#[test]
fn refused_version_is_not_sent_again_until_it_changes() {
    let before = mesh(&[("a", 0)], &[("l", &["a"])]);
    let refused = mesh(&[("a", 1)], &[("l", &["a"])]);
    let fixed = mesh(&[("a", 2)], &[("l", &["a"])]);
    let mut client = settled(&before);
    client.update(&refused.snapshot());
    assert!(client.receive(true));
    client.settle(&refused.snapshot());
    client.update(&refused.snapshot());
    client.settle(&refused.snapshot());
    // The endpoints changed too, and were accepted.
    assert_eq!(client.sent, [ResourceType::Cluster, ResourceType::Endpoint]);
    assert!(!client.has(&refused.snapshot()));
    client.update(&fixed.snapshot());
    client.settle(&fixed.snapshot());
    assert!(client.has(&fixed.snapshot()));
}

#[test]
fn refused_route_keeps_clusters_of_last_good_route() {
    let before = mesh(&[("old", 0)], &[("l", &["old"])]);
    let after = mesh(&[("new", 0)], &[("l", &["new"])]);
    let mut client = settled(&before);
    client.update(&after.snapshot());
    while client.sent.last() != Some(&ResourceType::Route) {
        client.deliver(&after.snapshot());
        // The client accepts everything except the route.
        let refuse = client.sent.last() == Some(&ResourceType::Endpoint);
        client.receive(refuse);
    }
    client.settle(&after.snapshot());
    assert!(client.held()[&ResourceType::Cluster].contains_key("old"));
}

#[test]
fn reply_to_an_earlier_response_does_not_acknowledge_the_last() {
    let before = mesh(&[("a", 0), ("b", 0)], &[("l", &["a"])]);
    let after = mesh(&[("a", 0), ("b", 0)], &[("l", &["b"])]).snapshot();
    let mut client = settled(&before);
    client.update(&after);
    // The client sends this request before the new routes arrive.
    client.subscribe(Route, BTreeSet::from(["l".to_owned()]));
    client.deliver(&after);
    assert!(!client.has(&after));
    client.settle(&after);
    assert!(client.has(&after));
}

/// The cluster is removed before the client has subscribed to its endpoints. The client still waits for them.
#[test]
fn cluster_removed_while_warming_is_warmed_then_removed() {
    let (with, without) = (mesh(&[("a", 0), ("b", 0)], &[]).snapshot(), mesh(&[("a", 0)], &[]).snapshot());
    let (mut sotw, mut delta) = (Sotw::connected(), Delta::connected());
    let clients: [&mut dyn Client; 2] = [&mut sotw, &mut delta];
    for client in clients {
        assert!(client.deliver(&with));
        client.update(&without);
        client.settle(&without);
        assert!(!client.held()[&Cluster].contains_key("b"));
        assert!(client.has(&without));
    }
}

#[test]
fn route_waits_for_acknowledged_cluster_with_dns_discovery() {
    let found_by_dns = |mesh: &SyntheticMesh| {
        let all = mesh.snapshot();
        let kinds = [Cluster, ResourceType::Listener, Route];
        let of =
            kinds.into_iter().flat_map(|kind| all.of(kind).map(move |(name, body)| (kind, name.clone(), body.clone())));
        Snapshot::new(of.collect::<Vec<_>>())
    };
    let before = found_by_dns(&mesh(&[("old", 0)], &[("l", &["old"])]));
    let after = found_by_dns(&mesh(&[("new", 0)], &[("l", &["new"])]));
    let (mut sotw, mut delta) = (Sotw::default(), Delta::default());
    let clients: [&mut dyn Client; 2] = [&mut sotw, &mut delta];
    for client in clients {
        for (kind, name) in [(Cluster, "*"), (ResourceType::Listener, "*"), (Route, "l")] {
            client.subscribe(kind, BTreeSet::from([name.to_owned()]));
        }
        client.settle(&before);
        client.update(&after);
        client.update(&after);
        assert_eq!(client.responses_in_flight(), 1);
        client.settle(&after);
        assert!(client.has(&after));
    }
}
