//! The files of configurations, by their names.

use std::path::{Path, PathBuf};

/// A file of a configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'t> {
    pub(crate) name: &'t str,
    pub(crate) text: &'t str,
}

/// Whether a file belongs to a Terraform configuration or contains variable values.
pub(crate) fn is_configuration(name: &str) -> bool {
    is_code(name) || is_values(name)
}

pub(super) fn is_code(name: &str) -> bool {
    [".tf", ".tf.json", ".tofu"].iter().any(|ending| name.ends_with(ending))
}

/// Whether Terraform automatically loads variable values from a file of this name.
pub(super) fn is_values(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    matches!(name, "terraform.tfvars" | "terraform.tfvars.json")
        || name.ends_with(".auto.tfvars")
        || name.ends_with(".auto.tfvars.json")
}

/// A path without `.` and `..`, as far as possible without the file system.
pub(super) fn normal(path: &Path) -> PathBuf {
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
