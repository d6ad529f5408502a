//! The decision on tables: grants, accesses and callers.

use std::path::Path;

use mesh::name::{MeshName, ResourceKind};

use super::file::parse;
use super::grant::Rights;
use super::{Access, Level};
use crate::auth::Caller;

fn rights(grants: &str) -> Rights {
    let text = format!(r#"{{"subjects": [{{"key": "AKID", "grants": [{grants}]}}]}}"#);
    parse(Path::new("rights.json"), &text).unwrap()
}

fn key(id: &str) -> Caller {
    Caller::Key { id: id.to_owned(), name: "ci".to_owned() }
}

fn session(role: &str) -> Caller {
    let (arn, role) =
        (format!("arn:aws:sts::123456789012:assumed-role/{role}/1"), format!("arn:aws:iam::123456789012:role/{role}"));
    Caller::Session { arn, account: "123456789012".to_owned(), name: role.clone(), role }
}

fn on(level: Level, mesh: &str, kind: ResourceKind) -> Access {
    Access::Resource { level, mesh: MeshName::parse(mesh).unwrap(), kind }
}

#[test]
fn each_level_includes_the_lower_ones_in_its_meshes_and_kinds_only() {
    for granted in Level::ALL {
        for (kinds, kind_granted) in
            [("", None), (r#""kinds": ["route", "mesh"],"#, Some([ResourceKind::Route, ResourceKind::Mesh]))]
        {
            let rights =
                rights(&format!(r#"{{"meshes": ["shop", "test-*"], {kinds} "level": "{}"}}"#, granted.as_str()));
            for level in Level::ALL {
                for kind in ResourceKind::ALL {
                    for (mesh, in_mesh) in [("shop", true), ("test-1", true), ("shop2", false), ("bank", false)] {
                        let expected =
                            level <= granted && in_mesh && kind_granted.is_none_or(|kinds| kinds.contains(&kind));
                        let access = on(level, mesh, kind);
                        assert_eq!(rights.allows(&key("AKID"), &access), expected, "{granted:?} {kinds} {access}");
                        assert!(!rights.allows(&key("OTHER"), &access), "another key");
                    }
                }
            }
        }
    }
}

#[test]
fn grants_of_all_entries_of_a_caller_count() {
    let text = r#"{"subjects": [
        {"role": "arn:aws:iam::123456789012:role/m-*", "grants": [{"meshes": ["shop"], "level": "read"}]},
        {"role": "arn:aws:iam::123456789012:role/m-failover", "grants": [{"meshes": ["shop"], "kinds": ["route"], "level": "update"}]},
        {"role": "arn:aws:iam::123456789012:role/task", "grants": [{"tokens": ["mesh/shop/virtualNode/*"]}]},
        {"token": "system:serviceaccount:shop:front", "grants": [{"tokens": ["mesh/shop/virtualNode/front"]}]},
        {"key": "AKIDROOT", "grants": [{"meshes": ["*"], "level": "write", "certificates": true, "tokens": ["*"]}]},
        {"key": "AKIDSCRAPER", "grants": []}
    ]}"#;
    let rights = parse(Path::new("rights.json"), text).unwrap();
    let (failover, other, task) = (session("m-failover"), session("m-other"), session("task"));
    let (root, scraper) = (key("AKIDROOT"), key("AKIDSCRAPER"));
    let pod = Caller::ServiceAccount { subject: "system:serviceaccount:shop:front".to_owned() };
    let stranger = Caller::ServiceAccount { subject: "AKIDROOT".to_owned() };
    let update = on(Level::Update, "shop", ResourceKind::Route);
    let token = |node: &str| Access::Token(format!("mesh/shop/virtualNode/{node}").parse().unwrap());
    let whole = Access::WholeMesh(MeshName::parse("shop").unwrap());
    for (access, callers) in [
        (on(Level::Read, "shop", ResourceKind::VirtualNode), vec![&failover, &other, &root]),
        (update, vec![&failover, &root]),
        (on(Level::Update, "shop", ResourceKind::VirtualNode), vec![&root]),
        (on(Level::Write, "new", ResourceKind::Mesh), vec![&root]),
        (whole, vec![&failover, &other, &root]),
        (Access::Certificates, vec![&root]),
        (token("front"), vec![&task, &pod, &root]),
        (token("back"), vec![&task, &root]),
        (Access::AnyToken, vec![&root]),
        (Access::Filtered, vec![&failover, &other, &task, &pod, &root, &scraper]),
        (Access::Metrics, vec![&failover, &other, &task, &pod, &root, &scraper]),
    ] {
        for caller in [&failover, &other, &task, &pod, &root, &scraper, &stranger, &Caller::Local] {
            assert_eq!(rights.allows(caller, &access), callers.contains(&caller), "{caller} {access}");
        }
    }
    assert!(rights.reads_every_proxy(&root) && !rights.reads_every_proxy(&failover));
}

#[test]
fn whole_mesh_needs_every_kind() {
    let whole = Access::WholeMesh(MeshName::parse("shop").unwrap());
    let some = r#"{"meshes": ["shop"], "kinds": ["mesh", "virtualNode", "virtualGateway", "virtualRouter", "route"], "level": "write"}"#;
    assert!(!rights(some).allows(&key("AKID"), &whole));
    let rest = r#"{"meshes": ["*"], "kinds": ["virtualService", "gatewayRoute"], "level": "read"}"#;
    assert!(rights(&format!("{some}, {rest}")).allows(&key("AKID"), &whole));
}

#[test]
fn invalid_file_is_refused_with_the_entry() {
    let entry = |text: &str| format!(r#"{{"subjects": [{{"key": "A", "grants": []}}, {text}]}}"#);
    for (text, expected) in [
        (entry(r#"{"grants": []}"#), "entry 2: expected exactly one of"),
        (entry(r#"{"key": "A", "role": "arn:aws:iam::123456789012:role/a", "grants": []}"#), "expected exactly one of"),
        (entry(r#"{"key": "", "grants": []}"#), "expected exactly one of"),
        (entry(r#"{"role": "arn:aws:iam::*:role/a", "grants": []}"#), "invalid role pattern"),
        (entry(r#"{"key": "A", "grants": [{"meshes": ["shop"]}]}"#), "together"),
        (entry(r#"{"key": "A", "grants": [{"level": "read"}]}"#), "together"),
        (entry(r#"{"key": "A", "grants": [{"kinds": ["route"], "certificates": true}]}"#), "together"),
        (entry(r#"{"key": "A", "grants": [{"meshes": [], "level": "read"}]}"#), "at least one text"),
        (entry(r#"{"key": "A", "grants": [{"meshes": ["a"], "kinds": [], "level": "read"}]}"#), "at least one text"),
        (entry(r#"{"key": "A", "grants": [{"tokens": [""]}]}"#), "at least one text"),
        (entry(r#"{"key": "A", "grants": [{}]}"#), "in each grant"),
        (entry(r#"{"key": "A", "grants": [{"meshes": ["a"], "level": "admin"}]}"#), "unknown variant `admin`"),
        (entry(r#"{"key": "A", "grants": [{"mesh": ["a"], "level": "read"}]}"#), "unknown field `mesh`"),
        (entry(r#"{"key": "A"}"#), "missing field `grants`"),
        (r#"{"subjects": "#.to_owned(), "EOF"),
    ] {
        let error = parse(Path::new("rights.json"), &text).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(format!("{error}: {source}").contains(expected), "{text}: {error}: {source}");
    }
}
