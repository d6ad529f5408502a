//! Random TLS in specs that have none.

use std::path::Path;

use control_plane::certificates::Sources;
use ports::certificates::Bundle;
use serde_json::{Value, json};

use super::rng::Rng;
use super::specs::{CLIENT, GATEWAY};
use crate::tls::Authority;
use crate::vault::{CERTIFICATE, Issuer, ROOT, Vault};

/// The host name of every node that is called.
const SERVER_HOST: &str = "node.shop.local";
const CLIENT_HOST: &str = "client.shop.local";

/// The name that the mesh has for the certificate of clients.
const CLIENT_SECRET: &str = "client";
/// The name that it has for the trust of listeners.
const TRUST_SECRET: &str = "ca";

/// Where certificates are.
#[derive(Debug, Clone)]
pub(super) enum Certificates {
    /// In the files of a folder.
    Files(String),
    /// In ACM and a private CA; those that a mesh cannot have there are in Secrets Manager.
    Acm,
}

impl Certificates {
    /// Certificates in files of a folder, all of one authority.
    pub(super) fn in_files(folder: &Path) -> Self {
        let authority = Authority::new();
        authority.write(&folder.join("ca.pem"));
        authority.issue(SERVER_HOST, 1, folder, "server");
        authority.issue(CLIENT_HOST, 2, folder, "client");
        Self::Files(folder.to_str().unwrap().trim_end_matches('/').to_owned())
    }

    /// The sources of the same certificates for a control plane that sends them.
    pub(super) fn sources() -> Sources {
        let (vault, authority) = (Vault::new(), Issuer::new("the authority of a test"));
        vault.put(CERTIFICATE, &authority.issue(SERVER_HOST));
        vault.put_authority(ROOT, &authority);
        vault.put_bundle(CLIENT_SECRET, authority.issue(CLIENT_HOST).bundle(None));
        vault.put_bundle(TRUST_SECRET, Bundle { trust: Some(authority.pem()), ..Bundle::default() });
        let bindings = [CLIENT_SECRET, TRUST_SECRET].map(|name| format!("{name}={name}"));
        vault.sources(&bindings.each_ref().map(String::as_str))
    }

    fn of_server(&self) -> Value {
        match self {
            Self::Files(folder) => json!({"file": {
                "certificateChain": format!("{folder}/server.pem"), "privateKey": format!("{folder}/server.key"),
            }}),
            Self::Acm => json!({"acm": {"certificateArn": CERTIFICATE}}),
        }
    }

    fn of_client(&self) -> Value {
        match self {
            Self::Files(folder) => json!({"file": {
                "certificateChain": format!("{folder}/client.pem"), "privateKey": format!("{folder}/client.key"),
            }}),
            Self::Acm => json!({"sds": {"secretName": CLIENT_SECRET}}),
        }
    }

    /// What clients trust.
    fn trust_in_server(&self) -> Value {
        match self {
            Self::Files(folder) => json!({"file": {"certificateChain": format!("{folder}/ca.pem")}}),
            Self::Acm => json!({"acm": {"certificateAuthorityArns": [ROOT]}}),
        }
    }

    /// What listeners trust.
    fn trust_in_client(&self) -> Value {
        match self {
            Self::Files(folder) => json!({"file": {"certificateChain": format!("{folder}/ca.pem")}}),
            Self::Acm => json!({"sds": {"secretName": TRUST_SECRET}}),
        }
    }
}

/// Puts TLS into a spec, or changes it, or removes it. All certificates are of one authority and for the host name of every
/// node, so what a proxy trusts is never in doubt: whether both ends use TLS, and whether the client has a certificate, is.
pub(super) fn put_tls(rng: &mut Rng, path: &str, certificates: &Certificates, spec: &mut Value) {
    if path == format!("virtualNode/{CLIENT}") || path == format!("virtualGateway/{GATEWAY}") {
        spec["backendDefaults"] = rng.percent(60).then(|| client_policy(rng, certificates)).into();
    }
    if path.starts_with("virtualNode/") {
        for listener in spec["listeners"].as_array_mut().into_iter().flatten() {
            listener["tls"] = rng.percent(50).then(|| listener_tls(rng, certificates)).into();
        }
    }
}

fn listener_tls(rng: &mut Rng, certificates: &Certificates) -> Value {
    let mut tls = json!({
        "mode": rng.pick(&["STRICT", "STRICT", "PERMISSIVE", "DISABLED"]),
        "certificate": certificates.of_server(),
    });
    if rng.percent(30) {
        tls["validation"] = json!({"trust": certificates.trust_in_client()});
    }
    tls
}

fn client_policy(rng: &mut Rng, certificates: &Certificates) -> Value {
    let mut tls = json!({"validation": {"trust": certificates.trust_in_server()}});
    if rng.percent(40) {
        tls["enforce"] = json!(rng.percent(50));
    }
    if rng.percent(20) {
        tls["ports"] = json!([rng.number(&[8080, 8081, 8082])]);
    }
    if rng.percent(60) {
        tls["certificate"] = certificates.of_client();
    }
    if rng.percent(30) {
        tls["validation"]["subjectAlternativeNames"] = json!({"match": {"exact": ["node.shop.local"]}});
    }
    json!({"clientPolicy": {"tls": tls}})
}
