//! Encryption of each call, evaluated from both of its ends.

use std::collections::BTreeSet;
use std::fmt;

use crate::pack::context::RuleContext;
use crate::pack::controls::{AUTHENTICATION, AVAILABILITY, ENCRYPTION};
use crate::pack::finding::{FindingFacts, RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::name::{ResourceKind, ResourcePath};
use mesh::spec::{ListenerTls, Port, Protocol, TlsMode};
use policy::Protection;
use policy::edges::{Broken, Call, JudgedEdge, TlsVerdict};

const EDGE: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Tls,
    severity: Severity::High,
    on: &[ResourceKind::VirtualNode, ResourceKind::VirtualGateway],
    title: "",
    why: "",
    remedy: "",
    managed: &[],
    controls: ENCRYPTION,
    rests_on_certificates: false,
    check: plaintext,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "edge-plaintext",
        profile: Profile::Core,
        title: "A call is in plain text",
        why: "The verdict combines the client's policy for this port and the listener's mode. Neither results in TLS, \
              so an attacker on the path can read and change requests.",
        remedy: "Give the listener a certificate and the mode PERMISSIVE, then the caller an enforced client policy, then \
               the listener the mode STRICT.",
        check: plaintext,
        ..EDGE
    },
    Rule {
        id: "mesh-without-tls",
        profile: Profile::Core,
        on: &[ResourceKind::Mesh],
        title: "A mesh has no TLS at all",
        why: "Calls are in plain text, and no listener and no client policy of the mesh has TLS: one decision for the \
              whole mesh, not a defect of each caller. The finding stands for the `edge-plaintext` of each call and \
              the `gateway-listener-without-tls` of each gateway. Profile `strict`, or a policy that names one of \
              these rules, reports those as well.",
        remedy: "Choose the source of certificates, then encrypt one service at a time: its listeners with the mode \
               PERMISSIVE, its callers with an enforced client policy, its listeners with the mode STRICT.",
        check: no_tls,
        ..EDGE
    },
    Rule {
        id: "edge-server-unverified",
        severity: Severity::Medium,
        title: "A call is encrypted, and the server is not verified",
        why: "The listener has TLS by file or SDS, and the caller has no policy for the port: it accepts any server \
              certificate.",
        remedy: "Give the caller a client policy with a validation.",
        controls: AUTHENTICATION,
        check: unverified,
        ..EDGE
    },
    Rule {
        id: "edge-without-client-certificate",
        title: "A call is made without a client certificate",
        why: "Reported where the policy requires mutual TLS: the listener requests no certificate, so it cannot \
              authenticate its callers.",
        remedy: "Give every caller a client certificate first, then add a validation to the listener.",
        controls: AUTHENTICATION,
        check: without_client_certificate,
        ..EDGE
    },
    Rule {
        id: "edge-name-mismatch",
        profile: Profile::Core,
        severity: Severity::Critical,
        title: "A call fails because a certificate has other names",
        why: "The client compares the names of the server's certificate with those in its policy or, without any, with \
              the host name of service discovery. A listener with names compares client certificates in the same way.",
        remedy: "Issue the certificate for the expected name, or list the certificate's name in the policy.",
        controls: AVAILABILITY,
        rests_on_certificates: true,
        check: name_mismatch,
        ..EDGE
    },
    Rule {
        id: "edge-broken",
        profile: Profile::Core,
        severity: Severity::Critical,
        title: "A call cannot succeed",
        why: "One end requires something that the other does not have: TLS without a TLS listener, a client \
              certificate that is not presented, a trusted issuer other than the actual one, or a node that cannot be \
              discovered.",
        remedy: "Apply the remedy in the finding at the end that it names.",
        controls: AVAILABILITY,
        rests_on_certificates: true,
        check: broken,
        ..EDGE
    },
];

fn report(found: &mut RuleFindings<'_>, edge: &JudgedEdge<'_>, message: impl fmt::Display, mut facts: FindingFacts) {
    let (node, service) = (edge.to.as_str(), edge.service.as_str());
    let part = match edge.port {
        Some(port) => format!("{service} at {node}@{port}"),
        None => format!("{service} at {node}"),
    };
    facts.insert("virtualService".into(), service.into());
    facts.insert("virtualNode".into(), node.into());
    facts.insert("port".into(), edge.port.map(Port::get).into());
    facts.insert("carriesTraffic".into(), edge.carries_traffic.into());
    let message = format!("calls of {part}: {message}");
    found.on_part(edge.from.clone(), part, message, facts);
}

/// The calls in plain text. TCP traffic to a host outside the mesh is excluded, because the application may encrypt it.
fn plaintext_calls<'s, 'a>(context: &'s RuleContext<'a>) -> impl Iterator<Item = &'s JudgedEdge<'a>> + use<'s, 'a> {
    let is_unknown = |edge: &JudgedEdge<'_>| edge.is_outside && edge.protocol == Some(&Protocol::Tcp);
    context.edges().iter().filter(move |edge| edge.verdict == TlsVerdict::Plaintext && !is_unknown(edge))
}

