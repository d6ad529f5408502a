//! Which files are checked.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use mesh::readers::ReadError;
use thiserror::Error;

use crate::hcl::is_configuration;

/// Endings of files that may be of a form.
const ENDINGS: [&str; 6] = ["json", "yaml", "yml", "template", "tmpl", "tpl"];

/// The largest file that is read, in bytes: values take a multiple of their text.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Folders that hold what others wrote or made.
const PASSED_OVER: [&str; 4] = ["node_modules", "target", "vendor", "__pycache__"];

/// Something that can't be read.
#[derive(Debug, Error)]
pub(crate) enum Unread {
    #[error("{}: {problem}", path.display())]
    File { path: PathBuf, problem: io::Error },
    #[error(transparent)]
    Content(ReadError),
    #[error("{}: no App Mesh resource was read here{remedy}", path.display())]
    Nothing { path: PathBuf, remedy: String },
}

/// A file to check.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    path: PathBuf,
    /// Asked for by its name, rather than found in a folder.
    named: bool,
}

/// What a file says.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) name: String,
    pub(crate) content: String,
    pub(crate) named: bool,
}

impl Found {
    pub(crate) fn read(&self) -> Result<Text, Unread> {
        let unread = |problem| Unread::File { path: self.path.clone(), problem };
        let text = if self.path == Path::new("-") {
            limited(io::stdin())
        } else {
            std::fs::File::open(&self.path).and_then(limited)
        };
        let name = self.path.to_string_lossy().replace('\\', "/");
        Ok(Text { name, content: text.map_err(unread)?, named: self.named })
    }
}

/// A text of at most [`LARGEST`] bytes.
fn limited(source: impl io::Read) -> io::Result<String> {
    let mut text = String::new();
    source.take(LARGEST + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length > LARGEST) {
        let why = format!("larger than {} MiB: check its parts", LARGEST / 1024 / 1024);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(text)
}

impl Text {
    /// Whether a file that can't be parsed would be one for this command.
    pub(crate) fn speaks_of_app_mesh(&self) -> bool {
        self.content.contains("AWS::AppMesh::")
            || self.content.contains("appmesh.k8s.aws/")
            || self.content.contains("aws_appmesh_")
    }
}

/// Whether a file or folder of a name is left out: hidden ones, and what others wrote or made.
pub(crate) fn is_passed_over(name: &str) -> bool {
    name.starts_with('.') || PASSED_OVER.contains(&name)
}

/// All files of the paths that readers take, each once, sorted.
pub(crate) fn find(paths: &[PathBuf]) -> (Vec<Found>, Vec<Unread>) {
    find_those(paths, &has_known_ending)
}

/// The same with Terraform configurations.
pub(super) fn find_with_configurations(paths: &[PathBuf]) -> (Vec<Found>, Vec<Unread>) {
    find_those(paths, &|path| has_known_ending(path) || is_configuration(&path.to_string_lossy().replace('\\', "/")))
}

fn has_known_ending(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

fn find_those(paths: &[PathBuf], takes: &dyn Fn(&Path) -> bool) -> (Vec<Found>, Vec<Unread>) {
    let (mut found, mut unread) = (BTreeSet::new(), Vec::new());
    for path in paths {
        if path.is_dir() {
            folder(path, takes, &mut found, &mut unread);
        } else {
            found.insert(Found { path: path.clone(), named: true });
        }
    }
    (found.into_iter().collect(), unread)
}

fn folder(path: &Path, takes: &dyn Fn(&Path) -> bool, found: &mut BTreeSet<Found>, unread: &mut Vec<Unread>) {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(problem) => {
            unread.push(Unread::File { path: path.to_owned(), problem });
            return;
        }
    };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        // A link could lead back to where it is, and a pipe or device would be waited for.
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_symlink() || is_passed_over(&name) {
            continue;
        }
        if kind.is_dir() {
            folder(&path, takes, found, unread);
        } else if kind.is_file() && takes(&path) {
            found.insert(Found { path, named: false });
        }
    }
}
