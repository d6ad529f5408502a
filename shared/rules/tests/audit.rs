//! Change audit: the author and the effects of changes, on tables of states and writes.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use jiff::Timestamp;
use mesh::name::ResourcePath;
use mesh::resource::{Resource, Tags};
use policy::Policy;
use policy::edges::TlsVerdict;
use rules::audit::{
    ApiCaller, AuditInput, AuditResult, AuditedChange, ChangeCause, ChangeKind, OpenChange, ResourceSnapshot, Snapshot,
    StaleReading, Who, Write, audit_changes, changes, notice,
};
use serde_json::{Value, json};

const MESH: &str = "mesh/shop";
const WEB: &str = "mesh/shop/virtualNode/web";
const RECS: &str = "mesh/shop/virtualNode/recs";
const ROUTER: &str = "mesh/shop/virtualRouter/recs";
const ROUTE: &str = "mesh/shop/virtualRouter/recs/route/main";
const SERVICE: &str = "mesh/shop/virtualService/recs.local";

fn at(minute: u8) -> Timestamp {
    format!("2026-11-20T10:{minute:02}:00Z").parse().unwrap()
}

fn policy() -> Policy {
    Policy::read("version: 1\ntags: {required: [{key: owner}]}").unwrap()
}

/// A node with one listener, with this TLS mode or without TLS.
fn node(mode: Option<&str>) -> Value {
    let mut listener = json!({ "portMapping": { "port": 8080, "protocol": "http" } });
    if let Some(mode) = mode {
        let acm = json!({ "certificateArn": "arn:aws:acm:eu-west-1:123456789012:certificate/5f6c2b1e" });
        listener["tls"] = json!({ "mode": mode, "certificate": { "acm": acm } });
    }
    json!({ "listeners": [listener], "serviceDiscovery": { "dns": { "hostname": "recs.internal" } } })
}

/// A mesh that is read at one minute.
#[derive(Clone)]
struct Shop(Snapshot);

impl Shop {
    /// `web` calls `recs` with TLS, over a route.
    fn open() -> Self {
        let backend = json!([{ "virtualService": { "virtualServiceName": "recs.local" } }]);
        let targets = json!([{ "virtualNode": "recs", "weight": 1 }]);
        Self(Snapshot {
            mesh: "shop".parse().unwrap(),
            at: at(0),
            later: [].into(),
            resources: [].into(),
            unread: [].into(),
        })
        .with(MESH, 1, &json!({ "egressFilter": { "type": "DROP_ALL" } }))
        .with(WEB, 1, &json!({ "backends": backend }))
        .with(RECS, 3, &node(Some("STRICT")))
        .with(ROUTER, 1, &json!({ "listeners": [{ "portMapping": { "port": 8080, "protocol": "http" } }] }))
        .with(
            ROUTE,
            1,
            &json!({ "httpRoute": { "match": { "prefix": "/" }, "action": { "weightedTargets": targets } } }),
        )
        .with(SERVICE, 1, &json!({ "provider": { "virtualRouter": { "virtualRouterName": "recs" } } }))
    }

    fn read_at(mut self, minute: u8) -> Self {
        self.0.at = at(minute);
        self
    }

    fn with(self, path: &str, version: u64, spec: &Value) -> Self {
        self.with_uid(path, version, spec, "first")
    }

    fn with_uid(mut self, path: &str, version: u64, spec: &Value, uid: &str) -> Self {
        let path: ResourcePath = path.parse().unwrap();
        let mut body = json!({ "meshName": "shop", "spec": spec, "status": { "status": "ACTIVE" },
            "metadata": { "arn": format!("arn:aws:appmesh:eu-west-1:123456789012:{path}"),
                "createdAt": 1_700_000_000, "lastUpdatedAt": 1_700_000_000, "meshOwner": "123456789012",
                "resourceOwner": "123456789012", "uid": uid, "version": version } });
        body[format!("{}Name", path.kind())] = json!(path.name());
        if let ResourcePath::Route(route) = &path {
            body["virtualRouterName"] = json!(route.router);
        }
        let resource = Resource::read(path.kind(), &body).unwrap();
        let tags = self.0.resources.get(&path).map_or_else(|| Some(Tags::default()), |seen| seen.tags.clone());
        self.0.resources.insert(path, ResourceSnapshot { resource, tags });
        self
    }

    fn tagged(mut self, path: &str, tags: &[(&str, &str)]) -> Self {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        self.0.resources.get_mut(&path.parse().unwrap()).unwrap().tags = Some(Tags::read(tags).unwrap());
        self
    }

