//! Writes: everything is checked first, then one resource is stored or removed.

use std::sync::Arc;

use mesh::name::{MeshName, ResourcePath};
use mesh::resource::{Tag, Tags, TooManyTags};

use super::record::Record;
use super::request::{Action, Answer, Change, Operation, Write};
use super::resource::{Resource, Stamp};
use super::tokens::TokenUse;
use super::{Collection, State};
use crate::error::{ApiError, Relation};
use crate::quotas::Quota;

/// The answer to a write, and its change: `None` for a repeated request.
#[derive(Debug, Clone, PartialEq)]
pub struct WriteOutcome {
    /// The answer.
    pub answer: Answer,
    /// The change.
    pub change: Option<Change>,
    /// The records that have to be stored: applied in order, they lead to the same state.
    pub records: Vec<Record>,
}

/// The effect of a write that has passed all checks.
#[derive(Debug)]
pub(crate) enum PlannedChange<'a> {
    /// Stores this resource.
    Put(&'a Resource),
    /// Removes the resource at this path.
    Remove(&'a ResourcePath),
}

impl PlannedChange<'_> {
    /// The path of the written resource.
    pub(crate) const fn path(&self) -> &ResourcePath {
        match self {
            Self::Put(resource) => &resource.path,
            Self::Remove(path) => path,
        }
    }
}

impl State {
    /// Executes a write, or refuses it without any change.
    ///
    /// A repeated request is recognised before its version is checked: its own first success incremented the version,
    /// and a caller that lost that answer must be able to repeat the request.
    pub fn write(&mut self, write: &Write, stamp: &Stamp) -> Result<WriteOutcome, ApiError> {
        self.write_if(write, stamp, |_, _| Ok(()))
    }

    /// Executes a write that passes all other checks, if `check` accepts it.
    pub(crate) fn write_if(
        &mut self,
        write: &Write,
        stamp: &Stamp,
        check: impl FnOnce(&Self, &PlannedChange<'_>) -> Result<(), ApiError>,
    ) -> Result<WriteOutcome, ApiError> {
        if let Some(answer) = self.recall(write)? {
            return Ok(WriteOutcome { answer: Answer::Resource(answer), change: None, records: Vec::new() });
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
                (existing.updated(Arc::clone(spec), stamp), Operation::Updated)
            }
            Action::Delete => {
                let deleted = existing()?.deleted(stamp);
                self.is_unused(&write.path)?;
                check(self, &PlannedChange::Remove(&write.path))?;
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
        check(self, &PlannedChange::Put(&resource))?;
        let written = self.put(write, resource, operation);
        Ok(if operation == Operation::Retagged { written.without_answer() } else { written })
    }

    /// A mesh and all resources in it.
    pub(crate) fn whole_mesh<'s>(&'s self, mesh: &'s MeshName) -> impl Iterator<Item = &'s Arc<Resource>> {
        self.find(&ResourcePath::Mesh(mesh.clone())).into_iter().chain(self.in_mesh(mesh))
    }

    /// The answer to the first of the repeated requests, if this is a repetition.
    fn recall(&self, write: &Write) -> Result<Option<Arc<Resource>>, ApiError> {
        let (Some(token), Some(current)) = (&write.token, self.find(&write.path)) else {
            return Ok(None);
        };
        match self.tokens.recall(current.uid, token, write) {
            TokenUse::New => Ok(None),
            TokenUse::Same(answer) => Ok(Some(answer)),
            TokenUse::Different => Err(ApiError::TokenReused {
                path: write.path.clone(),
                token: token.to_string(),
                version: current.version,
            }),
        }
    }

    /// Passes if the parent exists and the quota allows one more resource.
    fn has_room(&self, path: &ResourcePath) -> Result<(), ApiError> {
        let collection = Collection::containing(path);
        let parent = collection.parent();
        if let Some(parent) = &parent {
            self.existing(parent)?;
        }
        let count = self.collections.get(&collection).map_or(0, |members| members.len());
        let owner = || parent.map_or_else(|| "the account".to_owned(), |parent| parent.to_string());
        self.within(Quota::on(path.kind()), count.saturating_add(1), owner)
    }

    pub(super) fn within(&self, quota: Quota, count: usize, owner: impl FnOnce() -> String) -> Result<(), ApiError> {
        match self.quotas.limit(quota).filter(|limit| count > *limit) {
            Some(limit) => Err(ApiError::QuotaReached { owner: owner(), quota, limit }),
            None => Ok(()),
        }
    }

    /// Passes if the resource has no children and no references to it.
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

    /// Searches every resource of the mesh. At the quotas these are some ten thousand, which takes a millisecond, and
    /// deletions are rare.
    fn referring_to<'s>(&'s self, path: &ResourcePath) -> Option<&'s Arc<Resource>> {
        self.in_mesh(path.mesh()).find(|resource| resource.spec.references().contains(path))
    }

    fn in_mesh<'s>(&'s self, mesh: &MeshName) -> impl Iterator<Item = &'s Arc<Resource>> {
        self.collections
            .iter()
            .filter(move |(collection, _)| collection.mesh() == Some(mesh))
            .flat_map(|(_, members)| members.values())
    }

    fn put(&mut self, write: &Write, resource: Resource, operation: Operation) -> WriteOutcome {
        let resource = Arc::new(resource);
        let mut records = vec![Record::Resource(Arc::clone(&resource))];
        if let Some(token) = &write.token {
            records.extend(self.tokens.remembering(token, write, Arc::clone(&resource)));
        }
        self.done(resource, operation, records)
    }

    fn remove(&mut self, deleted: Resource) -> WriteOutcome {
        let records = vec![Record::Deleted(deleted.path.clone())];
        self.done(Arc::new(deleted), Operation::Deleted, records)
    }

    fn done(&mut self, resource: Arc<Resource>, operation: Operation, records: Vec<Record>) -> WriteOutcome {
        for record in &records {
            self.apply(record);
        }
        let change = Change { path: resource.path.clone(), version: resource.version, operation };
        WriteOutcome { answer: Answer::Resource(resource), change: Some(change), records }
    }
}

impl WriteOutcome {
    fn without_answer(self) -> Self {
        Self { answer: Answer::Nothing, ..self }
    }
}

/// Passes if the resource has the version that the write is based on, if it names one. An update or a deletion of a
/// missing resource fails as such elsewhere; only for a creation the version is 0.
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
