//! Writes meshes to files that can be imported again.

mod cloudformation;
mod hcl;
mod parts;
mod terraform;

use mesh::name::ResourcePath;
use serde_json::{Value, json};

use crate::held::Held;
use crate::step::rank;
use parts::{names, pretty, tag_list};

/// The member of an exported API document that marks its values as exact: a text such as `${NAME}` in it is no
/// placeholder.
pub const EXPORT_MARKER: &str = "meshwardenExport";

/// The version of the exported API documents.
const EXPORT_VERSION: u8 = 1;

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// Inputs of the App Mesh API in one JSON document, which `meshwarden apply` reads.
    Json,
    /// A CloudFormation template in JSON.
    CloudFormation,
    /// A Terraform configuration in HCL.
    Terraform,
}

/// Writes the resources in the order of their creation.
#[must_use]
pub fn export(held: &Held, format: ExportFormat) -> String {
    let mut paths: Vec<&ResourcePath> = held.keys().collect();
    paths.sort_by_key(|path| (path.mesh(), rank(path.kind()), *path));
    match format {
        ExportFormat::Json => json_document(&paths, held),
        ExportFormat::CloudFormation => cloudformation::template(&paths, held),
        ExportFormat::Terraform => terraform::configuration(&paths, held),
    }
}

fn json_document(paths: &[&ResourcePath], held: &Held) -> String {
    let resources = paths.iter().filter_map(|path| {
        let resource = held.get(path)?;
        let mut members = names(path);
        members.insert("spec".to_owned(), resource.spec.to_json());
        members.insert("tags".to_owned(), tag_list(&resource.tags, "key", "value"));
        Some(Value::Object(members))
    });
    let document = json!({EXPORT_MARKER: EXPORT_VERSION, "resources": resources.collect::<Vec<_>>()});
    pretty(&document)
}

#[cfg(test)]
mod tests;