    fn without(mut self, path: &str) -> Self {
        self.0.resources.remove(&path.parse().unwrap());
        self
    }
}

fn write(operation: &str, path: &str, version: Option<u64>, minute: u8, by: &str) -> Write {
    let who = Who::User { name: by.to_owned() };
    Write {
        mesh_owner: None,
        named_owner: None,
        operation: operation.to_owned(),
        resource: Some(path.parse().unwrap()),
        at: Some(at(minute)),
        version,
        id: Some(format!("{operation} {minute} {by}")),
        error: None,
        caller: ApiCaller { who, ..ApiCaller::UNKNOWN },
    }
}

fn compare(before: &Shop, after: &Shop, writes: &[Write], open: &[OpenChange]) -> AuditResult {
    let facts = AuditInput { before: Some(&before.0), after: &after.0, writes, open };
    audit_changes(&facts, &policy(), at(30)).unwrap()
}

fn by(cause: &ChangeCause) -> Vec<String> {
    cause.writes().iter().map(|write| write.caller.to_string().replace("user ", "")).collect()
}

#[test]
fn kind_of_a_change_follows_from_the_two_states() {
    let shop = Shop::open();
    let plain = node(None);
    for (after, kind, members) in [
        (shop.clone().with(RECS, 4, &plain), ChangeKind::Updated, vec!["spec.listeners[0].tls"]),
        (shop.clone().with(RECS, 5, &node(Some("STRICT"))), ChangeKind::Rewritten, vec![]),
        (shop.clone().tagged(RECS, &[("owner", "recs")]), ChangeKind::Retagged, vec!["tags.owner"]),
        (
            shop.clone().with(RECS, 5, &node(Some("STRICT"))).tagged(RECS, &[("team", "a")]),
            ChangeKind::Updated,
            vec!["tags.team"],
        ),
        (shop.clone().without(RECS), ChangeKind::Deleted, vec!["spec.listeners", "spec.serviceDiscovery"]),
        (shop.clone().with_uid(RECS, 1, &plain, "second"), ChangeKind::Replaced, vec!["spec.listeners[0].tls"]),
        (
            shop.clone().with("mesh/shop/virtualNode/new", 1, &plain),
            ChangeKind::Created,
            vec!["spec.listeners", "spec.serviceDiscovery"],
        ),
    ] {
        let found = changes(&shop.0, &after.0);
        assert_eq!(found.len(), 1, "{kind:?}");
        assert_eq!(found[0].kind, kind);
        let paths: Vec<&str> = found[0].differences.iter().map(|difference| difference.path.as_str()).collect();
        assert_eq!(paths, members, "{kind:?}");
    }
    assert_eq!(changes(&shop.0, &shop.clone().read_at(9).0), [], "a different time is not a change");
}

