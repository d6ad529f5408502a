use mesh::graph::shadowed_routes;

use super::samples::mesh;

/// Two routes `a` and `b` of a router, and which of them gets nothing.
#[test]
fn a_route_is_shadowed_by_the_same_or_a_broader_match_before_it() {
    let header = |value: &str| format!(r#"{{"prefix":"/","headers":[{{"name":"X-Beta"{value}}}]}}"#);
    let (present, exact, lower) =
        (header(""), header(r#","match":{"exact":"1"}"#), header(r#","match":{"exact":"1"}"#).to_lowercase());
    let absent = header(r#","invert":true"#);
    let root = r#"{"prefix":"/"}"#;
    let table = [
        ("broader, higher", "httpRoute", root, "1", r#"{"prefix":"/a"}"#, "2", Some("b")),
        ("broader, lower", "httpRoute", root, "2", r#"{"prefix":"/a"}"#, "1", None),
        ("broader, higher, the other without priority", "httpRoute", root, "1000", r#"{"prefix":"/a"}"#, "", Some("b")),
        ("broader, without priority", "httpRoute", root, "", r#"{"prefix":"/a"}"#, "1", None),
        ("broader, same priority: order not documented", "httpRoute", root, "1", r#"{"prefix":"/a"}"#, "1", None),
        ("same, higher", "httpRoute", root, "1", root, "2", Some("b")),
        ("same, same priority: the later name", "httpRoute", root, "5", root, "5", Some("b")),
        ("same, no priority", "httpRoute", root, "", root, "", Some("b")),
        ("same, lower", "httpRoute", root, "2", root, "1", Some("a")),
        ("distinct prefixes", "httpRoute", r#"{"prefix":"/a"}"#, "1", r#"{"prefix":"/b"}"#, "2", None),
        (
            "exact path in prefix",
            "httpRoute",
            r#"{"prefix":"/a"}"#,
            "1",
            r#"{"path":{"exact":"/a/b"}}"#,
            "2",
            Some("b"),
        ),
        ("regex in prefix", "httpRoute", r#"{"prefix":"/a"}"#, "1", r#"{"path":{"regex":"/a/.*"}}"#, "2", Some("b")),
        ("regex in all", "httpRoute", root, "1", r#"{"path":{"regex":"/a/.*"}}"#, "2", Some("b")),
        (
            "same path",
            "httpRoute",
            r#"{"path":{"exact":"/a"}}"#,
            "1",
            r#"{"path":{"exact":"/a"},"method":"GET"}"#,
            "2",
            Some("b"),
        ),
        ("one method only", "httpRoute", r#"{"prefix":"/","method":"GET"}"#, "1", root, "2", None),
        ("header more in the narrow", "httpRoute", root, "1", &exact, "2", Some("b")),
        ("header more in the first", "httpRoute", &exact, "1", root, "2", None),
        ("header in other letter case", "httpRoute", &exact, "1", &lower, "2", Some("b")),
        ("present covers a value", "httpRoute", &present, "1", &exact, "2", Some("b")),
        ("absent doesn't", "httpRoute", &absent, "1", &exact, "2", None),
        ("present doesn't cover absent", "httpRoute", &present, "1", &absent, "2", None),
        ("another port", "httpRoute", r#"{"port":80}"#, "1", r#"{"port":81}"#, "2", None),
        ("every port", "httpRoute", "{}", "1", r#"{"port":81}"#, "2", Some("b")),
        ("query parameter", "httpRoute", r#"{"queryParameters":[{"name":"q"}]}"#, "1", root, "2", None),
        ("a condition not known", "httpRoute", r#"{"prefix":"/","cookie":"c"}"#, "1", root, "2", None),
        (
            "grpc service",
            "grpcRoute",
            r#"{"serviceName":"s"}"#,
            "1",
            r#"{"serviceName":"s","methodName":"m"}"#,
            "2",
            Some("b"),
        ),
        ("grpc other service", "grpcRoute", r#"{"serviceName":"s"}"#, "1", r#"{"serviceName":"t"}"#, "2", None),
        ("grpc metadata", "grpcRoute", r#"{"metadata":[{"name":"m"}]}"#, "1", r#"{"serviceName":"s"}"#, "2", None),
        ("tcp", "tcpRoute", "{}", "", "{}", "", Some("b")),
    ];
    for (what, kind, a, a_priority, b, b_priority, expected) in table {
        let route = |name: &str, matches: &str, priority: &str| {
            let priority = if priority.is_empty() { String::new() } else { format!("priority {priority}") };
            format!("route r/{name} {kind} {matches} n:1 {priority}")
        };
        let (a, b) = (route("a", a, a_priority), route("b", b, b_priority));
        let found = shadowed_routes(&mesh(&["router r", &a, &b]));
        let names: Vec<_> = found.iter().map(|found| found.route.route.as_str()).collect();
        assert_eq!(names, Vec::from_iter(expected), "{what}");
    }
}

#[test]
fn routes_of_other_routers_and_kinds_are_no_shadow() {
    let other_router =
        mesh(&[r#"route r/a httpRoute {"prefix":"/"} n:1"#, r#"route s/a httpRoute {"prefix":"/"} n:1"#]);
    assert_eq!(shadowed_routes(&other_router), []);
    let other_kind = mesh(&[r#"route r/a httpRoute {"prefix":"/"} n:1"#, r#"route r/b http2Route {"prefix":"/"} n:1"#]);
    assert_eq!(shadowed_routes(&other_kind), []);
}

/// The route `a` with one path, before the route `b` with another one.
#[test]
fn regex_for_every_path_shadows_and_regex_within_a_prefix_is_shadowed() {
    let (prefix, regex) = ("prefix", "path.regex");
    let table = [
        ((regex, ".*"), (prefix, "/"), true),
        ((regex, "/.*"), (prefix, "/a"), true),
        ((regex, "^/.*$"), (prefix, "/"), true),
        ((regex, "(.*)"), (regex, "/a+"), true),
        ((regex, "/(?:.*)"), (prefix, "/"), true),
        ((regex, ".+"), (prefix, "/"), true),
        ((regex, "/.+"), (prefix, "/"), false),
        ((regex, "/a.*"), (prefix, "/"), false),
        ((regex, "/a.*"), (prefix, "/a"), false),
        ((prefix, "/a"), (regex, "/a[0-9]+"), true),
        ((prefix, "/a"), (regex, "^/a/(x|y)$"), false),
        ((prefix, "/a"), (regex, "/a?b"), false),
        ((prefix, "/a"), (regex, "/a*"), false),
        ((prefix, "/a"), (regex, "/ab{0,2}"), true),
        ((prefix, "/a"), (regex, "(/a)?/b"), false),
        ((prefix, "/a"), (regex, "/b/a"), false),
    ];
    for (a, b, expected) in table {
        let route = |name: &str, (kind, path): (&str, &str), priority: u8| {
            let matches = match kind {
                "prefix" => format!(r#"{{"prefix":"{path}"}}"#),
                _ => format!(r#"{{"path":{{"regex":"{path}"}}}}"#),
            };
            format!("route r/{name} httpRoute {matches} n:1 priority {priority}")
        };
        let found = shadowed_routes(&mesh(&["router r", &route("a", a, 1), &route("b", b, 2)]));
        assert_eq!(!found.is_empty(), expected, "{a:?} before {b:?}: {found:?}");
    }
}
