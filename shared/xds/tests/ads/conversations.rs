//! Single sequences of messages between a client and a server.

use std::collections::BTreeSet;

use xds::ResourceType::{self, Cluster, Endpoint, Route};
use xds::Snapshot;

use crate::client::{Client, Delta, Sotw};
use crate::world::{World, dangling};

fn world(clusters: &[(&str, u32)], routes: &[(&str, &[&str])]) -> World {
    World {
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

fn settled(world: &World) -> Sotw {
    let mut client = Sotw::connected();
    client.settle(&world.snapshot());
    client.sent.clear();
    client
}

#[test]
fn a_change_of_a_route_pushes_routes_and_nothing_else() {
    let before = world(&[("a", 0), ("b", 0)], &[("l", &["a"])]);
    let after = world(&[("a", 0), ("b", 0)], &[("l", &["b"])]);
    let mut client = settled(&before);
    client.update(&after.snapshot());
    client.settle(&after.snapshot());
    assert_eq!(client.sent, [ResourceType::Route]);
}

#[test]
fn a_new_cluster_comes_before_its_route_and_an_old_one_goes_after() {
    let before = world(&[("old", 0)], &[("l", &["old"])]);
    let after = world(&[("new", 0)], &[("l", &["new"])]);
    let mut client = settled(&before);
    client.update(&after.snapshot());
    client.settle(&after.snapshot());
    // After each change of clusters a client may wait for their endpoints again, so its next request gets a response.
    assert_eq!(client.sent, [Cluster, Endpoint, Route, Cluster, Endpoint]);
}

#[test]
fn one_who_comes_back_with_what_it_has_is_sent_nothing() {
    let world = world(&[("a", 0)], &[("l", &["a"])]);
    let mut client = settled(&world);
    client.reconnect();
    client.settle(&world.snapshot());
    assert_eq!(client.sent, []);
    assert!(client.has(&world.snapshot()));
}

#[test]
fn one_who_comes_back_and_says_what_it_has_is_sent_what_differs() {
    let before = world(&[("a", 0), ("b", 0)], &[("l", &["a"]), ("m", &["b"])]);
    let mut client = Delta::connected();
    client.settle(&before.snapshot());
    client.sent.clear();
    client.reconnect();
    client.settle(&before.snapshot());
    assert_eq!(client.sent, []);
    assert!(client.has(&before.snapshot()));
    let after = world(&[("a", 0), ("b", 0)], &[("l", &["b"]), ("m", &["b"])]);
    client.reconnect();
    client.settle(&after.snapshot());
    assert_eq!(client.sent, [Route]);
}

#[test]
fn delta_client_that_comes_back_has_acknowledged_what_it_holds() {
    let former = world(&[("a", 0), ("b", 0)], &[("l", &["a"])]);
    let mut client = Delta::connected();
    client.settle(&former.snapshot());
    let before = client.status().clone();
    // The next server has sent the client nothing.
    client.reconnect();
    client.settle(&former.snapshot());
    assert_eq!(*client.status(), before);
    // One cluster differs on the next server. The client has the previous one until it acknowledges the new one.
    let later = world(&[("a", 1), ("b", 0)], &[("l", &["a"])]);
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

/// Reconnects while the only route moves to a cluster that the client lacks. Returns the successive sets of clusters
/// that the client holds.
fn moved(mut client: impl Client) -> Vec<String> {
    let before = world(&[("old", 0)], &[("l", &["old"])]);
    let after = world(&[("new", 0)], &[("l", &["new"])]);
    client.settle(&before.snapshot());
    client.reconnect();
    let mut held = Vec::new();
    while client.deliver(&after.snapshot()) | client.receive(false) {
        assert!(dangling(client.held()).is_empty(), "{:?}", client.held());
        let clusters: Vec<&str> = client.held()[&Cluster].keys().map(String::as_str).collect();
        held.push(clusters.join(" "));
    }
    held.dedup();
    held
}

#[test]
fn one_who_comes_back_loses_an_old_cluster_after_the_route_to_it() {
    assert_eq!(moved(Sotw::connected()), ["new old", "new"]);
    assert_eq!(moved(Delta::connected()), ["new old", "new"]);
}

/// Reconnects after all resources of the mesh were deleted.
fn emptied(mut client: impl Client) {
    let before = world(&[("old", 0)], &[("l", &["old"])]);
    client.settle(&before.snapshot());
    client.reconnect();
    let nothing = World::default().snapshot();
    while client.deliver(&nothing) | client.receive(false) {
        assert!(dangling(client.held()).is_empty(), "{:?}", client.held());
    }
    assert!(client.has(&nothing));
}

#[test]
fn one_who_comes_back_loses_its_last_cluster_after_its_last_listener() {
    emptied(Sotw::connected());
    emptied(Delta::connected());
}

#[test]
fn endpoints_that_nobody_knows_are_not_taken_away() {
    let known = world(&[("a", 0), ("b", 0)], &[("l", &["a", "b"])]).snapshot();
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
fn of_one_that_nothing_is_remembered_of_it_is_taken_at_once() {
    let before = world(&[("old", 0)], &[("l", &["old"])]);
    let after = world(&[("new", 0)], &[("l", &["new"])]);
    let mut client = settled(&before);
    client.reconnect_elsewhere();
    client.settle(&after.snapshot());
    assert_eq!(client.sent, [Cluster, Endpoint, Route]);
    assert!(client.has(&after.snapshot()));
}

#[test]
fn what_was_refused_is_not_sent_again_until_it_changes() {
    let before = world(&[("a", 0)], &[("l", &["a"])]);
    let refused = world(&[("a", 1)], &[("l", &["a"])]);
    let mended = world(&[("a", 2)], &[("l", &["a"])]);
    let mut client = settled(&before);
    client.update(&refused.snapshot());
    assert!(client.receive(true));
    client.settle(&refused.snapshot());
    client.update(&refused.snapshot());
    client.settle(&refused.snapshot());
    // The endpoints changed too, and were accepted.
    assert_eq!(client.sent, [ResourceType::Cluster, ResourceType::Endpoint]);
    assert!(!client.has(&refused.snapshot()));
    client.update(&mended.snapshot());
    client.settle(&mended.snapshot());
    assert!(client.has(&mended.snapshot()));
}

#[test]
fn a_refused_route_keeps_the_clusters_that_the_last_good_one_uses() {
    let before = world(&[("old", 0)], &[("l", &["old"])]);
    let after = world(&[("new", 0)], &[("l", &["new"])]);
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
fn a_word_on_an_earlier_response_is_not_taken_for_one_on_the_last() {
    let before = world(&[("a", 0), ("b", 0)], &[("l", &["a"])]);
    let after = world(&[("a", 0), ("b", 0)], &[("l", &["b"])]).snapshot();
    let mut client = settled(&before);
    client.update(&after);
    // The client sends this request before the new routes arrive.
    client.ask(Route, BTreeSet::from(["l".to_owned()]));
    client.deliver(&after);
    assert!(!client.has(&after));
    client.settle(&after);
    assert!(client.has(&after));
}

/// The cluster is removed before the client has subscribed to its endpoints. The client still waits for them.
#[test]
fn a_cluster_that_goes_while_it_warms_is_warmed_and_then_goes() {
    let (with, without) = (world(&[("a", 0), ("b", 0)], &[]).snapshot(), world(&[("a", 0)], &[]).snapshot());
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
fn a_route_waits_until_its_cluster_is_acknowledged_also_one_that_dns_finds() {
    let found_by_dns = |world: &World| {
        let all = world.snapshot();
        let kinds = [Cluster, ResourceType::Listener, Route];
        let of =
            kinds.into_iter().flat_map(|kind| all.of(kind).map(move |(name, body)| (kind, name.clone(), body.clone())));
        Snapshot::new(of.collect::<Vec<_>>())
    };
    let before = found_by_dns(&world(&[("old", 0)], &[("l", &["old"])]));
    let after = found_by_dns(&world(&[("new", 0)], &[("l", &["new"])]));
    let (mut sotw, mut delta) = (Sotw::default(), Delta::default());
    let clients: [&mut dyn Client; 2] = [&mut sotw, &mut delta];
    for client in clients {
        for (kind, name) in [(Cluster, "*"), (ResourceType::Listener, "*"), (Route, "l")] {
            client.ask(kind, BTreeSet::from([name.to_owned()]));
        }
        client.settle(&before);
        client.update(&after);
        client.update(&after);
        assert_eq!(client.under_way(), 1);
        client.settle(&after);
        assert!(client.has(&after));
    }
}
