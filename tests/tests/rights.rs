//! Compares the sample file of rights with the roles of the template, which the permission suites of the functions compare with
//! the recorded calls.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use control_plane::RightsFile;
use mesh::name::{ResourceKind, ResourcePath};
use meshwarden_tests::template::{Grant, Template};

/// One resource of each kind.
const RESOURCES: [(ResourceKind, &str); 7] = [
    (ResourceKind::Mesh, "mesh/shop"),
    (ResourceKind::VirtualNode, "mesh/shop/virtualNode/a"),
    (ResourceKind::VirtualGateway, "mesh/shop/virtualGateway/a"),
    (ResourceKind::VirtualRouter, "mesh/shop/virtualRouter/a"),
    (ResourceKind::Route, "mesh/shop/virtualRouter/a/route/a"),
    (ResourceKind::VirtualService, "mesh/shop/virtualService/a"),
    (ResourceKind::GatewayRoute, "mesh/shop/virtualGateway/a/gatewayRoute/a"),
];

/// `route-failover` is `RouteFailover` in the template.
fn logical_name(function: &str) -> String {
    let word =
        |word: &str| word.chars().take(1).flat_map(char::to_uppercase).chain(word.chars().skip(1)).collect::<String>();
    function.split('-').map(word).collect()
}

/// Whether a role of the template allows an action on a resource. The suffix `/*` of a pattern matches any resource below it.
fn role_allows(role: &[Grant], action: &str, path: &str) -> bool {
    let arn = format!(":{path}");
    role.iter().filter(|grant| grant.allows && grant.action == format!("appmesh:{action}")).any(|grant| {
        grant.resources.iter().any(|pattern| {
            let pattern =
                pattern.split(":mesh/").nth(1).map_or_else(|| pattern.clone(), |rest| format!(":mesh/{rest}"));
            let (mut pieces, is_open) = (pattern.split('*'), pattern.ends_with('*'));
            let Some(mut rest) = arn.strip_prefix(pieces.next().unwrap()) else { return false };
            for piece in pieces {
                let Some((_, after)) = rest.split_once(piece) else { return false };
                rest = after;
            }
            is_open || rest.is_empty()
        })
    })
}

#[test]
fn sample_grants_each_function_the_operations_of_its_role() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("infra/samples/rights.json");
    let rights = RightsFile::open(&path).unwrap();
    let template = Template::read();
    let (mut wrong, mut granted) = (Vec::new(), 0);
    for function in template.functions() {
        let role = template.role(&function);
        let arn = format!("arn:aws:iam::123456789012:role/meshwarden-{}Role-1ABCDEFGHIJK", logical_name(&function));
        for (kind, resource) in RESOURCES {
            let path = ResourcePath::parse(resource).unwrap();
            let name = kind.as_str().chars().take(1).flat_map(char::to_uppercase).chain(kind.as_str().chars().skip(1));
            let name: String = name.collect();
            let tags = role_allows(&role, "TagResource", resource);
            let updates = role_allows(&role, &format!("Update{name}"), resource);
            let writes = ["Create", "Delete"].iter().any(|verb| role_allows(&role, &format!("{verb}{name}"), resource));
            // A level includes the lower ones.
            for (operation, expected) in [
                (format!("Describe{name}"), true),
                ("ListTagsForResource".to_owned(), true),
                ("TagResource".to_owned(), tags || updates || writes),
                ("UntagResource".to_owned(), tags || updates || writes),
                (format!("Update{name}"), updates || writes),
                (format!("Create{name}"), writes),
                (format!("Delete{name}"), writes),
            ] {
                let allowed = rights.allows_role(&arn, &operation, &path);
                granted += usize::from(allowed);
                if allowed != expected {
                    wrong.push(format!("{function}: {operation} on {resource}: allowed {allowed}, needed {expected}"));
                }
            }
        }
        assert_eq!(rights.allows_certificates(&arn), function == "certificate-rotation", "{function}");
        assert!(rights.reads_every_proxy(&arn), "{function}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(granted > 100, "{granted}");
    let stranger = "arn:aws:iam::123456789012:role/billing";
    assert!(!rights.allows_role(stranger, "DescribeMesh", &ResourcePath::parse("mesh/shop").unwrap()));
}
