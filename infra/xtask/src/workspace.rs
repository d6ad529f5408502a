//! Where things are.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};

/// The checkout that this crate belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Two folders above this crate.
    pub(crate) fn of_this_crate() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.join("../..");
        let root = fs::canonicalize(&root).map_err(Failure::file("find", root))?;
        Ok(Self { root })
    }

    /// The root.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A file of the checkout.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The functions, each a folder, a crate and a binary of the same name.
    pub(crate) fn functions(&self) -> Result<Vec<String>> {
        let folder = self.file("functions");
        let entries = fs::read_dir(&folder).map_err(Failure::file("list", folder))?;
        let crates = entries.flatten().filter(|entry| entry.path().join("Cargo.toml").is_file());
        let mut names: Vec<String> = crates.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// What was installed or started here, all of it under one folder that may be deleted at any time.
    pub(crate) fn local(&self, path: &str) -> PathBuf {
        self.root.join(".local").join(path)
    }

    /// A program of the virtual environment.
    pub(crate) fn venv_program(&self, name: &str) -> PathBuf {
        self.local("venv/bin").join(name)
    }
}
