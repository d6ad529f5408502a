//! Reads files with all readers.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use readers::{Defect, File, Note, ReadError, Reading, Remark, Skipped, read_with};

use super::args::Around;
use super::files::{Files, Text, Unread, find_with_configurations};
use super::placeholders;
use super::understood::{self, not_understood};
use crate::hcl::{self, Source, is_configuration};

/// The number of files from which a progress bar is shown. A smaller check is too short for one.
const MANY: usize = 50;

/// The paths to read, and the options about them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    /// Files and folders.
    pub(crate) paths: &'a [PathBuf],
    /// The deployment context.
    pub(crate) around: &'a Around,
    /// Whether a path may have no App Mesh resource.
    pub(crate) allow_empty: bool,
    /// Whether unread Terraform modules are notices instead of errors.
    pub(crate) allow_unread_modules: bool,
    /// Whether the placeholders of manifests and API documents get the given parameters.
    pub(crate) fill_placeholders: bool,
}

/// The content of all paths.
#[derive(Debug)]
pub(crate) struct InputRead {
    pub(crate) texts: Vec<Text>,
    pub(crate) reading: Reading,
    pub(crate) unread: Vec<Unread>,
    /// The unevaluated parts of Terraform configurations, and links to folders.
    pub(crate) notices: Vec<String>,
    /// Whether unread parts may add to the meshes.
    pub(crate) has_more: bool,
}

/// Reads all files of the paths.
pub(crate) fn read_input(input: &Input<'_>) -> InputRead {
    let Gathered { mut texts, mut unread, linked_folders } = gather(input.paths);
    if input.fill_placeholders {
        let parameters = input.around.parameters();
        for text in &mut texts {
            placeholders::fill(text, &parameters);
        }
    }
    let (code, documents): (Vec<&Text>, Vec<&Text>) = texts.iter().partition(|text| is_configuration(&text.name));
    let code: Vec<Source<'_>> = code.iter().map(|text| Source { name: &text.name, text: &text.content }).collect();
    let evaluated = hcl::evaluate(&code, &input.around.parameters());
    let files: Vec<File<'_>> = documents.iter().map(|text| File { name: &text.name, text: &text.content }).collect();
    let (mut reading, errors) = read_with(&files, &evaluated.resources, &input.around.surroundings());
    reading.remarks.extend(evaluated.absent.iter().cloned());
    let nothing = not_understood(input.paths, input.allow_empty, &texts, &errors, &evaluated, &reading);
    unread.extend(errors.into_iter().filter(|error| matters(error, &texts)).map(Unread::Content));
    unread.extend(evaluated.errors.into_iter().map(Unread::Content));
    let mut notices = evaluated.notices;
    if input.allow_unread_modules || has_plan(&texts) {
        notices.extend(evaluated.unread_modules.iter().map(ToString::to_string));
    } else {
        unread.extend(evaluated.unread_modules.into_iter().map(Unread::Module));
    }
    // A path needs no further error if its files have errors already.
    let nothing: Vec<Unread> = nothing.into_iter().filter(|nothing| !has_error(nothing, &unread)).collect();
    unread.extend(nothing);
    // Unread parts may contain resources that seem to be missing.
    let has_more = !evaluated.calls_elsewhere.is_empty() || has_parts_elsewhere(&reading);
    notices.extend(
        linked_folders.iter().map(|link| format!("{}: a link to a folder, which was not followed", link.display())),
    );
    InputRead { texts, reading, unread, notices, has_more }
}

/// The content of all files.
struct Gathered {
    texts: Vec<Text>,
    unread: Vec<Unread>,
    linked_folders: Vec<PathBuf>,
}

/// Reads all files, with a progress bar on a terminal for a large number of files.
fn gather(paths: &[PathBuf]) -> Gathered {
    let Files { found, mut unread, linked_folders } = find_with_configurations(paths);
    let bar = if found.len() < MANY { ProgressBar::hidden() } else { ProgressBar::new(found.len() as u64) };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} files {wide_msg}") {
        bar.set_style(style);
    }
    let mut texts = Vec::with_capacity(found.len());
    for file in bar.wrap_iter(found.iter()) {
        match file.read() {
            Ok(text) => texts.push(text),
            Err(error) => unread.push(error),
        }
    }
    bar.finish_and_clear();
    Gathered { texts, unread, linked_folders }
}

/// Whether a read error is reported. A file in an unknown format is an error only if the command line names it.
pub(crate) fn matters(error: &ReadError, texts: &[Text]) -> bool {
    let (file, is_ours) = match error {
        ReadError::NoForm { file, .. } | ReadError::NoKind { file } => (file, false),
        ReadError::Syntax { file, .. } => (file, true),
    };
    texts.iter().any(|text| text.name == *file && (text.named || (is_ours && text.mentions_app_mesh())))
}

/// Whether the errors already include one of a file in the path.
fn has_error(nothing: &Unread, unread: &[Unread]) -> bool {
    let Unread::Nothing { path, .. } = nothing else { return false };
    unread.iter().any(|unread| match unread {
        Unread::Content(error) => understood::file_of(error).starts_with(&*path.to_string_lossy()),
        Unread::File { path: file, .. } => file.starts_with(path),
        Unread::Module(module) => Path::new(&module.file).starts_with(path),
        Unread::Nothing { .. } | Unread::Source { .. } => false,
    })
}

/// Whether a Terraform plan is among the files: it has the resources of all modules.
fn has_plan(texts: &[Text]) -> bool {
    texts.iter().any(|text| text.content.contains("\"planned_values\""))
}

/// Whether unread parts may add to the meshes. Such parts are nested stacks elsewhere, macros, Kustomize patches, and
/// resources with an undecided number of copies.
fn has_parts_elsewhere(reading: &Reading) -> bool {
    let is_elsewhere = |remark: &Remark| match &remark.note {
        Note::NotRead { reason: Skipped::NestedElsewhere { .. } | Skipped::Patch { .. } } => true,
        Note::LeftOut { .. } => matches!(remark.member.as_str(), "Resources" | "Transform"),
        _ => false,
    };
    reading.remarks.iter().any(is_elsewhere)
        || reading.faults.iter().any(|fault| matches!(fault.defect, Defect::Undecided { .. }))
}