/// The cause of a change: exactly one write, several writes with unknown effects, or no known write.
#[test]
fn change_is_attributed_to_the_possible_writes() {
    let shop = Shop::open();
    let to = |version| shop.clone().with(RECS, version, &node(None)).read_at(20);
    let update = |version, minute, by| write("UpdateVirtualNode", RECS, version, minute, by);
    let tag = |minute, by| write("TagResource", RECS, None, minute, by);
    let tagged = shop.clone().tagged(RECS, &[("owner", "recs")]).read_at(20);
    let gone = shop.clone().without(RECS).read_at(20);
    let delete = |minute, by| write("DeleteVirtualNode", RECS, Some(3), minute, by);
    let recreated = shop.clone().with_uid(RECS, 1, &node(None), "second").read_at(20);
    let create = |minute, by| write("CreateVirtualNode", RECS, Some(1), minute, by);
    for (case, after, writes, reason, names, unreported) in [
        ("one", to(4), vec![update(Some(4), 10, "ann")], "Written", vec!["ann"], 0),
        ("one, twice", to(4), vec![update(Some(4), 10, "ann"); 2], "Written", vec!["ann"], 0),
        ("without a version", to(4), vec![update(None, 10, "ann")], "Written", vec!["ann"], 0),
        ("no event", to(4), vec![], "NoEvent", vec![], 1),
        ("of an earlier version", to(4), vec![update(Some(3), 10, "ann")], "NoEvent", vec![], 1),
        ("long before", to(4), vec![update(None, 0, "ann")], "Written", vec!["ann"], 0),
        (
            "two, out of order",
            to(5),
            vec![update(Some(5), 12, "bob"), update(Some(4), 10, "ann")],
            "WritesBetween",
            vec!["ann", "bob"],
            0,
        ),
        ("two, one without an event", to(5), vec![update(Some(5), 12, "bob")], "WritesBetween", vec!["bob"], 1),
        ("refused", to(4), vec![Write { error: Some("X".to_owned()), ..update(None, 9, "eve") }], "NoEvent", vec![], 1),
        ("of another resource", to(4), vec![write("UpdateVirtualNode", WEB, Some(4), 9, "eve")], "NoEvent", vec![], 1),
        ("tags", tagged.clone(), vec![tag(10, "ann")], "Written", vec!["ann"], 0),
        ("tags, two", tagged.clone(), vec![tag(10, "ann"), tag(11, "bob")], "WritesBetween", vec!["ann", "bob"], 0),
        ("tags, by a spec", tagged, vec![update(Some(3), 10, "ann")], "NoEvent", vec![], 1),
        ("deleted", gone.clone(), vec![delete(10, "ann")], "Written", vec!["ann"], 0),
        ("deleted, without an event", gone, vec![], "NoEvent", vec![], 1),
        (
            "recreated",
            recreated.clone(),
            vec![create(11, "bob"), delete(10, "ann")],
            "WritesBetween",
            vec!["bob", "ann"],
            0,
        ),
        ("recreated, one without an event", recreated, vec![create(11, "bob")], "WritesBetween", vec!["bob"], 1),
    ] {
        let found = compare(&shop, &after, &writes, &[]);
        assert_eq!(found.audits.len(), 1, "{case}");
        let audit = &found.audits[0];
        assert_eq!(
            (audit.reason(), by(&audit.cause)),
            (reason, names.iter().map(ToString::to_string).collect()),
            "{case}"
        );
        assert_eq!(found.open.iter().map(|open| open.unreported).sum::<u64>(), unreported, "{case}");
    }
}

#[test]
fn late_event_attributes_a_change_once() {
    let shop = Shop::open();
    let after = shop.clone().with(RECS, 5, &node(None)).read_at(20);
    let first = compare(&shop, &after, &[], &[]);
    assert_eq!((first.open[0].unreported, first.open[0].notified), (2, true));
    let late = write("UpdateVirtualNode", RECS, Some(5), 15, "ann");
    let second = compare(&after, &after.clone().read_at(25), std::slice::from_ref(&late), &first.open);
    assert_eq!(second.audits, []);
    assert_eq!(second.late.iter().map(|late| (late.seen, late.reported)).collect::<Vec<_>>(), [(at(20), true)]);
    let notice_of_late = notice(&"shop".parse().unwrap(), &second, &policy()).unwrap();
    assert_eq!(notice_of_late.subject, format!("The author of the change of {RECS} is known"));
    assert!(
        notice_of_late.body.contains("user ann: UpdateVirtualNode at 2026-11-20 10:15:00 UTC"),
        "{}",
        notice_of_late.body
    );
    assert!(!notice_of_late.pages);
    let third = compare(&after, &after.clone().read_at(26), std::slice::from_ref(&late), &second.open);
    assert_eq!((third.late.len(), third.repeats.len(), third.open[0].unreported), (0, 1, 1), "the same event again");
    let other = write("UpdateVirtualNode", RECS, Some(4), 14, "bob");
    let fourth = compare(&after, &after.clone().read_at(27), &[other], &third.open);
    assert_eq!((fourth.late.len(), fourth.open.len()), (1, 0), "all writes are reported");
    let day_after = "2026-11-21T10:21:00Z".parse().unwrap();
    let facts = AuditInput { before: Some(&after.0), after: &after.0, writes: &[], open: &first.open };
    assert_eq!(audit_changes(&facts, &policy(), day_after).unwrap().open, [], "too old to wait for");
}

