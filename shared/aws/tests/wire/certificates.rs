//! The requests to ACM and its private CAs, above all the requests that no stand-in implements.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::canned::{CannedResponse, CannedServer};
use ports::PortErrorKind;
use ports::certificates::{
    AuthorityArn, AuthorityKind, AuthorityStatus, AuthorityUsage, Bundle, CertificateArn, CertificateAuthority,
    CertificateKind, CertificateStatus, CertificateStore, Chain, Eligibility, IdempotencyToken, Import, Issuance,
    IssuedArn, KeyAlgorithm, Order, PrivateKey, PrivateRequest, RenewalState, SecretBundles, SecretId,
    SigningAlgorithm, Stage, Template, VersionId,
};
use serde_json::json;

const ARN: &str = "arn:aws:acm:eu-west-1:123456789012:certificate/c1";
const CA: &str = "arn:aws-cn:acm-pca:cn-north-1:123456789012:certificate-authority/a1";

fn arn() -> CertificateArn {
    CertificateArn::parse(ARN).unwrap()
}

fn ca() -> AuthorityArn {
    AuthorityArn::parse(CA).unwrap()
}

fn token() -> IdempotencyToken {
    IdempotencyToken::parse("r_1").unwrap()
}

#[tokio::test]
async fn description_has_the_renewal_status() {
    let detail = json!({ "Certificate": {
        "CertificateArn": ARN,
        "DomainName": "cart.shop.local",
        "SubjectAlternativeNames": ["cart.shop.local", "cart"],
        "Serial": "0a:0b",
        "Status": "ISSUED",
        "Type": "PRIVATE",
        "KeyAlgorithm": "RSA-2048",
        "NotBefore": 1_700_000_000.5,
        "NotAfter": 1_800_000_000,
        "InUseBy": ["arn:aws:appmesh:x"],
        "RenewalEligibility": "ELIGIBLE",
        "CertificateAuthorityArn": CA,
        "RenewalSummary": {
            "RenewalStatus": "FAILED",
            "RenewalStatusReason": "PCA_ACCESS_DENIED",
            "DomainValidationOptions": [],
            "UpdatedAt": 1_750_000_000,
        },
    } });
    let server = CannedServer::start([CannedResponse::ok(detail)]).await;
    let found = server.aws().await.certificates().describe(&arn()).await.unwrap();
    assert_eq!((found.kind, found.status), (CertificateKind::Private, CertificateStatus::Issued));
    assert_eq!(found.key_algorithm, Some(KeyAlgorithm::Rsa2048));
    assert_eq!(found.serial.as_deref(), Some("0a:0b"));
    assert_eq!(found.names, ["cart.shop.local", "cart"]);
    assert_eq!(found.not_after.unwrap().as_second(), 1_800_000_000);
    assert_eq!(found.in_use_by, ["arn:aws:appmesh:x"]);
    assert_eq!((found.eligibility, found.authority), (Some(Eligibility::Eligible), Some(ca())));
    let renewal = found.renewal.unwrap();
    assert_eq!((renewal.state, renewal.reason.as_deref()), (RenewalState::Failed, Some("PCA_ACCESS_DENIED")));
    assert_eq!(server.requests()[0].header("x-amz-target"), Some("CertificateManager.DescribeCertificate"));
}

#[tokio::test]
async fn unknown_values_are_kept_as_unrecognised() {
    let detail = json!({ "Certificate": {
        "CertificateArn": ARN, "Status": "SLEEPING", "Type": "BORROWED", "KeyAlgorithm": "ML-DSA-44",
        "RenewalEligibility": "PERHAPS",
    } });
    let server =
        CannedServer::start([CannedResponse::ok(detail), CannedResponse::ok(json!({ "Certificate": {} }))]).await;
    let store = server.aws().await.certificates();
    let found = store.describe(&arn()).await.unwrap();
    assert_eq!(found.kind, CertificateKind::Unrecognised("BORROWED".into()));
    assert_eq!(found.status, CertificateStatus::Unrecognised("SLEEPING".into()));
    assert_eq!(found.key_algorithm, Some(KeyAlgorithm::Unrecognised("ML-DSA-44".into())));
    assert_eq!((found.eligibility, found.not_after), (None, None));
    assert_eq!(store.describe(&arn()).await.unwrap_err().kind, PortErrorKind::Other);
}

