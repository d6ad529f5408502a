//! The TLS mode of a client towards a listener.
//!
//! ```text
//!   client policy ──▶ enforced for the port ──────────────────────────▶ by the policy
//!                 ──▶ not enforced ──▶ listener has TLS ──▶ yes ──────▶ by the policy
//!   no policy for the port ─────────▶ listener has TLS ──▶ from ACM ──▶ against its issuer
//!                                              │       └──▶ elsewhere ▶ unseen
//!                                              └─ no ───────────────▶ plain text
//! ```

use crate::name::VirtualServiceName;
use crate::spec::{
    AcmCertificate, Backend, ClientPolicy, ClientTls, Listener, ListenerCertificate, TlsMode, VirtualNodeSpec,
};

/// The mode in which a client calls a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCall<'m> {
    /// Without TLS.
    Plaintext,
    /// With TLS, as a policy configures it.
    ByPolicy(&'m ClientTls),
    /// Without a policy, towards a certificate from ACM: TLS that trusts the issuing authority.
    AgainstIssuer(&'m AcmCertificate),
    /// Without a policy, towards another certificate: TLS without verification of the server.
    Unseen,
}

/// The policy by which a virtual node calls a backend: the backend's own policy replaces the node's default completely.
#[must_use]
pub fn client_policy_for<'m>(node: &'m VirtualNodeSpec, service: &VirtualServiceName) -> Option<&'m ClientPolicy> {
    let own = node.backends.iter().flatten().find_map(|backend| match backend {
        Backend::VirtualService(backend) if backend.virtual_service_name == *service => Some(backend),
        Backend::VirtualService(_) | Backend::Unrecognised(_) => None,
    });
    let default = || node.backend_defaults.as_ref()?.client_policy.as_ref();
    own.and_then(|backend| backend.client_policy.as_ref()).or_else(default)
}

/// The mode in which a client with this policy calls a listener.
#[must_use]
pub fn client_call<'m>(policy: Option<&'m ClientPolicy>, listener: &'m Listener) -> ClientCall<'m> {
    let policy = policy.and_then(|policy| policy.tls.as_ref()).filter(|tls| covers(tls, listener));
    // An unknown mode counts as TLS, so that no request is sent in plain text by mistake.
    let server = listener.tls.as_ref().filter(|tls| tls.mode != TlsMode::Disabled);
    match (policy, server) {
        (Some(policy), _) if policy.enforce.unwrap_or(true) => ClientCall::ByPolicy(policy),
        (_, None) => ClientCall::Plaintext,
        (Some(policy), Some(_)) => ClientCall::ByPolicy(policy),
        (None, Some(server)) => match &server.certificate {
            ListenerCertificate::Acm(certificate) => ClientCall::AgainstIssuer(certificate),
            ListenerCertificate::File(_) | ListenerCertificate::Sds(_) | ListenerCertificate::Unrecognised(_) => {
                ClientCall::Unseen
            }
        },
    }
}

/// Whether a policy applies to a listener's port; an empty list means all ports.
fn covers(tls: &ClientTls, listener: &Listener) -> bool {
    let ports = tls.ports.as_deref().unwrap_or_default();
    ports.is_empty() || ports.contains(&listener.port_mapping.port)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn policy(tls: &Value) -> ClientPolicy {
        serde_json::from_value(json!({ "tls": tls })).unwrap()
    }

    fn tls(enforce: Option<bool>, ports: &[u16]) -> Value {
        let trust = json!({"trust": {"file": {"certificateChain": "/ca.pem"}}});
        match enforce {
            Some(enforce) => json!({"enforce": enforce, "ports": ports, "validation": trust}),
            None => json!({"ports": ports, "validation": trust}),
        }
    }

    fn listener(mode: Option<&str>, certificate: &Value) -> Listener {
        let mapping = json!({"port": 8080, "protocol": "http"});
        serde_json::from_value(match mode {
            Some(mode) => json!({"portMapping": mapping, "tls": {"mode": mode, "certificate": certificate}}),
            None => json!({ "portMapping": mapping }),
        })
        .unwrap()
    }

    #[test]
    fn the_policy_and_the_listener_say_how_it_is_called() {
        let acm = json!({"acm": {"certificateArn": "arn:cert"}});
        let file = json!({"file": {"certificateChain": "/c.pem", "privateKey": "/k.pem"}});
        let sds = json!({"sds": {"secretName": "spiffe://me"}});
        // The policy, the listener's mode and certificate, and the resulting call mode.
        let none: Option<Value> = None;
        for (policy_tls, mode, certificate, expected) in [
            (none.clone(), None, &acm, "plain text"),
            (none.clone(), Some("DISABLED"), &acm, "plain text"),
            (none.clone(), Some("STRICT"), &acm, "issuer"),
            (none.clone(), Some("PERMISSIVE"), &acm, "issuer"),
            (none.clone(), Some("STRICT"), &file, "unseen"),
            (none.clone(), Some("PERMISSIVE"), &sds, "unseen"),
            (none, Some("OF_A_NEWER_API"), &file, "unseen"),
            (Some(tls(None, &[])), None, &acm, "policy"),
            (Some(tls(Some(true), &[])), None, &acm, "policy"),
            (Some(tls(Some(true), &[8080])), Some("DISABLED"), &acm, "policy"),
            (Some(tls(Some(true), &[9090])), None, &acm, "plain text"),
            (Some(tls(Some(true), &[9090])), Some("STRICT"), &acm, "issuer"),
            (Some(tls(Some(false), &[])), None, &acm, "plain text"),
            (Some(tls(Some(false), &[])), Some("DISABLED"), &acm, "plain text"),
            (Some(tls(Some(false), &[])), Some("STRICT"), &file, "policy"),
            (Some(tls(Some(false), &[9090])), Some("STRICT"), &file, "unseen"),
        ] {
            let policy = policy_tls.as_ref().map(policy);
            let listener = listener(mode, certificate);
            let called = match client_call(policy.as_ref(), &listener) {
                ClientCall::Plaintext => "plain text",
                ClientCall::ByPolicy(_) => "policy",
                ClientCall::AgainstIssuer(_) => "issuer",
                ClientCall::Unseen => "unseen",
            };
            assert_eq!(called, expected, "{policy_tls:?} towards {mode:?} {certificate}");
        }
    }

    #[test]
    fn a_backends_policy_replaces_the_default_as_a_whole() {
        let node = json!({
            "backendDefaults": {"clientPolicy": {"tls": tls(None, &[1])}},
            "backends": [
                {"virtualService": {"virtualServiceName": "own", "clientPolicy": {"tls": tls(None, &[2])}}},
                {"virtualService": {"virtualServiceName": "empty", "clientPolicy": {}}},
                {"virtualService": {"virtualServiceName": "default"}},
            ],
        });
        let node = VirtualNodeSpec::read(&node).unwrap();
        let ports = |service: &str| {
            let policy = client_policy_for(&node, &service.parse().unwrap()).unwrap();
            policy.tls.as_ref().map(|tls| tls.ports.iter().flatten().map(|port| port.get()).collect::<Vec<_>>())
        };
        assert_eq!(ports("own"), Some(vec![2]));
        assert_eq!(ports("empty"), None);
        assert_eq!(ports("default"), Some(vec![1]));
        assert_eq!(ports("of no backend"), Some(vec![1]));
    }
}
