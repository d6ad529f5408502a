//! The encrypted part of the shop: the two hops of a product request, and the other callers of these nodes.
//!
//! ```text
//!   storefront-gateway ── tls ──▶ storefront ── mtls ──▶ catalog-v1, catalog-v2 ◀── mtls ── recommendations-v1, -v2
//!     trusts a CA (ACM)    certificate in ACM,    both ends: bundles in Secrets Manager
//!                          its key in a secret    trust: one bundle for all of them
//! ```

use serde_json::{Value, json};

use super::vault::{Age, Authority, create_leaf, create_trust, import};
use stack::Stack;
use stack::demo_mesh::MESH;
use stack::failure::{Failure, Result};

pub(super) const CATALOG_SECRET: &str = "shop/catalog";
pub(super) const CALLS_SECRET: &str = "shop/storefront-calls";
pub(super) const ROOTS_SECRET: &str = "shop/roots";
pub(super) const RECOMMENDATIONS_SECRET: &str = "shop/recommendations-calls";
/// The secret with the key of the certificate in ACM.
pub(super) const STOREFRONT_SECRET: &str = "shop/storefront";

/// The names that clients without a list of names expect: the hostnames of the servers.
pub(super) const CATALOG_HOSTS: [&str; 2] = ["catalog-v1.internal", "catalog-v2.internal"];
pub(super) const STOREFRONT_HOST: &str = "storefront.internal";
/// The backend of storefront.
const CATALOG: &str = "catalog.shop.local";

/// The participating proxies.
pub(super) const PROXIES: [&str; 6] =
    ["storefront-gateway", "storefront", "catalog-v1", "catalog-v2", "recommendations-v1", "recommendations-v2"];

/// Certificates are renewed after two thirds of their lifetime, here a hundred days.
pub(super) const NEAR_ITS_END: Age = Age { lived: 70, left: 30 };
const YOUNG: Age = Age { lived: 5, left: 95 };

/// The CA and the certificate of the shop at the start.
#[derive(Clone, Debug)]
pub(super) struct ShopCertificates {
    pub(super) authority: Authority,
    /// The certificate in ACM.
    pub(super) arn: String,
}

/// Creates a CA and certificates, and configures the shop with them. No requests are sent meanwhile.
pub(super) fn encrypt(stack: &mut Stack) -> Result<ShopCertificates> {
    let aws = &mut stack.aws;
    let authority = Authority::create(aws, "Shop CA 1")?;
    let storefront = authority.issue(aws, &[STOREFRONT_HOST], NEAR_ITS_END)?;
    let arn = import(aws, &storefront)?;
    create_leaf(aws, STOREFRONT_SECRET, &storefront)?;
    for (secret, hosts) in [
        (CATALOG_SECRET, &CATALOG_HOSTS[..]),
        (CALLS_SECRET, &[STOREFRONT_HOST]),
        (RECOMMENDATIONS_SECRET, &["recommendations.internal"]),
    ] {
        let leaf = authority.issue(aws, hosts, YOUNG)?;
        create_leaf(aws, secret, &leaf)?;
    }
    create_trust(aws, ROOTS_SECRET, &authority)?;

    let by_bundle = json!({"trust": {"sds": {"secretName": "shop-roots"}}});
    for node in ["catalog-v1", "catalog-v2"] {
        let tls = json!({"mode": "STRICT", "certificate": {"sds": {"secretName": "catalog"}}, "validation": by_bundle});
        edit(stack, &format!("virtualNodes/{node}"), |spec| set(spec, "/listeners/0", "tls", tls))?;
    }
    for (node, secret) in [
        ("storefront", "storefront-calls"),
        ("recommendations-v1", "recommendations-calls"),
        ("recommendations-v2", "recommendations-calls"),
    ] {
        let calls = json!({"tls": {
            "enforce": true, "certificate": {"sds": {"secretName": secret}}, "validation": by_bundle,
        }});
        edit(stack, &format!("virtualNodes/{node}"), |spec| {
            let backends = spec.get("backends").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let name = |one: &Value| one.pointer("/virtualService/virtualServiceName") == Some(&CATALOG.into());
            let at = backends.iter().position(name).unwrap_or_default();
            set(spec, &format!("/backends/{at}/virtualService"), "clientPolicy", calls);
        })?;
    }
    let listens = json!({"mode": "STRICT", "certificate": {"acm": {"certificateArn": arn}}});
    edit(stack, "virtualNodes/storefront", |spec| set(spec, "/listeners/0", "tls", listens))?;
    // Not enforced: the gateway also calls the search, which has no certificate.
    let trust = json!({"acm": {"certificateAuthorityArns": [authority.arn]}});
    let policy = json!({"clientPolicy": {"tls": {"enforce": false, "validation": {"trust": trust}}}});
    edit(stack, "virtualGateways/storefront-gateway", |spec| set(spec, "", "backendDefaults", policy))?;
    Ok(ShopCertificates { authority, arn })
}

/// Describes a resource of the mesh.
pub(super) fn describe(stack: &Stack, path: &str) -> Result<Value> {
    let url = format!("{}/v20190125/meshes/{MESH}/{path}", stack.endpoints.app_mesh);
    stack.client.get(&url)?.success(path)
}

fn edit(stack: &Stack, path: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
    let mut described = describe(stack, path)?;
    let without = || Failure::Refused { what: path.to_owned(), answer: "a description without a spec".to_owned() };
    let spec = described.get_mut("spec").ok_or_else(without)?;
    change(spec);
    let url = format!("{}/v20190125/meshes/{MESH}/{path}", stack.endpoints.app_mesh);
    stack.client.put(&url, &json!({"spec": spec}))?.success(path).map(drop)
}

fn set(spec: &mut Value, at: &str, member: &str, value: Value) {
    if let Some(members) = spec.pointer_mut(at).and_then(Value::as_object_mut) {
        members.insert(member.to_owned(), value);
    }
}
