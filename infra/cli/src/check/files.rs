//! Finds and reads the files to check.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use readers::ReadError;
use thiserror::Error;

use crate::hcl::{UnreadModule, is_configuration};

/// The extensions of files in a supported format.
const ENDINGS: [&str; 8] = ["json", "jsonl", "ndjson", "yaml", "yml", "template", "tmpl", "tpl"];

/// The largest file that is read, in bytes. Parsed values need a multiple of their text.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Folders with third-party code or build output.
const SKIPPED: [&str; 4] = ["node_modules", "target", "vendor", "__pycache__"];

/// An unreadable file or path.
#[derive(Debug, Error)]
pub(crate) enum Unread {
    #[error("{}: {problem}", path.display())]
    File { path: PathBuf, problem: io::Error },
    #[error(transparent)]
    Content(ReadError),
    #[error("{}: no App Mesh resource was read here{remedy}", path.display())]
    Nothing { path: PathBuf, remedy: String },
    #[error("{}: contains sources of App Mesh resources that were not read{remedy}", path.display())]
    Source { path: PathBuf, remedy: String },
    #[error(
        "{0}, so its App Mesh resources are undecided: check what `terraform show -json PLAN` writes, or pass \
         --allow-unread-modules if it has none"
    )]
    Module(UnreadModule),
}

/// A file to check.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    path: PathBuf,
    /// Whether the command line names the file, rather than a folder.
    named: bool,
}

/// The content of a file.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) name: String,
    pub(crate) content: String,
    pub(crate) named: bool,
}

impl Found {
    pub(crate) fn read(&self) -> Result<Text, Unread> {
        let unread = |problem| Unread::File { path: self.path.clone(), problem };
        let bytes = if self.path == Path::new("-") {
            limited(io::stdin())
        } else {
            fs::File::open(&self.path).and_then(limited)
        };
        let bytes = bytes.map_err(unread)?;
        let content = match text_of(&bytes) {
            // A binary file in a folder is ignored, unless it mentions App Mesh.
            Err(_) if !self.named && !mentions_app_mesh(&bytes) => String::new(),
            content => content.map_err(unread)?,
        };
        let name = self.path.to_string_lossy().replace('\\', "/");
        Ok(Text { name, content, named: self.named })
    }
}

/// Reads at most [`LARGEST`] bytes; a larger source is an error.
fn limited(source: impl io::Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) {
        let why = format!("larger than {} MiB: check its parts", LARGEST / 1024 / 1024);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

/// Decodes UTF-8, or UTF-16 with a byte order mark, which `>` of PowerShell writes.
fn text_of(bytes: &[u8]) -> io::Result<String> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let wide = |bytes: &[u8], number: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let text = String::from_utf16(&pairs.iter().map(|pair| number(*pair)).collect::<Vec<_>>());
        text.ok()
            .filter(|_| rest.is_empty())
            .ok_or_else(|| invalid("is not UTF-16, despite its byte order mark".to_owned()))
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0x1f, 0x8b, ..] => Err(invalid("is compressed: decompress it first, for example with `gunzip`".to_owned())),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => {
                let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let line = before.split(|byte| *byte == b'\n').count();
                Err(invalid(format!("line {line}: is not UTF-8: save it in this encoding")))
            }
        },
    }
}

/// Whether undecodable bytes mention App Mesh.
fn mentions_app_mesh(bytes: &[u8]) -> bool {
    bytes.windows("appmesh".len()).any(|window| window.eq_ignore_ascii_case(b"appmesh"))
}

impl Text {
    /// Whether a file that cannot be parsed mentions App Mesh resources.
    pub(crate) fn mentions_app_mesh(&self) -> bool {
        self.content.contains("AWS::AppMesh::")
            || self.content.contains("appmesh.k8s.aws/")
            || self.content.contains("aws_appmesh_")
    }
}

/// Whether a file or folder name is skipped: hidden files, third-party code and build output.
pub(crate) fn is_skipped(name: &str) -> bool {
    name.starts_with('.') || SKIPPED.contains(&name)
}

/// The files of the given paths.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// The files, unique and sorted.
    pub(crate) found: BTreeSet<Found>,
    pub(crate) unread: Vec<Unread>,
    /// Links to folders, which are not followed. They could form a loop, or lead out of the checked paths.
    pub(crate) linked_folders: Vec<PathBuf>,
}

/// All files of the paths in a format of the readers.
pub(crate) fn find(paths: &[PathBuf]) -> Files {
    find_matching(paths, &has_known_ending)
}

/// As [`find`], with Terraform configurations.
pub(super) fn find_with_configurations(paths: &[PathBuf]) -> Files {
    find_matching(paths, &|path| has_known_ending(path) || is_configuration(&path.to_string_lossy().replace('\\', "/")))
}

fn has_known_ending(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

fn find_matching(paths: &[PathBuf], accepts: &dyn Fn(&Path) -> bool) -> Files {
    let mut files = Files::default();
    for path in paths {
        if path.is_dir() {
            files.add_folder(path, accepts);
        } else {
            files.found.insert(Found { path: path.clone(), named: true });
        }
    }
    files
}

impl Files {
    fn add_folder(&mut self, path: &Path, accepts: &dyn Fn(&Path) -> bool) {
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(problem) => {
                self.unread.push(Unread::File { path: path.to_owned(), problem });
                return;
            }
        };
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if is_skipped(&name) {
                continue;
            }
            let Ok(kind) = entry.file_type() else { continue };
            let is_link = kind.is_symlink();
            let kind = if is_link { fs::metadata(&path).map(|target| target.file_type()) } else { Ok(kind) };
            match kind {
                Ok(kind) if kind.is_dir() && is_link => self.linked_folders.push(path),
                Ok(kind) if kind.is_dir() => self.add_folder(&path, accepts),
                // Only regular files are read, since a read of a pipe or device could block.
                Ok(kind) if kind.is_file() && accepts(&path) => {
                    self.found.insert(Found { path, named: false });
                }
                Err(problem) if accepts(&path) => self.unread.push(Unread::File { path, problem }),
                Ok(_) | Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_decoded_by_their_first_bytes() {
        let wide = |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        let text = "\u{feff}{\"a\": \"ä\"}";
        assert_eq!(text_of(&wide(text, u16::to_le_bytes)).unwrap(), "{\"a\": \"ä\"}");
        assert_eq!(text_of(&wide(text, u16::to_be_bytes)).unwrap(), "{\"a\": \"ä\"}");
        assert_eq!(text_of(text.as_bytes()).unwrap(), text, "readers remove this mark");
        for (bytes, expected) in [
            (&b"a: 1\nb: \xe4\n"[..], "line 2: is not UTF-8"),
            (b"\x1f\x8b\x08", "gunzip"),
            (b"\xff\xfe{", "is not UTF-16"),
        ] {
            let error = text_of(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
