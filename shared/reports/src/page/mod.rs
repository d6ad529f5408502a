//! One page that draws the mesh and lists what is wrong. It is one file: nothing is fetched, and without scripts all is
//! there but the filters and the way to one finding: `index.html#finding-ID` opens that finding.

mod drawing;
mod escape;
mod layout;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use mesh::edges::Edge;
use mesh::pack::Finding;
use serde_json::Value;

use crate::{MeshReport, SEVERITIES, by_severity};
use drawing::{drawing, look};
use escape::escape;
use layout::layout;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page.
#[must_use]
pub fn page(report: &MeshReport<'_>) -> String {
    let name = escape(report.mesh.name.as_str());
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <title>Mesh {name}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    );
    // Writing to a string does not fail.
    let _ = writeln!(
        html,
        "<header><h1>Mesh <b>{name}</b></h1><p>{count} resources, {edges} calls, read {at}</p>{badges}</header>",
        count = report.mesh.resources().len(),
        edges = report.edges.len(),
        at = escape(&report.at.strftime("%Y-%m-%d %H:%M UTC").to_string()),
        badges = badges(report),
    );
    html.push_str("<main>\n<section class=\"drawing\" aria-label=\"Drawing\">\n");
    html.push_str(&drawing(report, &layout(report.mesh, report.edges)));
    html.push_str("</section>\n");
    html.push_str(LEGEND);
    unread(&mut html, report.unread);
    findings(&mut html, report);
    calls(&mut html, report.edges);
    let _ = writeln!(html, "</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>");
    html
}

const LEGEND: &str = "<ul class=\"legend\"><li class=\"mtls\">mTLS</li><li class=\"tls\">TLS</li>\
<li class=\"plaintext\">plain text</li><li class=\"broken\">broken</li><li class=\"unproven\">? a certificate or trust \
was not read</li><li class=\"idle\">thin: no traffic now</li></ul>\n";

/// What could not be read, above what was found.
fn unread(html: &mut String, unread: &[String]) {
    if unread.is_empty() {
        return;
    }
    html.push_str("<section aria-label=\"Unread\">\n<h2>Not known</h2>\n<ul>\n");
    for what in unread {
        let _ = writeln!(html, "<li>{}</li>", escape(what));
    }
    html.push_str("</ul>\n</section>\n");
}

fn badges(report: &MeshReport<'_>) -> String {
    let counts = by_severity(&report.evaluation.findings);
    if counts.is_empty() {
        let known = if report.unread.is_empty() { "no findings" } else { "no findings in what could be read" };
        return format!("<p class=\"badges\"><span class=\"badge well\">{known}</span></p>");
    }
    let badge = |(severity, count)| format!("<span class=\"badge {severity}\">{count} {severity}</span>");
    format!("<p class=\"badges\">{}</p>", counts.into_iter().map(badge).collect::<String>())
}

fn findings(html: &mut String, report: &MeshReport<'_>) {
    let findings = &report.evaluation.findings;
    let _ = writeln!(html, "<section aria-label=\"Findings\"><h2>Findings <small id=\"shown\"></small></h2>");
    if !findings.is_empty() {
        filters(html, findings);
    }
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    for found in sorted {
        finding(html, found, report);
    }
    if !report.evaluation.waived.is_empty() {
        let _ = writeln!(html, "<h2>Allowed for now <small>{}</small></h2>", report.evaluation.waived.len());
        for found in &report.evaluation.waived {
            let _ = writeln!(
                html,
                "<p class=\"waived\"><code>{}</code> {}: {}</p>",
                found.rule,
                escape(&found.resource.to_string()),
                escape(&found.message)
            );
        }
    }
    html.push_str("</section>\n");
}

fn filters(html: &mut String, findings: &[Finding]) {
    html.push_str("<form class=\"filters\">");
    for severity in SEVERITIES.iter().filter(|severity| findings.iter().any(|found| found.severity == **severity)) {
        let _ = write!(
            html,
            "<label><input type=\"checkbox\" name=\"severity\" value=\"{severity}\" checked>{severity}</label>"
        );
    }
    html.push_str("<select name=\"rule\" aria-label=\"Rule\"><option value=\"\">every rule</option>");
    for rule in findings.iter().map(|found| found.rule).collect::<BTreeSet<_>>() {
        let _ = write!(html, "<option>{rule}</option>");
    }
    html.push_str(
        "</select><input type=\"search\" name=\"text\" placeholder=\"resource or text\" aria-label=\"Text\">\
         <button type=\"reset\">all</button></form>\n",
    );
}

fn finding(html: &mut String, finding: &Finding, report: &MeshReport<'_>) {
    let rule = finding.rule.rule();
    let since = report.history.first_seen(finding).unwrap_or(report.at);
    let _ = write!(
        html,
        "<details class=\"finding {severity}\" data-finding=\"{finding}\" data-severity=\"{severity}\" data-rule=\"{id}\" data-resource=\"{resource}\">\
         <summary><span class=\"badge {severity}\">{severity}</span> <b>{title}</b> \
         <span class=\"resource\">{resource}{part}</span></summary>\n<p>{message}</p>",
        finding = finding.id(),
        severity = finding.severity,
        id = finding.rule,
        resource = escape(&finding.resource.to_string()),
        part = if finding.part.is_empty() { String::new() } else { format!(", {}", escape(&finding.part)) },
        title = escape(rule.map_or(finding.rule.as_str(), |rule| rule.title)),
        message = escape(&finding.message),
    );
    if let Some(rule) = rule {
        let _ = write!(html, "<p>{}</p><p><b>To mend it:</b> {}</p>", escape(rule.why), escape(rule.mend));
    }
    if let Some(change) = &finding.remediation {
        let _ = write!(html, "<p><b>Can be repaired:</b> {}</p>", escape(&change.to_string()));
    }
    html.push_str("<table>");
    for (name, fact) in &finding.facts {
        let _ = write!(html, "<tr><th>{}</th><td>{}</td></tr>", escape(name), escape(&shown(fact)));
    }
    let _ = writeln!(
        html,
        "<tr><th>rule</th><td><code>{}</code></td></tr><tr><th>since</th><td>{}</td></tr><tr><th>finding</th>\
         <td><a href=\"#finding-{id}\"><code>{id}</code></a></td></tr></table></details>",
        finding.rule,
        escape(&since.strftime("%Y-%m-%d %H:%M UTC").to_string()),
        id = finding.id(),
    );
}

fn calls(html: &mut String, edges: &[Edge]) {
    html.push_str(
        "<section aria-label=\"Calls\"><h2>Calls</h2><div class=\"wide\"><table class=\"calls\"><tr><th>from</th>\
         <th>virtual service</th><th>to</th><th>verdict</th><th>not known</th></tr>\n",
    );
    for edge in edges {
        let (class, _) = look(edge);
        let port = edge.port.map_or(String::new(), |port| format!(":{port}"));
        let unknown: Vec<String> = edge.unknown.iter().map(|unknown| escape(&unknown.to_string())).collect();
        let _ = writeln!(
            html,
            "<tr class=\"{class}\"><td>{}</td><td>{}</td><td>{}{port}</td><td>{}</td><td>{}</td></tr>",
            escape(edge.from.name()),
            escape(edge.service.as_str()),
            escape(edge.to.name()),
            escape(&edge.verdict.to_string()),
            unknown.join("<br>"),
        );
    }
    html.push_str("</table></div></section>\n");
}

fn shown(fact: &Value) -> String {
    match fact {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}
