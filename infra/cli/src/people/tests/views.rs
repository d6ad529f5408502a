//! Tests of the read-only commands: replay, report, proxies, and the explanation of changes.

use std::collections::BTreeMap;

use async_trait::async_trait;
use mesh::name::ResourcePath;
use ports::certificates::{AcknowledgedSecrets, ProxyEvidence, ProxyStream, SeenCertificate, SeenSecret};
use ports::{Clock as _, JournalEntry, Note, PortError, StateKey, StateStore as _};
use serde_json::{Value, json};

use super::super::error::{Refusal, Trouble};
use super::Shop;

/// A control plane with one proxy.
#[derive(Debug)]
pub(super) struct Connected;

#[async_trait]
impl ProxyEvidence for Connected {
    async fn proxies(&self) -> Result<Vec<ProxyStream>, PortError> {
        let certificate =
            SeenCertificate { fingerprint: "ab".repeat(32), not_after: "2026-11-30T10:04:00Z".parse().unwrap() };
        let secrets = BTreeMap::from([
            ("leaf".to_owned(), SeenSecret::Acknowledged { certificates: vec![certificate] }),
            ("file".to_owned(), SeenSecret::BesideProxy),
        ]);
        let stream = ProxyStream {
            proxy: ResourcePath::parse("mesh/shop/virtualNode/cart-v1").unwrap(),
            peer: "127.0.0.1:40000".to_owned(),
            since: "2026-11-20T10:00:00Z".parse().unwrap(),
            up_to_date: true,
            rejected: None,
            secrets: AcknowledgedSecrets::Known(secrets),
        };
        let other = ProxyStream {
            up_to_date: false,
            secrets: AcknowledgedSecrets::Unknown,
            proxy: ResourcePath::parse("mesh/other/virtualNode/a").unwrap(),
            ..stream.clone()
        };
        Ok(vec![stream, other])
    }
}

