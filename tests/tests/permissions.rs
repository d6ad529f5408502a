//! Checks the calls in the functions' sources against the roles of the template. This includes calls that no scenario
//! in a function's `permissions.rs` makes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use meshwarden_tests::template::{EventRule, Template};
use serde_json::Value;

/// The methods of ports that call a service, and the actions that they need. A method for several kinds of resources
/// has no actions here: the scenarios check them.
const CALLS: [(&str, &[&str]); 47] = [
    ("alarms.active_mute_rules", &["cloudwatch:ListAlarmMuteRules", "cloudwatch:GetAlarmMuteRule"]),
    ("alarms.all", &["cloudwatch:DescribeAlarms"]),
    ("alarms.by_name", &["cloudwatch:DescribeAlarms"]),
    ("alarms.contributors", &["cloudwatch:DescribeAlarmContributors"]),
    ("alarms.data_points", &["cloudwatch:GetMetricData"]),
    ("alarms.tags", &["cloudwatch:ListTagsForResource"]),
    ("authorities.certificate", &["acm-pca:GetCertificateAuthorityCertificate"]),
    ("authorities.describe", &["acm-pca:DescribeCertificateAuthority"]),
    ("authorities.issue", &["acm-pca:IssueCertificate"]),
    ("authorities.issued", &["acm-pca:GetCertificate"]),
    ("bundles.describe", &["secretsmanager:DescribeSecret"]),
    ("bundles.promote", &["secretsmanager:UpdateSecretVersionStage"]),
    ("bundles.put_pending", &["secretsmanager:PutSecretValue"]),
    ("bundles.read", &["secretsmanager:GetSecretValue"]),
    ("bus.put", &["events:PutEvents"]),
    ("certificates.chain", &["acm:GetCertificate"]),
    ("certificates.delete", &["acm:DeleteCertificate"]),
    ("certificates.describe", &["acm:DescribeCertificate"]),
    ("certificates.export", &["acm:ExportCertificate"]),
    ("certificates.import", &["acm:ImportCertificate"]),
    ("certificates.list", &["acm:ListCertificates"]),
    ("certificates.renew", &["acm:RenewCertificate"]),
    // The request has tags.
    ("certificates.request", &["acm:RequestCertificate", "acm:AddTagsToCertificate"]),
    ("certificates.tag", &["acm:AddTagsToCertificate"]),
    ("certificates.tags", &["acm:ListTagsForCertificate"]),
    ("config.newest_item", &["config:GetResourceConfigHistory"]),
    ("config.put_evaluations", &["config:PutEvaluations"]),
    ("functions.invoke", &["lambda:InvokeFunction"]),
    ("meshes.describe", &[]),
    ("meshes.list", &[]),
    ("meshes.meshes", &["appmesh:ListMeshes"]),
    ("meshes.tags", &["appmesh:ListTagsForResource"]),
    ("metrics.read", &["cloudwatch:GetMetricData"]),
    ("notifier.notify", &["sns:Publish"]),
    // This call needs no IAM action, because only the control plane serves it.
    ("proxies.report", &[]),
    ("reports.get", &["s3:GetObject"]),
    ("reports.put", &["s3:PutObject"]),
    ("routes.tag", &["appmesh:TagResource"]),
    ("routes.untag", &["appmesh:UntagResource"]),
    ("routes.update_route", &["appmesh:UpdateRoute"]),
    ("specs.update_mesh", &["appmesh:UpdateMesh"]),
    ("specs.update_virtual_node", &["appmesh:UpdateVirtualNode"]),
    ("state.begin", &["dynamodb:ConditionCheckItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]),
    ("state.finish", &["dynamodb:PutItem", "dynamodb:UpdateItem"]),
    ("state.load", &["dynamodb:BatchGetItem"]),
    ("state.note", &["dynamodb:PutItem", "dynamodb:UpdateItem"]),
    ("tags.tag", &["appmesh:TagResource"]),
];

/// Further calls, which only certificate-rotation makes.
const WRITER: [(&str, &[&str]); 2] = [
    ("writer.update_virtual_gateway", &["appmesh:UpdateVirtualGateway"]),
    ("writer.update_virtual_node", &["appmesh:UpdateVirtualNode"]),
];

/// Ports that call no AWS service.
const LOCAL: [&str; 3] = ["clock", "keys", "probe"];

/// Methods of the pointer to a port, not of the port itself.
const POINTERS: [&str; 2] = ["as_ref", "clone"];

/// Calls in the code that tag- and egress-compliance share and that one of them never makes.
const NEVER: [(&str, &str); 3] = [
    ("tag-compliance", "specs.update_mesh"),
    ("tag-compliance", "specs.update_virtual_node"),
    ("egress-compliance", "tags.tag"),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let nested = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    nested.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// The calls of port methods in a text, as in `state.load`.
fn calls(text: &str) -> BTreeSet<String> {
    let dense: String = text.split_whitespace().collect();
    let mut found = BTreeSet::new();
    for part in dense.split("ports.").skip(1) {
        let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let Some((port, rest)) = part.split_once('.') else { continue };
        let Some((method, _)) = rest.split_once('(') else { continue };
        let is_local = LOCAL.contains(&port) || POINTERS.contains(&method);
        if port.chars().all(is_name) && method.chars().all(is_name) && !is_local {
            found.insert(format!("{port}.{method}"));
        }
    }
    found
}

#[test]
fn every_call_in_the_sources_is_in_the_role() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let template = Template::read();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for function in template.functions() {
        let mut folders = vec![root.join("functions").join(&function).join("src")];
        if ["tag-compliance", "egress-compliance"].contains(&function.as_str()) {
            folders.push(root.join("shared/compliance/src"));
        }
        let role = template.role(&function);
        let texts =
            folders.iter().flat_map(|folder| sources(folder)).map(|path| std::fs::read_to_string(path).unwrap());
        let found: BTreeSet<String> = texts.flat_map(|text| calls(&text)).collect();
        for call in found.iter().filter(|call| !NEVER.contains(&(function.as_str(), call.as_str()))) {
            let Some((_, needed)) = CALLS.iter().chain(&WRITER).find(|(known, _)| known == call) else {
                wrong.push(format!("{function}: add the actions that `{call}` needs to this test"));
                continue;
            };
            checked += 1;
            let lacks = |action: &&&str| !role.iter().any(|grant| grant.allows && grant.action == **action);
            wrong.extend(needed.iter().filter(lacks).map(|action| format!("{function}: `{call}` needs {action}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 50, "only {checked} calls were found");
}

#[test]
fn calls_are_found_across_lines() {
    let text = "let x = self.ports\n    .state\n    .load(&keys).await; ports.clock.now(); ports.meshes.as_ref()";
    assert_eq!(calls(text), BTreeSet::from(["state.load".to_owned()]));
}

/// The source of the control plane's events, which name the caller of a write.
const WRITES: &str = "meshwarden.appmesh";

/// Any principal that may put events on the default bus, or a function with its own role, could otherwise forge the caller.
#[test]
fn only_the_control_plane_may_name_the_caller_of_a_write() {
    let template = Template::read();
    let rules = template.event_rules();
    let on_own_bus =
        rules.iter().filter(|rule| !rule.is_on_default_bus && rule.sources.iter().any(|one| one == WRITES));
    assert!(on_own_bus.count() > 0, "no rule reads the events of the control plane: {rules:#?}");
    let forgeable = |rule: &&EventRule| rule.sources.is_empty() || rule.sources.iter().any(|one| one == WRITES);
    let open: Vec<_> = rules.iter().filter(|rule| rule.is_on_default_bus).filter(forgeable).collect();
    assert!(open.is_empty(), "these rules read the events from the default bus: {open:#?}");
    let policy = template.bus_policy();
    let denial = policy.iter().find(|statement| statement["Effect"] == "Deny").unwrap();
    assert_eq!((&denial["Principal"], &denial["Action"]), (&Value::from("*"), &Value::from("events:PutEvents")));
    let condition = &denial["Condition"];
    assert_eq!(condition["ForAnyValue:StringEquals"]["events:source"], serde_json::json!([WRITES]));
    assert_eq!(condition["ArnNotEquals"]["aws:PrincipalArn"], "ControlPlaneRole");
    // For a control plane in another account of the organisation.
    let allowed: Vec<_> = policy.iter().filter(|statement| statement["Effect"] == "Allow").collect();
    assert!(!allowed.is_empty());
    for statement in allowed {
        let condition = &statement["Condition"];
        assert_eq!(condition["ArnEquals"]["aws:PrincipalArn"], "ControlPlaneRole", "{statement:#}");
        assert_eq!(condition["StringEquals"]["events:source"], WRITES, "{statement:#}");
        assert_eq!(condition["StringEquals"]["aws:PrincipalOrgID"], "OrganizationId", "{statement:#}");
    }
}
