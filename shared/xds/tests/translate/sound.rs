//! The conditions of a sound translation, each broken separately.

use serde_json::json;
use xds::{SecretRef, Translation};

use crate::case::Case;

/// A client that uses every kind of named resource: clusters of requests and connections, endpoints, secrets, routes.
fn translation() -> Translation {
    let listener = |protocol: &str, tls: bool| {
        let certificate = json!({"acm": {"certificateArn": "arn:certificate"}});
        let mapping = json!({"port": if tls { 8443 } else { 3306 }, "protocol": protocol});
        if tls {
            json!({"portMapping": mapping, "tls": {"mode": "STRICT", "certificate": certificate}})
        } else {
            json!({ "portMapping": mapping })
        }
    };
    let case = json!({
        "mesh": {
            "virtualNode/client": {
                "listeners": [listener("http", true)],
                "serviceDiscovery": {"dns": {"hostname": "client"}},
                "backends": [{"virtualService": {"virtualServiceName": "web"}},
                             {"virtualService": {"virtualServiceName": "db"}}],
            },
            "virtualNode/web": {
                "listeners": [listener("http", true)],
                "serviceDiscovery": {"awsCloudMap": {"namespaceName": "prod", "serviceName": "web"}},
            },
            "virtualNode/db": {
                "listeners": [listener("tcp", false)],
                "serviceDiscovery": {"dns": {"hostname": "db"}},
            },
            "virtualService/web": {"provider": {"virtualNode": {"virtualNodeName": "web"}}},
            "virtualService/db": {"provider": {"virtualNode": {"virtualNodeName": "db"}}},
        },
    });
    Case::read(&case).translate("virtualNode/client")
}

#[test]
fn sound_translation_has_no_dangling_reference() {
    assert_eq!(translation().dangling(), Vec::<String>::new());
}

#[test]
fn each_inconsistency_is_reported() {
    type Break = fn(&mut Translation);
    let breaks: [(&str, Break); 10] = [
        ("cluster cds_egress_shop_web_http_8443 is referenced", |all| {
            all.clusters.remove("cds_egress_shop_web_http_8443");
        }),
        ("cluster cds_egress_shop_db_tcp_3306 is referenced", |all| {
            all.clusters.remove("cds_egress_shop_db_tcp_3306");
        }),
        ("cluster cds_egress_shop_amazonaws is referenced", |all| {
            all.clusters.remove("cds_egress_shop_amazonaws");
        }),
        ("route configuration rds_egress_http_8443 is referenced", |all| {
            all.routes.remove("rds_egress_http_8443");
        }),
        ("endpoints of cluster cds_egress_shop_web_http_8443 are missing", |all| all.endpoints.clear()),
        ("endpoints of cluster stray are not referenced", |all| {
            let endpoints = all.endpoints.values().next().cloned().unwrap();
            all.endpoints.insert("stray".to_owned(), endpoints);
        }),
        ("secret arn:certificate is referenced", |all| {
            all.secrets.remove(&SecretRef::AcmCertificate("arn:certificate".to_owned()));
        }),
        ("secret issuer:arn:certificate is referenced", |all| {
            all.secrets.remove(&SecretRef::AcmIssuer("arn:certificate".to_owned()));
        }),
        ("secret file:/stray is not referenced", |all| {
            all.secrets.insert(SecretRef::TrustFile("/stray".to_owned()));
        }),
        ("two secrets have the same name", |all| {
            all.secrets.insert(SecretRef::Bundle("arn:certificate".to_owned()));
        }),
    ];
    for (expected, broken) in breaks {
        let mut translation = translation();
        broken(&mut translation);
        let faults = translation.dangling();
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{expected}: {faults:?}");
    }
}
