//! A listener that serves requests again is not active with the routes of the past: Envoy still holds the route
//! configuration of a listener that drains.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use xds::{Resource, ResourceType, Snapshot};

use crate::client::{Client, Delta, Sotw};
use crate::synthetic::listener;

/// A listener with a generation, and the content of the route configuration `r`, which the listener then names.
fn snapshot(generation: u32, content: Option<&str>) -> Snapshot {
    let listener = Listener { stat_prefix: generation.to_string(), ..listener("l", content.map(|_| "r")) };
    let routes = content.map(|content| RouteConfiguration {
        name: "r".to_owned(),
        internal_only_headers: vec![content.to_owned()],
        ..RouteConfiguration::default()
    });
    let routes = routes.map(|routes| (ResourceType::Route, "r".to_owned(), Resource::encode(&routes)));
    let listener = (ResourceType::Listener, "l".to_owned(), Resource::encode(&listener));
    Snapshot::new(routes.into_iter().chain([listener]))
}

/// A client that subscribes to all listeners, and to the route configuration whether or not a listener names it.
fn draining(mut client: impl Client) -> impl Client {
    client.subscribe(ResourceType::Listener, BTreeSet::from(["*".to_owned()]));
    client.subscribe(ResourceType::Route, BTreeSet::from(["r".to_owned()]));
    let first = snapshot(0, Some("old"));
    client.settle(&first);
    assert!(client.has(&first));
    client
}

/// The types of the responses to a change, in their order. The client refuses the first one if `refuses`.
fn types_sent(client: &mut impl Client, next: &Snapshot, refuses: bool) -> Vec<ResourceType> {
    client.update(next);
    let mut types = Vec::new();
    for _ in 0..10 {
        while client.deliver(next) {}
        let Some(kind) = client.next_type() else { return types };
        types.push(kind);
        client.receive(refuses && types.len() == 1);
    }
    panic!("messages are exchanged without end: {types:?}");
}

#[test]
fn routes_that_no_listener_names_are_sent_before_the_listener_that_names_them_again() {
    fn play(client: impl Client) {
        let mut client = draining(client);
        types_sent(&mut client, &snapshot(1, None), false);
        let next = snapshot(2, Some("new"));
        assert_eq!(types_sent(&mut client, &next, false), [ResourceType::Route, ResourceType::Listener]);
        assert!(client.has(&next));
    }
    play(Sotw::default());
    play(Delta::default());
}

#[test]
fn routes_that_a_listener_names_are_sent_after_it() {
    fn play(client: impl Client) {
        let mut client = draining(client);
        let next = snapshot(1, Some("new"));
        assert_eq!(types_sent(&mut client, &next, false), [ResourceType::Listener, ResourceType::Route]);
        assert!(client.has(&next));
    }
    play(Sotw::default());
    play(Delta::default());
}

#[test]
fn refused_routes_do_not_hold_back_the_listener() {
    fn play(client: impl Client) {
        let mut client = draining(client);
        types_sent(&mut client, &snapshot(1, None), false);
        let next = snapshot(2, Some("new"));
        assert_eq!(types_sent(&mut client, &next, true), [ResourceType::Route, ResourceType::Listener]);
        assert!(!client.has(&next));
    }
    play(Sotw::default());
    play(Delta::default());
}

#[test]
fn unknown_listeners_of_a_returning_client_change_no_order() {
    fn play(client: impl Client) {
        let mut client = draining(client);
        client.reconnect();
        let next = snapshot(1, Some("new"));
        assert_eq!(types_sent(&mut client, &next, false), [ResourceType::Listener, ResourceType::Route]);
        assert!(client.has(&next));
    }
    play(Sotw::default());
    play(Delta::default());
}
