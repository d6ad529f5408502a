//! The names of metric dimensions and labels in one normal form.

use std::collections::BTreeMap;

/// The normal form of a label's name: `TargetVirtualNode`, `target-virtual-node` and `@resource.target_virtual_node`
/// all become `target_virtual_node`.
pub(super) fn plain(label: &str) -> String {
    // CloudWatch prefixes labels of OpenTelemetry metrics with their scope.
    let label = match label.strip_prefix('@') {
        Some(scoped) => scoped.split_once('.').map_or(scoped, |(_, name)| name),
        None => label,
    };
    let mut name = String::with_capacity(label.len() + 4);
    let mut after_lower = false;
    for character in label.chars() {
        if character.is_uppercase() && after_lower {
            name.push('_');
        }
        after_lower = character.is_lowercase() || character.is_ascii_digit();
        match character {
            '.' | '-' | ' ' => name.push('_'),
            other => name.extend(other.to_lowercase()),
        }
    }
    name
}

/// The value of a label: by its exact name first, then by any spelling of the name.
pub(super) fn value<'a>(labels: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    let exact = labels.get(name);
    let wanted = plain(name);
    let found = exact.or_else(|| labels.iter().find(|(label, _)| plain(label) == wanted).map(|(_, value)| value));
    found.map(String::as_str).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_label_have_one_normal_form() {
        for label in ["TargetVirtualNode", "target_virtual_node", "target-virtual-node", "@resource.targetVirtualNode"]
        {
            assert_eq!(plain(label), "target_virtual_node", "{label}");
        }
        assert_eq!(plain("Mesh"), "mesh");
        assert_eq!(plain("http.response.status_code"), "http_response_status_code");
    }
}
