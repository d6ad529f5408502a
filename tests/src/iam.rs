//! Which permissions a request to AWS needs, and whether a role grants them.
//!
//! The service is the one in the scope of the signature. A transaction of DynamoDB needs the permission of each of its
//! parts, and no other. The permissions that a service needs of other services for the caller, such as KMS keys, are
//! not visible in a request.

use std::collections::BTreeSet;

use axum::http::{HeaderMap, Method, Uri};
use serde_json::Value;

use crate::stack::{ACCOUNT, REGION};
use crate::template::Grant;

/// One permission.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// The action, as in `appmesh:DescribeRoute`.
    pub action: String,
    /// The ARN of the resource; `*` for an action without one.
    pub resource: String,
    /// The values that conditions compare, by their keys.
    pub facts: Vec<(String, String)>,
}

impl Need {
    fn new(action: impl Into<String>, resource: impl Into<String>) -> Self {
        Self { action: action.into(), resource: resource.into(), facts: Vec::new() }
    }

    fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.facts.push((key.to_owned(), value.into()));
        self
    }
}

/// The permissions that a request needs. Requests that are not part of AWS, as for the control plane's
/// proxies, need none.
#[must_use]
pub fn needs(method: &Method, uri: &Uri, headers: &HeaderMap, body: &str) -> Vec<Need> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Credential=AKID/20261130/eu-west-1/appmesh/aws4_request
    let signed_for = header("authorization").split('/').nth(3).unwrap_or_default();
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    let operation = header("x-amz-target").rsplit('.').next().unwrap_or_default();
    match signed_for {
        "appmesh" => of_app_mesh(method, uri, &json),
        "dynamodb" => of_dynamodb(operation, &json),
        "s3" => {
            let action = if method == Method::GET { "s3:GetObject" } else { "s3:PutObject" };
            vec![Need::new(action, format!("arn:aws:s3:::{}", uri.path().trim_start_matches('/')))]
        }
        "sns" => {
            let topic = form(body, "TopicArn");
            vec![Need::new(format!("sns:{}", form(body, "Action")), topic)]
        }
        "lambda" => {
            // POST /2015-03-31/functions/NAME-OR-ARN/invocations
            let path = uri.path().replace("%3A", ":");
            let name = path.split('/').nth(3).unwrap_or_default().rsplit(':').next().unwrap_or_default().to_owned();
            vec![Need::new("lambda:InvokeFunction", format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"))]
        }
        "monitoring" => {
            let operation = uri.path().rsplit('/').next().unwrap_or_default();
            vec![Need::new(format!("cloudwatch:{operation}"), "*")]
        }
        "securityhub" => {
            let resource = format!("arn:aws:securityhub:{REGION}:{ACCOUNT}:product/{ACCOUNT}/default");
            vec![Need::new("securityhub:BatchImportFindings", resource)]
        }
        service => of_json_protocol(service, operation, &json),
    }
}

fn of_json_protocol(service: &str, operation: &str, body: &Value) -> Vec<Need> {
    let text = |member: &str| body[member].as_str().unwrap_or("*").to_owned();
    let resource = match service {
        "events" => format!("arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{}", bus(body)),
        "ssm" => format!("arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{}", text("Name")),
        "acm" => text("CertificateArn"),
        "acm-pca" => text("CertificateAuthorityArn"),
        "secretsmanager" => match text("SecretId") {
            arn if arn.starts_with("arn:") => arn,
            name => format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-AbCdEf"),
        },
        _ => "*".to_owned(),
    };
    let need = Need::new(format!("{service}:{operation}"), resource);
    let tags = body["Tags"].as_array().into_iter().flatten();
    let of_tag = |tag: &Value| {
        Some((format!("aws:RequestTag/{}", tag["Key"].as_str()?), tag["Value"].as_str().unwrap_or_default().to_owned()))
    };
    let tags: Vec<(String, String)> = tags.filter_map(of_tag).collect();
    let with_tags = |need: Need| tags.iter().fold(need, |need, (key, value)| need.with(key, value.as_str()));
    let mut need = with_tags(need);
    if let Some(template) = body["TemplateArn"].as_str() {
        need = need.with("acm-pca:TemplateArn", template);
    }
    // The dependent action of a request with tags, on a certificate that has no id yet.
    let tags_a_new_certificate = service == "acm" && operation == "RequestCertificate" && !tags.is_empty();
    let tagging = tags_a_new_certificate.then(|| {
        let resource = format!("arn:aws:acm:{REGION}:{ACCOUNT}:certificate/*");
        with_tags(Need::new("acm:AddTagsToCertificate", resource))
    });
    std::iter::once(need).chain(tagging).collect()
}

/// The name of the bus from its name or ARN in a request.
fn bus(body: &Value) -> String {
    let given = body["Entries"][0]["EventBusName"].as_str().unwrap_or("default");
    given.rsplit('/').next().unwrap_or(given).to_owned()
}

fn form(body: &str, name: &str) -> String {
    let mut pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.find(|(known, _)| *known == name).map(|(_, value)| value).unwrap_or_default();
    value.replace("%3A", ":")
}

/// The kinds of resources, each with its collection in a path, its part of an ARN, and its name in an operation.
const KINDS: [(&str, &str, &str); 5] = [
    ("virtualNodes", "virtualNode", "VirtualNode"),
    ("virtualRouters", "virtualRouter", "VirtualRouter"),
    ("virtualServices", "virtualService", "VirtualService"),
    ("virtualGateways", "virtualGateway", "VirtualGateway"),
    ("routes", "route", "Route"),
];

fn of_app_mesh(method: &Method, uri: &Uri, body: &Value) -> Vec<Need> {
    let arn = |path: &str| format!("arn:aws:appmesh:{REGION}:{ACCOUNT}:{path}");
    let path = uri.path().replace("%2F", "/").replace("%3A", ":");
    let parts: Vec<&str> = path.trim_start_matches("/v20190125/").split('/').collect();
    let query = uri.query().unwrap_or_default().replace("%2F", "/").replace("%3A", ":");
    let of_query = |name: &str| form(&query, name);
    let verb = if *method == Method::GET { "Describe" } else { "Update" };
    let need = |operation: String, path: String| Need::new(format!("appmesh:{operation}"), arn(&path));
    let kind = |collection: &str| KINDS.iter().find(|(known, ..)| *known == collection);
    let one = match parts.as_slice() {
        ["meshes"] => Need::new("appmesh:ListMeshes", "*"),
        ["meshes", mesh] => need(format!("{verb}Mesh"), format!("mesh/{mesh}")),
        ["meshes", mesh, collection] if kind(collection).is_some() => {
            need(format!("List{}s", kind(collection).unwrap().2), format!("mesh/{mesh}"))
        }
        ["meshes", mesh, collection, name] if kind(collection).is_some() => {
            let (_, part, operation) = kind(collection).unwrap();
            need(format!("{verb}{operation}"), format!("mesh/{mesh}/{part}/{name}"))
        }
        ["meshes", mesh, "virtualRouter", router, "routes"] => {
            need("ListRoutes".to_owned(), format!("mesh/{mesh}/virtualRouter/{router}"))
        }
        ["meshes", mesh, "virtualRouter", router, "routes", route] => {
            need(format!("{verb}Route"), format!("mesh/{mesh}/virtualRouter/{router}/route/{route}"))
        }
        ["meshes", mesh, "virtualGateway", gateway, "gatewayRoutes"] => {
            need("ListGatewayRoutes".to_owned(), format!("mesh/{mesh}/virtualGateway/{gateway}"))
        }
        ["meshes", mesh, "virtualGateway", gateway, "gatewayRoutes", route] => {
            need(format!("{verb}GatewayRoute"), format!("mesh/{mesh}/virtualGateway/{gateway}/gatewayRoute/{route}"))
        }
        ["tags"] => Need::new("appmesh:ListTagsForResource", of_query("resourceArn")),
        ["tag"] => Need::new("appmesh:TagResource", of_query("resourceArn")),
        ["untag"] => Need::new("appmesh:UntagResource", of_query("resourceArn")),
        _ => return Vec::new(),
    };
    // For some writes, App Mesh also authorises the resources that the spec refers to.
    let mesh = parts.get(1).copied().unwrap_or_default();
    let referred: BTreeSet<String> = match one.action.as_str() {
        "appmesh:UpdateRoute" => {
            names(body, "virtualNode").into_iter().map(|name| arn(&format!("mesh/{mesh}/virtualNode/{name}"))).collect()
        }
        "appmesh:UpdateVirtualNode" => names(&body["spec"]["backends"], "virtualServiceName")
            .into_iter()
            .map(|name| arn(&format!("mesh/{mesh}/virtualService/{name}")))
            .collect(),
        _ => BTreeSet::new(),
    };
    let others: Vec<Need> = referred.into_iter().map(|resource| Need::new(one.action.clone(), resource)).collect();
    [vec![one], others].concat()
}

/// The text values of every member with this name.
fn names(value: &Value, member: &str) -> BTreeSet<String> {
    match value {
        Value::Object(members) => {
            let own = members.get(member).and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(members.values().flat_map(|inner| names(inner, member))).collect()
        }
        Value::Array(items) => items.iter().flat_map(|item| names(item, member)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => BTreeSet::new(),
    }
}

fn of_dynamodb(operation: &str, body: &Value) -> Vec<Need> {
    let arn = |table: &str| format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}");
    if operation == "TransactWriteItems" {
        let items = body["TransactItems"].as_array().into_iter().flatten().filter_map(Value::as_object);
        return items
            .flat_map(|item| item.iter())
            .map(|(part, write)| {
                let action =
                    if part == "ConditionCheck" { "ConditionCheckItem".to_owned() } else { format!("{part}Item") };
                let leading =
                    write["Key"]["pk"]["S"].as_str().or(write["Item"]["pk"]["S"].as_str()).unwrap_or_default();
                let table = write["TableName"].as_str().unwrap_or_default();
                Need::new(format!("dynamodb:{action}"), arn(table)).with("dynamodb:LeadingKeys", leading)
            })
            .collect();
    }
    let batch = body["RequestItems"].as_object().and_then(|tables| tables.keys().next().cloned());
    let table = batch.or_else(|| body["TableName"].as_str().map(str::to_owned)).unwrap_or_default();
    vec![Need::new(format!("dynamodb:{operation}"), arn(&table))]
}

/// The reason why a role does not grant a permission; `None` if it does.
#[must_use]
pub fn lacks(role: &[Grant], need: &Need) -> Option<String> {
    let covers = |grant: &&Grant| {
        grant.action == need.action && grant.resources.iter().any(|pattern| matches(pattern, &need.resource))
    };
    let denied = role.iter().filter(|grant| !grant.allows).filter(covers).find(|grant| holds(&grant.condition, need));
    if let Some(grant) = denied {
        return Some(format!("`{}` denies {need:?}", grant.sid));
    }
    let allowed = role.iter().filter(|grant| grant.allows).filter(covers).any(|grant| holds(&grant.condition, need));
    (!allowed).then(|| format!("no statement allows {need:?}"))
}

/// Whether a condition holds. Values that only the service knows, such as a resource's tags, count as a match. A resource
/// without an id does not exist yet, and has no tags.
fn holds(condition: &Value, need: &Need) -> bool {
    let operators = condition.as_object().into_iter().flatten();
    let mut compared = operators.flat_map(|(_, keys)| keys.as_object().into_iter().flatten());
    compared.all(|(key, wanted)| {
        if key.starts_with("aws:ResourceTag/") {
            return !need.resource.ends_with("/*");
        }
        let known = ["aws:RequestTag/", "acm-pca:TemplateArn", "dynamodb:LeadingKeys"];
        if !known.iter().any(|known| key.starts_with(known)) {
            return true;
        }
        let found = need.facts.iter().filter(|(fact, _)| fact == key).map(|(_, value)| value.as_str());
        let wanted: Vec<&str> = match wanted {
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        };
        found.into_iter().any(|value| wanted.contains(&value))
    })
}

/// Whether a text matches a pattern, in which `*` stands for any text and `${*}` for an asterisk.
fn matches(pattern: &str, text: &str) -> bool {
    // Neither contains a control character.
    let (pattern, text) = (pattern.replace("${*}", "\u{1}"), text.replace('*', "\u{1}"));
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn signed(service: &str, target: &str) -> HeaderMap {
        let scope = format!("AWS4-HMAC-SHA256 Credential=AKID/20261130/eu-west-1/{service}/aws4_request, Signature=0");
        let mut headers = HeaderMap::new();
        headers.insert("authorization", scope.parse().unwrap());
        headers.insert("x-amz-target", target.parse().unwrap());
        headers
    }

    fn actions(method: &Method, service: &str, target: &str, path: &str, body: &str) -> Vec<String> {
        let needs = needs(method, &path.parse().unwrap(), &signed(service, target), body);
        needs.into_iter().map(|need| format!("{} {}", need.action, need.resource)).collect()
    }

    #[test]
    fn requests_need_the_actions_of_their_operations() {
        let mesh = "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop";
        let route = json!({ "spec": { "httpRoute": { "action": { "weightedTargets": [{ "virtualNode": "a" }] } } } });
        let base = "/v20190125/meshes/shop";
        for (method, path, body, expected) in [
            (Method::GET, "/v20190125/meshes?limit=3".to_owned(), "", vec!["appmesh:ListMeshes *".to_owned()]),
            (Method::GET, base.to_owned(), "", vec![format!("appmesh:DescribeMesh {mesh}")]),
            (Method::GET, format!("{base}/virtualNodes"), "", vec![format!("appmesh:ListVirtualNodes {mesh}")]),
            (
                Method::PUT,
                format!("{base}/virtualRouter/r/routes/all"),
                &route.to_string(),
                vec![
                    format!("appmesh:UpdateRoute {mesh}/virtualRouter/r/route/all"),
                    format!("appmesh:UpdateRoute {mesh}/virtualNode/a"),
                ],
            ),
            (
                Method::PUT,
                "/v20190125/untag?resourceArn=arn%3Aaws%3Aappmesh%3Ax%3Amesh%2Fshop".to_owned(),
                "",
                vec!["appmesh:UntagResource arn:aws:appmesh:x:mesh/shop".to_owned()],
            ),
            (Method::GET, "/proxies".to_owned(), "", vec![]),
        ] {
            assert_eq!(actions(&method, "appmesh", "", &path, body), expected, "{path}");
        }
        let transaction = json!({ "TransactItems": [
            { "ConditionCheck": { "TableName": "t", "Key": { "pk": { "S": "kill-switch" } } } },
            { "Put": { "TableName": "t", "Item": { "pk": { "S": "route/a" } } } },
        ] });
        let found =
            actions(&Method::POST, "dynamodb", "DynamoDB_20120810.TransactWriteItems", "/", &transaction.to_string());
        let table = "arn:aws:dynamodb:eu-west-1:123456789012:table/t";
        assert_eq!(found, [format!("dynamodb:ConditionCheckItem {table}"), format!("dynamodb:PutItem {table}")]);
    }

    #[test]
    fn role_permits_allowed_and_not_denied_actions() {
        let grant = |allows, action: &str, resource: &str, condition: Value| Grant {
            sid: "S".to_owned(),
            allows,
            action: action.to_owned(),
            resources: vec![resource.to_owned()],
            condition,
        };
        let role = [
            grant(true, "dynamodb:PutItem", "arn:t/*", Value::Null),
            grant(
                false,
                "dynamodb:PutItem",
                "arn:t/*",
                json!({ "ForAnyValue:StringEquals": { "dynamodb:LeadingKeys": ["kill-switch"] } }),
            ),
            grant(true, "acm:RequestCertificate", "*", json!({ "StringEquals": { "aws:RequestTag/r": "true" } })),
            grant(
                true,
                "acm:AddTagsToCertificate",
                "arn:c/${*}",
                json!({ "StringEquals": { "aws:RequestTag/r": "true" } }),
            ),
            grant(true, "acm:ExportCertificate", "arn:c/*", json!({ "StringEquals": { "aws:ResourceTag/r": "true" } })),
            grant(true, "appmesh:UpdateRoute", "arn:mesh/*/virtualRouter/*/route/*", Value::Null),
        ];
        for (need, is_given) in [
            (Need::new("dynamodb:PutItem", "arn:t/x").with("dynamodb:LeadingKeys", "route"), true),
            (Need::new("dynamodb:PutItem", "arn:t/x").with("dynamodb:LeadingKeys", "kill-switch"), false),
            (Need::new("dynamodb:PutItem", "arn:other"), false),
            (Need::new("dynamodb:DeleteItem", "arn:t/x"), false),
            (Need::new("acm:RequestCertificate", "*").with("aws:RequestTag/r", "true"), true),
            (Need::new("acm:RequestCertificate", "*"), false),
            // Only a certificate that is being requested may be tagged for rotation, or one that is tagged already.
            (Need::new("acm:AddTagsToCertificate", "arn:c/*").with("aws:RequestTag/r", "true"), true),
            (Need::new("acm:AddTagsToCertificate", "arn:c/*").with("aws:RequestTag/other", "true"), false),
            (Need::new("acm:AddTagsToCertificate", "arn:c/1").with("aws:RequestTag/r", "true"), false),
            (Need::new("acm:ExportCertificate", "arn:c/1"), true),
            (Need::new("acm:ExportCertificate", "arn:c/*"), false),
            (Need::new("appmesh:UpdateRoute", "arn:mesh/shop/virtualRouter/r/route/all"), true),
            (Need::new("appmesh:UpdateRoute", "arn:mesh/shop/virtualNode/a"), false),
        ] {
            assert_eq!(lacks(&role, &need).is_none(), is_given, "{need:?}");
        }
    }
}
