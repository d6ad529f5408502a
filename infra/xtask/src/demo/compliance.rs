//! The scenario on compliance: a mesh that nobody looked after is found, explained and mended, each before and after.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::audit;
use super::kiosk::{Finding, Swept};
use super::scene::{Scene, ensure};
use crate::console::say;
use crate::demo_mesh::KIOSK;
use crate::failure::{Failure, Result};
use crate::interrupt;

/// What the scenario is about, each by the rule that finds it.
const UNTAGGED: &str = "tag-missing";
const OPEN: &str = "mesh-egress-open";
const PLAIN: &str = "edge-plaintext";

/// How long a function is woken again and again: a node that is new has a second's grace.
const PATIENCE: Duration = Duration::from_secs(20);

/// The node without tags.
const TILL: &str = "virtualNodes/till";
/// The node that is called in plain text.
const MENU: &str = "virtualNodes/menu";
/// What the till calls though nothing in the mesh is called so.
const VOUCHERS: &str = "vouchers.kiosk.local";

pub(super) fn play(scene: &mut Scene) -> Result<()> {
    say("\n== compliance: the findings of a neglected mesh are found, explained and resolved");
    let resources = scene.load_kiosk()?;
    say(format_args!("  A second mesh, the kiosk, has {resources} resources. Its faults are declared nowhere."));
    say("  The demo invokes the sweep as its schedule does every six hours. The sweep reads every mesh.\n");
    let before = sweep(scene)?;
    let first_page = page(scene, "kiosk-before.html")?;
    for rule in [UNTAGGED, OPEN, PLAIN] {
        for finding in before.of(rule) {
            explain(finding);
        }
    }
    only(&before, UNTAGGED, "mesh/kiosk/virtualNode/till")?;
    only(&before, OPEN, "mesh/kiosk")?;
    only(&before, PLAIN, "mesh/kiosk/virtualNode/till")?;
    audit::untold(scene)?;
    tags(scene)?;
    egress(scene)?;
    say("\n  change-audit has recorded the mesh before. It runs again, and compares.\n");
    let cleared = audit::untold(scene)?;
    ensure(cleared.contains(UNTAGGED) && cleared.contains(OPEN), "the repairs are audited", || format!("{cleared:?}"))?;
    plain_text(scene)?;
    history(scene)?;
    say("\n  The sweep runs again, six hours before its schedule.\n");
    let after = sweep(scene)?;
    compare(&before, &after)?;
    let last_page = page(scene, "kiosk.html")?;
    say("\n  Each sweep wrote a page that needs no network, with the mesh drawn:");
    say(format_args!("    before  file://{}", first_page.display()));
    say(format_args!("    after   file://{}", last_page.display()));
    Ok(())
}

/// Wakes the sweep, and reads what it wrote.
fn sweep(scene: &mut Scene) -> Result<Swept> {
    let decisions = scene.wake_sweep()?;
    let swept = decisions.iter().any(|decision| text(decision, "decision") == "sweep");
    ensure(swept, "the kiosk is swept", || json!(decisions).to_string())?;
    let found = scene.kiosk_findings()?;
    say(format_args!("    compliance-sweep: {} findings in the kiosk: {}.", found.findings.len(), found.in_words()));
    Ok(found)
}

/// A finding, in words.
fn explain(finding: &Finding) {
    say(format_args!("\n    {} [{}, {}]", finding.resource, finding.rule, finding.severity));
    say(format_args!("      {}", finding.message));
    match &finding.remediation {
        Some(change) => say(format_args!("      resolved by {}", in_words(change))),
        None => say("      an operator has to resolve it"),
    }
}

fn only(swept: &Swept, rule: &str, resource: &str) -> Result<()> {
    let resources: Vec<&str> = swept.of(rule).map(|finding| finding.resource.as_str()).collect();
    ensure(resources == [resource], &format!("{rule} is found at {resource} alone"), || format!("{resources:?}"))
}

fn tags(scene: &mut Scene) -> Result<()> {
    say("\n  tag-compliance runs. The policy requires the tag `team`, and the mode of the kiosk is `enforce`.\n");
    let till = scene.read_kiosk(TILL)?;
    let before = scene.kiosk_tags(&till)?;
    let decision = decided(scene, "tag-compliance", "mesh/kiosk/virtualNode/till", "Mends")?;
    applied(&decision)?;
    let after = scene.kiosk_tags(&till)?;
    say(format_args!("    tags of the till   before {}   after {}", listed(&before), listed(&after)));
    let has = after.iter().any(|(key, value)| key == "team" && value == KIOSK);
    ensure(before.is_empty() && has, "the till has the tag of what stands above it", || format!("{after:?}"))?;
    let spec = scene.read_kiosk(TILL)?;
    ensure(spec.get("spec") == till.get("spec"), "nothing of the node is changed but its tags", || spec.to_string())
}

