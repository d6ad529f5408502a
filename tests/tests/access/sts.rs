//! Tests of `--api-auth sts`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws::{AppMesh, Aws};
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use control_plane::{ApiAuth, Audience, StsSettings};
use meshwarden_tests::stack::REGION;
use ports::{MeshReader as _, PortErrorKind, TagWriter as _};

use crate::plane::{ClockOffset, GuardedControlPlane, KeyFile, RecordedRequest};
use crate::sts_server::{IDENTITIES, RecordingRelay, Sts, StsBehaviour};

pub(crate) const AUDIENCE: &str = "mesh.internal";
const ARN: &str = "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop";
const IDENTITY: &str = "x-meshwarden-identity";

/// Every session of an allowed role may make every request.
const RIGHTS: &str =
    r#"{"subjects": [{"role": "arn:aws:iam::123456789012:role/*", "grants": [{"meshes": ["*"], "level": "write"}]}]}"#;

async fn plane(sts: &str) -> GuardedControlPlane {
    let rights = rights(sts);
    let mut plane = GuardedControlPlane::with_rights(api_auth(sts), Some(&rights)).await;
    plane.keep(rights);
    plane
}

/// The file with [`RIGHTS`].
pub(crate) fn rights(sts: &str) -> KeyFile {
    KeyFile::keys(&format!("rights-{}", sts.replace(['/', ':'], "-")), RIGHTS)
}

/// STS at this endpoint, with the roles of Meshwarden allowed.
pub(crate) fn api_auth(sts: &str) -> ApiAuth {
    let pattern = "arn:aws:iam::123456789012:role/meshwarden-*".parse().unwrap();
    ApiAuth::Sts(StsSettings {
        audience: Audience::parse(AUDIENCE).unwrap(),
        roles: vec![pattern],
        endpoint: Some(sts.parse().unwrap()),
    })
}

/// The SDK configuration with the credentials of one of the identities.
pub(crate) fn config(endpoint: &str, (key, secret, token): (&str, &str, &str), off: i64) -> SdkConfig {
    let credentials = Credentials::new(key, secret, (!token.is_empty()).then(|| token.to_owned()), None, "tests");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(endpoint)
        .region(Region::new(REGION))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(RetryConfig::disabled())
        .time_source(ClockOffset(off))
        .build()
}

pub(crate) fn mesh(config: SdkConfig, sts: &str, audience: &str) -> AppMesh {
    Aws::with_config(config).asking_sts_at(sts).mesh_known_to(Some(audience))
}

pub(crate) fn identity_of(n: usize) -> (&'static str, &'static str, &'static str) {
    (IDENTITIES[n].0, IDENTITIES[n].1, IDENTITIES[n].2)
}

fn tags() -> BTreeMap<String, String> {
    BTreeMap::from([("team".to_owned(), "shop".to_owned())])
}

#[tokio::test]
async fn function_is_authenticated_by_its_role_with_one_sts_call_for_reads_and_one_per_write() {
    let sts = Sts::start(StsBehaviour::Honest).await;
    let plane = plane(&sts.endpoint).await;
    let mesh = mesh(config(&plane.endpoint, identity_of(0), 0), &sts.endpoint, AUDIENCE);
    for _ in 0..3 {
        assert_eq!(mesh.meshes().await.unwrap(), []);
    }
    assert_eq!(sts.calls(), 1);
    for n in 2..4 {
        let error = mesh.tag(ARN, &tags()).await.unwrap_err();
        assert_eq!(
            error.kind,
            PortErrorKind::NotFound,
            "the request is accepted, and the mesh does not exist: {error}"
        );
        assert_eq!(sts.calls(), n);
    }
    for path in ["/metrics", "/proxies", "/v20190125/meshes"] {
        assert_eq!(plane.status(path).await, 403, "{path}");
    }
    assert_eq!((plane.status("/healthz").await, plane.status("/readyz").await), (200, 200));
}

#[tokio::test]
async fn other_identities_are_denied() {
    let sts = Sts::start(StsBehaviour::Honest).await;
    let plane = plane(&sts.endpoint).await;
    let role = identity_of(0);
    for (who, off, audience, expected) in [
        (identity_of(1), 0, AUDIENCE, "not a session of an allowed role"),
        (identity_of(2), 0, AUDIENCE, "not a session of an allowed role"),
        (identity_of(3), 0, AUDIENCE, "not a session of an allowed role"),
        ((role.0, "guess", role.2), 0, AUDIENCE, "STS refuses the identity"),
        ((role.0, role.1, "other token"), 0, AUDIENCE, "STS refuses the identity"),
        (("ASIAUNKNOWN", role.1, role.2), 0, AUDIENCE, "STS refuses the identity"),
        (role, 0, "other.internal", "STS refuses the identity"),
        (role, -400, AUDIENCE, "has expired"),
        (role, 400, AUDIENCE, "not valid yet"),
    ] {
        let mesh = mesh(config(&plane.endpoint, who, off), &sts.endpoint, audience);
        for error in [mesh.meshes().await.unwrap_err(), mesh.tag(ARN, &tags()).await.unwrap_err()] {
            assert_eq!(error.kind, PortErrorKind::Denied, "{who:?} {error}");
            assert!(error.to_string().contains(expected), "{who:?} {expected}: {error}");
        }
    }
    let unknown = Aws::with_config(config(&plane.endpoint, role, 0)).mesh_known_to(None);
    let error = unknown.meshes().await.unwrap_err();
    assert!(error.kind == PortErrorKind::Denied && error.to_string().contains(IDENTITY), "{error}");
}

