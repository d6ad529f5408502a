//! Changes: everything is checked first, then one resource is put in place or removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh::name::{MeshName, ResourcePath};
use mesh::resource::{Tag, Tags, TooManyTags};

use super::record::Record;
use super::request::{Action, Answer, Change, Operation, Write};
use super::resource::{Resource, Stamp};
use super::tokens::Recall;
use super::{Collection, State};
use crate::error::{ApiError, Relation};
use crate::quotas::Quota;

/// The answer to a write, and the change that it made: none when the request was answered before.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// What to answer.
    pub answer: Answer,
    /// What changed.
    pub change: Option<Change>,
    /// What has to be kept for this to last: played back, it leads to the same state.
    pub records: Vec<Record>,
}

/// What a write that is in order is about to do.
#[derive(Debug)]
pub(crate) enum Planned<'a> {
    /// This is put in place.
    Put(&'a Resource),
    /// What is here is removed.
    Remove(&'a ResourcePath),
}

impl Planned<'_> {
    /// The resource that is written.
    pub(crate) const fn path(&self) -> &ResourcePath {
        match self {
            Self::Put(resource) => &resource.path,
            Self::Remove(path) => path,
        }
    }
}

impl State {
    /// Carries out a write, or refuses it and leaves everything as it was.
    ///
    /// A repeated request is recognised before its version is looked at: its own first success moved the version on,
    /// and a caller who lost that answer must be able to ask again.
    pub fn write(&mut self, write: &Write, stamp: &Stamp) -> Result<Written, ApiError> {
        self.write_if(write, stamp, |_, _| Ok(()))
    }

