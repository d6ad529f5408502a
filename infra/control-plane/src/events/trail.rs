//! Events in the format that CloudTrail used for App Mesh calls.

use jiff::Timestamp;
use mesh::name::ResourceKind;
use ports::BusEvent;
use rules::pack::Finding;
use serde_json::{Map, Value, json};

use super::admission_outcome::AdmissionOutcome;
use super::request_context::RequestContext;
use crate::auth::Caller;
use crate::document::{names, whole};
use crate::error::findings_message;
use crate::state::{Action, Realm, Resource, Write};

/// The source of the events. `PutEvents` refuses `aws.*`.
pub(crate) const SOURCE: &str = "meshwarden.appmesh";

/// The detail type of API calls.
const CALL: &str = "AWS API Call via CloudTrail";

/// The detail type of admission results.
const ADMISSION: &str = "Meshwarden Admission";

/// The longest detail with specs, in bytes. `PutEvents` accepts 256 KB, and the envelope adds little.
const MAX_DETAIL: usize = 200 * 1024;

/// How many findings an event contains.
const MAX_FINDINGS: usize = 20;

/// The result of a call.
#[derive(Debug, Clone, Copy)]
pub(super) enum CallResult<'a> {
    /// The write was stored and returned this resource.
    Done(Option<&'a Resource>),
    /// Admission refused the write for these findings.
    Refused(&'a [Finding]),
}

/// A call in the format of CloudTrail.
pub(super) fn call(
    request: &RequestContext,
    write: &Write,
    result: CallResult<'_>,
    realm: &Realm,
    now: Timestamp,
) -> BusEvent {
    let mut detail = common(request, realm, now);
    let mut put = |member: &str, value: Value| detail.insert(member.to_owned(), value);
    put("eventSource", "appmesh.amazonaws.com".into());
    put("eventName", request.operation.into());
    put("readOnly", false.into());
    put("eventType", "AwsApiCall".into());
    put("apiVersion", "2019-01-25".into());
    put("managementEvent", true.into());
    put("eventCategory", "Management".into());
    put("requestParameters", parameters(write, realm));
    match result {
        CallResult::Done(Some(resource)) => {
            let kind = write.path.kind().as_str();
            put("responseElements", json!({ kind: whole(resource, realm) }));
        }
        CallResult::Done(None) => {
            put("responseElements", Value::Null);
        }
        CallResult::Refused(findings) => {
            put("responseElements", Value::Null);
            put("errorCode", "BadRequestException".into());
            put("errorMessage", findings_message(findings).into());
        }
    }
    let mut detail = Value::Object(detail);
    if detail.to_string().len() > MAX_DETAIL {
        leave_out_specs(&mut detail);
    }
    BusEvent { detail_type: CALL.to_owned(), detail, resources: Vec::new() }
}

/// The admission result of a write.
pub(super) fn admission(
    request: &RequestContext,
    write: &Write,
    outcome: AdmissionOutcome,
    findings: &[Finding],
    realm: &Realm,
    now: Timestamp,
) -> BusEvent {
    let mut detail = common(request, realm, now);
    let named: Vec<Value> = findings.iter().take(MAX_FINDINGS).map(finding).collect();
    for (member, value) in [
        ("outcome", json!(outcome.to_string())),
        ("eventName", request.operation.into()),
        ("resource", json!(write.path)),
        ("findings", json!(named)),
        ("findingsCount", findings.len().into()),
    ] {
        detail.insert(member.to_owned(), value);
    }
    let resources = vec![realm.arn(&write.path)];
    BusEvent { detail_type: ADMISSION.to_owned(), detail: Value::Object(detail), resources }
}

fn finding(finding: &Finding) -> Value {
    json!({ "id": finding.id(), "rule": finding.rule, "severity": finding.severity, "resource": finding.resource,
        "part": finding.part, "message": finding.message })
}

/// The members that every event has.
fn common(request: &RequestContext, realm: &Realm, now: Timestamp) -> Map<String, Value> {
    // CloudTrail uses whole seconds.
    let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
    Map::from_iter(
        [
            ("eventVersion", json!("1.11")),
            ("userIdentity", identity(&request.caller, realm)),
            ("eventTime", json!(second.to_string())),
            ("awsRegion", json!(realm.region().as_str())),
            ("sourceIPAddress", json!(request.peer.map(|peer| peer.ip().to_string()))),
            ("userAgent", json!(request.agent)),
            ("requestID", json!(request.id)),
            ("recipientAccountId", json!(realm.account().as_str())),
        ]
        .map(|(member, value)| (member.to_owned(), value)),
    )
}

/// The identity of the caller, as far as `--api-auth` determines it.
fn identity(caller: &Caller, realm: &Realm) -> Value {
    match caller {
        Caller::Local => json!({ "type": "Unknown", "accountId": realm.account().as_str() }),
        Caller::Key { id, name } => json!({
            "type": "IAMUser", "principalId": id, "accountId": realm.account().as_str(), "accessKeyId": id,
            "userName": name,
        }),
        Caller::Session { arn, account, role, name } => json!({
            "type": "AssumedRole", "arn": arn, "accountId": account,
            "sessionContext": { "sessionIssuer": {
                "type": "Role", "arn": role, "accountId": account, "userName": name,
            } },
        }),
        Caller::ServiceAccount { subject } => json!({
            "type": "WebIdentityUser", "principalId": subject, "accountId": realm.account().as_str(), "userName": subject,
        }),
    }
}

/// The members of URI, query and body together.
fn parameters(write: &Write, realm: &Realm) -> Value {
    let token = write.token.as_ref().map(|token| json!(token.to_string()));
    let with = |members: Vec<(&str, Value)>| {
        let mut all = names(&write.path);
        all.extend(members.into_iter().map(|(member, value)| (member.to_owned(), value)));
        if let Some(token) = token.clone() {
            all.insert("clientToken".to_owned(), token);
        }
        Value::Object(all)
    };
    let arn = || realm.arn(&write.path);
    match &write.action {
        Action::Create { spec, tags } if tags.is_empty() => with(vec![("spec", spec.value().clone())]),
        Action::Create { spec, tags } => with(vec![("spec", spec.value().clone()), ("tags", json!(tags))]),
        Action::Update { spec: Some(spec) } => with(vec![("spec", spec.value().clone())]),
        Action::Update { spec: None } | Action::Delete => with(Vec::new()),
        Action::Tag(tags) => json!({ "resourceArn": arn(), "tags": tags }),
        Action::Untag(keys) => json!({ "resourceArn": arn(), "tagKeys": keys }),
    }
}

/// Removes the specs of a detail that is too long, and lists them as omitted.
fn leave_out_specs(detail: &mut Value) {
    let kinds = ResourceKind::ALL.map(|kind| format!("/responseElements/{kind}"));
    for pointer in kinds.iter().map(String::as_str).chain(["/requestParameters"]) {
        if let Some(members) = detail.pointer_mut(pointer).and_then(Value::as_object_mut) {
            members.remove("spec");
        }
    }
    if let Some(members) = detail.as_object_mut() {
        members.insert("additionalEventData".to_owned(), json!({ "omitted": ["spec"] }));
    }
}

#[cfg(test)]
mod tests {
    use rules::audit::ApiCaller as Read;

    use super::*;
    use crate::state::Region;

    /// The caller that change-audit reads from each identity.
    #[test]
    fn change_audit_recognises_every_caller() {
        let realm = Realm::new("123456789012".parse().unwrap(), Region::parse("eu-west-1").unwrap());
        let session = Caller::Session {
            arn: "arn:aws:sts::210987654321:assumed-role/m-RouteFailoverRole-1A/m-RouteFailover-2B".to_owned(),
            account: "210987654321".to_owned(),
            role: "arn:aws:iam::210987654321:role/m-RouteFailoverRole-1A".to_owned(),
            name: "m-RouteFailoverRole-1A".to_owned(),
        };
        let key = Caller::Key { id: "AKID".to_owned(), name: "ci".to_owned() };
        for (caller, expected) in [
            (Caller::Local, "an unknown caller (account 123456789012)"),
            (key, "user ci (account 123456789012)"),
            (session, "Meshwarden's route-failover (account 210987654321)"),
        ] {
            let read = Read::read(&json!({ "userIdentity": identity(&caller, &realm) }));
            assert_eq!(read.to_string(), expected);
        }
    }
}
