//! The resources that files declare, without any guess.

mod choice;
mod input_options;
mod notes;
mod skipped;

use std::collections::{BTreeMap, BTreeSet};

use mesh::name::ResourcePath;
use mesh::resource::Tags;
use mesh::spec::{Refusal, Spec, Violation};
use mesh::validate;
use readers::{Declared, Defect, MemberLines, Note, Reading, Source, UnheldMember};
use serde::Serialize;
use serde_json::Value;

use crate::InputRefusal;
use choice::choose;
pub use input_options::InputOptions;
use notes::{problem_of_defect, problem_of_note};
pub use skipped::SkippedResource;

/// The resources that files declare.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desired {
    /// The resources by path.
    pub resources: BTreeMap<ResourcePath, DesiredResource>,
    /// Declarations that create no resource, such as one with a false condition.
    pub skipped: Vec<SkippedResource>,
}

/// A resource that a file declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredResource {
    /// Its spec, which the API accepts.
    pub spec: Spec,
    /// Its tags; `None` if the form has no tags.
    pub tags: Option<Tags>,
    /// The owner of its mesh as the file names it, which may be an expression without a value.
    pub mesh_owner: Option<String>,
    /// The location of the declaration.
    pub source: Source,
    /// The line of the declaration, from 1.
    pub line: usize,
    /// The lines of its members.
    pub lines: MemberLines,
    /// Members of the form that the API does not have.
    pub unheld: Vec<UnheldMember>,
    /// Unknown members, which were dropped on request.
    pub dropped: Vec<DroppedMember>,
}

/// An unknown member that was dropped on request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DroppedMember {
    /// The member as the file spells it.
    pub member: String,
    /// The line, from 1.
    pub line: usize,
    /// The most similar member of the form.
    pub suggestion: Option<String>,
}

impl Desired {
    /// The resources of a reading. The error lists every part of the input that is unread, unknown or ambiguous.
    pub fn from_reading(reading: &Reading, options: &InputOptions) -> Result<Self, Vec<InputRefusal>> {
        let mut refused: Vec<InputRefusal> = reading.refusals.iter().flat_map(of_refusal).collect();
        let mut desired = Self::default();
        let chosen = choose(reading, &mut desired.skipped, &mut refused);
        for remark in &reading.remarks {
            let is_exact = options.exact_files.contains(&remark.source.file);
            if is_exact && matches!(remark.note, Note::Unresolved { .. }) {
                continue;
            }
            problem_of_note(remark, options, reading, &mut desired.skipped, &mut refused);
        }
        for fault in &reading.faults {
            let is_dropped = matches!(fault.defect, Defect::UnknownMember { .. }) && options.drop_unknown;
            if let Some((problem, remedy)) = problem_of_defect(&fault.defect).filter(|_| !is_dropped) {
                refused.push(InputRefusal::new(&fault.source, Some(fault.line), &fault.part, problem, remedy));
            }
        }
        for declared in chosen {
            match accepted(declared, reading, options) {
                Ok(resource) => {
                    desired.resources.insert(declared.path.clone(), resource);
                }
                Err(problems) => refused.extend(problems),
            }
        }
        if refused.is_empty() {
            desired.skipped.sort();
            desired.skipped.dedup();
            return Ok(desired);
        }
        refused.sort();
        refused.dedup();
        Err(without_consequences(refused))
    }
}

/// The refusals without those of members with an unknown value: the text in its place is often invalid.
fn without_consequences(refused: Vec<InputRefusal>) -> Vec<InputRefusal> {
    let unknown: BTreeSet<(String, String, String)> =
        refused.iter().filter(|one| one.unknown.is_some()).map(InputRefusal::place).collect();
    let is_consequence = |one: &InputRefusal| one.unknown.is_none() && unknown.contains(&one.place());
    refused.into_iter().filter(|one| !is_consequence(one)).collect()
}

/// A declaration that the API accepts, regardless of other resources.
fn accepted(
    declared: &Declared,
    reading: &Reading,
    options: &InputOptions,
) -> Result<DesiredResource, Vec<InputRefusal>> {
    let Declared { path, spec, tags, mesh_owner, source, line, lines, unheld, .. } = declared;
    let mut dropped = Vec::new();
    if options.drop_unknown {
        let misspelt = reading.faults.iter().filter(|fault| fault.source == *source);
        dropped.extend(misspelt.filter_map(|fault| match &fault.defect {
            Defect::UnknownMember { suggestion, .. } => {
                Some(DroppedMember { member: fault.part.clone(), line: fault.line, suggestion: suggestion.clone() })
            }
            _ => None,
        }));
    }
    let line_of = |member: &str| lines.line_of(member).unwrap_or(*line);
    let problem = |violation: &Violation| {
        let remedy = match violation.refusal {
            Refusal::MemberUnknown { .. } => "or pass --drop-unknown to import the rest of the resource".to_owned(),
            _ => String::new(),
        };
        let text = violation.refusal.to_string();
        InputRefusal::new(source, Some(line_of(&violation.path)), &violation.path, text, remedy)
    };
    let mut json = spec.to_json();
    if options.drop_unknown
        && let Err(violations) = validate::read(path.kind(), &json)
    {
        for violation in violations.iter().filter(|one| matches!(one.refusal, Refusal::MemberUnknown { .. })) {
            if remove(&mut json, &violation.path) {
                let line = line_of(&violation.path);
                dropped.push(DroppedMember { member: violation.path.clone(), line, suggestion: None });
            }
        }
    }
    let spec =
        validate::parse(path.kind(), &json).map_err(|violations| violations.iter().map(problem).collect::<Vec<_>>())?;
    dropped.sort();
    dropped.dedup();
    Ok(DesiredResource {
        spec,
        tags: tags.clone(),
        mesh_owner: mesh_owner.as_ref().map(ToString::to_string).or_else(|| owner_text(source, reading)),
        source: source.clone(),
        line: *line,
        lines: lines.clone(),
        unheld: unheld.clone(),
        dropped,
    })
}

/// The owner of a mesh that is not a valid account.
fn owner_text(source: &Source, reading: &Reading) -> Option<String> {
    reading.remarks.iter().filter(|remark| remark.source == *source).find_map(|remark| match &remark.note {
        Note::OwnerUnknown { given } => Some(given.clone()),
        _ => None,
    })
}

/// Removes the member at a path such as `spec.listeners[0].old`. Returns whether it existed.
fn remove(spec: &mut Value, path: &str) -> bool {
    let Some((holder, name)) = path.rsplit_once('.') else { return false };
    let pointer: String =
        holder.strip_prefix("spec").unwrap_or(holder).replace('[', "/").replace(']', "").replace('.', "/");
    let holder = spec.pointer_mut(&pointer).and_then(Value::as_object_mut);
    holder.is_some_and(|members| members.shift_remove(name).is_some())
}

fn of_refusal(refused: &readers::Refusal) -> Vec<InputRefusal> {
    let of = |violation: &Violation| {
        InputRefusal::new(&refused.source_, refused.line, &violation.path, violation.refusal.to_string(), String::new())
    };
    refused.violations.iter().map(of).collect()
}

#[cfg(test)]
mod tests;
