//! Paths of which nothing was understood: a check that read nothing is no success.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use mesh::readers::{Note, ReadError, Reading, Skipped};

use super::files::{Text, Unread, is_passed_over};
use crate::hcl::Evaluated;

/// The largest source file that is searched for App Mesh. Those that people write are far smaller.
const LARGEST: u64 = 1 << 20;

/// What a folder holds in place of files that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Foreign {
    Terraform,
    Cdk,
    Helm,
    Kustomize,
}

impl Foreign {
    /// What turns it into files that can be read.
    const fn remedy(self) -> &'static str {
        match self {
            Self::Terraform => "Terraform: check what `terraform show -json PLAN` writes",
            Self::Cdk => "CDK: run `cdk synth` and check `cdk.out`",
            Self::Helm => "Helm: check what `helm template` writes",
            Self::Kustomize => "Kustomize: check what `kustomize build` writes",
        }
    }
}

/// The paths of which nothing was understood, and those whose App Mesh resources are all in sources that were not read.
pub(super) fn not_understood(
    paths: &[PathBuf],
    texts: &[Text],
    errors: &[ReadError],
    evaluated: &Evaluated,
    reading: &Reading,
) -> Vec<Unread> {
    let failed: HashSet<&str> =
        errors.iter().map(file_of).chain(evaluated.unparsed.iter().map(String::as_str)).collect();
    let understood: Vec<&str> =
        texts.iter().map(|text| text.name.as_str()).filter(|name| !failed.contains(name)).collect();
    let resources: HashSet<&str> = (reading.resources.iter().map(|declared| declared.source.file.as_str()))
        .chain(reading.refusals.iter().map(|refusal| refusal.source_.file.as_str()))
        .collect();
    let elsewhere = |file: &str| {
        reading.remarks.iter().any(|remark| {
            let is_elsewhere = matches!(&remark.note, Note::NotRead { reason: Skipped::NestedElsewhere { .. } });
            is_elsewhere && remark.source.file == file
        })
    };
    let mut unread = Vec::new();
    for path in paths.iter().filter(|path| path.as_path() != Path::new("-")) {
        let within = |file: &&&str| Path::new(**file).starts_with(path);
        let is_named = !path.is_dir();
        if !understood.iter().any(|file| within(&file)) {
            // A file that was named has its own error, with the remedy.
            if !is_named {
                unread.push(Unread::Nothing { path: path.clone(), remedy: remedy(&foreign(path)) });
            }
        } else if !resources.iter().any(|file| within(&file)) {
            // The values of variables alone are no module.
            if is_named && path.to_string_lossy().contains(".tfvars") {
                let remedy = ": give the folder of the configuration".to_owned();
                unread.push(Unread::Nothing { path: path.clone(), remedy });
                continue;
            }
            if evaluated.calls_elsewhere.iter().any(|folder| folder.starts_with(path)) {
                unread.push(Unread::Nothing { path: path.clone(), remedy: remedy(&[Foreign::Terraform]) });
                continue;
            }
            if !is_named {
                let foreign = foreign(path);
                if !foreign.is_empty() {
                    unread.push(Unread::Nothing { path: path.clone(), remedy: remedy(&foreign) });
                    continue;
                }
            }
            if understood.iter().filter(within).any(|file| elsewhere(file)) {
                let remedy = ": the templates of its nested stacks are not among the files".to_owned();
                unread.push(Unread::Nothing { path: path.clone(), remedy });
            }
        }
    }
    unread
}

/// The file that an error is about.
pub(super) fn file_of(error: &ReadError) -> &str {
    match error {
        ReadError::NoForm { file, .. } | ReadError::NoKind { file } | ReadError::Syntax { file, .. } => file,
    }
}

fn remedy(foreign: &[Foreign]) -> String {
    if foreign.is_empty() {
        return ": give CloudFormation templates, Terraform plans, manifests, Config items or API JSON".to_owned();
    }
    let remedies: Vec<&str> = foreign.iter().map(|foreign| foreign.remedy()).collect();
    format!(". {}", remedies.join(". "))
}

/// The kinds of source in a folder that speak of App Mesh, or that only another program turns into such.
fn foreign(folder: &Path) -> Vec<Foreign> {
    let mut found = Vec::new();
    search(folder, &mut found);
    found.sort_unstable();
    found.dedup();
    found
}

fn search(folder: &Path, found: &mut Vec<Foreign>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_symlink() || is_passed_over(&name) {
            continue;
        }
        if kind.is_dir() {
            search(&path, found);
            continue;
        }
        match name.as_str() {
            "cdk.json" => found.push(Foreign::Cdk),
            "Chart.yaml" => found.push(Foreign::Helm),
            "kustomization.yaml" | "kustomization.yml" => found.push(Foreign::Kustomize),
            _ => found.extend(by_content(&path, &name)),
        }
    }
}

fn by_content(path: &Path, name: &str) -> Option<Foreign> {
    let (foreign, signs): (Foreign, &[&str]) = match name.rsplit('.').next()? {
        "hcl" | "tftpl" => (Foreign::Terraform, &["aws_appmesh_"]),
        "ts" | "mts" | "js" | "mjs" | "cjs" | "py" | "java" | "kt" | "cs" | "go" => (
            Foreign::Cdk,
            &["aws-appmesh", "aws_appmesh", "awsappmesh", "services.appmesh", "AWS.AppMesh", "AWS::AppMesh"],
        ),
        _ => return None,
    };
    let is_small = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() <= LARGEST);
    let text = is_small.then(|| std::fs::read(path).ok()).flatten()?;
    let text = String::from_utf8_lossy(&text);
    signs.iter().any(|sign| text.contains(sign)).then_some(foreign)
}
