//! The scenario on compliance: the findings of a neglected mesh are found, explained and resolved, with a comparison
//! of before and after.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::audit;
use super::context::{DemoContext, ensure};
use super::kiosk::{Finding, SweepReport};
use stack::console::say;
use stack::demo_mesh::KIOSK;
use stack::failure::{Failure, Result};
use stack::interrupt;

/// The findings of the scenario, by rule.
const UNTAGGED: &str = "tag-missing";
const OPEN: &str = "mesh-egress-open";
const PLAIN: &str = "edge-plaintext";

/// The time for which a function is run repeatedly: a new node has a grace period of a second.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The node without tags.
const TILL: &str = "virtualNodes/till";
/// The node that is called in plain text.
const MENU: &str = "virtualNodes/menu";
/// A backend of the till for which the mesh has no virtual service.
const VOUCHERS: &str = "vouchers.kiosk.local";

pub(super) fn play(context: &mut DemoContext) -> Result<()> {
    say("\n== compliance: the findings of a neglected mesh are found, explained and resolved");
    let resources = context.load_kiosk()?;
    say(format_args!("  A second mesh, the kiosk, has {resources} resources. Its faults are not declared anywhere."));
    say("  The demo invokes the sweep as its schedule does every six hours. The sweep reads every mesh.\n");
    let before = sweep(context)?;
    let first_page = page(context, "kiosk-before.html")?;
    for rule in [UNTAGGED, OPEN, PLAIN] {
        for finding in before.with_rule(rule) {
            explain(finding);
        }
    }
    only(&before, UNTAGGED, "mesh/kiosk/virtualNode/till")?;
    only(&before, OPEN, "mesh/kiosk")?;
    only(&before, PLAIN, "mesh/kiosk/virtualNode/till")?;
    audit::run_by_schedule(context)?;
    tags(context)?;
    egress(context)?;
    say("\n  change-audit has recorded the mesh. It runs again, and compares.\n");
    let cleared = audit::run_by_schedule(context)?;
    ensure(cleared.contains(UNTAGGED) && cleared.contains(OPEN), "the repairs are audited", || format!("{cleared:?}"))?;
    plain_text(context)?;
    history(context)?;
    say("\n  The sweep runs again, six hours before its schedule.\n");
    let after = sweep(context)?;
    compare(&before, &after)?;
    let last_page = page(context, "kiosk.html")?;
    say("\n  Each sweep wrote a page that needs no network, with the mesh drawn:");
    say(format_args!("    before  file://{}", first_page.display()));
    say(format_args!("    after   file://{}", last_page.display()));
    Ok(())
}

