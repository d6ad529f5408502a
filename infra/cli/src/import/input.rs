//! Reads the resources of files for an import.

use std::collections::BTreeSet;

use imports::{Desired, EXPORT_MARKER, InputOptions};
use readers::{Form, detect};
use serde_json::Value;

use super::error::ImportError;
use crate::check::{Input, InputRead, Text, read_input};

/// The resources of the files, and notices about the reading.
#[derive(Debug)]
pub(crate) struct DesiredInput {
    pub(crate) desired: Desired,
    pub(crate) notices: Vec<String>,
}

/// Reads the files, or refuses everything.
pub(crate) fn desired(input: &Input<'_>, drop_unknown: bool, only: Option<Form>) -> Result<DesiredInput, ImportError> {
    let InputRead { texts, reading, unread, notices, .. } = read_input(input);
    let mut unread: Vec<String> = unread.iter().map(ToString::to_string).collect();
    unread.extend(texts.iter().filter_map(|text| of_other_form(text, only?)));
    let options = InputOptions {
        mesh_given: input.around.has_mesh(),
        namespace_given: input.around.has_namespace(),
        drop_unknown,
        exact_files: exact_files(&texts),
    };
    match Desired::from_reading(&reading, &options) {
        Ok(desired) if unread.is_empty() && desired.resources.is_empty() && desired.skipped.is_empty() => {
            let paths: Vec<String> = input.paths.iter().map(|path| path.display().to_string()).collect();
            Err(ImportError::Nothing { paths: paths.join(", ") })
        }
        Ok(desired) if unread.is_empty() => Ok(DesiredInput { desired, notices }),
        Ok(_) => Err(ImportError::Input { unread, refused: Vec::new() }),
        Err(refused) => Err(ImportError::Input { unread, refused }),
    }
}

/// The problem of a file in another form than the command reads.
fn of_other_form(text: &Text, only: Form) -> Option<String> {
    let form = detect(&text.content, &text.name).ok().filter(|form| *form != only)?;
    let form = match form {
        Form::ConfigItem => "AWS Config items",
        Form::CloudFormation => "a CloudFormation template",
        Form::Terraform => "a Terraform plan or state",
        Form::Manifest => "Kubernetes manifests",
        Form::Api => "API JSON",
    };
    Some(format!("{}: contains {form}, and `apply` reads only API JSON; use `meshwarden import`", text.name))
}

/// The files that `meshwarden export` wrote: their texts are values and no placeholders.
fn exact_files(texts: &[Text]) -> BTreeSet<String> {
    let is_export = |text: &&Text| {
        text.content.contains(EXPORT_MARKER)
            && serde_json::from_str::<Value>(&text.content).is_ok_and(|document| document.get(EXPORT_MARKER).is_some())
    };
    texts.iter().filter(is_export).map(|text| text.name.clone()).collect()
}
