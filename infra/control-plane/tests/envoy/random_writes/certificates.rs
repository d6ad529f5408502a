//! Random TLS, with certificates in files, in specs that have none.

use serde_json::{Value, json};

use super::rng::Rng;
use super::specs::{CLIENT, GATEWAY};

/// Puts TLS into a spec, or changes it, or removes it. All certificates are of one authority and for the host name of every
/// node, so what a proxy trusts is never in doubt: whether both ends use TLS, and whether the client has a certificate, is.
pub(super) fn put_tls(rng: &mut Rng, path: &str, folder: &str, spec: &mut Value) {
    if path == format!("virtualNode/{CLIENT}") || path == format!("virtualGateway/{GATEWAY}") {
        spec["backendDefaults"] = rng.percent(60).then(|| client_policy(rng, folder)).into();
    }
    if path.starts_with("virtualNode/") {
        for listener in spec["listeners"].as_array_mut().into_iter().flatten() {
            listener["tls"] = rng.percent(50).then(|| listener_tls(rng, folder)).into();
        }
    }
}

fn listener_tls(rng: &mut Rng, folder: &str) -> Value {
    let mut tls = json!({
        "mode": rng.pick(&["STRICT", "STRICT", "PERMISSIVE", "DISABLED"]),
        "certificate": {"file": {
            "certificateChain": format!("{folder}/server.pem"), "privateKey": format!("{folder}/server.key"),
        }},
    });
    if rng.percent(30) {
        tls["validation"] = json!({"trust": {"file": {"certificateChain": format!("{folder}/ca.pem")}}});
    }
    tls
}

fn client_policy(rng: &mut Rng, folder: &str) -> Value {
    let mut tls = json!({"validation": {"trust": {"file": {"certificateChain": format!("{folder}/ca.pem")}}}});
    if rng.percent(40) {
        tls["enforce"] = json!(rng.percent(50));
    }
    if rng.percent(20) {
        tls["ports"] = json!([rng.number(&[8080, 8081, 8082])]);
    }
    if rng.percent(60) {
        tls["certificate"] = json!({"file": {
            "certificateChain": format!("{folder}/client.pem"), "privateKey": format!("{folder}/client.key"),
        }});
    }
    if rng.percent(30) {
        tls["validation"]["subjectAlternativeNames"] = json!({"match": {"exact": ["node.shop.local"]}});
    }
    json!({"clientPolicy": {"tls": tls}})
}
