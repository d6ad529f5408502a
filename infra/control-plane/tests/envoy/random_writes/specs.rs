//! Random specs of all seven kinds, most of which fit the mesh that they are for.

use serde_json::{Value, json};

use super::mesh::Specs;
use super::rng::Rng;

/// The virtual node that calls, and has a proxy.
pub(super) const CLIENT: &str = "client";
/// The virtual node that is called through a proxy of its own.
pub(super) const SERVER: &str = "a";
/// The virtual nodes that are called; those after the first have no proxy of their own.
pub(super) const SERVERS: [&str; 3] = [SERVER, "b", "c"];
pub(super) const GATEWAY: &str = "web";
pub(super) const SERVICES: [&str; 3] = ["s1", "s2", "s3"];
pub(super) const ROUTERS: [&str; 2] = ["r1", "r2"];
const ROUTES: [&str; 3] = ["x", "y", "z"];
const PORTS: [u16; 3] = [8080, 8081, 8082];

/// A path that can be written, existing or not.
pub(super) fn path(rng: &mut Rng) -> String {
    match rng.below(20) {
        0 => String::new(),
        1..=5 => format!("virtualNode/{}", rng.pick(&SERVERS)),
        6 => format!("virtualNode/{CLIENT}"),
        7..=8 => format!("virtualRouter/{}", rng.pick(&ROUTERS)),
        9..=13 => format!("virtualRouter/{}/route/{}", rng.pick(&ROUTERS), rng.pick(&ROUTES)),
        14..=15 => format!("virtualService/{}", rng.pick(&SERVICES)),
        16 => format!("virtualGateway/{GATEWAY}"),
        _ => format!("virtualGateway/{GATEWAY}/gatewayRoute/{}", rng.pick(&ROUTES)),
    }
}

/// A spec for a path.
pub(super) fn spec(rng: &mut Rng, specs: &Specs, path: &str) -> Value {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["virtualNode", CLIENT] => client(rng),
        ["virtualNode", _] => json!({
            "listeners": node_listeners(rng),
            "serviceDiscovery": {"dns": {"hostname": "node.shop.local"}},
        }),
        ["virtualRouter", _] => json!({"listeners": plain_listeners(rng, &PROTOCOLS)}),
        ["virtualRouter", router, _, _] => route(rng, specs, router),
        ["virtualService", _] => service(rng),
        ["virtualGateway", _] => json!({"listeners": plain_listeners(rng, &["http", "http", "http2", "grpc"])}),
        ["virtualGateway", ..] => gateway_route(rng, specs),
        _ => json!({"egressFilter": {"type": rng.pick(&["ALLOW_ALL", "DROP_ALL"])}}),
    }
}

/// The spec with one thing in it changed.
pub(super) fn amended(rng: &mut Rng, specs: &Specs, path: &str) -> Value {
    let mut spec = specs[path].clone();
    let fresh = self::spec(rng, specs, path);
    if let Some(listeners) = spec.get_mut("listeners").and_then(Value::as_array_mut) {
        amend_listeners(rng, listeners);
        return spec;
    }
    for kind in ["httpRoute", "http2Route", "grpcRoute", "tcpRoute"] {
        let fresh = fresh.as_object().unwrap().values().find(|part| part.is_object()).cloned();
        let (Some(route), Some(fresh)) = (spec.get_mut(kind), fresh) else { continue };
        let member = rng.pick(&["action", "action", "match", "retryPolicy", "timeout"]);
        match fresh.get(member) {
            Some(part) if member != "match" || kind != "tcpRoute" => route[member] = part.clone(),
            _ => {}
        }
        return spec;
    }
    fresh
}

fn amend_listeners(rng: &mut Rng, listeners: &mut Vec<Value>) {
    let port = rng.number(&PORTS);
    let protocol = rng.pick(&PROTOCOLS);
    let which = rng.below(listeners.len().max(1));
    match (rng.below(4), listeners.get_mut(which)) {
        (0, _) | (_, None) => listeners.push(json!({"portMapping": {"port": port, "protocol": protocol}})),
        (1, Some(_)) => drop(listeners.remove(which)),
        (2, Some(listener)) => listener["portMapping"]["port"] = json!(port),
        (_, Some(listener)) => {
            *listener = json!({"portMapping": {"port": listener["portMapping"]["port"], "protocol": protocol}});
        }
    }
}

const PROTOCOLS: [&str; 7] = ["http", "http", "http", "http2", "http2", "grpc", "tcp"];