#[tokio::test]
async fn only_the_configured_sts_is_called_without_redirects() {
    let forged = Sts::start(StsBehaviour::Honest).await;
    let real = Sts::start(StsBehaviour::Honest).await;
    let door_of_real = plane(&real.endpoint).await;
    for host in
        [forged.endpoint.as_str(), "https://sts.amazonaws.com", "https://sts.eu-west-1.amazonaws.com.evil.example"]
    {
        let error = mesh(config(&door_of_real.endpoint, identity_of(0), 0), host, AUDIENCE).meshes().await.unwrap_err();
        assert!(error.kind == PortErrorKind::Denied && error.to_string().contains("must have the host"), "{error}");
    }
    assert_eq!((forged.calls(), real.calls()), (0, 0));

    for behaviour in [StsBehaviour::Redirecting(forged.endpoint.clone()), StsBehaviour::Down] {
        let sts = Sts::start(behaviour).await;
        let plane = plane(&sts.endpoint).await;
        let error =
            mesh(config(&plane.endpoint, identity_of(0), 0), &sts.endpoint, AUDIENCE).meshes().await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Unavailable, "{error}");
        assert_eq!((sts.calls(), forged.calls()), (1, 0));
    }
}

#[tokio::test]
async fn recorded_identity_of_a_write_is_valid_for_no_other_request() {
    let sts = Sts::start(StsBehaviour::Honest).await;
    let plane = plane(&sts.endpoint).await;
    let relay = RecordingRelay::to(&plane.endpoint).await;
    let mesh = mesh(config(&relay.endpoint, identity_of(0), 0), &sts.endpoint, AUDIENCE);
    mesh.meshes().await.unwrap();
    let read = relay.last();
    assert_eq!(mesh.tag(ARN, &tags()).await.unwrap_err().kind, PortErrorKind::NotFound);
    let write = relay.last();

    assert_eq!(write.again().await, 404, "an SDK's retry within the second");
    let changed = |change: &dyn Fn(&mut RecordedRequest)| {
        let mut sent = write.clone();
        change(&mut sent);
        sent
    };
    let identity = |sent: &RecordedRequest| sent.headers.iter().find(|(name, _)| name == IDENTITY).unwrap().1.clone();
    let show = |sent: &mut RecordedRequest, shown: String| {
        sent.headers.retain(|(name, _)| name != IDENTITY);
        sent.headers.push((IDENTITY.to_owned(), shown));
    };
    for (what, sent) in [
        ("body", changed(&|sent| sent.body = sent.body.replace_first("shop", "evil"))),
        ("URI", changed(&|sent| sent.uri = sent.uri.replace("shop", "evil"))),
        ("version", changed(&|sent| sent.headers.push(("x-meshwarden-if-version".into(), "0".into())))),
        ("method", changed(&|sent| sent.method = "DELETE".into())),
        ("a read's identity", changed(&|sent| show(sent, identity(&read)))),
        ("two identities", changed(&|sent| sent.headers.push((IDENTITY.into(), identity(&read))))),
        ("another action", changed(&|sent| show(sent, identity(sent).replace("GetCallerIdentity", "AssumeRole")))),
        ("another parameter", changed(&|sent| show(sent, identity(sent) + "&DurationSeconds=900"))),
        ("a parameter twice", changed(&|sent| show(sent, identity(sent) + "&Action=GetCallerIdentity"))),
        ("a longer life", changed(&|sent| show(sent, identity(sent).replace("Expires=300", "Expires=900")))),
    ] {
        assert_eq!(sent.again().await, 403, "{what}");
    }
    let mut reading = read.clone();
    show(&mut reading, identity(&write));
    assert_eq!(reading.again().await, 403, "the identity of a write is not valid for reads");

    let give_up = Instant::now() + Duration::from_secs(20);
    while write.again().await != 403 {
        assert!(Instant::now() < give_up, "the replay was not denied in time");
        tokio::task::yield_now().await;
    }
    let calls = sts.calls();
    assert_eq!(
        (read.again().await, sts.calls()),
        (200, calls),
        "the identity of a read is a bearer token until it expires"
    );
}

/// Replaces the first occurrence in a body.
trait ReplaceFirst {
    fn replace_first(&self, what: &str, with: &str) -> Self;
}

impl ReplaceFirst for Vec<u8> {
    fn replace_first(&self, what: &str, with: &str) -> Self {
        String::from_utf8(self.clone()).unwrap().replacen(what, with, 1).into_bytes()
    }
}
