//! The loopback ports that a mesh needs.

use serde_json::json;

use crate::case::mesh_of;

#[test]
fn every_listener_backend_and_gateway_has_its_own() {
    let listener = |port: u16, protocol: &str| json!({"portMapping": {"port": port, "protocol": protocol}});
    let backend = |service: &str| json!({"virtualService": {"virtualServiceName": service}});
    let specs = json!({
        "virtualNode/web": {"listeners": [listener(8080, "http")],
                            "backends": [backend("cart"), backend("direct"), backend("cart"), backend("absent"), backend("nobody")]},
        "virtualNode/cart": {"listeners": [listener(9080, "http"), listener(9090, "grpc"), listener(9090, "http")]},
        "virtualNode/idle": {},
        "virtualRouter/cart": {"listeners": [listener(80, "http"), listener(81, "tcp")]},
        "virtualService/cart": {"provider": {"virtualRouter": {"virtualRouterName": "cart"}}},
        "virtualService/direct": {"provider": {"virtualNode": {"virtualNodeName": "cart"}}},
        "virtualService/nobody": {},
        "virtualGateway/edge": {"listeners": [listener(8088, "http"), listener(8089, "http2")]},
    });
    let mesh = mesh_of(specs.as_object().unwrap());
    let uses: Vec<String> = xds::ports::uses(&mesh).iter().map(ToString::to_string).collect();
    let mut expected = [
        "ingress mesh/shop/virtualNode/cart 9080",
        "ingress mesh/shop/virtualNode/cart 9090",
        "ingress mesh/shop/virtualNode/web 8080",
        "ingress mesh/shop/virtualGateway/edge 8088",
        "ingress mesh/shop/virtualGateway/edge 8089",
        "application mesh/shop/virtualNode/cart 9080",
        "application mesh/shop/virtualNode/cart 9090",
        "application mesh/shop/virtualNode/web 8080",
        "egress mesh/shop/virtualNode/web 80 cart",
        "egress mesh/shop/virtualNode/web 81 cart",
        "egress mesh/shop/virtualNode/web 9080 direct",
        "egress mesh/shop/virtualNode/web 9090 direct",
        // One for all listeners, so that it stays when the first one changes.
        "loop mesh/shop/virtualGateway/edge",
    ];
    expected.sort_unstable();
    let mut uses: Vec<&str> = uses.iter().map(String::as_str).collect();
    uses.sort_unstable();
    assert_eq!(uses, expected);
}

#[test]
fn a_use_without_a_port_is_told_and_nothing_listens_there() {
    use xds::ports::PortBook;
    use xds::{ClientAddress, Listeners, SdsSource, StatNames, Surroundings, finding, translate};
    let specs = json!({
        "virtualNode/web": {"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
                            "backends": [{"virtualService": {"virtualServiceName": "web"}}]},
        "virtualService/web": {"provider": {"virtualNode": {"virtualNodeName": "web"}}},
        "virtualGateway/edge": {"listeners": [{"portMapping": {"port": 8088, "protocol": "http"}}]},
    });
    let mesh = mesh_of(specs.as_object().unwrap());
    let (book, instances) = (PortBook::default(), std::collections::BTreeMap::new());
    let surroundings = Surroundings {
        listeners: Listeners::Explicit(&book),
        sds: SdsSource::Socket,
        stat_names: StatNames::Service,
        client_address: ClientAddress::default(),
        instances: &instances,
    };
    for (proxy, told) in [("virtualNode/web", 2), ("virtualGateway/edge", 1)] {
        let translation = translate(&mesh, &crate::case::proxy_of(proxy), surroundings);
        assert!(translation.listeners.is_empty(), "{proxy}");
        assert_eq!(translation.dangling(), Vec::<String>::new());
        let ids: Vec<_> = translation.findings.iter().map(|finding| finding.id).collect();
        assert_eq!(ids, vec![finding::NO_PORT; told], "{proxy}");
    }
}