    /// Carries out a write that nothing else refuses, if `may` does not either.
    pub(crate) fn write_if(
        &mut self,
        write: &Write,
        stamp: &Stamp,
        may: impl FnOnce(&Self, &Planned<'_>) -> Result<(), ApiError>,
    ) -> Result<Written, ApiError> {
        if let Some(answer) = self.recall(write)? {
            return Ok(Written { answer: Answer::Resource(answer), change: None, records: Vec::new() });
        }
        let current = self.find(&write.path).cloned();
        is_as_expected(write, current.as_deref())?;
        let existing = || current.as_deref().ok_or_else(|| ApiError::NotFound { path: write.path.clone() });
        let (resource, operation) = match &write.action {
            Action::Create { spec, tags } => {
                is_free(&write.path, current.as_deref())?;
                self.has_room(&write.path)?;
                self.fits(&write.path, spec)?;
                let tags = merged(&write.path, &Tags::default(), tags)?;
                (Resource::created(write.path.clone(), Arc::clone(spec), tags, stamp), Operation::Created)
            }
            Action::Update { spec } => {
                let existing = existing()?;
                let spec = spec.as_ref().unwrap_or(&existing.spec);
                self.fits(&write.path, spec)?;
                (existing.updated(Arc::clone(spec), stamp.now), Operation::Updated)
            }
            Action::Delete => {
                let deleted = existing()?.deleted(stamp.now);
                self.is_unused(&write.path)?;
                may(self, &Planned::Remove(&write.path))?;
                return Ok(self.remove(deleted));
            }
            Action::Tag(tags) => {
                let existing = existing()?;
                (existing.tagged(merged(&write.path, &existing.tags, tags)?), Operation::Retagged)
            }
            Action::Untag(keys) => {
                let existing = existing()?;
                let mut tags = existing.tags.clone();
                tags.remove(keys.iter().map(String::as_str));
                (existing.tagged(tags), Operation::Retagged)
            }
        };
        may(self, &Planned::Put(&resource))?;
        let written = self.put(write, resource, operation);
        Ok(if operation == Operation::Retagged { written.without_answer() } else { written })
    }

    /// A mesh and all that is in it.
    pub(crate) fn whole_mesh<'s>(&'s self, mesh: &'s MeshName) -> impl Iterator<Item = &'s Arc<Resource>> {
        self.find(&ResourcePath::Mesh(mesh.clone())).into_iter().chain(self.in_mesh(mesh))
    }

    /// The answer that this very request got before, if it is a repetition.
    fn recall(&self, write: &Write) -> Result<Option<Arc<Resource>>, ApiError> {
        let (Some(token), Some(current)) = (&write.token, self.find(&write.path)) else {
            return Ok(None);
        };
        match self.tokens.recall(current.uid, token, write) {
            Recall::New => Ok(None),
            Recall::Same(answer) => Ok(Some(answer)),
            Recall::Different => Err(ApiError::TokenReused {
                path: write.path.clone(),
                token: token.to_string(),
                version: current.version,
            }),
        }
    }

    /// The place for a new resource exists, and has room for one more.
    fn has_room(&self, path: &ResourcePath) -> Result<(), ApiError> {
        let collection = Collection::of(path);
        let parent = collection.parent();
        if let Some(parent) = &parent {
            self.existing(parent)?;
        }
        let count = self.collections.get(&collection).map_or(0, BTreeMap::len);
        let owner = || parent.map_or_else(|| "the account".to_owned(), |parent| parent.to_string());
        self.within(Quota::on(path.kind()), count.saturating_add(1), owner)
    }

    pub(super) fn within(&self, quota: Quota, count: usize, owner: impl FnOnce() -> String) -> Result<(), ApiError> {
        match self.quotas.limit(quota).filter(|limit| count > *limit) {
            Some(limit) => Err(ApiError::QuotaReached { owner: owner(), quota, limit }),
            None => Ok(()),
        }
    }

    /// Nothing is in the resource, and nothing refers to it.
    fn is_unused(&self, path: &ResourcePath) -> Result<(), ApiError> {
        let inside = self.inside(path).map(|user| (Relation::Inside, user));
        match inside.or_else(|| Some((Relation::RefersTo, self.referring_to(path)?))) {
            Some((relation, user)) => {
                Err(ApiError::InUse { path: path.clone(), by: Box::new(user.path.clone()), relation })
            }
            None => Ok(()),
        }
    }

    fn inside<'s>(&'s self, path: &ResourcePath) -> Option<&'s Arc<Resource>> {
        if let ResourcePath::Mesh(mesh) = path {
            return self.in_mesh(mesh).next();
        }
        self.collections.get(&Collection::under(path)?)?.values().next()
    }

    /// Looks at every resource of the mesh: at the quotas that is some ten thousand, in a millisecond, and deletions
    /// are rare.
    fn referring_to<'s>(&'s self, path: &ResourcePath) -> Option<&'s Arc<Resource>> {
        self.in_mesh(path.mesh()).find(|resource| resource.spec.references().contains(path))
    }

    fn in_mesh<'s>(&'s self, mesh: &MeshName) -> impl Iterator<Item = &'s Arc<Resource>> {
        self.collections
            .iter()
            .filter(move |(collection, _)| collection.mesh() == Some(mesh))
            .flat_map(|(_, members)| members.values())
    }

    fn put(&mut self, write: &Write, resource: Resource, operation: Operation) -> Written {
        let resource = Arc::new(resource);
        let mut records = vec![Record::Resource(Arc::clone(&resource))];
        if let Some(token) = &write.token {
            records.extend(self.tokens.remembering(token, write, Arc::clone(&resource)));
        }
        self.done(resource, operation, records)
    }

    fn remove(&mut self, deleted: Resource) -> Written {
        let records = vec![Record::Gone(deleted.path.clone())];
        self.done(Arc::new(deleted), Operation::Deleted, records)
    }

    fn done(&mut self, resource: Arc<Resource>, operation: Operation, records: Vec<Record>) -> Written {
        for record in &records {
            self.play(record);
        }
        let change = Change { path: resource.path.clone(), version: resource.version, operation };
        Written { answer: Answer::Resource(resource), change: Some(change), records }
    }
}

impl Written {
    fn without_answer(self) -> Self {
        Self { answer: Answer::Nothing, ..self }
    }
}

/// The resource is at the version that the caller based the write on, if it says so. For what does not exist, an update
/// or a deletion is refused as such; only a creation is told that the version is 0.
fn is_as_expected(write: &Write, current: Option<&Resource>) -> Result<(), ApiError> {
    let current = match (&write.action, current) {
        (_, Some(resource)) => resource.version,
        (Action::Create { .. }, None) => 0,
        (_, None) => return Ok(()),
    };
    match write.if_version {
        Some(expected) if expected != current => {
            Err(ApiError::VersionMismatch { path: write.path.clone(), expected, current })
        }
        _ => Ok(()),
    }
}

fn is_free(path: &ResourcePath, current: Option<&Resource>) -> Result<(), ApiError> {
    match current {
        Some(resource) => Err(ApiError::AlreadyExists { path: path.clone(), version: resource.version }),
        None => Ok(()),
    }
}

fn merged(path: &ResourcePath, tags: &Tags, added: &[Tag]) -> Result<Tags, ApiError> {
    let mut tags = tags.clone();
    tags.merge(added.iter().cloned())
        .map_err(|TooManyTags { count }| ApiError::TooManyTags { path: path.clone(), count })?;
    Ok(tags)
}
