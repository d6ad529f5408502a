//! Readers for every form of a mesh, with one model as their result.
//!
//! ```text
//!   AWS Config item ──┐
//!   CloudFormation ───┤  names, tags, spec        spelling, respell
//!   Terraform plan ───┼─────────────────────────▶───────────────────▶ declare ──▶ Reading: resources, remarks,
//!   manifests ────────┤  in the form's spelling          API's                    refusals, faults
//!   API JSON ─────────┘
//! ```
//!
//! A reader parses text and returns a [`Reading`]. A value that a file leaves open (a parameter without a value, an
//! attribute that is known after apply) stays visible: as a text that stands in for it, and as a [`Remark`]. An
//! unreadable resource becomes a [`Refusal`] and does not affect the others.

mod api;
mod cloudformation;
mod config_item;
mod declare;
mod form;
mod input;
mod json;
mod kustomize;
mod manifest;
mod member_lines;
mod node;
mod reading;
mod reference_members;
mod respell;
mod respell_back;
mod spelling;
mod spots;
mod stand_ins;
mod terraform;
mod unheld;
mod yaml;

use serde_json::Value;

use spots::Spot;

pub use form::Form;
pub use input::{File, Surroundings};
pub use manifest::selects;
pub use member_lines::{MemberLines, member_lines};
pub use reading::{Declared, Defect, DeletedItem, Fault, Note, ReadError, Reading, Refusal, Remark, Skipped, Source};
pub use respell_back::spell;
pub use stand_ins::stand_in;
pub use terraform::Configured;
pub use unheld::{UnheldMember, UnheldReason};

/// Reads one file alone; its content determines the form.
pub fn read(text: &str, name: &str, around: &Surroundings) -> Result<Reading, ReadError> {
    let (reading, mut errors) = read_all(&[File { name, text }], around);
    errors.pop().map_or(Ok(reading), Err)
}

