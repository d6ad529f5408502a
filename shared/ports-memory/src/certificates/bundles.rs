use std::collections::BTreeMap;

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::{ACCOUNT, Cell, Faults};
use ports::certificates::{Bundle, SecretBundles, SecretId, SecretVersions, Stage, StoredBundle, VersionId};
use ports::{PortError, PortErrorKind};

/// Secrets with their versions.
#[derive(Clone, Debug)]
pub struct MemoryBundles(Cell<BTreeMap<String, Secret>>);

#[derive(Clone, Default, PartialEq)]
struct Secret {
    arn: String,
    texts: BTreeMap<VersionId, Zeroizing<String>>,
    at: BTreeMap<Stage, VersionId>,
    tags: BTreeMap<String, String>,
    rotated_by_others: bool,
}

/// Does not show the contents.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("arn", &self.arn).field("at", &self.at).finish_non_exhaustive()
    }
}

impl MemoryBundles {
    /// No secrets yet.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self(Cell::new(BTreeMap::new(), faults))
    }

    /// A secret of this name, without any version.
    pub fn create(&self, name: &str) {
        let arn = format!("arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:{name}-AbCdEf");
        self.0.poke(|secrets| secrets.insert(name.to_owned(), Secret { arn, ..Secret::default() }));
    }

    /// Sets the current version of a secret to any text, as an operator might by hand; the old version becomes the
    /// previous one.
    pub fn set_text(&self, name: &str, version: &VersionId, text: &str) {
        self.0.poke(|secrets| {
            if let Some(secret) = secrets.get_mut(name) {
                secret.texts.insert(version.clone(), Zeroizing::new(text.to_owned()));
                secret.make_current(version);
            }
        });
    }

    /// Moves the current stage to an existing version, as an operator or another controller does; the old current
    /// version becomes the previous version, and no other label moves.
    pub fn move_current(&self, name: &str, version: &VersionId) {
        self.0.poke(|secrets| {
            if let Some(secret) = secrets.get_mut(name).filter(|secret| secret.texts.contains_key(version)) {
                secret.make_current(version);
            }
        });
    }

    /// Removes the pending label from a secret's version.
    pub fn drop_pending(&self, name: &str) {
        self.0.poke(|secrets| secrets.get_mut(name).and_then(|secret| secret.at.remove(&Stage::Pending)));
    }

    /// Sets a secret's tags, and whether Secrets Manager's own rotation is enabled.
    pub fn set_facts(&self, name: &str, tags: BTreeMap<String, String>, rotated_by_others: bool) {
        self.0.poke(|secrets| {
            if let Some(secret) = secrets.get_mut(name) {
                (secret.tags, secret.rotated_by_others) = (tags, rotated_by_others);
            }
        });
    }

    /// The number of versions of a secret that were ever stored.
    #[must_use]
    pub fn versions(&self, name: &str) -> usize {
        self.0.peek(|secrets| secrets.get(name).map_or(0, |secret| secret.texts.len()))
    }
}

impl Secret {
    fn make_current(&mut self, version: &VersionId) {
        if let Some(old) = self.at.insert(Stage::Current, version.clone())
            && old != *version
        {
            self.at.insert(Stage::Previous, old);
        }
    }

    /// The version at a stage. Secrets Manager leaves the pending label on a version that is made current, and moving
    /// the current label away leaves it there. A current version does not count as pending, independent of its labels.
    fn at(&self, stage: Stage) -> Option<&VersionId> {
        let version = self.at.get(&stage)?;
        (stage != Stage::Pending || self.at.get(&Stage::Current) != Some(version)).then_some(version)
    }
}

#[async_trait]
impl SecretBundles for MemoryBundles {
    async fn describe(&self, secret: &SecretId) -> Result<SecretVersions, PortError> {
        self.0
            .read("describe secret", secret, |secrets| {
                let found = find(secrets, secret)?;
                let at = Stage::ALL.into_iter().filter_map(|stage| Some((stage, found.at(stage)?.clone()))).collect();
                let Secret { arn, tags, rotated_by_others, .. } = found.clone();
                Ok(SecretVersions { arn, at, tags, rotated_by_others })
            })
            .await
    }

    async fn read(&self, secret: &SecretId, stage: Stage) -> Result<Option<StoredBundle>, PortError> {
        self.0
            .read("read secret", secret, |secrets| {
                let found = find(secrets, secret)?;
                let Some(version) = found.at(stage) else { return Ok(None) };
                let Some(text) = found.texts.get(version) else { return Ok(None) };
                let bundle = Bundle::parse(text).map_err(|error| refused(secret, PortErrorKind::Other, &error))?;
                Ok(Some(StoredBundle { version: version.clone(), bundle }))
            })
            .await
    }

    async fn put_pending(&self, secret: &SecretId, version: &VersionId, bundle: &Bundle) -> Result<(), PortError> {
        self.0
            .write("put secret", secret, |secrets| {
                let found = find_mut(secrets, secret)?;
                let text = bundle.text();
                match found.texts.get(version) {
                    Some(held) if *held == text => return Ok(()),
                    Some(_) => {
                        let message = "the version is there with another text (ResourceExistsException)";
                        return Err(refused(secret, PortErrorKind::Conflict, &message));
                    }
                    None => {}
                }
                let first = found.texts.is_empty();
                found.texts.insert(version.clone(), text);
                found.at.insert(Stage::Pending, version.clone());
                if first {
                    found.make_current(version);
                }
                Ok(())
            })
            .await
    }

    async fn promote(&self, secret: &SecretId, from: Option<&VersionId>, to: &VersionId) -> Result<(), PortError> {
        self.0
            .write("promote secret", secret, |secrets| {
                let found = find_mut(secrets, secret)?;
                if !found.texts.contains_key(to) {
                    let message = "no such version (ResourceNotFoundException)";
                    return Err(refused(secret, PortErrorKind::NotFound, &message));
                }
                if found.at.get(&Stage::Current) != from {
                    let message = "another version is current (InvalidParameterException)";
                    return Err(refused(secret, PortErrorKind::Conflict, &message));
                }
                found.make_current(to);
                Ok(())
            })
            .await
    }
}

fn key_of(secrets: &BTreeMap<String, Secret>, id: &SecretId) -> Option<String> {
    let by_arn = || secrets.iter().find(|(_, secret)| secret.arn == id.as_str()).map(|(name, _)| name.clone());
    secrets.contains_key(id.as_str()).then(|| id.to_string()).or_else(by_arn)
}

fn find<'s>(secrets: &'s BTreeMap<String, Secret>, id: &SecretId) -> Result<&'s Secret, PortError> {
    key_of(secrets, id).and_then(|name| secrets.get(&name)).ok_or_else(|| missing(id))
}

fn find_mut<'s>(secrets: &'s mut BTreeMap<String, Secret>, id: &SecretId) -> Result<&'s mut Secret, PortError> {
    key_of(secrets, id).and_then(|name| secrets.get_mut(&name)).ok_or_else(|| missing(id))
}

fn missing(id: &SecretId) -> PortError {
    refused(id, PortErrorKind::NotFound, &"no such secret (ResourceNotFoundException)")
}

fn refused(id: &SecretId, kind: PortErrorKind, why: &dyn std::fmt::Display) -> PortError {
    PortError::new(format!("use secret {id}"), kind, why.to_string())
}