#[test]
fn effect_is_attributed_to_its_change_only() {
    let shop = Shop::open().tagged(RECS, &[("owner", "recs")]);
    let after = shop
        .clone()
        .with(RECS, 4, &node(None))
        .tagged(WEB, &[("owner", "web")])
        .with("mesh/shop/virtualNode/spare", 1, &node(Some("STRICT")))
        .read_at(20);
    let writes = [
        write("UpdateVirtualNode", RECS, Some(4), 12, "ann"),
        write("TagResource", WEB, None, 11, "bob"),
        write("CreateVirtualNode", "mesh/shop/virtualNode/spare", Some(1), 10, "bob"),
    ];
    let found = compare(&shop, &after, &writes, &[]);
    let degrading: Vec<(String, bool)> = found
        .audits
        .iter()
        .map(|audit| (audit.change.resource.to_string(), audit.effect.is_worse(&policy())))
        .collect();
    let spare = "mesh/shop/virtualNode/spare";
    assert_eq!(
        degrading,
        [(spare.to_owned(), true), (WEB.to_owned(), false), (RECS.to_owned(), true)],
        "in their order"
    );
    let rules = |of: usize| -> Vec<&str> {
        found.audits[of].effect.created.iter().map(|finding| finding.rule.as_str()).collect()
    };
    assert!(rules(0).contains(&"tag-missing"), "{:?}", rules(0));
    assert!(found.audits[1].effect.cleared.iter().any(|finding| finding.rule.as_str() == "tag-missing"));
    assert!(!rules(2).is_empty() && rules(2).iter().all(|rule| !rule.starts_with("tag-")), "{:?}", rules(2));
    let worse = &found.audits[2].effect.worse;
    assert_eq!((worse.len(), &*worse[0].harm), (1, "tls-lost"));
    assert_eq!((&worse[0].before, &worse[0].after), (&TlsVerdict::Tls, &TlsVerdict::Plaintext));
    let body = notice(&"shop".parse().unwrap(), &found, &policy()).unwrap().body;
    for part in [
        "mesh/shop/virtualNode/recs was updated (version 3 to 4)",
        "user ann: UpdateVirtualNode at 2026-11-20 10:12:00 UTC",
        "spec.listeners[0].tls: {",
        "-> (absent)",
        "Calls from web to recs for recs.local: TLS before, now plain text",
        "Remediation: ",
        "Changes at the same time without degradation: 1.",
    ] {
        assert!(body.contains(part), "{part} is missing in\n{body}");
    }
}

/// A deployment that breaks a reference and repairs it again does not degrade the mesh.
#[test]
fn finding_created_and_resolved_between_two_states_is_not_attributed() {
    let (old, new) = ("mesh/shop/virtualNode/recs", "mesh/shop/virtualNode/recs-v2");
    let shop = Shop::open();
    let targets = json!([{ "virtualNode": "recs-v2", "weight": 1 }]);
    let route = json!({ "httpRoute": { "match": { "prefix": "/" }, "action": { "weightedTargets": targets } } });
    let after = shop.clone().with(ROUTE, 2, &route).with(new, 1, &node(Some("STRICT"))).without(old).read_at(20);
    // The route has a missing target for three minutes.
    let writes = [
        write("UpdateRoute", ROUTE, Some(2), 10, "ann"),
        write("CreateVirtualNode", new, Some(1), 13, "ann"),
        write("DeleteVirtualNode", old, Some(3), 14, "ann"),
    ];
    let found = compare(&shop, &after, &writes, &[]);
    let dangling = |look: &AuditResult| {
        look.audits
            .iter()
            .flat_map(|audit| &audit.effect.created)
            .any(|finding| finding.rule.as_str().contains("dangling"))
    };
    assert!(!dangling(&found), "{:?}", found.effect.created);
    let half = compare(&shop, &shop.clone().with(ROUTE, 2, &route).read_at(11), &writes[..1], &[]);
    assert!(half.effect.is_worse(&policy()), "read at that minute, the mesh is degraded: {:?}", half.effect);
}

/// A route is removed, and restored to a node without TLS: no single write degraded the call.
#[test]
fn effect_of_several_changes_is_reported() {
    let plain = "mesh/shop/virtualNode/plain";
    let shop = Shop::open().with(plain, 1, &node(None));
    let direct = json!({ "provider": { "virtualNode": { "virtualNodeName": "recs" } } });
    let before = shop.with(SERVICE, 1, &direct);
    // Meanwhile the service uses a router without the node, and the node loses its TLS.
    let after = before.clone().with(RECS, 4, &node(None)).with(SERVICE, 3, &direct).read_at(20);
    let writes = [
        write("UpdateVirtualNode", RECS, Some(4), 10, "ann"),
        write("UpdateVirtualService", SERVICE, Some(2), 9, "bob"),
        write("UpdateVirtualService", SERVICE, Some(3), 11, "bob"),
    ];
    let found = compare(&before, &after, &writes, &[]);
    assert_eq!(found.effect.worse.len(), 1);
    let put_down: usize = found.audits.iter().map(|audit| audit.effect.worse.len()).sum();
    assert_eq!(put_down + found.rest.worse.len(), 1, "{found:?}");
}

