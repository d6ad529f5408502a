//! The paths of the workspace.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};

/// The checkout of this crate.
#[derive(Clone, Debug)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Finds the root, two folders above this crate.
    pub fn find() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.join("../../..");
        let root = fs::canonicalize(&root).map_err(Failure::file("find", root))?;
        Ok(Self { root })
    }

    /// The root folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path of a file in the checkout.
    #[must_use]
    pub fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The names of the functions: each is a folder, a crate and a binary.
    pub fn functions(&self) -> Result<Vec<String>> {
        let folder = self.file("functions");
        let entries = fs::read_dir(&folder).map_err(Failure::file("list", folder))?;
        let crates = entries.flatten().filter(|entry| entry.path().join("Cargo.toml").is_file());
        let mut names: Vec<String> = crates.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// The path of installed and generated files. Their folder may be deleted at any time.
    #[must_use]
    pub fn local(&self, path: &str) -> PathBuf {
        self.root.join(".local").join(path)
    }

    /// The path of a program in the virtual environment.
    #[must_use]
    pub fn venv_program(&self, name: &str) -> PathBuf {
        self.local("venv/bin").join(name)
    }
}
