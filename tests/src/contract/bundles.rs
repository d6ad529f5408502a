//! The contract of [`SecretBundles`].

use async_trait::async_trait;
use ports::PortErrorKind;
use ports::certificates::{Bundle, PrivateKey, SecretBundles, SecretId, Stage, VersionId};

use super::kind;

/// A test fixture that can set up secrets without the port.
#[async_trait]
pub trait BundlesUnderTest: Sync {
    /// The port under test.
    fn bundles(&self) -> &dyn SecretBundles;
    /// Creates a secret with this text in its current version, and returns the id of that version. Some stand-ins
    /// ignore the requested id.
    async fn create(&self, name: &str, version: &VersionId, text: &str) -> VersionId;
    /// Whether the implementation behaves as AWS in this respect; see [`BundleBehaviour`].
    fn supports(&self, behaviour: BundleBehaviour) -> bool;
}

/// Behaviour of AWS that some stand-ins lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleBehaviour {
    /// Only one version is at a stage.
    MovesLabels,
    /// A stored version never changes its content.
    KeepsVersions,
}

/// Runs every check.
pub async fn all(fixture: &dyn BundlesUnderTest) {
    missing_secret_and_stages_are_reported(fixture).await;
    version_moves_from_pending_to_current_to_previous(fixture).await;
    promotion_requires_the_current_version(fixture).await;
    invalid_bundle_is_reported_without_its_content(fixture).await;
    if fixture.supports(BundleBehaviour::KeepsVersions) {
        version_is_written_once(fixture).await;
    }
    if fixture.supports(BundleBehaviour::MovesLabels) {
        last_stored_version_is_pending(fixture).await;
    }
}

fn version(n: u8) -> VersionId {
    VersionId::parse(&format!("00000000-0000-4000-8000-0000000000{n:02}")).unwrap()
}

fn secret(name: &str) -> SecretId {
    SecretId::parse(name).unwrap()
}

fn bundle(text: &str) -> Bundle {
    let key = PrivateKey::new(format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n").into());
    Bundle { key: Some(key), request: Some(text.to_owned()), ..Bundle::default() }
}

/// Creates a secret with its first version.
async fn created(fixture: &dyn BundlesUnderTest, name: &str) -> (SecretId, VersionId) {
    let first = fixture.create(name, &version(1), &bundle("one").text()).await;
    (secret(name), first)
}

async fn read(fixture: &dyn BundlesUnderTest, secret: &SecretId, stage: Stage) -> Option<(VersionId, Bundle)> {
    let found = fixture.bundles().read(secret, stage).await.unwrap();
    found.map(|found| (found.version, found.bundle))
}

async fn missing_secret_and_stages_are_reported(fixture: &dyn BundlesUnderTest) {
    let (nowhere, port) = (secret("nowhere"), fixture.bundles());
    assert_eq!(kind(port.describe(&nowhere).await), PortErrorKind::NotFound);
    assert_eq!(kind(port.read(&nowhere, Stage::Current).await), PortErrorKind::NotFound);
    assert_eq!(kind(port.put_pending(&nowhere, &version(2), &bundle("two")).await), PortErrorKind::NotFound);
    assert_eq!(kind(port.promote(&nowhere, Some(&version(1)), &version(2)).await), PortErrorKind::NotFound);
    let (there, first) = created(fixture, "there").await;
    assert_eq!(read(fixture, &there, Stage::Pending).await, None);
    assert_eq!(read(fixture, &there, Stage::Previous).await, None);
    let versions = port.describe(&there).await.unwrap();
    assert_eq!(versions.at.into_iter().collect::<Vec<_>>(), [(Stage::Current, first.clone())]);
    assert!(!versions.rotated_by_others);
    let by_arn = SecretId::parse(&versions.arn).unwrap();
    assert_eq!(read(fixture, &by_arn, Stage::Current).await, Some((first, bundle("one"))));
}

async fn version_moves_from_pending_to_current_to_previous(fixture: &dyn BundlesUnderTest) {
    let (secret, first) = created(fixture, "stages").await;
    let port = fixture.bundles();
    port.put_pending(&secret, &version(2), &bundle("two")).await.unwrap();
    port.put_pending(&secret, &version(2), &bundle("two")).await.unwrap();
    assert_eq!(read(fixture, &secret, Stage::Current).await, Some((first.clone(), bundle("one"))));
    assert_eq!(read(fixture, &secret, Stage::Pending).await, Some((version(2), bundle("two"))));
    port.promote(&secret, Some(&first), &version(2)).await.unwrap();
    assert_eq!(read(fixture, &secret, Stage::Current).await, Some((version(2), bundle("two"))));
    assert_eq!(read(fixture, &secret, Stage::Previous).await, Some((first.clone(), bundle("one"))));
    assert_eq!(read(fixture, &secret, Stage::Pending).await, None);
    let at = port.describe(&secret).await.unwrap().at;
    assert_eq!(at.into_iter().collect::<Vec<_>>(), [(Stage::Current, version(2)), (Stage::Previous, first)]);
}

async fn promotion_requires_the_current_version(fixture: &dyn BundlesUnderTest) {
    let (secret, first) = created(fixture, "overtaken").await;
    let port = fixture.bundles();
    port.put_pending(&secret, &version(2), &bundle("two")).await.unwrap();
    assert_eq!(kind(port.promote(&secret, None, &version(2)).await), PortErrorKind::Conflict);
    port.promote(&secret, Some(&first), &version(2)).await.unwrap();
    port.put_pending(&secret, &version(3), &bundle("three")).await.unwrap();
    assert_eq!(kind(port.promote(&secret, Some(&first), &version(3)).await), PortErrorKind::Conflict);
    assert_eq!(read(fixture, &secret, Stage::Current).await, Some((version(2), bundle("two"))));
}

async fn invalid_bundle_is_reported_without_its_content(fixture: &dyn BundlesUnderTest) {
    fixture.create("no-bundle", &version(1), "{\"privateKey\": [\"hush\"]}").await;
    let error = fixture.bundles().read(&secret("no-bundle"), Stage::Current).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Other);
    assert!(error.message.contains("privateKey") && !format!("{error:?}").contains("hush"), "{error}");
}

async fn version_is_written_once(fixture: &dyn BundlesUnderTest) {
    let (secret, _) = created(fixture, "once").await;
    let port = fixture.bundles();
    port.put_pending(&secret, &version(2), &bundle("two")).await.unwrap();
    assert_eq!(kind(port.put_pending(&secret, &version(2), &bundle("other")).await), PortErrorKind::Conflict);
    assert_eq!(read(fixture, &secret, Stage::Pending).await, Some((version(2), bundle("two"))));
}

async fn last_stored_version_is_pending(fixture: &dyn BundlesUnderTest) {
    let (secret, _) = created(fixture, "last").await;
    let port = fixture.bundles();
    port.put_pending(&secret, &version(2), &bundle("two")).await.unwrap();
    port.put_pending(&secret, &version(3), &bundle("three")).await.unwrap();
    assert_eq!(read(fixture, &secret, Stage::Pending).await, Some((version(3), bundle("three"))));
}