/// Reads files that belong together: manifests select and refer to each other across files. Unreadable files are
/// returned separately.
#[must_use]
pub fn read_all(files: &[File<'_>], around: &Surroundings) -> (Reading, Vec<ReadError>) {
    read_with(files, &[], around)
}

/// Reads files together with resources of Terraform configurations, which the caller evaluated. A resource that is also
/// in a plan among the files is read from the plan.
#[must_use]
pub fn read_with(files: &[File<'_>], configured: &[Configured], around: &Surroundings) -> (Reading, Vec<ReadError>) {
    let mut reading = Reading::default();
    let mut errors = Vec::new();
    let mut manifests = manifest::Objects::default();
    let mut templates = cloudformation::Templates::default();
    let patches = kustomize::patches(files);
    for file in files {
        if let Some(kustomization) = patches.get(&kustomize::plain(file.name)) {
            let source = Source { file: file.name.to_owned(), id: "patch".to_owned() };
            let reason = Skipped::Patch { kustomization: kustomization.clone() };
            reading.remark(&source, "", Note::NotRead { reason });
            continue;
        }
        let documents = match documents(file, &mut reading) {
            Ok(documents) => documents,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        let Some(form) = documents.iter().find_map(|(document, _)| form_of(document)) else {
            if !add_context(file.name, &documents, &mut manifests, &mut templates) {
                errors.push(formless(file, &documents));
            }
            continue;
        };
        for (document, spot) in documents {
            match form {
                Form::ConfigItem => config_item::read(file.name, &document, &spot, &mut reading),
                Form::CloudFormation => templates.add(file.name, document, spot),
                Form::Terraform => terraform::read(file.name, &document, &spot, &mut reading),
                Form::Manifest => manifests.add(file.name, &document, &spot, around, &mut reading),
                Form::Api => api::read(file.name, &document, &spot, around, &mut reading),
            }
        }
    }
    terraform::declare_configured(configured, &mut reading);
    templates.declare(around, &mut reading);
    manifests.declare(around, &mut reading);
    reading.sort();
    (reading, errors)
}

/// Adds documents without App Mesh resources that affect those of other files: the labels of namespaces, and the
/// manifests that the CDK writes next to its templates.
fn add_context(
    file: &str,
    documents: &[(Value, Spot)],
    manifests: &mut manifest::Objects,
    templates: &mut cloudformation::Templates,
) -> bool {
    let mut is_read = false;
    for (document, spot) in documents {
        if document.as_object().is_some_and(cloudformation::is_assembly) {
            templates.assembly.add(file, document);
            is_read = true;
        } else {
            is_read |= manifests.add_namespace(file, document, spot);
        }
    }
    is_read
}

/// The form of a file's content. Returns an error if no reader supports it.
pub fn detect(text: &str, name: &str) -> Result<Form, ReadError> {
    let documents = documents(&File { name, text }, &mut Reading::default())?;
    documents
        .iter()
        .find_map(|(document, _)| form_of(document))
        .ok_or_else(|| formless(&File { name, text }, &documents))
}

/// The reason why documents have no known form.
fn formless(file: &File<'_>, documents: &[(Value, Spot)]) -> ReadError {
    let name = file.name.to_owned();
    if documents.iter().any(|(document, _)| api::is_spec_alone(document)) {
        ReadError::NoKind { file: name }
    } else {
        ReadError::NoForm { file: name, remedy: remedy(file.name).unwrap_or_default() }
    }
}

/// The input to use instead of a source file that another program must evaluate first.
fn remedy(file: &str) -> Option<&'static str> {
    let ending = file.rsplit(['/', '.']).next().unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "tf" | "tfvars" | "hcl" | "tofu" => Some("; give what `terraform show -json` writes of a plan"),
        "ts" | "js" | "mjs" | "cjs" | "mts" | "tsx" | "jsx" | "py" | "java" | "cs" | "go" | "kt" => {
            Some("; give the templates that `cdk synth` writes")
        }
        "tfplan" => Some("; give what `terraform show -json` writes of it"),
        _ => None,
    }
}

/// The documents of a file with their positions: one JSON document, or any number of YAML documents. An unreadable YAML
/// document is refused alone.
fn documents(file: &File<'_>, reading: &mut Reading) -> Result<Vec<(Value, Spot)>, ReadError> {
    let text = file.text.trim_start_matches('\u{feff}');
    let syntax = |(line, message): (usize, String)| {
        // A template of Helm or a similar tool has unknown values until it is rendered.
        let hint = if text.contains("{{") { "; it has `{{`, and a template is to be rendered first" } else { "" };
        let hint = remedy(file.name).unwrap_or(hint);
        ReadError::Syntax { file: file.name.to_owned(), line, message: format!("{message}{hint}") }
    };
    let mut of_json = None;
    if text.trim_start().starts_with(['{', '[']) {
        // JSON is parsed as JSON because of its exact escapes; YAML's flow style starts the same way.
        match json::document(text) {
            Ok(document) => return Ok(placed(vec![document], text, 1)),
            Err(error) => {
                if let Some(documents) = json_documents(text) {
                    return Ok(documents);
                }
                of_json = Some(error);
            }
        }
    }
    match yaml::documents(text) {
        Ok(documents) => Ok(placed(documents, text, 1)),
        Err(whole) => {
            let (read, refused) = yaml::documents_apart(text);
            let documents: Vec<(Value, Spot)> =
                read.into_iter().flat_map(|part| placed(part.documents, &part.text, part.begin)).collect();
            if documents.iter().find_map(|(document, _)| form_of(document)).is_none() {
                return Err(syntax(of_json.unwrap_or(whole)));
            }
            for yaml::Unread { title, line, message } in refused {
                let source = Source { file: file.name.to_owned(), id: title };
                reading.refuse(source, format!("line {line}"), message);
            }
            Ok(documents)
        }
    }
}

/// Several JSON documents in one file, such as JSON lines, with their positions.
fn json_documents(text: &str) -> Option<Vec<(Value, Spot)>> {
    let documents = json::documents(text).filter(|documents| documents.len() > 1)?;
    let ends: Vec<usize> = documents.iter().skip(1).map(|(_, begin)| *begin).chain([text.len()]).collect();
    let documents = documents.into_iter().zip(ends).flat_map(|((document, begin), end)| {
        let line = text.get(..begin).unwrap_or_default().matches('\n').count() + 1;
        placed(vec![document], text.get(begin..end).unwrap_or_default(), line)
    });
    Some(documents.collect())
}

/// The documents of a text with their positions. The text starts at the line `begin` of its file.
fn placed(documents: Vec<Value>, text: &str, begin: usize) -> Vec<(Value, Spot)> {
    let spots = spots::documents(text, begin).filter(|spots| spots.len() == documents.len());
    let spots = spots.unwrap_or_else(|| vec![Spot::at(begin); documents.len()]);
    documents.into_iter().zip(spots).collect()
}

fn form_of(document: &Value) -> Option<Form> {
    let object = match document {
        Value::Object(object) => object,
        Value::Array(items) => return items.iter().find_map(form_of),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    };
    let has = |name: &str| object.contains_key(name);
    if cloudformation::is_template(object) {
        Some(Form::CloudFormation)
    } else if has("planned_values") || has("terraform_version") {
        Some(Form::Terraform)
    } else if manifest::is_object(object) {
        Some(Form::Manifest)
    } else if config_item::is_item(object) {
        Some(Form::ConfigItem)
    } else if api::is_resource(object) {
        Some(Form::Api)
    } else {
        None
    }
}