fn ports(rng: &mut Rng) -> Vec<u16> {
    let first = rng.number(&PORTS);
    let mut ports = vec![first];
    if rng.percent(30) {
        ports.extend([rng.number(&PORTS)].iter().filter(|port| **port != first));
    }
    ports
}

fn plain_listeners(rng: &mut Rng, protocols: &[&'static str]) -> Value {
    let listeners = ports(rng).into_iter();
    listeners.map(|port| json!({"portMapping": {"port": port, "protocol": rng.pick(protocols)}})).collect()
}

fn node_listeners(rng: &mut Rng) -> Value {
    if rng.percent(3) {
        return json!([]);
    }
    ports(rng).into_iter().map(|port| node_listener(rng, port)).collect()
}

fn node_listener(rng: &mut Rng, port: u16) -> Value {
    let protocol = rng.pick(&PROTOCOLS);
    let mut listener = json!({"portMapping": {"port": port, "protocol": protocol}});
    if rng.percent(20) {
        let mut timeout = json!({"idle": {"unit": "s", "value": 60}});
        if protocol != "tcp" {
            timeout["perRequest"] = json!({"unit": "s", "value": 20});
        }
        listener["timeout"] = json!({protocol: timeout});
    }
    if rng.percent(20) {
        let pool = match protocol {
            "http" => json!({"maxConnections": 100, "maxPendingRequests": 100}),
            "tcp" => json!({"maxConnections": 100}),
            _ => json!({"maxRequests": 100}),
        };
        listener["connectionPool"] = json!({protocol: pool});
    }
    if rng.percent(20) {
        let mut check = json!({
            "protocol": protocol, "healthyThreshold": 2, "unhealthyThreshold": 2,
            "intervalMillis": 5000, "timeoutMillis": 2000,
        });
        if protocol.starts_with("http") {
            check["path"] = json!("/health");
        }
        listener["healthCheck"] = check;
    }
    if rng.percent(20) {
        listener["outlierDetection"] = json!({
            "maxServerErrors": 5, "interval": {"unit": "s", "value": 1},
            "baseEjectionDuration": {"unit": "s", "value": 1}, "maxEjectionPercent": 50,
        });
    }
    listener
}

fn client(rng: &mut Rng) -> Value {
    let called = SERVICES.iter().filter(|_| rng.percent(85));
    let backends: Vec<Value> =
        called.map(|service| json!({"virtualService": {"virtualServiceName": service}})).collect();
    json!({"serviceDiscovery": {"dns": {"hostname": "client.shop.local"}}, "backends": backends})
}

fn service(rng: &mut Rng) -> Value {
    match rng.below(12) {
        0 => json!({}),
        1..=5 => json!({"provider": {"virtualNode": {"virtualNodeName": rng.pick(&SERVERS)}}}),
        _ => json!({"provider": {"virtualRouter": {"virtualRouterName": rng.pick(&ROUTERS)}}}),
    }
}

/// The listeners of a resource, as ports with their protocols.
fn listeners(specs: &Specs, path: &str) -> Vec<(u64, String)> {
    let listeners = specs.get(path).and_then(|spec| spec["listeners"].as_array()).into_iter().flatten();
    let mapping = |listener: &Value| {
        let mapping = &listener["portMapping"];
        (mapping["port"].as_u64().unwrap(), mapping["protocol"].as_str().unwrap().to_owned())
    };
    listeners.map(mapping).collect()
}

/// A port to be named among these listeners: one of them where there are several, mostly none otherwise.
fn named(rng: &mut Rng, listeners: &[(u64, String)]) -> Option<u64> {
    match listeners {
        _ if rng.percent(4) => Some(u64::from(rng.number(&PORTS))),
        [] => None,
        [(port, _)] => rng.percent(25).then_some(*port),
        several => (!rng.percent(4)).then(|| several[rng.below(several.len())].0),
    }
}

fn set_port(place: &mut Value, port: Option<u64>) {
    if let Some(port) = port {
        place["port"] = json!(port);
    }
}

fn route(rng: &mut Rng, specs: &Specs, router: &str) -> Value {
    let on = listeners(specs, &format!("virtualRouter/{router}"));
    let port = named(rng, &on);
    let listener = on.iter().find(|(at, _)| port.is_none_or(|port| port == *at));
    let protocol = match listener {
        Some((_, protocol)) if rng.percent(93) => protocol.clone(),
        _ => rng.pick(&PROTOCOLS).to_owned(),
    };
    let targets: Vec<Value> = (0..=rng.below(2))
        .map(|_| {
            let node = rng.pick(&SERVERS);
            let mut target = json!({"virtualNode": node, "weight": rng.number(&[0, 1, 1, 1, 50])});
            set_port(&mut target, named(rng, &listeners(specs, &format!("virtualNode/{node}"))));
            target
        })
        .collect();
    let mut route = json!({"action": {"weightedTargets": targets}});
    match protocol.as_str() {
        "tcp" => {}
        "grpc" => route["match"] = json!({}),
        _ => route["match"] = json!({"prefix": rng.pick(&["/", "/", "/a"])}),
    }
    if port.is_some() {
        set_port(&mut route["match"], port);
    }
    if protocol != "tcp" && rng.percent(20) {
        route["retryPolicy"] = json!({
            "maxRetries": 1, "perRetryTimeout": {"unit": "s", "value": 5}, "httpRetryEvents": ["server-error"],
        });
    }
    if protocol != "tcp" && rng.percent(20) {
        route["timeout"] = json!({"perRequest": {"unit": "s", "value": 20}});
    }
    with_priority(rng, json!({format!("{protocol}Route"): route}))
}

fn gateway_route(rng: &mut Rng, specs: &Specs) -> Value {
    let service = rng.pick(&SERVICES);
    let provider = specs.get(&format!("virtualService/{service}")).map(|service| service["provider"].clone());
    let provider = provider.unwrap_or_default();
    let node = provider["virtualNode"]["virtualNodeName"].as_str().map(|name| format!("virtualNode/{name}"));
    let router = provider["virtualRouter"]["virtualRouterName"].as_str().map(|name| format!("virtualRouter/{name}"));
    let offered = node.or(router).map(|path| listeners(specs, &path)).unwrap_or_default();
    let kind = rng.pick(&["httpRoute", "httpRoute", "http2Route", "grpcRoute"]);
    let mut target = json!({"virtualService": {"virtualServiceName": service}});
    set_port(&mut target, named(rng, &offered));
    let mut route = json!({"action": {"target": target}, "match": {}});
    if kind == "grpcRoute" {
        route["match"]["serviceName"] = json!(rng.pick(&["x", "a"]));
    } else {
        route["match"]["prefix"] = json!(rng.pick(&["/", "/", "/a"]));
        // The path stays what it is, so that routes of the service match it in the same way.
        route["action"]["rewrite"] = json!({"prefix": {"defaultPrefix": "DISABLED"}});
    }
    if rng.percent(25) {
        route["action"]["rewrite"]["hostname"] = json!({"defaultTargetHostname": "DISABLED"});
    }
    let port = named(rng, &listeners(specs, &format!("virtualGateway/{GATEWAY}")));
    set_port(&mut route["match"], port);
    with_priority(rng, json!({kind: route}))
}

fn with_priority(rng: &mut Rng, mut spec: Value) -> Value {
    if rng.percent(30) {
        spec["priority"] = json!(rng.below(5));
    }
    spec
}

/// The paths of a new mesh, from the inside out.
pub(super) fn initial(rng: &mut Rng) -> Vec<String> {
    let mut paths: Vec<String> = SERVERS.iter().map(|node| format!("virtualNode/{node}")).collect();
    for router in ROUTERS {
        paths.push(format!("virtualRouter/{router}"));
        let routes = &ROUTES[..=rng.below(ROUTES.len())];
        paths.extend(routes.iter().map(|route| format!("virtualRouter/{router}/route/{route}")));
    }
    paths.extend(SERVICES.iter().map(|service| format!("virtualService/{service}")));
    paths.push(format!("virtualNode/{CLIENT}"));
    paths.push(format!("virtualGateway/{GATEWAY}"));
    let routes = &ROUTES[..=rng.below(ROUTES.len())];
    paths.extend(routes.iter().map(|route| format!("virtualGateway/{GATEWAY}/gatewayRoute/{route}")));
    paths
}

/// Whether no Envoy stands for the resource, and it is not the mesh itself.
pub(super) fn may_be_deleted(path: &str) -> bool {
    let kept = [
        String::new(),
        format!("virtualNode/{CLIENT}"),
        format!("virtualNode/{SERVER}"),
        format!("virtualGateway/{GATEWAY}"),
    ];
    !kept.contains(&path.to_owned())
}

/// The kind of a resource.
pub(super) fn kind(path: &str) -> &str {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [_, _, kind, _] | [kind, _] => kind,
        _ => "mesh",
    }
}
