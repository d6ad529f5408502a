//! The steps of one run of certificate-rotation, in words.

use serde_json::Value;

/// The steps in their order; decisions without a step are left out.
pub(super) fn taken(report: &Value) -> Vec<String> {
    let decisions = report.get("decisions").and_then(Value::as_array);
    decisions.into_iter().flatten().filter_map(step).collect()
}

/// The reasons of all decisions, for the error of a rollover that does not end.
pub(super) fn reasons(report: &Value) -> Vec<String> {
    let decisions = report.get("decisions").and_then(Value::as_array).into_iter().flatten();
    decisions
        .map(|one| format!("{} {} {}", word(one, "resource"), word(one, "decision"), word(one, "reason")))
        .collect()
}

fn step(decision: &Value) -> Option<String> {
    let step = decision.pointer("/plan/step")?;
    let outcome = decision.pointer("/outcome/outcome").and_then(Value::as_str)?;
    let secret = word(step, "secret");
    let done = match word(step, "step") {
        "prepare" => format!("a key and a request in {secret}, pending"),
        "order" => format!("the certificate for {secret} ordered of the private CA"),
        "collect" => format!("the certificate in {secret}, with its key, pending"),
        "import-pending" => "both imported into ACM, onto the same ARN".to_owned(),
        "promote" => format!("the pending version of {secret} is current"),
        "publish-trust" => {
            let roots = step.get("roots").and_then(Value::as_array).map_or(0, Vec::len);
            format!("{secret} has {roots} trusted root(s)")
        }
        "apply" => format!("the client policy of {} names other CAs", resource(step)),
        other => other.to_owned(),
    };
    let reason = word(decision, "reason");
    let stage = decision.pointer("/plan/stage/stage").and_then(Value::as_str);
    let why = stage.map_or_else(|| reason.to_owned(), |stage| format!("{reason}, {}", stage.replace('-', " ")));
    let outcome = if outcome == "Applied" { String::new() } else { format!(" [{outcome}]") };
    Some(format!("{why}: {done}{outcome}"))
}

/// The last part of the changed resource's path.
fn resource(step: &Value) -> &str {
    let path = step.pointer("/change/resource").and_then(Value::as_str).unwrap_or("the resource");
    path.rsplit('/').next().unwrap_or(path)
}

fn word<'v>(value: &'v Value, member: &str) -> &'v str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn steps_and_reasons_are_listed() {
        let report = json!({"decisions": [
            {"resource": "sds:catalog", "decision": "issue", "reason": "RenewalDue",
                "plan": {"step": {"step": "prepare", "secret": "shop/catalog"}, "stage": null},
                "outcome": {"outcome": "Applied"}},
            {"resource": "trust", "decision": "distribute", "reason": "Succession",
                "plan": {"step": {"step": "apply", "change": {"resource": "mesh/shop/virtualGateway/edge"}},
                    "stage": {"stage": "trust-both"}},
                "outcome": {"outcome": "Superseded"}},
            {"resource": "acm:arn", "decision": "keep", "reason": "Fresh"},
        ]});
        assert_eq!(
            taken(&report),
            [
                "RenewalDue: a key and a request in shop/catalog, pending",
                "Succession, trust both: the client policy of edge names other CAs [Superseded]",
            ]
        );
        assert_eq!(reasons(&report)[2], "acm:arn keep Fresh");
    }
}