/// The plain-text calls and gateways of a mesh without any TLS.
struct Unencrypted<'s> {
    calls: usize,
    callers: BTreeSet<&'s ResourcePath>,
    gateways: BTreeSet<&'s ResourcePath>,
}

/// The calls and gateways that one finding on the mesh replaces. `None` if a listener or client policy has TLS, or if
/// only one finding would be replaced.
fn unencrypted<'s>(context: &'s RuleContext<'_>) -> Option<Unencrypted<'s>> {
    let has_tls = |tls: &ListenerTls| tls.mode != TlsMode::Disabled;
    let is_anywhere = context.sockets.iter().any(|socket| socket.tls.is_some_and(has_tls))
        || context.policies().iter().any(|(_, _, policy)| policy.tls.is_some());
    let callers: Vec<&ResourcePath> = plaintext_calls(context).map(|edge| &edge.from).collect();
    let gateways: Vec<&ResourcePath> = (context.sockets.iter())
        .filter(|socket| socket.of.kind() == ResourceKind::VirtualGateway)
        .map(|socket| &socket.of)
        .collect();
    let is_one_decision = !is_anywhere && !callers.is_empty() && callers.len() + gateways.len() > 1;
    is_one_decision.then(|| Unencrypted {
        calls: callers.len(),
        callers: callers.into_iter().collect(),
        gateways: gateways.into_iter().collect(),
    })
}

/// Whether one finding on the mesh replaces the findings on its calls and gateways.
pub(in crate::pack) fn is_unencrypted(context: &RuleContext<'_>) -> bool {
    unencrypted(context).is_some()
}

fn no_tls(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let Some(Unencrypted { calls, callers, gateways }) = unencrypted(context) else { return };
    let names =
        |paths: &BTreeSet<&ResourcePath>| first_names(&paths.iter().map(|path| path.name()).collect::<Vec<_>>());
    let mut message =
        format!("no listener and no client policy has TLS; calls in plain text: {calls}, by {}", names(&callers));
    if !gateways.is_empty() {
        message.push_str("; gateways that accept plain text: ");
        message.push_str(&names(&gateways));
    }
    found.on(context.mesh_path(), message, facts! {"calls": calls, "callers": callers, "gateways": gateways});
}

/// The first few of several names.
fn first_names(names: &[&str]) -> String {
    const SHOWN_NAMES: usize = 5;
    let more = names.len().saturating_sub(SHOWN_NAMES);
    let first = names.iter().take(SHOWN_NAMES).copied().collect::<Vec<_>>().join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}

fn plaintext(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    if context.folds_plaintext {
        return;
    }
    for edge in plaintext_calls(context) {
        let mode = edge.mode.map_or("none", |mode| mode.as_str());
        let policy = match edge.enforced {
            None => "none",
            Some(false) => "not enforced",
            Some(true) => "enforced",
        };
        let message = format_args!("plain text; the listener's TLS is {mode}, the caller's policy {policy}");
        report(found, edge, message, facts! {"listenerTls": mode, "clientPolicy": policy});
    }
}

fn unverified(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let unseen = |edge: &&JudgedEdge<'_>| {
        edge.call == Some(Call::Unseen)
            && !edge.is_outside
            && matches!(edge.verdict, TlsVerdict::Tls | TlsVerdict::Mtls)
    };
    for edge in context.edges().iter().filter(unseen) {
        report(found, edge, "encrypted, and the server is not verified", facts! {});
    }
}

fn without_client_certificate(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    if context.policy.tls.require < Protection::Mtls {
        return;
    }
    // Whether a host outside the mesh requests a client certificate is unknown.
    for edge in context.edges().iter().filter(|edge| edge.verdict == TlsVerdict::Tls && !edge.is_outside) {
        report(found, edge, "the client presents no certificate", facts! {});
    }
}

fn name_mismatch(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for edge in context.edges() {
        if let TlsVerdict::Broken(broken @ Broken::NameMismatch { of, wanted, has }) = &edge.verdict {
            report(found, edge, broken, facts! {"of": of, "wanted": wanted, "has": has});
        }
    }
}

fn broken(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for edge in context.edges() {
        let TlsVerdict::Broken(broken) = &edge.verdict else { continue };
        match broken {
            // Separate rules cover routing and names.
            Broken::NoNode | Broken::NoListener { .. } | Broken::AmbiguousPort | Broken::NameMismatch { .. } => {}
            Broken::NoDiscovery | Broken::TlsNotServed | Broken::NoClientCertificate | Broken::Distrusted { .. } => {
                report(found, edge, broken, facts! {"reason": broken.id()});
            }
        }
    }
}
