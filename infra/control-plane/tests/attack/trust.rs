//! Revoked certificates, and keys that other users can read.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use rcgen::{
    CertificateParams, CertificateRevocationListParams, DistinguishedName, IsCa, Issuer, KeyIdMethod, KeyPair,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};

use crate::certificates::Leaf;
use crate::envoy::{self, Envoy};
use crate::plane::{FRONT, Guarded, until};

/// A CA that can revoke its certificates.
struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self(Issuer::new(params, key), pem)
    }

    fn leaf(&self, serial: u64) -> Leaf {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::URI(FRONT.try_into().unwrap())];
        params.distinguished_name = DistinguishedName::new();
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap().pem();
        Leaf { certificate, key: key.serialize_pem() }
    }

    fn list(&self, revoked: &[u64]) -> String {
        let revoked = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

async fn is_served(guarded: &Guarded, leaf: &Leaf) -> bool {
    let Ok(channel) = envoy::tls(&guarded.plane.xds[0], guarded.ca.client(Some(leaf))).await else { return false };
    let mut client =
        envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient::new(channel.clone());
    if client.stream_aggregated_resources(futures::stream::pending()).await.is_err() {
        return false;
    }
    Envoy::connect(channel, FRONT).await.next().await;
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_certificate_is_refused_when_the_list_is_reloaded() {
    let authority = Authority::new();
    let guarded = Guarded::with_clients(&authority.1, &authority.list(&[7]));
    let (good, bad) = (authority.leaf(8), authority.leaf(7));
    assert!(is_served(&guarded, &good).await);
    assert!(!is_served(&guarded, &bad).await);
    let list = guarded.folder.join("revoked.pem");
    fs::write(&list, authority.list(&[7, 8])).unwrap();
    assert!(!is_served(&guarded, &good).await, "the list is reloaded");
    // An invalid list leaves the last valid one in use.
    fs::write(&list, "not a list").unwrap();
    assert!(!is_served(&guarded, &good).await);
}

#[test]
fn a_tls_key_that_other_users_can_read_causes_a_warning() {
    let guarded = Guarded::start(None, &[]);
    let warning = "TLS key is readable by users other than its owner";
    assert!(!guarded.log().contains(warning), "{}", guarded.log());
    fs::set_permissions(guarded.folder.join("server.key"), Permissions::from_mode(0o644)).unwrap();
    fs::write(guarded.folder.join("server.key"), &guarded.server.key).unwrap();
    until("the warning is logged", || {
        let _ = guarded.plane.is_healthy();
        guarded.log().contains(warning)
    });
}
