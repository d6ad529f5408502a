//! Egress traffic, and the repairs that are safe.

use mesh::graph::Links;
use policy::Policy;
use rules::egress::{Egresses, Outlet, Reach, cuts, repairs};

use super::case::{Case, path_of};

/// A node that calls a service in the mesh, one outside, one without provider, and one that doesn't exist.
fn shop(filter: &str, policy: &str) -> Case {
    let mut case = Case::read(&format!(
        "
resources:
  mesh/shop: {{egressFilter: {{type: {filter}}}}}
  virtualNode/web:
    backends:
    - virtualService: {{virtualServiceName: a.local}}
    - virtualService: {{virtualServiceName: api.pay.example}}
    - virtualService: {{virtualServiceName: empty.local}}
    - virtualService: {{virtualServiceName: gone.local}}
  virtualNode/quiet: {{}}
  virtualNode/a: {{serviceDiscovery: {{dns: {{hostname: a.local}}}}}}
  virtualNode/pay: {{serviceDiscovery: {{dns: {{hostname: api.pay.example}}}}}}
  virtualService/a.local: {{provider: {{virtualNode: {{virtualNodeName: a}}}}}}
  virtualService/api.pay.example: {{provider: {{virtualNode: {{virtualNodeName: pay}}}}}}
  virtualService/empty.local: {{}}
  virtualGateway/edge: {{listeners: []}}
  virtualGateway/edge/gatewayRoute/all:
    {{httpRoute: {{match: {{prefix: /}}, action: {{target: {{virtualService: {{virtualServiceName: a.local}}}}}}}}}}
"
    ));
    case.policy = Policy::read(&format!("version: 1\negress: {policy}")).unwrap();
    case
}

#[test]
fn effective_hosts_follow_from_the_backends() {
    let case = shop("DROP_ALL", "{}");
    let links = Links::new(&case.mesh);
    let all = Egresses::new(&case.mesh, &links, &case.policy.egress);
    let web = all.node(&"web".parse().unwrap()).unwrap();
    assert_eq!(web.outlet, Outlet::Closed);
    let reached: Vec<(&str, &str)> = web
        .services
        .iter()
        .map(|(service, reach)| {
            let reach = match reach {
                Reach::Mesh => "mesh",
                Reach::External { .. } => "external",
                Reach::Nothing => "nothing",
                Reach::Dangling => "dangling",
            };
            (service.as_str(), reach)
        })
        .collect();
    let expected =
        [("a.local", "mesh"), ("api.pay.example", "external"), ("empty.local", "nothing"), ("gone.local", "dangling")];
    assert_eq!(reached, expected);
    assert_eq!(web.external().into_keys().collect::<Vec<_>>(), ["api.pay.example"]);
    assert!(all.node(&"quiet".parse().unwrap()).unwrap().services.is_empty());
    assert_eq!(all.gateway(&"edge".parse().unwrap()).unwrap().services.len(), 1);
    assert_eq!(all.node(&"none".parse().unwrap()), None);
}

#[test]
fn policy_defines_external_hosts() {
    let policy = Policy::read("version: 1").unwrap().egress;
    for (host, external) in [
        ("api.pay.example", true),
        ("pay.local", false),
        ("PAY.Local.", false),
        ("pay", false),
        ("localhost", false),
        ("internal-x.eu-west-1.elb.amazonaws.com", false),
        ("s3.amazonaws.com", true),
    ] {
        assert_eq!(policy.is_external(host), external, "{host}");
    }
}

#[test]
fn closing_a_mesh_is_safe_where_nothing_is_called_past_it() {
    let open = shop("ALLOW_ALL", "{}");
    let [repair] = <[_; 1]>::try_from(repairs(&open.mesh, &open.policy.egress)).unwrap();
    let cut: Vec<String> = repair.cuts.iter().map(ToString::to_string).collect();
    assert_eq!(
        cut,
        [
            "mesh/shop/virtualNode/web would no longer reach empty.local",
            "mesh/shop/virtualNode/web would no longer reach gone.local"
        ]
    );
    assert!(!repair.is_safe());

    let mut declared = open.clone();
    declared.mesh.remove(&path_of("virtualNode/web"));
    let [repair] = <[_; 1]>::try_from(repairs(&declared.mesh, &declared.policy.egress)).unwrap();
    assert!(repair.is_safe(), "{repair:?}");
    repair.change.apply(&mut declared.mesh).unwrap();
    assert_eq!(repairs(&declared.mesh, &declared.policy.egress), []);
}

#[test]
fn dangling_backends_are_removed_only_where_the_policy_permits() {
    let kept = shop("DROP_ALL", "{}");
    assert_eq!(repairs(&kept.mesh, &kept.policy.egress), []);
    let case = shop("DROP_ALL", "{removeDangling: true}");
    let [repair] = <[_; 1]>::try_from(repairs(&case.mesh, &case.policy.egress)).unwrap();
    assert!(repair.is_safe());
    assert_eq!(repair.change.to_string(), "remove backend gone.local from virtual node shop/web");
    let mut after = case.mesh.clone();
    repair.change.apply(&mut after).unwrap();
    assert_eq!(cuts(&case.mesh, &after, &case.policy.egress), []);
    assert_eq!(after.nodes[&"web".parse::<mesh::name::VirtualNodeName>().unwrap()].backend_services().count(), 3);
}

#[test]
fn taking_off_a_backend_that_leads_somewhere_cuts_it() {
    let case = shop("DROP_ALL", "{}");
    let mut after = case.mesh.clone();
    mesh::change::Change::RemoveBackend {
        mesh: "shop".parse().unwrap(),
        virtual_node: "web".parse().unwrap(),
        virtual_service: "a.local".parse().unwrap(),
    }
    .apply(&mut after)
    .unwrap();
    let cut = cuts(&case.mesh, &after, &case.policy.egress);
    assert_eq!(cut.iter().map(|cut| cut.to.as_str()).collect::<Vec<_>>(), ["a.local"]);
}