fn egress(scene: &mut Scene) -> Result<()> {
    say("\n  egress-compliance runs. It tries to close the filter on the model first.\n");
    let before = filter(&scene.read_kiosk("")?);
    let held = decided(scene, "egress-compliance", "mesh/kiosk", "WouldCut")?;
    let cut = held.pointer("/facts/cuts/0/to").and_then(Value::as_str);
    ensure(cut == Some(VOUCHERS), "what-if names the call that would be cut", || held.to_string())?;
    let between = filter(&scene.read_kiosk("")?);
    ensure(before == "ALLOW_ALL" && between == before, "the filter is left as it was", || between.clone())?;

    say(format_args!(
        "\n  An operator declares {VOUCHERS}, provided by the node of the receipts. The function runs again."
    ));
    let service = json!({
        "virtualServiceName": VOUCHERS,
        "spec": {"provider": {"virtualNode": {"virtualNodeName": "receipts"}}},
        "tags": [{"key": "team", "value": KIOSK}],
    });
    scene.write_kiosk("virtualServices", &service)?;
    say("");
    let decision = decided(scene, "egress-compliance", "mesh/kiosk", "Mends")?;
    applied(&decision)?;
    let after = filter(&scene.read_kiosk("")?);
    say(format_args!("    egress filter of the kiosk   before {before}   after {after}"));
    ensure(after == "DROP_ALL", "nothing leaves the mesh any more but what it declares", || after.clone())
}

fn plain_text(scene: &mut Scene) -> Result<()> {
    say(
        "\n  Encryption takes a certificate, and so a person: the menu gets one that it may use, the till begins to ask for",
    );
    say(
        "  it, and then the menu insists on it. In that order no request fails. change-audit is invoked with an event of each",
    );
    say("  write, as a control plane tells it that knows its callers; the caller is made up.\n");
    let tls = |mode: &str| json!({"mode": mode, "certificate": {"file": {"certificateChain": "/keys/menu.pem", "privateKey": "/keys/menu.key"}}});
    let policy = json!({"tls": {"enforce": true, "validation": {
        "trust": {"file": {"certificateChain": "/keys/ca.pem"}},
        "subjectAlternativeNames": {"match": {"exact": ["menu.kiosk.local"]}},
    }}});
    edit(scene, MENU, "/spec/listeners/0", "tls", tls("PERMISSIVE"))?;
    let mut cleared = audit::told(scene, "menu")?;
    edit(scene, TILL, "/spec/backends/0/virtualService", "clientPolicy", policy)?;
    cleared.extend(audit::told(scene, "till")?);
    edit(scene, MENU, "/spec/listeners/0", "tls", tls("STRICT"))?;
    cleared.extend(audit::told(scene, "menu")?);
    ensure(cleared.contains(PLAIN), "the encryption is audited", || format!("{cleared:?}"))
}

/// What the command tells of the till to whoever was not there.
fn history(scene: &Scene) -> Result<()> {
    say("\n  A colleague asks later what has happened to the till.\n");
    let told = scene.stack.meshwarden(&scene.workspace, &["explain", "mesh/kiosk/virtualNode/till"])?;
    say("");
    for line in &told {
        say(format_args!("    {line}"));
    }
    for part in ["tags.team (absent) -> \"kiosk\"", "tag-compliance [Mends]", "clientPolicy", "[Written]"] {
        let is_told = told.iter().any(|line| line.contains(part));
        ensure(is_told, &format!("{part} is explained"), || told.join("\n"))?;
    }
    Ok(())
}

/// Sets a member of a part of a node's spec, as a person does with the API and nothing else.
fn edit(scene: &Scene, node: &str, part: &str, member: &str, value: Value) -> Result<()> {
    let mut body = scene.read_kiosk(node)?;
    let Some(part) = body.pointer_mut(part).and_then(Value::as_object_mut) else {
        return Err(Failure::Unexpected { expected: format!("{node} has {part}"), seen: body.to_string() });
    };
    part.insert(member.to_owned(), value);
    scene.write_kiosk(node, &json!({"spec": body.get("spec")}))
}

