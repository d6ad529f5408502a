//! Terraform configurations, evaluated as far as that goes without Terraform.
//!
//! ```text
//!   .tf, .tf.json, tfvars ──▶ modules, one a folder ──▶ evaluate each aws_appmesh_* block ──▶ Configured ──▶ readers
//! ```
//!
//! Only Terraform itself knows what a configuration comes to: `terraform show -json` of a plan stays the exact way.
//! What is not evaluated here (data sources, modules, `count`, `for_each`, dynamic blocks) is listed, and a resource
//! that depends on it is reported as read in part.

mod evaluate;
mod functions;
mod lines;
mod operators;
mod resources;
mod scope;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mesh::readers::{Configured, ReadError};

use resources::Outcome;
use source::Module;

/// A file of a configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'t> {
    pub(crate) name: &'t str,
    pub(crate) text: &'t str,
}

/// What configurations came to.
#[derive(Debug, Default)]
pub(crate) struct Evaluated {
    /// The resources of App Mesh.
    pub(crate) resources: Vec<Configured>,
    /// Files that cannot be parsed, of modules that speak of App Mesh.
    pub(crate) errors: Vec<ReadError>,
    /// All files that cannot be parsed.
    pub(crate) unparsed: BTreeSet<String>,
    /// What was not evaluated, and what is the exact way.
    pub(crate) notices: Vec<String>,
    /// The folders in which a module is called whose source is not among the files.
    pub(crate) calls_elsewhere: BTreeSet<PathBuf>,
}

/// Whether a file is a part of a Terraform configuration, or gives it values.
pub(crate) fn is_configuration(name: &str) -> bool {
    is_code(name) || is_values(name)
}

fn is_code(name: &str) -> bool {
    [".tf", ".tf.json", ".tofu"].iter().any(|ending| name.ends_with(ending))
}

/// Whether Terraform takes values from a file of this name by itself.
fn is_values(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    matches!(name, "terraform.tfvars" | "terraform.tfvars.json")
        || name.ends_with(".auto.tfvars")
        || name.ends_with(".auto.tfvars.json")
}

/// Evaluates the modules that files make: a folder is a module. A file that was named alone is evaluated with the
/// others of its folder, whose resources are left out. `given` are values for variables of root modules.
pub(crate) fn evaluate(files: &[Source<'_>], given: &BTreeMap<String, String>) -> Evaluated {
    let mut folders: BTreeMap<PathBuf, Vec<Source<'_>>> = BTreeMap::new();
    for file in files {
        let folder = Path::new(file.name).parent().unwrap_or_else(|| Path::new("")).to_owned();
        folders.entry(folder).or_default().push(*file);
    }
    let mut evaluated = Evaluated::default();
    let known: BTreeSet<PathBuf> = folders.keys().cloned().collect();
    for (folder, files) in &folders {
        let siblings = siblings(folder, files);
        let context: Vec<Source<'_>> = siblings.iter().map(|(name, text)| Source { name, text }).collect();
        module(folder, files, &context, &known, given, &mut evaluated);
    }
    if !evaluated.resources.is_empty() || !evaluated.calls_elsewhere.is_empty() {
        evaluated.notices.push(
            "Terraform configurations were evaluated without Terraform; what `terraform show -json` writes of a plan is exact"
                .to_owned(),
        );
    }
    evaluated
}

fn module(
    folder: &Path,
    files: &[Source<'_>],
    context: &[Source<'_>],
    known: &BTreeSet<PathBuf>,
    given: &BTreeMap<String, String>,
    evaluated: &mut Evaluated,
) {
    let speaks = |file: &Source<'_>| file.text.contains("aws_appmesh_");
    let mut module = Module::default();
    let mut errors = Vec::new();
    for (file, is_context) in files.iter().map(|file| (file, false)).chain(context.iter().map(|file| (file, true))) {
        if let Err(error) = module.add(file, is_context) {
            evaluated.unparsed.insert(file.name.to_owned());
            errors.push(error);
        }
    }
    module.give(given);
    // A module that has nothing to do with App Mesh is nobody's to complain about.
    if files.iter().any(speaks) {
        evaluated.errors.append(&mut errors);
    }
    let Outcome { resources, undecided } = resources::evaluate(&module);
    evaluated.resources.extend(resources);
    evaluated.notices.extend(undecided);
    for call in module.calls.iter().filter(|call| !call.is_context) {
        let local = call.source.as_deref().filter(|source| source.starts_with('.'));
        let is_read = local.is_some_and(|source| known.contains(&normal(&folder.join(source))));
        let source = call.source.as_deref().unwrap_or("a source that is not known");
        let (file, line, name) = (&call.file, call.line, &call.name);
        evaluated.notices.push(if is_read {
            format!("{file}:{line}: module.{name}: `{source}` was read by itself, without the values given to it here")
        } else {
            evaluated.calls_elsewhere.insert(folder.to_owned());
            format!("{file}:{line}: module.{name}: `{source}` was not read")
        });
    }
}

/// The other files of a folder's module, which are not to be checked themselves.
fn siblings(folder: &Path, files: &[Source<'_>]) -> Vec<(String, String)> {
    let place = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let name = folder.join(entry.file_name()).to_string_lossy().replace('\\', "/");
        let is_other = files.iter().all(|file| file.name != name);
        if is_other
            && is_configuration(&name)
            && let Ok(text) = std::fs::read_to_string(entry.path())
        {
            found.push((name, text));
        }
    }
    found.sort();
    found
}

/// A path without `.` and `..`, as far as that is possible.
fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if parts.file_name().is_some() => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts
}

#[cfg(test)]
mod tests;