/// A file that is removed when the test ends.
pub(super) struct Scratch(pub(super) std::path::PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("meshwarden-views-{}-{name}", std::process::id())))
    }

    pub(super) fn arg(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn decisions_are_replayed_from_the_journal_and_from_a_file() {
    let shop = Shop::open();
    assert_eq!(shop.run("meshwarden replay shop/cart/all").await.unwrap_err().exit_code(), 2, "nothing is recorded");
    shop.fails("cart-v1");
    shop.minutes(2).await;
    let output = shop.run("meshwarden replay shop/cart/all").await.unwrap();
    assert!(output.contains("Failover to cart-v1:0 cart-v2:100; the same"), "{output}");

    let key = StateKey::route(&super::cart());
    let bodies: Vec<Value> = shop.ports.state.journal_of(&key).into_iter().map(|entry| entry.body).collect();
    let mut changed = bodies.iter().find(|body| body.get("observed").is_some()).unwrap().clone();
    let file = Scratch::new("entry.json");
    let line = format!("meshwarden replay --file {}", file.arg());
    std::fs::write(&file.0, json!(bodies).to_string()).unwrap();
    assert!(shop.run(&line).await.unwrap().contains("; the same"));
    changed["reason"] = json!("Steady");
    std::fs::write(&file.0, changed.to_string()).unwrap();
    match shop.refuses(&line).await {
        Refusal::Different { different: 1, all: 1, text } => assert!(text.contains("Steady to"), "{text}"),
        other => panic!("{other:?}"),
    }
    changed["observed"] = json!({ "at": "s3://reports/route-failover/observations/mesh/shop/1.json" });
    std::fs::write(&file.0, changed.to_string()).unwrap();
    let missing = shop.run(&line).await.unwrap_err();
    assert!(
        matches!(&missing, Trouble::Port(error) if error.to_string().contains("observations/mesh/shop/1.json")),
        "{missing}"
    );
    std::fs::write(&file.0, "{").unwrap();
    assert!(matches!(shop.run(&line).await.unwrap_err(), Trouble::NoRecord { .. }));
    let nowhere = shop.run("meshwarden replay --file /nowhere.json").await.unwrap_err();
    assert!(nowhere.to_string().contains("failed to read /nowhere.json"), "{nowhere}");
}

#[tokio::test]
async fn certificate_decisions_are_replayed() {
    let shop = Shop::open();
    let has = json!({ "known": ["acm:a", "acm:b"] });
    let facts = json!({
        "meshes": { "shop": { "mode": "observe", "has": has, "memory": "none" } }, "leaves": [], "trusts": [],
        "meetings": [], "authorities": [], "killSwitch": null, "budgetUsed": 0,
    });
    let policy = policy::CertificatesPolicy::default();
    let observed = json!({ "now": "2026-11-20T10:00:00Z", "facts": facts, "harms": [], "policy": policy });
    let mut entry = json!({ "function": "certificate-rotation", "resource": "mesh/shop", "decision": "keep",
        "reason": "Seen", "plan": null, "observed": observed });
    store(&shop, StateKey::certificate("mesh/shop"), json!({}), Some(entry.clone())).await;
    let output = shop.run("meshwarden replay mesh/shop").await.unwrap();
    assert!(output.contains("mesh/shop: keep Seen; the same"), "{output}");
    assert!(matches!(shop.run("meshwarden replay sds:web").await.unwrap_err(), Trouble::NoJournal { .. }));
    entry["resource"] = json!("sds:web");
    store(&shop, StateKey::certificate("sds:web"), json!({}), Some(entry)).await;
    match shop.refuses("meshwarden replay sds:web").await {
        Refusal::Different { different: 1, all: 1, text } => assert!(text.contains("now without a decision"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_report_is_written_as_three_files() {
    let shop = Shop::open();
    let folder = Scratch::new("report");
    let output = shop.run(&format!("meshwarden report shop --output {}", folder.arg())).await.unwrap();
    assert!(output.starts_with("mesh shop: "), "{output}");
    let read = |name: &str| std::fs::read_to_string(folder.0.join(name)).unwrap();
    assert!(read("index.html").contains("<svg"));
    let found: Value = serde_json::from_str(&read("findings.json")).unwrap();
    assert!(!found["findings"].as_array().unwrap().is_empty());
    let sarif: Value = serde_json::from_str(&read("findings.sarif")).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let missing = shop.run(&format!("meshwarden report gone --output {}", folder.arg())).await.unwrap_err();
    assert_eq!(missing.exit_code(), 2);
}

#[tokio::test]
async fn proxies_are_shown_with_days_to_the_first_expiry() {
    let shop = Shop::open();
    let table = shop.run("meshwarden proxies --mesh shop").await.unwrap();
    for part in ["mesh/shop/virtualNode/cart-v1", "up to date", "1 acknowledged, 1 local to the proxy", "in 10 days"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    assert!(!table.contains("mesh/other"), "{table}");
    let all: Value = serde_json::from_str(&shop.run("meshwarden proxies --format json").await.unwrap()).unwrap();
    assert_eq!((all[0]["upToDate"].clone(), all[0]["secrets"].clone()), (json!(false), Value::Null));
    assert_eq!(shop.run("meshwarden proxies --mesh none").await.unwrap().lines().count(), 1);
}

pub(super) async fn store(shop: &Shop, key: StateKey, document: Value, body: Option<Value>) {
    let now = shop.ports.clock.now();
    let journal = body.map(|body| JournalEntry { at: now, id: "1".to_owned(), body });
    shop.ports.state.note(&Note { key, revision: 0, now, document, journal }).await.unwrap();
}

#[tokio::test]
async fn explain_names_the_caller_of_a_change() {
    let shop = Shop::open();
    let line = |resource: &str, reason: &str, facts: Value| json!({ "resource": resource, "decision": "record", "reason": reason, "facts": facts });
    let member = json!({ "path": "spec.listeners", "before": null, "after": "[]" });
    let facts = json!({ "change": "updated", "by": ["ann in role Deployer"], "members": [member.clone(), member.clone(), member.clone(), member],
        "created": { "count": 1, "first": [{ "rule": "listener-tls-missing" }] } });
    let router = "mesh/shop/virtualRouter/cart";
    let refused = json!({ "write": { "operation": "UpdateVirtualRouter", "by": "user bob" }, "error": "AccessDenied" });
    let body = json!({ "function": "change-audit", "decisions": [
        line(router, "Written", facts), line("mesh/shop/virtualNode/cart-v1", "NoEvent", json!({ "change": "deleted" })),
        line(router, "Refused", refused),
    ] });
    let open = json!({ "resource": router, "from": 1, "to": 2, "deletes": false, "since": "2026-11-20T10:02:00Z",
        "until": "2026-11-20T10:03:00Z", "untold": 1, "told": false, "known": [] });
    let document = json!({ "seenAt": "2026-11-20T10:03:00Z", "open": [open], "owed": [] });
    store(&shop, StateKey::mesh("change-audit", &"shop".parse().unwrap()), document, Some(body)).await;
    let output = shop.run(&format!("meshwarden explain {router}")).await.unwrap();
    for part in [
        "[Written] updated by ann in role Deployer: spec.listeners (absent) -> [], ",
        " and 1 more; new findings listener-tls-missing.",
        "[Refused] UpdateVirtualRouter by user bob, refused with AccessDenied.",
    ] {
        assert!(output.contains(part), "{part}: {output}");
    }
    assert!(!output.contains("NoEvent"), "{output}");
    let whole = shop.run("meshwarden explain mesh/shop").await.unwrap();
    assert!(
        whole.contains("change-audit mesh/shop/virtualNode/cart-v1 [NoEvent] deleted by an unknown caller."),
        "{whole}"
    );
    let status = shop.run("meshwarden status").await.unwrap();
    assert!(status.contains("changes: read ") && status.contains("; 1 not fully reported by events"), "{status}");
}

/// tag-compliance writes one journal for a mesh. `explain` of a node shows the node's decisions in it.
#[tokio::test]
async fn explain_shows_decisions_from_mesh_journals() {
    let shop = Shop::open();
    let node = "mesh/shop/virtualNode/cart-v1";
    let decision = json!({ "resource": node, "decision": "act", "reason": "Mends", "facts": { "tags": ["team"] } });
    let body = json!({ "function": "tag-compliance", "decision": decision, "observed": {} });
    store(&shop, StateKey::mesh("tag-compliance", &"shop".parse().unwrap()), json!({}), Some(body)).await;
    let output = shop.run(&format!("meshwarden explain {node}")).await.unwrap();
    assert!(output.contains("tag-compliance [Mends] act"), "{output}");
    let other = shop.run("meshwarden explain mesh/shop/virtualNode/cart-v2").await.unwrap();
    assert!(!other.contains("Mends"), "{other}");
}

#[tokio::test]
async fn the_end_of_a_certificate_and_a_rotation_that_fails_are_in_the_status() {
    let shop = Shop::open();
    let arn = "arn:aws:acm:eu-west-1:123456789012:certificate/5f6c2b1e-7a3d-4c58-9f0e-2d4b6a8c1e3f";
    let tls = json!({ "mode": "STRICT", "certificate": { "acm": { "certificateArn": arn } } });
    let listener = json!({ "portMapping": { "port": 8080, "protocol": "http" }, "tls": tls });
    shop.put("mesh/shop/virtualNode/cart-v1", &json!({ "listeners": [listener] }));
    let status = shop.run("meshwarden status").await.unwrap();
    assert!(!status.contains("certificate "), "{status}");
    let failures = json!({ "count": 2, "last": "2026-11-20T10:00:00Z", "why": "the CA is away" });
    let leaf = json!({ "fingerprint": "ab".repeat(32), "ends": "2026-12-01T10:04:00Z", "jitter": 0, "attempt": null,
        "issuedAs": null, "revoked": false, "issued": 1, "lost": 0 });
    let record = |failures: Value, leaf: &Value| json!({ "leaf": leaf, "failures": failures, "told": null });
    let mut model = mesh::graph::Mesh::new("shop".parse().unwrap());
    let path = "mesh/shop/virtualNode/cart-v1".parse().unwrap();
    model.insert_resource(shop.ports.mesh.resource(&path).unwrap()).unwrap();
    let source =
        decisions::rotation::MeshCertificates::from_mesh(&model).leaves.into_keys().next().unwrap().to_string();
    let key = StateKey::certificate(&source);
    for (failures, leaf, expected) in [
        (failures.clone(), Value::Null, "rotation failed 2 times, last 2026-11-20T10:00:00Z: the CA is away"),
        (Value::Null, leaf.clone(), "11 days left, until 2026-12-01T10:04:00Z\n"),
        (failures, leaf, "11 days left, until 2026-12-01T10:04:00Z; rotation failed 2 times"),
    ] {
        let revision = shop.ports.state.stored(&key).map_or(0, |stored| stored.revision);
        let document = record(failures, &leaf);
        let note = Note { key: key.clone(), revision, now: shop.ports.clock.now(), document, journal: None };
        shop.ports.state.note(&note).await.unwrap();
        let status = shop.run("meshwarden status").await.unwrap();
        assert!(status.contains(&format!("certificate {source}: {expected}")), "{status}");
    }
    let json: Value = serde_json::from_str(&shop.run("meshwarden status --format json").await.unwrap()).unwrap();
    assert_eq!(json["meshes"][0]["certificates"][0]["days"], 11);
}

fn finding(severity: &str) -> Value {
    json!({ "firstSeen": "2026-11-20T06:00:00Z", "rule": "node-unused", "severity": severity,
        "resource": "mesh/shop/virtualNode/cart-v1" })
}

/// Findings in several documents are counted. An unreadable document is never shown as no findings.
#[tokio::test]
async fn status_counts_findings_in_parts_and_shows_unreadable_documents() {
    let mesh = "shop".parse().unwrap();
    let head = StateKey::mesh("compliance-sweep", &mesh);
    let part = |part| StateKey::part_of_mesh("compliance-sweep", &mesh, part, 16);
    let shop = Shop::open();
    store(&shop, head.clone(), json!({ "sweptAt": "2026-11-20T10:00:00Z", "parts": 16, "wakes": [] }), None).await;
    for (number, severity) in [(0, "high"), (7, "low"), (15, "low")] {
        let findings = json!({ "findings": { format!("000000000000000{number:x}"): finding(severity) } });
        store(&shop, part(number), findings, None).await;
    }
    let status = shop.run("meshwarden status").await.unwrap();
    assert!(status.contains("1 high, 2 low"), "{status}");
    let json: Value = serde_json::from_str(&shop.run("meshwarden status --format json").await.unwrap()).unwrap();
    assert_eq!(json["meshes"][0]["sweep"]["findings"], json!({ "high": 1, "low": 2 }));

    for (key, document) in [
        (part(3), json!({ "findings": 7 })),
        (head.clone(), json!({ "parts": "many" })),
        (head.clone(), json!({ "format": 9 })),
        (StateKey::mesh("change-audit", &mesh), json!({ "open": 7 })),
    ] {
        let shop = Shop::open();
        if key != head {
            store(&shop, head.clone(), json!({ "sweptAt": "2026-11-20T10:00:00Z", "parts": 16 }), None).await;
            store(&shop, part(0), json!({ "findings": {} }), None).await;
        }
        let is_sweep = key.as_str().starts_with("compliance-sweep");
        store(&shop, key.clone(), document, None).await;
        let status = shop.run("meshwarden status").await.unwrap();
        assert!(status.contains(&format!("unknown: document `{}`", key.as_str())), "{status}");
        assert!(!(is_sweep && status.contains("no findings")), "{status}");
        let folder = Scratch::new(&format!("unread-{}", key.as_str().replace('/', "-")));
        let report = shop.run(&format!("meshwarden report shop --output {}", folder.arg())).await;
        assert_eq!(report.is_err(), is_sweep, "every finding would look as if it were new: {report:?}");
        // The remedy that the message names.
        shop.run(&format!("meshwarden forget {} --reason repaired --by dana", key.as_str())).await.unwrap();
        let status = shop.run("meshwarden status").await.unwrap();
        assert!(!status.contains("unknown: "), "{status}");
        let entry = shop.ports.state.journal_of(&key).pop().unwrap().body;
        assert_eq!((&entry["reason"], &entry["facts"]["by"]), (&json!("DocumentReset"), &json!("dana")));
        assert!(entry["facts"]["before"].is_object(), "{entry}");
    }
    let refused = shop.refuses("meshwarden forget tag-compliance/shop --reason x --by dana").await;
    assert!(refused.to_string().contains("document `tag-compliance/shop` does not exist"), "{refused}");
}

/// Decisions of tag- and egress-compliance are replayed, for one resource or for the whole mesh.
#[tokio::test]
async fn decisions_on_tags_and_egress_are_made_again() {
    use rules::compliance::{ComplianceVerdict, DecisionScope, ResourceFacts, Topic, decide};
    let shop = Shop::open();
    let (node, other) = ("mesh/shop/virtualNode/cart-v1", "mesh/shop/virtualNode/cart-v2");
    let policy = policy::Policy::read("version: 1\ntags: {required: [{key: owner}]}\n").unwrap();
    for (function, topic) in [("tag-compliance", Topic::Tags), ("egress-compliance", Topic::Egress)] {
        let resources: Vec<_> = ["mesh/shop", node, other]
            .into_iter()
            .map(|path| shop.ports.mesh.resource(&path.parse().unwrap()).unwrap())
            .collect();
        // The tags of one resource could not be read.
        let tags = |path: &str| (path != other).then(mesh::resource::Tags::default);
        let read = resources.iter().cloned().map(|resource| {
            let tags = tags(&resource.path().to_string());
            (resource, tags)
        });
        let facts = ResourceFacts::from_resources(&"shop".parse().unwrap(), read).unwrap();
        let now = shop.ports.clock.now();
        let lines: Vec<Value> = decide(topic, &facts, &policy, now, DecisionScope::All)
            .into_iter()
            .map(|decision| {
                let (kind, reason) = match &decision.verdict {
                    ComplianceVerdict::Keep(reason) => ("keep", reason.parts().0),
                    ComplianceVerdict::Hold(reason) => ("hold", reason.parts().0),
                    ComplianceVerdict::Act(_) => ("act", "Mends".to_owned()),
                };
                json!({ "resource": decision.resource, "decision": kind, "reason": reason, "facts": {} })
            })
            .collect();
        let recorded: Vec<Value> = resources
            .iter()
            .map(|resource| {
                let path = resource.path();
                let tags = tags(&path.to_string()).map(|_| json!({}));
                json!({ "kind": path.kind(), "resource": resource.to_json(), "tags": tags })
            })
            .collect();
        let facts = json!({ "mesh": "shop", "resources": recorded, "record": { "told": {} }, "killSwitch": null,
            "budgetUsed": 0 });
        let body = json!({ "function": function, "decisions": lines,
            "observed": { "now": now, "facts": facts, "policy": policy } });
        store(&shop, StateKey::mesh(function, &"shop".parse().unwrap()), json!({}), Some(body)).await;
    }
    let output = shop.run(&format!("meshwarden replay {node}")).await.unwrap();
    assert_eq!(output.matches("; the same").count(), 2, "one of each function: {output}");
    assert!(output.lines().all(|line| line.contains(node)), "{output}");
    let output = shop.run("meshwarden replay mesh/shop").await.unwrap();
    assert_eq!(output.matches("; the same").count(), 6, "{output}");
    let output = shop.run(&format!("meshwarden replay {other}")).await.unwrap();
    assert!(output.contains("hold TagsUnknown"), "{output}");
    // `explain` also shows the reported decisions on a resource.
    let output = shop.run(&format!("meshwarden explain {other}")).await.unwrap();
    assert!(output.contains("tag-compliance [TagsUnknown] hold"), "{output}");
}
