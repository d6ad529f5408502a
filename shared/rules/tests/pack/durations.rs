//! Each duration of every spec, without its unit or its value.

use rules::pack::Finding;
use serde_json::{Value, json};

use super::case::Case;

/// Specs with every member that has a duration, by path and protocol.
fn specs() -> Vec<(&'static str, Value)> {
    let duration = || json!({"unit": "s", "value": 5});
    let mut all = Vec::new();
    for protocol in ["http", "http2", "grpc", "tcp"] {
        let mut timeout = json!({"idle": duration()});
        if protocol != "tcp" {
            timeout["perRequest"] = duration();
        }
        let listener = json!({
            "portMapping": {"port": 8080, "protocol": protocol},
            "timeout": {protocol: timeout},
            "outlierDetection": {
                "baseEjectionDuration": duration(), "interval": duration(), "maxEjectionPercent": 50,
                "maxServerErrors": 5,
            },
        });
        let plain = json!({"portMapping": {"port": 80, "protocol": protocol}});
        all.push((
            "virtualNode/a",
            json!({
                "listeners": [plain, listener], "serviceDiscovery": {"dns": {"hostname": "a.local"}},
            }),
        ));
        let mut rule = json!({
            "action": {"weightedTargets": [{"virtualNode": "a", "weight": 1}]},
            "timeout": timeout,
        });
        if protocol != "tcp" {
            rule["match"] = if protocol == "grpc" { json!({}) } else { json!({"prefix": "/"}) };
            rule["retryPolicy"] = json!({
                "maxRetries": 1, "perRetryTimeout": duration(), "httpRetryEvents": ["server-error"],
            });
        }
        all.push(("virtualRouter/r/route/all", json!({format!("{protocol}Route"): rule})));
    }
    all
}

/// The paths of the durations in a spec.
fn durations(value: &Value, path: &str) -> Vec<String> {
    match value {
        Value::Object(members) if members.contains_key("unit") => vec![path.to_owned()],
        Value::Object(members) => {
            members.iter().flat_map(|(name, value)| durations(value, &format!("{path}/{name}"))).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(index, item)| durations(item, &format!("{path}/{index}"))).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn each_duration_without_a_unit_or_a_value_is_found_at_its_member() {
    let mut seen = 0;
    for (path, whole) in specs() {
        for at in durations(&whole, "") {
            for missing in ["unit", "value"] {
                let mut spec = whole.clone();
                spec.pointer_mut(&at).unwrap().as_object_mut().unwrap().remove(missing);
                let case = Case::read(&json!({"resources": {path: spec}}).to_string());
                let found = case.judge().findings;
                let own: Vec<&Finding> =
                    found.iter().filter(|finding| finding.rule.as_str() == "duration-incomplete").collect();
                let members: Vec<String> = own.iter().map(|finding| finding.member(&spec)).collect();
                let member =
                    at.split('/').skip(1).fold("spec".to_owned(), |member, part| match part.parse::<usize>() {
                        Ok(index) => format!("{member}[{index}]"),
                        Err(_) => format!("{member}.{part}"),
                    });
                assert_eq!(members, [member], "{missing} of {spec}");
                assert!(found.iter().all(|finding| finding.rule.as_str() != "outlier-detection-off"), "{spec}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 50, "each duration was tried");
}