#[tokio::test]
async fn list_requests_every_key_type_and_every_page() {
    let page = |id: &str, next: Option<&str>| {
        let arn = ARN.replace("c1", id);
        let one = json!({ "CertificateArn": arn, "Type": "IMPORTED", "Status": "EXPIRED", "Exported": false });
        CannedResponse::ok(json!({ "CertificateSummaryList": [one], "NextToken": next }))
    };
    let server = CannedServer::start([page("c1", Some("more")), page("c2", None)]).await;
    let listed = server.aws().await.certificates().list().await.unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[1].status, listed[1].exported), (&CertificateStatus::Expired, Some(false)));
    let request = server.requests()[0].json();
    let types = request["Includes"]["keyTypes"].as_array().unwrap();
    for key in ["RSA_2048", "RSA_4096", "EC_prime256v1", "EC_secp521r1"] {
        assert!(types.contains(&json!(key)), "{types:?}");
    }
    assert_eq!(server.requests()[1].json()["NextToken"], "more");
}

#[tokio::test]
async fn renewal_is_started_refused_or_in_progress() {
    let server = CannedServer::start([
        CannedResponse::ok(""),
        CannedResponse::error(400, "ValidationException", json!({ "message": "not eligible for renewal" })),
        CannedResponse::error(400, "RequestInProgressException", json!({})),
        CannedResponse::error(400, "ResourceNotFoundException", json!({})),
    ])
    .await;
    let store = server.aws().await.certificates();
    store.renew(&arn()).await.unwrap();
    let refused = store.renew(&arn()).await.unwrap_err();
    assert_eq!(refused.kind, PortErrorKind::Other);
    assert!(refused.message.contains("not eligible for renewal"), "{refused}");
    assert_eq!(store.renew(&arn()).await.unwrap_err().kind, PortErrorKind::Conflict);
    assert_eq!(store.renew(&arn()).await.unwrap_err().kind, PortErrorKind::NotFound);
    assert_eq!(server.requests()[0].json(), json!({ "CertificateArn": ARN }));
}

#[tokio::test]
async fn certificate_in_issuance_has_no_chain_and_no_export() {
    let in_progress = || CannedResponse::error(400, "RequestInProgressException", json!({}));
    let server = CannedServer::start([in_progress(), in_progress()]).await;
    let store = server.aws().await.certificates();
    assert_eq!(store.chain(&arn()).await.unwrap(), None);
    assert_eq!(store.export(&arn()).await.unwrap_err().kind, PortErrorKind::Conflict);
}

#[tokio::test]
async fn every_export_has_a_new_passphrase_and_errors_hide_the_key() {
    let hush = json!({ "Certificate": "leaf", "CertificateChain": "ca", "PrivateKey": "hush" });
    let server = CannedServer::start([CannedResponse::ok(&hush), CannedResponse::ok(&hush)]).await;
    let store = server.aws().await.certificates();
    for _ in 0..2 {
        let error = store.export(&arn()).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Other);
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    }
    let [one, other] = [0, 1].map(|n| server.requests()[n].json()["Passphrase"].as_str().unwrap().to_owned());
    assert_ne!(one, other);
    assert!(one.len() > 40, "{one}");
}

