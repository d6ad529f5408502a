//! Writes the AWS Security Finding Format, as `BatchImportFindings` of AWS Security Hub accepts it.

use jiff::Timestamp;
use mesh::name::{Arn, ResourcePath};
use rules::pack::{Finding, Group, Severity, rule_named};
use serde_json::{Map, Value, json};

use crate::history::{Changes, Dated};
use crate::{History, MeshReport};

/// Bounds of the format, in characters.
mod limit {
    pub(super) const TITLE: usize = 256;
    pub(super) const DESCRIPTION: usize = 1024;
    pub(super) const RECOMMENDATION: usize = 512;
    pub(super) const DETAIL: usize = 1024;
    /// Members of `Details.Other`.
    pub(super) const DETAILS: usize = 50;
}

/// The Security Hub that the findings are imported into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityHubAccount {
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub partition: String,
    /// The region of Security Hub.
    pub region: String,
    /// The account of Security Hub.
    pub account: String,
}

/// Findings to import.
pub type Asff = Vec<Value>;

/// Every finding as an active one, and every resolved finding as an archived one. Importing the same finding again
/// updates it, by its id.
#[must_use]
pub fn asff(report: &MeshReport<'_>, changes: &Changes, place: &SecurityHubAccount) -> Asff {
    let active = report.evaluation.findings.iter().map(|finding| active(finding, report.history, place, report.at));
    let archived = changes.resolved.iter().map(|(id, dated)| archived(id.as_str(), dated, place, report.at));
    active.chain(archived).collect()
}

fn active(finding: &Finding, history: &History, place: &SecurityHubAccount, now: Timestamp) -> Value {
    let first_seen = history.first_seen(finding).unwrap_or(now);
    let rule = rule_named(finding.rule);
    let title = rule.map_or(finding.rule.as_str(), |rule| rule.title);
    let mut written = common(finding.id().as_str(), finding.rule.as_str(), finding.severity, place, now);
    let details: Map<String, Value> = finding
        .facts
        .iter()
        .take(limit::DETAILS)
        .map(|(name, fact)| (name.to_string(), cut(&text(fact), limit::DETAIL).into()))
        .collect();
    let of_finding = json!({
        "Types": [kind(rule.map(|rule| rule.group))],
        "FirstObservedAt": first_seen,
        "CreatedAt": first_seen,
        "LastObservedAt": now,
        "Title": cut(title, limit::TITLE),
        "Description": cut(&format!("{}: {}", finding.resource, finding.message), limit::DESCRIPTION),
        "Remediation": {"Recommendation": {"Text": cut(rule.map_or("", |rule| rule.remedy), limit::RECOMMENDATION)}},
        "Compliance": {"Status": "FAILED", "RelatedRequirements": requirements(finding)},
        "Resources": [resource(&finding.resource, place, details)],
        "RecordState": "ACTIVE",
    });
    extend(&mut written, of_finding);
    written
}

fn archived(id: &str, dated: &Dated, place: &SecurityHubAccount, now: Timestamp) -> Value {
    let mut written = common(id, &dated.rule, dated.severity, place, now);
    let of_finding = json!({
        "Types": [kind(None)],
        "FirstObservedAt": dated.first_seen,
        "CreatedAt": dated.first_seen,
        "Title": cut(&dated.rule, limit::TITLE),
        "Description": cut(&format!("{}: {} is resolved", dated.resource, dated.rule), limit::DESCRIPTION),
        "Compliance": {"Status": "PASSED"},
        "Resources": [resource(&dated.resource, place, Map::new())],
        "RecordState": "ARCHIVED",
    });
    extend(&mut written, of_finding);
    written
}

fn common(id: &str, rule: &str, severity: Severity, place: &SecurityHubAccount, now: Timestamp) -> Value {
    let SecurityHubAccount { partition, region, account } = place;
    json!({
        "SchemaVersion": "2018-10-08",
        "Id": format!("meshwarden/{region}/{account}/{id}"),
        "ProductArn": format!("arn:{partition}:securityhub:{region}:{account}:product/{account}/default"),
        "ProductName": "Meshwarden",
        "GeneratorId": format!("meshwarden/{rule}"),
        "AwsAccountId": account,
        "UpdatedAt": now,
        "Severity": {"Label": label(severity)},
    })
}

/// The resource of a finding. The format has no type for App Mesh.
fn resource(path: &ResourcePath, place: &SecurityHubAccount, mut details: Map<String, Value>) -> Value {
    let SecurityHubAccount { partition, region, .. } = place;
    details.insert("kind".to_owned(), path.kind().to_string().into());
    details.insert("path".to_owned(), path.to_string().into());
    json!({
        "Type": "Other",
        "Id": arn(path, place),
        "Partition": partition,
        "Region": region,
        "Details": {"Other": details},
    })
}

fn arn(path: &ResourcePath, place: &SecurityHubAccount) -> String {
    let SecurityHubAccount { partition, region, account } = place;
    let arn = format!("arn:{partition}:appmesh:{region}:{account}:{path}");
    Arn::parse(&arn).map_or(arn, |arn| arn.to_string())
}

fn requirements(finding: &Finding) -> Vec<String> {
    let Some(rule) = rule_named(finding.rule) else { return Vec::new() };
    let controls = rule.controls.iter().map(|control| format!("{} {}", control.framework, control.id));
    controls.chain(rule.managed.iter().map(|managed| format!("AWS Config {managed}"))).collect()
}

const fn label(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "CRITICAL",
        Severity::High => "HIGH",
        Severity::Medium => "MEDIUM",
        Severity::Low => "LOW",
        Severity::Info => "INFORMATIONAL",
    }
}

const fn kind(group: Option<Group>) -> &'static str {
    match group {
        Some(Group::Egress | Group::Tls | Group::Certificates) => {
            "Software and Configuration Checks/AWS Security Best Practices/Network Reachability"
        }
        _ => "Software and Configuration Checks/AWS Security Best Practices",
    }
}

fn text(fact: &Value) -> String {
    match fact {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Shortens a text to at most `limit` characters and marks the cut.
fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

fn extend(written: &mut Value, more: Value) {
    if let (Some(members), Value::Object(more)) = (written.as_object_mut(), more) {
        members.extend(more);
    }
}
