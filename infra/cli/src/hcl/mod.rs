//! Evaluates Terraform configurations without Terraform, as far as possible.
//!
//! ```text
//!   .tf, .tf.json, tfvars ──▶ modules, one a folder ──▶ root modules and called modules, with the values of each call
//!                                                  ──▶ each aws_appmesh_* block ──▶ Configured ──▶ readers
//! ```
//!
//! Only Terraform computes the exact result of a configuration, so the plan of `terraform show -json` is the exact
//! input. Modules with a local source are read, even outside the checked paths. Notices list the unevaluated parts:
//! data sources, and a `count` or `for_each` that depends on them. Modules that were not read are listed apart. A resource that depends on these
//! parts is reported as partly read.

mod evaluate;
mod file;
mod functions;
mod instance;
mod instances;
mod lines;
mod operators;
mod resources;
mod scope;
mod source;
mod types;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use readers::{Configured, ReadError, Remark};

pub(crate) use file::{Source, is_configuration};
use file::{is_code, normal};
use resources::RootOutcome;
use source::Module;

/// The result of evaluating configurations.
#[derive(Debug, Default)]
pub(crate) struct Evaluated {
    /// The App Mesh resources.
    pub(crate) resources: Vec<Configured>,
    /// Parse errors in modules that mention `aws_appmesh_`.
    pub(crate) errors: Vec<ReadError>,
    /// The names of all files that cannot be parsed.
    pub(crate) unparsed: BTreeSet<String>,
    /// The unevaluated parts, and the command for exact input.
    pub(crate) notices: Vec<String>,
    /// The resources and modules that are certainly not created.
    pub(crate) absent: Vec<Remark>,
    /// The files of root modules with calls to a module that was not read.
    pub(crate) calls_elsewhere: BTreeSet<String>,
    /// The calls of modules that were not read.
    pub(crate) unread_modules: BTreeSet<UnreadModule>,
}

/// A call of a module that was not read, so its resources are undecided.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UnreadModule {
    pub(crate) file: String,
    pub(crate) line: usize,
    name: String,
    source: String,
}

impl fmt::Display for UnreadModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, name, source } = self;
        write!(f, "{file}:{line}: module.{name}: {source} was not read")
    }
}

/// The most modules in one run, including modules outside the given files.
const MOST_MODULES: usize = 1_000;

/// The largest file of such a module that is read, in bytes.
const LARGEST: u64 = 1 << 22;