#[tokio::test]
async fn new_import_is_sent_once_and_reimport_is_retried() {
    let down = || CannedResponse::error(503, "ServiceUnavailable", json!({}));
    let import = |onto: Option<CertificateArn>, issuers: &str| Import {
        onto,
        chain: Chain { leaf: "leaf".into(), issuers: issuers.into() },
        key: PrivateKey::new("key".to_owned().into()),
        tags: BTreeMap::new(),
    };
    let server = CannedServer::start([down()]).await;
    let error = server.aws().await.certificates().import(&import(None, "")).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Unavailable);
    assert_eq!(server.requests().len(), 1);
    assert_eq!(server.requests()[0].json(), json!({ "Certificate": "bGVhZg==", "PrivateKey": "a2V5" }));

    let server = CannedServer::start([down(), CannedResponse::ok(json!({ "CertificateArn": ARN }))]).await;
    let onto = server.aws().await.certificates().import(&import(Some(arn()), "ca")).await.unwrap();
    assert_eq!((onto, server.requests().len()), (arn(), 2));
    let expected = json!({
        "CertificateArn": ARN, "Certificate": "bGVhZg==", "PrivateKey": "a2V5", "CertificateChain": "Y2E=",
    });
    assert_eq!(server.requests()[1].json(), expected);
}

#[tokio::test]
async fn certificate_request_sends_authority_and_token() {
    let server = CannedServer::start([CannedResponse::ok(json!({ "CertificateArn": ARN }))]).await;
    let request = PrivateRequest {
        authority: ca(),
        common_name: "cart.shop.local".into(),
        other_names: Vec::new(),
        key_algorithm: KeyAlgorithm::EcPrime256v1,
        token: token(),
        tags: BTreeMap::from([("mesh".to_owned(), "shop".to_owned())]),
    };
    assert_eq!(server.aws().await.certificates().request(&request).await.unwrap(), arn());
    let expected = json!({
        "DomainName": "cart.shop.local", "CertificateAuthorityArn": CA, "KeyAlgorithm": "EC_prime256v1",
        "IdempotencyToken": "r_1", "Tags": [{ "Key": "mesh", "Value": "shop" }],
    });
    assert_eq!(server.requests()[0].json(), expected);
}

#[tokio::test]
async fn certificate_in_use_is_not_deleted() {
    let server = CannedServer::start([CannedResponse::error(400, "ResourceInUseException", json!({}))]).await;
    let error = server.aws().await.certificates().delete(&arn()).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Conflict);
}

#[tokio::test]
async fn authority_is_read_with_all_members() {
    let facts = json!({ "CertificateAuthority": {
        "Arn": CA, "Type": "SUBORDINATE", "Status": "ACTIVE", "UsageMode": "SHORT_LIVED_CERTIFICATE",
        "NotBefore": 1_700_000_000, "NotAfter": 1_900_000_000,
        "CertificateAuthorityConfiguration": {
            "KeyAlgorithm": "EC_secp384r1", "SigningAlgorithm": "SHA384WITHECDSA", "Subject": { "CommonName": "mesh" },
        },
    } });
    let server = CannedServer::start([CannedResponse::ok(facts)]).await;
    let found = server.aws().await.authorities().describe(&ca()).await.unwrap();
    assert_eq!((found.kind, found.status), (AuthorityKind::Subordinate, AuthorityStatus::Active));
    assert_eq!((found.usage, found.common_name.as_deref()), (AuthorityUsage::ShortLived, Some("mesh")));
    assert_eq!(found.key_algorithm, Some(KeyAlgorithm::EcSecp384r1));
    assert_eq!(found.not_after.unwrap().as_second(), 1_900_000_000);
}

#[tokio::test]
async fn issue_request_sends_end_template_and_token() {
    let issued = format!("{CA}/certificate/0a0b");
    let server = CannedServer::start([CannedResponse::ok(json!({ "CertificateArn": issued }))]).await;
    let order = Order {
        authority: ca(),
        request: "csr".into(),
        template: Template::EndEntity,
        signing: SigningAlgorithm::Sha384WithEcdsa,
        not_after: "2026-03-01T10:00:00.9Z".parse().unwrap(),
        token: token(),
    };
    let arn = server.aws().await.authorities().issue(&order).await.unwrap();
    assert_eq!(arn.as_str(), issued);
    let expected = json!({
        "CertificateAuthorityArn": CA, "Csr": "Y3Ny", "SigningAlgorithm": "SHA384WITHECDSA",
        "TemplateArn": "arn:aws-cn:acm-pca:::template/EndEntityCertificate/V1",
        "Validity": { "Type": "ABSOLUTE", "Value": 1_772_359_200 }, "IdempotencyToken": "r_1",
    });
    assert_eq!(server.requests()[0].json(), expected);
}

