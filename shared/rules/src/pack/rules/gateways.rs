//! Virtual gateways and their routes.

use crate::pack::context::{RuleContext, grouped};
use crate::pack::controls::CONFIGURATION;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::name::ResourceKind;
use mesh::spec::{
    DefaultRewrite, GatewayRouteRule, GatewayRouteSpec, HeaderMatch, HostnameMatch, PrefixRewrite, ValueMatch,
};

const GATEWAY: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Routing,
    severity: Severity::Medium,
    on: &[ResourceKind::GatewayRoute],
    title: "",
    why: "",
    remedy: "",
    managed: &[],
    controls: CONFIGURATION,
    rests_on_certificates: false,
    check: same_match,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "gateway-route-same-match",
        title: "Two gateway routes match the same requests",
        why: "Of two gateway routes with the same match and the same priority only one is used, and which one is not \
              documented. Often two teams wrote one each.",
        remedy: "Remove one, or give them different matches or priorities.",
        check: same_match,
        ..GATEWAY
    },
    Rule {
        id: "gateway-prefix-without-slash",
        profile: Profile::Strict,
        severity: Severity::Low,
        title: "A gateway route cuts its prefix in the middle of a word",
        why: "The matched prefix is replaced by `/`. With the prefix `/chapter`, a request for `/chapter1` arrives as \
              `/1`, and one for `/chapters` as `/s`: unintended requests reach the service under another path.",
        remedy: "End the prefix with a slash, match the path exactly, or switch the rewrite off.",
        check: without_slash,
        ..GATEWAY
    },
    Rule {
        id: "gateway-host-replaced",
        severity: Severity::Info,
        title: "The host that a gateway route matches is replaced",
        why: "The route matches requests by their host, and by default the host then becomes the name of the virtual \
              service. Links and redirects that the application builds from it lead to a name that clients do not \
              know, or in a loop.",
        remedy: "Set `rewrite.hostname.defaultTargetHostname` to DISABLED if the application needs the host of the \
               client. Otherwise set it to ENABLED explicitly, or waive the finding.",
        check: host_replaced,
        ..GATEWAY
    },
    Rule {
        id: "gateway-without-routes",
        on: &[ResourceKind::VirtualGateway],
        title: "A virtual gateway has no route",
        why: "Every request to it gets 404, while its proxies and load balancer cost money.",
        remedy: "Add a gateway route, or remove the gateway.",
        check: no_routes,
        ..GATEWAY
    },
];

/// The match of a gateway route as a text, which is equal for equal matches.
fn matched(route: &GatewayRouteSpec) -> Option<String> {
    let written = match &route.rule {
        GatewayRouteRule::Http(route) | GatewayRouteRule::Http2(route) => serde_json::to_value(&route.matches).ok(),
        GatewayRouteRule::Grpc(route) => serde_json::to_value(&route.matches).ok(),
        GatewayRouteRule::Unrecognised(_) => None,
    };
    let priority = route.priority.map_or(1001, mesh::spec::bounded::Int::get);
    Some(format!("{priority} {} {}", route.rule.member()?, written?))
}

fn same_match(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (gateway, entry) in &context.mesh.gateways {
        let matches = entry.routes.iter().filter_map(|(name, route)| Some((matched(route)?, name)));
        for names in grouped(matches).into_values() {
            let mut names = names.into_iter();
            let Some(first) = names.next() else { continue };
            for name in names {
                let message = format!("it matches the same requests as gateway route {first}");
                found.on(context.gateway_route_path(gateway, name), message, facts! {"same": first});
            }
        }
    }
}

fn without_slash(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (gateway, name, route) in context.gateway_routes() {
        let (GatewayRouteRule::Http(route) | GatewayRouteRule::Http2(route)) = &route.rule else { continue };
        let Some(prefix) = route.matches.prefix.as_deref().filter(|prefix| !prefix.ends_with('/')) else { continue };
        let rewrite = route.action.rewrite.as_ref().and_then(|rewrite| rewrite.prefix.as_ref());
        let replaced = match rewrite {
            None | Some(PrefixRewrite::DefaultPrefix(DefaultRewrite::Enabled)) => true,
            Some(
                PrefixRewrite::DefaultPrefix(DefaultRewrite::Disabled | DefaultRewrite::Unrecognised(_))
                | PrefixRewrite::Value(_)
                | PrefixRewrite::Unrecognised(_),
            ) => false,
        };
        if replaced && !prefix.is_empty() {
            let message = format!("`{prefix}1` matches it and arrives as `/1`");
            found.on(context.gateway_route_path(gateway, name), message, facts! {"prefix": prefix});
        }
    }
}

fn host_replaced(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (gateway, name, route) in context.gateway_routes() {
        let (host, rewrite) = match &route.rule {
            GatewayRouteRule::Http(route) | GatewayRouteRule::Http2(route) => {
                let rewrite = route.action.rewrite.as_ref().and_then(|rewrite| rewrite.hostname.as_ref());
                let host = route.matches.hostname.as_ref().and_then(host_of);
                (host.or_else(|| host_of_header(route.matches.headers.iter().flatten())), rewrite)
            }
            GatewayRouteRule::Grpc(route) => {
                let rewrite = route.action.rewrite.as_ref().and_then(|rewrite| rewrite.hostname.as_ref());
                (route.matches.hostname.as_ref().and_then(host_of), rewrite)
            }
            GatewayRouteRule::Unrecognised(_) => continue,
        };
        // A route that sets the member does so on purpose.
        let is_set = rewrite.is_some_and(|rewrite| rewrite.default_target_hostname.is_some());
        let (Some(matched), Some(target), false) = (host, route.rule.target(), is_set) else { continue };
        let service = &target.virtual_service.virtual_service_name;
        if matched != service.as_str() {
            let message = format!("it matches host {matched}, and the application sees {service}");
            let facts = facts! {"host": matched, "virtualService": service};
            found.on(context.gateway_route_path(gateway, name), message, facts);
        }
    }
}

fn host_of(wanted: &HostnameMatch) -> Option<&str> {
    match wanted {
        HostnameMatch::Exact(host) | HostnameMatch::Suffix(host) => Some(host.as_str()),
        HostnameMatch::Unrecognised(_) => None,
    }
}

/// The host that a condition on the header `Host` wants.
fn host_of_header<'h>(mut headers: impl Iterator<Item = &'h HeaderMatch>) -> Option<&'h str> {
    headers.find_map(|header| {
        let is_host = header.name.as_str().eq_ignore_ascii_case("host");
        match header.value.as_ref().filter(|_| is_host && header.invert != Some(true))? {
            ValueMatch::Exact(host) | ValueMatch::Suffix(host) => Some(host.as_str()),
            ValueMatch::Prefix(_) | ValueMatch::Range(_) | ValueMatch::Regex(_) | ValueMatch::Unrecognised(_) => None,
        }
    })
}

fn no_routes(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (name, entry) in &context.mesh.gateways {
        if entry.routes.is_empty() && entry.spec.is_some() {
            found.on(context.gateway_path(name), "it has no gateway route", facts! {});
        }
    }
}