#[test]
fn new_tls_with_an_unread_certificate_is_not_a_degradation() {
    let plain = Shop::open().with(RECS, 3, &node(None));
    let after = plain.clone().with(RECS, 4, &node(Some("STRICT"))).read_at(20);
    let found = compare(&plain, &after, &[], &[]);
    assert_eq!(found.effect.worse, []);
    assert_ne!(found.effect.cleared, []);
}

#[test]
fn new_mesh_and_rejected_writes_are_not_changes() {
    let shop = Shop::open();
    let update = write("UpdateVirtualNode", RECS, Some(3), 10, "ann");
    let facts = AuditInput { before: None, after: &shop.0, writes: std::slice::from_ref(&update), open: &[] };
    let found = audit_changes(&facts, &policy(), at(30)).unwrap();
    assert!(found.is_first && found.audits.is_empty() && !found.is_empty());
    assert_eq!(notice(&"shop".parse().unwrap(), &found, &policy()), None);
    let refused = Write { error: Some("AccessDenied".to_owned()), ..update };
    let found = compare(&shop, &shop, std::slice::from_ref(&refused), &[]);
    assert_eq!((found.refused, found.audits.len(), found.repeats.len()), (vec![refused], 0, 0));
}

#[test]
fn many_changes_share_one_notice() {
    let shop = Shop::open();
    let after = (0..60).fold(shop.clone(), |shop, n| shop.with(&format!("mesh/shop/virtualNode/n{n}"), 1, &node(None)));
    let found = compare(&shop, &after.read_at(20), &[], &[]);
    assert_eq!((found.audits.len(), found.rest == found.effect), (60, true));
    assert!(found.effect.is_worse(&policy()) && found.audits.iter().all(|audit| audit.effect.created.is_empty()));
    assert!(found.open.iter().all(|open| open.notified));
    let notice_of_all = notice(&"shop".parse().unwrap(), &found, &policy()).unwrap();
    assert!(notice_of_all.body.contains("No single one of the 60 changes explains this:"), "{}", notice_of_all.body);
    assert!(notice_of_all.body.contains("and 50 more changes"), "{}", notice_of_all.body);
    assert!(notice_of_all.body.len() < 24 * 1024, "{}", notice_of_all.body.len());
}

