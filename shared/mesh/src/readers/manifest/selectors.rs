//! Label selectors of Kubernetes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::declare::text_of;

/// A selector. Without one nothing is selected; an empty one selects all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Selector<'v>(Option<&'v Value>);

impl<'v> Selector<'v> {
    pub(super) fn of(selector: Option<&'v Value>) -> Self {
        Self(selector.filter(|selector| !selector.is_null()))
    }

    /// Whether labels meet all requirements.
    pub(super) fn matches(self, labels: &BTreeMap<String, String>) -> bool {
        let Some(selector) = self.0 else { return false };
        let equal = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
        let mut equal = equal.map(|(key, value)| labels.get(key).cloned() == text_of(value));
        let expressions = selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
        let mut meets = expressions.map(|expression| meets(expression, labels));
        equal.all(|met| met) && meets.all(|met| met)
    }
}

fn meets(expression: &Value, labels: &BTreeMap<String, String>) -> bool {
    let text = |name: &str| expression.get(name).and_then(Value::as_str).unwrap_or_default();
    let label = labels.get(text("key"));
    let values = expression.get("values").and_then(Value::as_array);
    let is_among = |label: &String| values.into_iter().flatten().any(|value| text_of(value).as_ref() == Some(label));
    match text("operator") {
        "In" => label.is_some_and(is_among),
        "NotIn" => !label.is_some_and(is_among),
        "Exists" => label.is_some(),
        "DoesNotExist" => label.is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_select_as_kubernetes_says() {
        let labels = BTreeMap::from([("mesh".to_owned(), "shop".to_owned()), ("v".to_owned(), "1".to_owned())]);
        let expression = |operator: &str, key: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        let table = [
            (json!(null), false),
            (json!({}), true),
            (json!({"matchLabels": {"mesh": "shop"}}), true),
            (json!({"matchLabels": {"mesh": "shop", "v": 1}}), true),
            (json!({"matchLabels": {"mesh": "other"}}), false),
            (json!({"matchLabels": {"gateway": "edge"}}), false),
            (expression("In", "mesh", json!(["a", "shop"])), true),
            (expression("In", "gateway", json!(["a"])), false),
            (expression("NotIn", "mesh", json!(["shop"])), false),
            (expression("NotIn", "gateway", json!(["shop"])), true),
            (expression("Exists", "v", json!(null)), true),
            (expression("DoesNotExist", "v", json!(null)), false),
            (expression("Near", "v", json!(null)), false),
        ];
        for (selector, expected) in table {
            assert_eq!(Selector::of(Some(&selector)).matches(&labels), expected, "{selector}");
        }
        assert!(!Selector::of(None).matches(&labels));
    }
}
