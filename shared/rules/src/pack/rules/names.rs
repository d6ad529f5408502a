//! Names of resources.

use crate::pack::context::{RuleContext, grouped};
use crate::pack::controls::INVENTORY;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::name::{ResourceKind, ResourcePath};

const NAME: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Naming,
    severity: Severity::Low,
    on: &ResourceKind::ALL,
    title: "",
    why: "",
    remedy: "",
    managed: &[],
    controls: INVENTORY,
    rests_on_certificates: false,
    check: pattern,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "name-pattern",
        title: "A name does not match the pattern of the policy",
        why: "`naming.patterns` has a regular expression for the names of this kind of resource. Tools that select \
              resources by name miss this one.",
        remedy: "A resource cannot be renamed: create one with the right name, change the references to it, and delete \
               this one.",
        check: pattern,
        ..NAME
    },
    Rule {
        id: "service-name-no-host",
        severity: Severity::Medium,
        on: &[ResourceKind::VirtualService],
        title: "The name of a virtual service is not a valid host name",
        why: "Clients use the name as the host of their requests. A name with a space, a slash or an underscore does \
              not resolve, and many HTTP clients refuse it.",
        remedy: "Create a virtual service with a name such as `orders.shop.local`.",
        check: no_host,
        ..NAME
    },
    Rule {
        id: "names-differ-by-case",
        severity: Severity::Low,
        title: "Two names differ only by case",
        why: "Host names are compared case-insensitively, so two virtual services that differ only by case are the \
              same for a proxy. Operators confuse them as well.",
        remedy: "Keep one of them.",
        check: case,
        ..NAME
    },
];

fn pattern(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let patterns = &context.policy.naming.patterns;
    if patterns.is_empty() {
        return;
    }
    for path in context.resources() {
        let pattern = patterns.get(&path.kind()).filter(|pattern| !pattern.matches(path.name()));
        if let Some(pattern) = pattern {
            let message = format!("its name `{}` doesn't match {pattern}", path.name());
            let facts = facts! {"name": path.name(), "pattern": pattern};
            found.on(path.clone(), message, facts);
        }
    }
}

/// Whether a text is a host name that DNS and HTTP clients accept, or an address.
fn is_host(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

fn no_host(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for name in context.mesh.services.keys().filter(|name| !is_host(name.as_str())) {
        let message = format!("`{name}` is not a valid host name");
        found.on(context.service_path(name), message, facts! {"name": name});
    }
}

fn case(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    // One of two paths that differ only by case has a letter that is not lower case.
    if context.resources().all(is_lower_case) {
        return;
    }
    let lowered = context.resources().map(|path| (path.to_string().to_lowercase(), path));
    for mut alike in grouped(lowered).into_values().filter(|alike| alike.len() > 1) {
        // The order of the paths makes the result independent of the order of the resources.
        alike.sort();
        let mut alike = alike.into_iter();
        let Some(first) = alike.next() else { continue };
        for path in alike.filter(|path| path.kind() == first.kind()) {
            let message = format!("its name differs from that of {first} by case alone");
            found.on(path.clone(), message, facts! {"same": first});
        }
    }
}

/// Whether the names in a path within its mesh are certainly in lower case.
fn is_lower_case(path: &ResourcePath) -> bool {
    let parent = match path {
        ResourcePath::Route(id) => id.router.as_str(),
        ResourcePath::GatewayRoute(_, gateway, _) => gateway.as_str(),
        ResourcePath::Mesh(_)
        | ResourcePath::VirtualNode(..)
        | ResourcePath::VirtualGateway(..)
        | ResourcePath::VirtualRouter(..)
        | ResourcePath::VirtualService(..) => "",
    };
    // All resources are in one mesh, so its name does not distinguish them.
    let own = if path.kind() == ResourceKind::Mesh { "" } else { path.name() };
    own.bytes().chain(parent.bytes()).all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::is_host;

    #[test]
    fn host_names() {
        for (name, expected) in [
            ("orders.shop.local", true),
            ("orders", true),
            ("Orders.", true),
            ("10.0.0.1", true),
            ("a b", false),
            ("a_b", false),
            ("a/b", false),
            ("-a", false),
            ("a..b", false),
            ("", false),
        ] {
            assert_eq!(is_host(name), expected, "{name}");
        }
    }
}