#[test]
fn long_differences_are_cut_with_a_count_and_tags_are_not_shown() {
    let shop = Shop::open();
    let long = json!({ "serviceDiscovery": { "dns": { "hostname": format!("{}.internal", "a".repeat(220)) } } });
    let after = shop
        .clone()
        .with(RECS, 4, &long)
        .tagged(RECS, &[("owner", "recs"), ("meshwarden:restore", "1.2"), ("contact", "ann@example.com")]);
    let found = changes(&shop.0, &after.0);
    let shown = serde_json::to_string(&found[0].members(&policy())).unwrap();
    assert!(shown.contains("(231 characters)"), "{shown}");
    for (key, value) in
        [("owner", "\\\"recs\\\""), ("meshwarden:restore", "\\\"1.2\\\""), ("contact", "(15 characters, not shown)")]
    {
        assert!(shown.contains(&format!(r#""path":"tags.{key}","before":null,"after":"{value}""#)), "{shown}");
    }
    assert!(!shown.contains("example.com"), "{shown}");
    let tags: Vec<(String, String)> = (0..40).map(|n| (format!("k{n}"), "v".to_owned())).collect();
    let tags: Vec<(&str, &str)> = tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let many = changes(&shop.0, &shop.clone().tagged(RECS, &tags).0);
    let members = many[0].members(&policy());
    assert_eq!((members.members.len(), members.more), (20, 20));
}

/// A resource that was read again separately is not attributed to writes before that reading.
#[test]
fn resource_read_again_has_its_own_reading_time() {
    let before = Shop::open().tagged(RECS, &[("owner", "recs")]);
    let mut again = before.clone();
    again.0.later.insert(RECS.parse().unwrap(), at(10));
    let after = before.clone().tagged(RECS, &[("owner", "others")]).read_at(20);
    let tagging = write("TagResource", RECS, None, 5, "ann");
    for (before, expected) in [(&before, vec!["Written"]), (&again, vec!["NoEvent"])] {
        let found = compare(before, &after, std::slice::from_ref(&tagging), &[]);
        assert_eq!(found.audits.iter().map(AuditedChange::reason).collect::<Vec<_>>(), expected);
    }
    // The resource has its own reading time after the change, too: a later event is late.
    let mut read = after.clone();
    read.0.later.insert(RECS.parse().unwrap(), at(30));
    let late = write("TagResource", RECS, None, 25, "bob");
    for (after, expected) in [(&after, "NoEvent"), (&read, "Written")] {
        let found = compare(&before, after, std::slice::from_ref(&late), &[]);
        assert_eq!(found.audits[0].reason(), expected);
    }
}

#[test]
fn reading_older_than_an_event_is_stale() {
    let shop = Shop::open();
    let update = |version| [write("UpdateVirtualNode", RECS, Some(version), 10, "ann")];
    assert_eq!(StaleReading::detect(&shop.0, &update(3), at(12)), None);
    let behind = StaleReading::detect(&shop.0, &update(4), at(12)).unwrap();
    assert_eq!((behind.event_version, behind.read), (4, 3));
    assert_eq!(StaleReading::detect(&shop.clone().without(RECS).0, &update(4), at(12)), None, "it was deleted since");
    assert_eq!(StaleReading::detect(&shop.0, &update(4), at(26)), None, "a stale reading does not last that long");
    let mut earlier = update(9);
    earlier[0].at = Some("2020-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(
        StaleReading::detect(&shop.0, &earlier, at(12)),
        None,
        "the event belongs to a deleted resource of the same name"
    );
    assert_eq!(StaleReading::detect(&shop.0, &[write("DeleteVirtualNode", RECS, Some(7), 10, "ann")], at(12)), None);
}

#[test]
fn snapshot_round_trips() {
    let shop = Shop::open().tagged(RECS, &[("owner", "recs")]).read_at(7);
    let text = shop.0.to_json().to_string();
    assert_eq!(Snapshot::read(&serde_json::from_str(&text).unwrap(), at(7)).unwrap(), shop.0);
    assert_eq!(shop.clone().read_at(8).0.to_json().to_string(), text, "the time is not stored");
    for (pointer, value, expected) in [
        ("/mesh", json!("a/b"), "mesh: "),
        ("/resources", json!([]), "resources: missing"),
        ("/resources/mesh~1shop/tags", json!({ "": "x" }), "mesh/shop: tag ``"),
        ("/resources/mesh~1shop/resource", json!({}), "mesh/shop: "),
    ] {
        let mut broken = shop.0.to_json();
        *broken.pointer_mut(pointer).unwrap() = value;
        let error = Snapshot::read(&broken, at(7)).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

/// Unlisted tags are unknown: they have not changed, and have no effect when they become known.
#[test]
fn tags_becoming_known_are_not_a_change() {
    let mut unknown = Shop::open().0;
    let path: ResourcePath = RECS.parse().unwrap();
    let known = unknown.clone();
    unknown.resources.get_mut(&path).unwrap().tags = None;
    for (before, after) in [(&unknown, &known), (&known, &unknown), (&unknown, &unknown)] {
        let facts = AuditInput { before: Some(before), after, writes: &[], open: &[] };
        let look = audit_changes(&facts, &policy(), before.at).unwrap();
        assert!(look.is_empty() && look.effect.created.is_empty(), "{look:?}");
    }
    let stored = Snapshot::read(&unknown.to_json(), unknown.at).unwrap();
    assert_eq!(stored.resources[&path].tags, None, "unknown tags stay unknown");
}

/// A resource that the first run could not read existed before, so reading it now is not a change. A write
/// to it explains it.
#[test]
fn resource_that_becomes_readable_is_no_change() {
    let mut before = Shop::open().without(RECS);
    before.0.unread = [RECS.parse().unwrap()].into();
    let kept = Snapshot::read(&before.0.to_json(), before.0.at).unwrap();
    assert_eq!(kept, before.0, "it is stored with the rest");
    let after = Shop::open().read_at(5);
    let found = compare(&before, &after, &[], &[]);
    assert_eq!((found.audits.len(), found.is_first), (0, false), "{found:?}");
    let writes = [write("UpdateVirtualNode", RECS, Some(3), 2, "ann")];
    let found = compare(&before, &after, &writes, &[]);
    let audited: Vec<_> = found.audits.iter().map(|audit| (audit.reason(), by(&audit.cause))).collect();
    assert_eq!(audited.len(), 1, "{audited:?}");
    assert_eq!(audited[0].1, ["ann"], "{audited:?}");
    // Without the mark it is a change without an event.
    before.0.unread.clear();
    let found = compare(&before, &after, &[], &[]);
    assert_eq!(found.audits.iter().map(AuditedChange::reason).collect::<Vec<_>>(), ["NoEvent"]);
}