/// Evaluates the modules in the given files. Each folder is a module, and a module without a caller is a root module.
/// The other files of a folder complete the module, but their resources are not reported. `given` are values for
/// variables of root modules.
pub(crate) fn evaluate(files: &[Source<'_>], given: &BTreeMap<String, String>) -> Evaluated {
    let mut folders: BTreeMap<PathBuf, Vec<Source<'_>>> = BTreeMap::new();
    for file in files {
        let folder = Path::new(file.name).parent().unwrap_or_else(|| Path::new(""));
        folders.entry(normal(folder)).or_default().push(*file);
    }
    let mut evaluated = Evaluated::default();
    let mut modules: BTreeMap<PathBuf, Module> = BTreeMap::new();
    for (folder, files) in &folders {
        let siblings = siblings(folder, files);
        let context: Vec<Source<'_>> = siblings.iter().map(|(name, text)| Source { name, text }).collect();
        let module = module(folder, files, &context, given, &mut evaluated);
        modules.insert(folder.clone(), module);
    }
    let own: Vec<PathBuf> = folders.into_keys().collect();
    follow_calls(&mut modules, &mut evaluated);
    let called_by_others: BTreeSet<PathBuf> = (modules.iter())
        .flat_map(|(folder, module)| local_calls(module).filter(move |called| called != folder))
        .collect();
    let (called, roots): (Vec<&PathBuf>, Vec<&PathBuf>) =
        own.iter().partition(|folder| called_by_others.contains(*folder));
    let mut reached = BTreeSet::new();
    // Modules in a call cycle have no root, so each one that is not reached yet is evaluated as a root.
    for folder in roots.into_iter().chain(called) {
        if let Some(module) = modules.get(folder).filter(|_| !reached.contains(folder)) {
            reached.insert(folder.clone());
            evaluated.add(resources::evaluate(module, &modules), &mut reached);
        }
    }
    if !evaluated.resources.is_empty() || !evaluated.calls_elsewhere.is_empty() {
        evaluated.notices.push(
            "Terraform configurations were evaluated without Terraform; the output of `terraform show -json` for a plan is exact"
                .to_owned(),
        );
    }
    evaluated
}

impl Evaluated {
    fn add(&mut self, outcome: RootOutcome<'_>, reached: &mut BTreeSet<PathBuf>) {
        self.resources.extend(outcome.resources);
        self.notices.extend(outcome.undecided);
        self.absent.extend(outcome.absent);
        reached.extend(outcome.called);
        for (call, via) in outcome.elsewhere {
            let source = call.source.as_deref().map_or("an unknown source".to_owned(), |it| format!("`{it}`"));
            // A module with several calls is listed once.
            let (file, line, name) = (call.file.clone(), call.line, call.name.clone());
            self.unread_modules.insert(UnreadModule { file, line, name, source });
            self.calls_elsewhere.insert(via);
        }
    }
}

/// Parses the module of a folder. Its parse errors are reported only if one of its files mentions App Mesh.
fn module(
    folder: &Path,
    files: &[Source<'_>],
    context: &[Source<'_>],
    given: &BTreeMap<String, String>,
    evaluated: &mut Evaluated,
) -> Module {
    let mut module = Module { folder: folder.to_owned(), ..Module::default() };
    let mut errors = Vec::new();
    for (file, is_context) in files.iter().map(|file| (file, false)).chain(context.iter().map(|file| (file, true))) {
        if let Err(error) = module.add(file, is_context) {
            evaluated.unparsed.insert(file.name.to_owned());
            errors.push(error);
        }
    }
    module.give(given);
    if files.iter().any(|file| file.text.contains("aws_appmesh_")) {
        evaluated.errors.append(&mut errors);
    }
    module
}

/// Reads the called modules with a local source that are not among the files.
fn follow_calls(modules: &mut BTreeMap<PathBuf, Module>, evaluated: &mut Evaluated) {
    let mut waiting: Vec<PathBuf> = modules.values().flat_map(local_calls).collect();
    while let Some(folder) = waiting.pop() {
        if modules.contains_key(&folder) || modules.len() >= MOST_MODULES {
            continue;
        }
        let files = siblings(&folder, &[]);
        let files: Vec<Source<'_>> = files.iter().map(|(name, text)| Source { name, text }).collect();
        if files.iter().any(|file| is_code(file.name)) {
            let module = module(&folder, &files, &[], &BTreeMap::new(), evaluated);
            waiting.extend(local_calls(&module));
            modules.insert(folder, module);
        }
    }
}

/// The folders of the modules that a module calls by a local source.
fn local_calls(module: &Module) -> impl Iterator<Item = PathBuf> {
    let sources = module.calls.iter().filter_map(|call| call.source.as_deref());
    let local = sources.filter(|source| source.starts_with("./") || source.starts_with("../"));
    local.map(|source| normal(&module.folder.join(source)))
}

/// The other configuration files in a folder.
fn siblings(folder: &Path, files: &[Source<'_>]) -> Vec<(String, String)> {
    let place = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let name = folder.join(entry.file_name()).to_string_lossy().replace('\\', "/");
        let is_other = files.iter().all(|file| normal(Path::new(file.name)) != Path::new(&name));
        let is_small = || std::fs::metadata(entry.path()).is_ok_and(|file| file.is_file() && file.len() <= LARGEST);
        if is_other
            && is_configuration(&name)
            && is_small()
            && let Ok(text) = std::fs::read_to_string(entry.path())
        {
            found.push((name, text));
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests;