fn compare(before: &Swept, after: &Swept) -> Result<()> {
    say("\n    what the scenario is about    before   after");
    for rule in [UNTAGGED, OPEN, PLAIN] {
        let (was, is) = (before.of(rule).count(), after.of(rule).count());
        say(format_args!("    {rule:<26} {was:>8} {is:>7}"));
        ensure(was > 0 && is == 0, &format!("{rule} is gone"), || format!("{was} before, {is} after"))?;
    }
    let calls = |swept: &Swept| swept.edges.iter().map(|edge| (edge.from.clone(), edge.service.clone())).collect();
    let mut all: BTreeSet<(String, String)> = calls(before);
    all.extend(calls(after));
    say("\n    who calls whom                                    before         after");
    for (from, service) in &all {
        let (was, is) = (before.verdict(from, service), after.verdict(from, service));
        let call = format!("{} -> {service}", from.rsplit('/').next().unwrap_or(from));
        say(format_args!("    {call:<42} {was:>13} {is:>13}"));
        ensure(is != "plaintext" && is != "broken", &format!("{call} is encrypted"), || is.to_owned())?;
    }
    let is_new = |finding: &&Finding| !before.findings.iter().any(|other| other.id == finding.id);
    let new: Vec<&Finding> = after.findings.iter().filter(is_new).collect();
    if !new.is_empty() {
        say("\n    and what came with the repairs");
    }
    for finding in &new {
        say(format_args!("    {} [{}, {}]", finding.resource, finding.rule, finding.severity));
        let is_grave = matches!(finding.severity.as_str(), "critical" | "high");
        ensure(!is_grave, "no repair makes anything worse", || finding.message.clone())?;
    }
    Ok(())
}

/// Puts the page where a browser finds it.
fn page(scene: &mut Scene, name: &str) -> Result<PathBuf> {
    let page = scene.kiosk_report("index.html")?;
    let path = scene.workspace.local(name);
    fs::write(&path, page).map_err(Failure::file("write", &path))?;
    Ok(path)
}

/// Wakes a function until it comes to a reason for a resource, says so, and returns the decision.
fn decided(scene: &Scene, function: &str, resource: &str, reason: &str) -> Result<Value> {
    let mut seen = Value::Null;
    let found = interrupt::poll(PATIENCE, || {
        let decisions = scene.wake_for_kiosk(function, "tick-rule.json")?;
        let is_it = |decision: &&Value| text(decision, "resource") == resource && text(decision, "reason") == reason;
        let found = decisions.iter().find(is_it).cloned();
        seen = json!(decisions);
        Ok(found)
    })?;
    let Some(decision) = found else {
        let expected = format!("{function} comes to {reason} for {resource}");
        return Err(Failure::Unexpected { expected, seen: seen.to_string() });
    };
    say(format_args!("    {function}: {}, {reason}: {}.", text(&decision, "decision"), sentence(&decision)));
    Ok(decision)
}

/// What was decided, in words.
fn sentence(decision: &Value) -> String {
    let changes = decision.pointer("/plan/apply").and_then(Value::as_array).into_iter().flatten();
    let cuts = decision.pointer("/facts/cuts").and_then(Value::as_array).into_iter().flatten();
    let cuts = cuts.map(|cut| format!("{} would no longer reach {}", text(cut, "from"), text(cut, "to")));
    changes.map(in_words).chain(cuts).collect::<Vec<_>>().join("; ")
}

/// A change, in words.
fn in_words(change: &Value) -> String {
    let about = match change.get("resource").or_else(|| change.get("mesh")) {
        Some(resource) => resource.as_str().unwrap_or_default(),
        None => "-",
    };
    match text(change, "change") {
        "setTags" => {
            let tags = change.get("tags").and_then(Value::as_object).into_iter().flatten();
            let tags = tags.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()));
            format!("the tags {} on {about}", listed(&tags.collect::<Vec<_>>()))
        }
        "setEgressFilter" => format!("the egress filter {} of mesh {about}", text(change, "filter")),
        _ => change.to_string(),
    }
}

fn applied(decision: &Value) -> Result<()> {
    let outcome = decision.pointer("/outcome/outcome").and_then(Value::as_str);
    ensure(outcome == Some("Applied"), "the plan is carried out", || decision.to_string())
}

fn filter(mesh: &Value) -> String {
    mesh.pointer("/spec/egressFilter/type").and_then(Value::as_str).unwrap_or("none").to_owned()
}

fn listed(tags: &[(String, String)]) -> String {
    let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if tags.is_empty() { "none".to_owned() } else { tags.join(", ") }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}