/// Runs the sweep, and reads its report.
fn sweep(context: &mut DemoContext) -> Result<SweepReport> {
    let decisions = context.run_sweep()?;
    let swept = decisions.iter().any(|decision| text(decision, "decision") == "sweep");
    ensure(swept, "the kiosk is swept", || json!(decisions).to_string())?;
    let found = context.kiosk_findings()?;
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

fn only(swept: &SweepReport, rule: &str, resource: &str) -> Result<()> {
    let resources: Vec<&str> = swept.with_rule(rule).map(|finding| finding.resource.as_str()).collect();
    ensure(resources == [resource], &format!("{rule} is found at {resource} alone"), || format!("{resources:?}"))
}

fn tags(context: &mut DemoContext) -> Result<()> {
    say("\n  tag-compliance runs. The policy requires the tag `team`, and the mode of the kiosk is `enforce`.\n");
    let till = context.read_kiosk(TILL)?;
    let before = context.kiosk_tags(&till)?;
    let decision = decided(context, "tag-compliance", "mesh/kiosk/virtualNode/till", "Mends")?;
    applied(&decision)?;
    let after = context.kiosk_tags(&till)?;
    say(format_args!("    tags of the till   before {}   after {}", listed(&before), listed(&after)));
    let has = after.iter().any(|(key, value)| key == "team" && value == KIOSK);
    ensure(before.is_empty() && has, "the till has the tag of its mesh", || format!("{after:?}"))?;
    let spec = context.read_kiosk(TILL)?;
    ensure(spec.get("spec") == till.get("spec"), "only the tags of the node are changed", || spec.to_string())
}

fn egress(context: &mut DemoContext) -> Result<()> {
    say("\n  egress-compliance runs. It tests on the model first whether the filter can be closed.\n");
    let before = filter(&context.read_kiosk("")?);
    let held = decided(context, "egress-compliance", "mesh/kiosk", "WouldCut")?;
    let cut = held.pointer("/facts/cuts/0/to").and_then(Value::as_str);
    ensure(cut == Some(VOUCHERS), "what-if names the call that would be cut", || held.to_string())?;
    let between = filter(&context.read_kiosk("")?);
    ensure(before == "ALLOW_ALL" && between == before, "the filter is left as it was", || between.clone())?;

    say(format_args!("\n  An operator declares {VOUCHERS}, provided by the node `receipts`. The function runs again."));
    let service = json!({
        "virtualServiceName": VOUCHERS,
        "spec": {"provider": {"virtualNode": {"virtualNodeName": "receipts"}}},
        "tags": [{"key": "team", "value": KIOSK}],
    });
    context.write_kiosk("virtualServices", &service)?;
    say("");
    let decision = decided(context, "egress-compliance", "mesh/kiosk", "Mends")?;
    applied(&decision)?;
    let after = filter(&context.read_kiosk("")?);
    say(format_args!("    egress filter of the kiosk   before {before}   after {after}"));
    ensure(after == "DROP_ALL", "only declared services are reachable", || after.clone())
}

fn plain_text(context: &mut DemoContext) -> Result<()> {
    say("\n  Encryption needs a certificate, and so an operator: the menu accepts TLS, then the till requires it,");
    say(
        "  and then the menu requires it too. In that order no request fails. change-audit is invoked with an event of each",
    );
    say("  write, as the control plane sends it if it authenticates callers; the caller is made up.\n");
    let tls = |mode: &str| json!({"mode": mode, "certificate": {"file": {"certificateChain": "/keys/menu.pem", "privateKey": "/keys/menu.key"}}});
    let policy = json!({"tls": {"enforce": true, "validation": {
        "trust": {"file": {"certificateChain": "/keys/ca.pem"}},
        "subjectAlternativeNames": {"match": {"exact": ["menu.kiosk.local"]}},
    }}});
    edit(context, MENU, "/spec/listeners/0", "tls", tls("PERMISSIVE"))?;
    let mut cleared = audit::run_with_event(context, "menu")?;
    edit(context, TILL, "/spec/backends/0/virtualService", "clientPolicy", policy)?;
    cleared.extend(audit::run_with_event(context, "till")?);
    edit(context, MENU, "/spec/listeners/0", "tls", tls("STRICT"))?;
    cleared.extend(audit::run_with_event(context, "menu")?);
    ensure(cleared.contains(PLAIN), "the encryption is audited", || format!("{cleared:?}"))
}

/// Shows the history of the till, by `meshwarden explain`.
fn history(context: &DemoContext) -> Result<()> {
    say("\n  Later a colleague looks up the history of the till.\n");
    let lines = context.stack.meshwarden(&context.workspace, &["explain", "mesh/kiosk/virtualNode/till"])?;
    say("");
    for line in &lines {
        say(format_args!("    {line}"));
    }
    for part in ["tags.team (absent) -> \"kiosk\"", "tag-compliance [Mends]", "clientPolicy", "[Written]"] {
        let is_explained = lines.iter().any(|line| line.contains(part));
        ensure(is_explained, &format!("{part} is explained"), || lines.join("\n"))?;
    }
    Ok(())
}

/// Sets a member of a part of a node's spec, through the API only.
fn edit(context: &DemoContext, node: &str, part: &str, member: &str, value: Value) -> Result<()> {
    let mut body = context.read_kiosk(node)?;
    let Some(part) = body.pointer_mut(part).and_then(Value::as_object_mut) else {
        return Err(Failure::Unexpected { expected: format!("{node} has {part}"), seen: body.to_string() });
    };
    part.insert(member.to_owned(), value);
    context.write_kiosk(node, &json!({"spec": body.get("spec")}))
}

fn compare(before: &SweepReport, after: &SweepReport) -> Result<()> {
    say("\n    findings of the scenario      before   after");
    for rule in [UNTAGGED, OPEN, PLAIN] {
        let (was, is) = (before.with_rule(rule).count(), after.with_rule(rule).count());
        say(format_args!("    {rule:<26} {was:>8} {is:>7}"));
        ensure(was > 0 && is == 0, &format!("{rule} is gone"), || format!("{was} before, {is} after"))?;
    }
    let calls =
        |swept: &SweepReport| swept.edges.iter().map(|edge| (edge.from.clone(), edge.service.clone())).collect();
    let mut all: BTreeSet<(String, String)> = calls(before);
    all.extend(calls(after));
    say("\n    call                                             before         after");
    for (from, service) in &all {
        let (was, is) = (before.verdict(from, service), after.verdict(from, service));
        let call = format!("{} -> {service}", from.rsplit('/').next().unwrap_or(from));
        say(format_args!("    {call:<42} {was:>13} {is:>13}"));
        ensure(is != "plaintext" && is != "broken", &format!("{call} is encrypted"), || is.to_owned())?;
    }
    let is_new = |finding: &&Finding| !before.findings.iter().any(|other| other.id == finding.id);
    let new: Vec<&Finding> = after.findings.iter().filter(is_new).collect();
    if !new.is_empty() {
        say("\n    findings that the repairs created");
    }
    for finding in &new {
        say(format_args!("    {} [{}, {}]", finding.resource, finding.rule, finding.severity));
        let is_grave = matches!(finding.severity.as_str(), "critical" | "high");
        ensure(!is_grave, "the repairs create no grave finding", || finding.message.clone())?;
    }
    Ok(())
}

/// Writes the page to a file for a browser.
fn page(context: &mut DemoContext, name: &str) -> Result<PathBuf> {
    let page = context.kiosk_report("index.html")?;
    let path = context.workspace.local(name);
    fs::write(&path, page).map_err(Failure::file("write", &path))?;
    Ok(path)
}

/// Runs a function until it gives this reason for a resource, prints the decision, and returns it.
fn decided(context: &DemoContext, function: &str, resource: &str, reason: &str) -> Result<Value> {
    let mut seen = Value::Null;
    let found = interrupt::poll(TIMEOUT, || {
        let decisions = context.run_for_kiosk(function, "tick-rule.json")?;
        let is_it = |decision: &&Value| text(decision, "resource") == resource && text(decision, "reason") == reason;
        let found = decisions.iter().find(is_it).cloned();
        seen = json!(decisions);
        Ok(found)
    })?;
    let Some(decision) = found else {
        let expected = format!("{function} decides {reason} for {resource}");
        return Err(Failure::Unexpected { expected, seen: seen.to_string() });
    };
    say(format_args!("    {function}: {}, {reason}: {}.", text(&decision, "decision"), sentence(&decision)));
    Ok(decision)
}

/// The contents of a decision, in words.
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
