//! The contract of [`SecretBundles`].

use async_trait::async_trait;
use ports::PortErrorKind;
use ports::certificates::{Bundle, PrivateKey, SecretBundles, SecretId, Stage, VersionId};

use super::kind;

/// Secrets that can be set up behind the port's back.
#[async_trait]
pub trait World: Sync {
    /// The port.
    fn bundles(&self) -> &dyn SecretBundles;
    /// Makes a secret whose current version holds a text.
    async fn create(&self, name: &str, version: &VersionId, text: &str);
    /// Whether it does what AWS does in this; see [`Trait`].
    fn does(&self, what: Trait) -> bool;
}

/// What not every stand-in does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trait {
    /// Only one version is at a stage.
    MovesLabels,
    /// What is stored as a version stays as it is.
    KeepsVersions,
}

/// Every check.
pub async fn all(world: &dyn World) {
    what_is_not_there(world).await;
    from_pending_to_current_to_previous(world).await;
    only_what_was_current_is_replaced(world).await;
    what_is_no_bundle_is_told_without_what_it_holds(world).await;
    if world.does(Trait::KeepsVersions) {
        a_version_is_written_once(world).await;
    }
    if world.does(Trait::MovesLabels) {
        the_last_one_put_is_pending(world).await;
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

async fn made(world: &dyn World, name: &str) -> SecretId {
    world.create(name, &version(1), &bundle("one").text()).await;
    secret(name)
}

async fn read(world: &dyn World, secret: &SecretId, stage: Stage) -> Option<(VersionId, Bundle)> {
    let found = world.bundles().read(secret, stage).await.unwrap();
    found.map(|found| (found.version, found.bundle))
}

async fn what_is_not_there(world: &dyn World) {
    let (nowhere, port) = (secret("nowhere"), world.bundles());
    assert_eq!(kind(port.describe(&nowhere).await), PortErrorKind::NotFound);
    assert_eq!(kind(port.read(&nowhere, Stage::Current).await), PortErrorKind::NotFound);
    assert_eq!(kind(port.put_pending(&nowhere, &version(2), &bundle("two")).await), PortErrorKind::NotFound);
    assert_eq!(kind(port.promote(&nowhere, Some(&version(1)), &version(2)).await), PortErrorKind::NotFound);
    let there = made(world, "there").await;
    assert_eq!(read(world, &there, Stage::Pending).await, None);
    assert_eq!(read(world, &there, Stage::Previous).await, None);
    let versions = port.describe(&there).await.unwrap();
    assert_eq!(versions.at.into_iter().collect::<Vec<_>>(), [(Stage::Current, version(1))]);
    assert!(!versions.rotated_by_others);
    let by_arn = SecretId::parse(&versions.arn).unwrap();
    assert_eq!(read(world, &by_arn, Stage::Current).await, Some((version(1), bundle("one"))));
}

async fn from_pending_to_current_to_previous(world: &dyn World) {
    let (secret, port) = (made(world, "stages").await, world.bundles());
    port.put_pending(&secret, &version(2), &bundle("two")).await.unwrap();
    port.put_pending(&secret, &version(2), &bundle("two")).await.unwrap();
    assert_eq!(read(world, &secret, Stage::Current).await, Some((version(1), bundle("one"))));
    assert_eq!(read(world, &secret, Stage::Pending).await, Some((version(2), bundle("two"))));
    port.promote(&secret, Some(&version(1)), &version(2)).await.unwrap();
    assert_eq!(read(world, &secret, Stage::Current).await, Some((version(2), bundle("two"))));
    assert_eq!(read(world, &secret, Stage::Previous).await, Some((version(1), bundle("one"))));
    assert_eq!(read(world, &secret, Stage::Pending).await, None);
    let at = port.describe(&secret).await.unwrap().at;
    assert_eq!(at.into_iter().collect::<Vec<_>>(), [(Stage::Current, version(2)), (Stage::Previous, version(1))]);
}

async fn only_what_was_current_is_replaced(world: &dyn World) {
    let (secret, port) = (made(world, "overtaken").await, world.bundles());
    port.put_pending(&secret, &version(2), &bundle("two")).await.unwrap();
    assert_eq!(kind(port.promote(&secret, None, &version(2)).await), PortErrorKind::Conflict);
    port.promote(&secret, Some(&version(1)), &version(2)).await.unwrap();
    port.put_pending(&secret, &version(3), &bundle("three")).await.unwrap();
    assert_eq!(kind(port.promote(&secret, Some(&version(1)), &version(3)).await), PortErrorKind::Conflict);
    assert_eq!(read(world, &secret, Stage::Current).await, Some((version(2), bundle("two"))));
}

async fn what_is_no_bundle_is_told_without_what_it_holds(world: &dyn World) {
    world.create("no-bundle", &version(1), "{\"privateKey\": [\"hush\"]}").await;
    let error = world.bundles().read(&secret("no-bundle"), Stage::Current).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Other);
    assert!(error.message.contains("privateKey") && !format!("{error:?}").contains("hush"), "{error}");
}

async fn a_version_is_written_once(world: &dyn World) {
    let (secret, port) = (made(world, "once").await, world.bundles());
    port.put_pending(&secret, &version(2), &bundle("two")).await.unwrap();
    assert_eq!(kind(port.put_pending(&secret, &version(2), &bundle("other")).await), PortErrorKind::Conflict);
    assert_eq!(read(world, &secret, Stage::Pending).await, Some((version(2), bundle("two"))));
}

async fn the_last_one_put_is_pending(world: &dyn World) {
    let (secret, port) = (made(world, "last").await, world.bundles());
    port.put_pending(&secret, &version(2), &bundle("two")).await.unwrap();
    port.put_pending(&secret, &version(3), &bundle("three")).await.unwrap();
    assert_eq!(read(world, &secret, Stage::Pending).await, Some((version(3), bundle("three"))));
}