#[tokio::test]
async fn issued_certificate_is_pending_failed_or_done() {
    let server = CannedServer::start([
        CannedResponse::error(400, "RequestInProgressException", json!({})),
        CannedResponse::error(400, "RequestFailedException", json!({ "message": "the key is too weak" })),
        CannedResponse::ok(json!({ "Certificate": "leaf", "CertificateChain": "ca" })),
        CannedResponse::error(400, "ResourceNotFoundException", json!({})),
        CannedResponse::ok(json!({})),
    ])
    .await;
    let authorities = server.aws().await.authorities();
    let arn = IssuedArn::parse(&format!("{CA}/certificate/0a0b")).unwrap();
    assert_eq!(authorities.issued(&arn).await.unwrap(), Issuance::InProgress);
    assert_eq!(authorities.issued(&arn).await.unwrap(), Issuance::Failed { reason: "the key is too weak".into() });
    let chain = Chain { leaf: "leaf".into(), issuers: "ca".into() };
    assert_eq!(authorities.issued(&arn).await.unwrap(), Issuance::Issued(chain));
    assert_eq!(authorities.issued(&arn).await.unwrap_err().kind, PortErrorKind::NotFound);
    assert_eq!(authorities.issued(&arn).await.unwrap_err().kind, PortErrorKind::Other);
    assert_eq!(server.requests()[0].json()["CertificateAuthorityArn"], CA);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The SDK prints its requests at the level `trace`, though in this version without their bodies.
#[tokio::test]
async fn trace_log_contains_no_key() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let _listening = tracing::subscriber::set_default(subscriber);

    let secret = SecretId::parse("mesh/orders").unwrap();
    let version = VersionId::parse("00000000-0000-4000-8000-000000000002").unwrap();
    let key = PrivateKey::new("hush, a key".to_owned().into());
    let value =
        json!({ "VersionId": version, "VersionStages": [], "SecretString": "{\"privateKey\":\"hush, a key\"}" });
    let server = CannedServer::start([
        CannedResponse::ok(json!({ "CertificateArn": ARN })),
        CannedResponse::ok(json!({ "Certificate": "leaf", "PrivateKey": "hush, a key" })),
        CannedResponse::ok(json!({})),
        CannedResponse::ok(value),
        CannedResponse::ok(json!({ "Tags": [] })),
    ])
    .await;
    let aws = server.aws().await;
    let chain = Chain { leaf: "leaf".into(), issuers: "ca".into() };
    let import = Import { onto: Some(arn()), chain, key: key.clone(), tags: BTreeMap::new() };
    aws.certificates().import(&import).await.unwrap();
    aws.certificates().export(&arn()).await.unwrap_err();
    let bundle = Bundle { key: Some(key), ..Bundle::default() };
    aws.bundles().put_pending(&secret, &version, &bundle).await.unwrap();
    let read = aws.bundles().read(&secret, Stage::Current).await.unwrap();
    // This call may be logged, so its log line proves that the log is recorded.
    aws.certificates().tags(&arn()).await.unwrap();

    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(log.contains("ListTagsForCertificate"));
    for hidden in ["hush", "aHVzaCwgYSBrZXk"] {
        assert!(!log.contains(hidden), "the log has {hidden}");
    }
    let requests = server.requests();
    assert!(!log.contains(requests[1].json()["Passphrase"].as_str().unwrap()));
    // The keys were really sent and received: to ACM as base64, to the secret as text, and back from it.
    assert_eq!(requests[0].json()["PrivateKey"], "aHVzaCwgYSBrZXk=");
    assert!(requests[2].json()["SecretString"].as_str().unwrap().contains("hush, a key"));
    assert!(read.unwrap().bundle.key.is_some_and(|key| key.pem() == "hush, a key"));
}
