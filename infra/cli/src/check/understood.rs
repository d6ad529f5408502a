//! Paths without any readable App Mesh resource: a check that read nothing must not succeed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use readers::{Note, ReadError, Reading, Skipped};

use super::files::{Text, Unread, is_skipped};
use crate::hcl::Evaluated;

/// The largest source file that is searched for App Mesh. Hand-written files are far smaller.
const LARGEST: u64 = 1 << 20;

/// A kind of source in a folder that a tool must convert before the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Foreign {
    Terraform,
    Cdk,
    Cdk8s,
    Pulumi,
    Helm,
    Kustomize,
    Compressed,
}

impl Foreign {
    /// The instruction that converts the source into readable files.
    const fn remedy(self) -> &'static str {
        match self {
            Self::Terraform => "Terraform: check the output of `terraform show -json PLAN`",
            Self::Cdk => "CDK: run `cdk synth` and check `cdk.out`",
            Self::Cdk8s => "cdk8s: run `cdk8s synth` and check its output",
            Self::Pulumi => {
                "Pulumi: its programs are not read; check the responses of `describe-*` of the App Mesh API after a deployment"
            }
            Self::Helm => "Helm: check the output of `helm template`",
            Self::Kustomize => "Kustomize: check the output of `kustomize build`",
            Self::Compressed => "AWS Config: decompress its files first, for example with `gunzip`",
        }
    }
}

/// The errors of paths without App Mesh resources: without any parsed file, or with resources only in unread sources.
/// Sources that a tool must convert are an error next to read files, too, unless those have the form of its output.
/// Parsed paths are an error only if all files together have no App Mesh resource. `--allow-empty` allows these, and
/// folders without any file in a known format.
pub(super) fn not_understood(
    paths: &[PathBuf],
    allow_empty: bool,
    texts: &[Text],
    errors: &[ReadError],
    evaluated: &Evaluated,
    reading: &Reading,
) -> Vec<Unread> {
    let failed: HashSet<&str> =
        errors.iter().map(file_of).chain(evaluated.unparsed.iter().map(String::as_str)).collect();
    let understood: Vec<&str> =
        texts.iter().map(|text| text.name.as_str()).filter(|name| !failed.contains(name)).collect();
    let described = described(evaluated, reading);
    let read: Vec<&Text> = texts.iter().filter(|text| described.contains(text.name.as_str())).collect();
    let forms = Forms::from_texts(&read);
    let (mut unread, mut empty) = (Vec::new(), Vec::new());
    for path in paths {
        let within = |file: &&&str| Path::new(**file).starts_with(path);
        let is_named = !path.is_dir();
        if !understood.iter().any(|file| within(&file)) {
            // A file on the command line has its own error with a remedy.
            let foreign = if is_named { Vec::new() } else { foreign(path, allow_empty) };
            let may_be_empty = allow_empty && foreign.is_empty();
            if !(is_named || may_be_empty) {
                unread.push(Unread::Nothing { path: path.clone(), remedy: remedy(&foreign) });
            }
        } else if !described.iter().any(|file| within(&file)) {
            let within: Vec<&str> = understood.iter().filter(within).copied().collect();
            match instead(path, allow_empty, &within, evaluated, reading) {
                Some(remedy) => unread.push(Unread::Nothing { path: path.clone(), remedy }),
                None => empty.push(path),
            }
        } else if !is_named {
            // The sources next to readable files may describe other resources.
            let mut programs = search(path, Search::Programs);
            programs.retain(|foreign| !forms.may_come_from(*foreign));
            if !programs.is_empty() {
                unread.push(Unread::Source { path: path.clone(), remedy: remedy(&programs) });
            }
        }
    }
    if described.is_empty() && unread.is_empty() && !allow_empty {
        unread.extend(nothing_at_all(&empty));
    }
    unread
}

/// The forms in which App Mesh resources were read.
#[derive(Debug, Clone, Copy)]
struct Forms {
    cloudformation: bool,
    manifests: bool,
    terraform: bool,
}

impl Forms {
    fn from_texts(read: &[&Text]) -> Self {
        let has = |sign: &str| read.iter().any(|text| text.content.contains(sign));
        Self {
            cloudformation: has("AWS::AppMesh::"),
            manifests: has("appmesh.k8s.aws/"),
            terraform: has("aws_appmesh_"),
        }
    }

    /// Whether a source may have been converted into the files that were read.
    const fn may_come_from(self, source: Foreign) -> bool {
        match source {
            Foreign::Terraform => self.terraform,
            Foreign::Cdk => self.cloudformation,
            Foreign::Cdk8s | Foreign::Helm | Foreign::Kustomize => self.manifests,
            // No tool converts these, so an operator who checks other files next to them has no remedy.
            Foreign::Pulumi | Foreign::Compressed => true,
        }
    }
}

/// The files with App Mesh resources, including refused, deleted and not created ones, and the root module files that
/// lead to them.
fn described<'r>(evaluated: &'r Evaluated, reading: &'r Reading) -> HashSet<&'r str> {
    let is_known_absent =
        |note: &Note| matches!(note, Note::NotRead { reason: Skipped::ConditionFalse { .. } | Skipped::Deleted });
    (reading.resources.iter().map(|declared| &declared.source))
        .chain(reading.refusals.iter().map(|refusal| &refusal.source_))
        .chain(reading.remarks.iter().filter(|remark| is_known_absent(&remark.note)).map(|remark| &remark.source))
        .map(|source| source.file.as_str())
        .chain(evaluated.resources.iter().map(|resource| resource.via.as_str()))
        .collect()
}

/// The remedy for a path with files in known formats, if its resources are defined elsewhere.
fn instead(
    path: &Path,
    may_be_empty: bool,
    understood: &[&str],
    evaluated: &Evaluated,
    reading: &Reading,
) -> Option<String> {
    let is_named = !path.is_dir();
    // A file with variable values is not a module without its configuration.
    if is_named && path.to_string_lossy().contains(".tfvars") {
        return Some(": give the folder of the configuration".to_owned());
    }
    if evaluated.calls_elsewhere.iter().any(|file| Path::new(file).starts_with(path)) {
        return Some(remedy(&[Foreign::Terraform]));
    }
    let foreign = if is_named { Vec::new() } else { foreign(path, may_be_empty) };
    if !foreign.is_empty() {
        return Some(remedy(&foreign));
    }
    let elsewhere = |file: &str| {
        reading.remarks.iter().any(|remark| {
            let is_elsewhere = matches!(&remark.note, Note::NotRead { reason: Skipped::NestedElsewhere { .. } });
            is_elsewhere && remark.source.file == file
        })
    };
    understood
        .iter()
        .any(|file| elsewhere(file))
        .then(|| ": the templates of its nested stacks are not among the files".to_owned())
}

/// The error of a check with files in known formats, but without an App Mesh resource.
fn nothing_at_all(empty: &[&PathBuf]) -> Option<Unread> {
    let (first, others) = empty.split_first()?;
    let others = match others.len() {
        0 => String::new(),
        1 => ", nor in another path".to_owned(),
        number => format!(", nor in {number} other paths"),
    };
    let remedy = format!("{others}: give the files that describe the mesh, or `--allow-empty` where there may be none");
    Some(Unread::Nothing { path: (*first).clone(), remedy })
}

/// The file of an error.
pub(super) fn file_of(error: &ReadError) -> &str {
    match error {
        ReadError::NoForm { file, .. } | ReadError::NoKind { file } | ReadError::Syntax { file, .. } => file,
    }
}

fn remedy(foreign: &[Foreign]) -> String {
    if foreign.is_empty() {
        return ": give CloudFormation templates, Terraform plans, manifests, Config items or API JSON, or \
                `--allow-empty` where there may be none"
            .to_owned();
    }
    let remedies: Vec<&str> = foreign.iter().map(|foreign| foreign.remedy()).collect();
    format!(". {}", remedies.join(". "))
}

/// The kinds of source in a folder that mention App Mesh. Sources that only a tool converts count too, unless the
/// folder may be empty.
fn foreign(folder: &Path, may_be_empty: bool) -> Vec<Foreign> {
    search(folder, if may_be_empty { Search::Contents } else { Search::All })
}

/// Which sources a search finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Search {
    /// Files that mention App Mesh, and files of tools.
    All,
    /// Files that mention App Mesh.
    Contents,
    /// As `Contents`, but only programs that import the library of their tool. Scripts around a mesh may mention App
    /// Mesh, too.
    Programs,
}

fn search(folder: &Path, search: Search) -> Vec<Foreign> {
    let mut found = Vec::new();
    collect(folder, search, &mut found);
    found.sort_unstable();
    found.dedup();
    found
}

fn collect(folder: &Path, search: Search, found: &mut Vec<Foreign>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_symlink() || is_skipped(&name) {
            continue;
        }
        if kind.is_dir() {
            collect(&path, search, found);
            continue;
        }
        // A read of a pipe or device could block.
        if !kind.is_file() {
            continue;
        }
        let marker = match name.as_str() {
            "cdk.json" => Some(Foreign::Cdk),
            "Chart.yaml" => Some(Foreign::Helm),
            "kustomization.yaml" | "kustomization.yml" | "Kustomization" => Some(Foreign::Kustomize),
            // The AWS Config delivery channel uses these names for files in S3.
            name if path.extension().is_some_and(|extension| extension == "gz")
                && (name.contains("_ConfigHistory_") || name.contains("_ConfigSnapshot_")) =>
            {
                Some(Foreign::Compressed)
            }
            _ => None,
        };
        match marker {
            Some(marker) => found.extend((search == Search::All).then_some(marker)),
            None => found.extend(by_content(&path, &name, search)),
        }
    }
}

/// The names of App Mesh in Pulumi programs, in all supported languages.
const PULUMI: [&str; 5] = ["aws.appmesh", "aws/appmesh", "aws:appmesh", "Aws.AppMesh", "aws.AppMesh"];

/// The names of App Mesh in CDK programs.
const CDK: [&str; 6] = ["aws-appmesh", "aws_appmesh", "awsappmesh", "services.appmesh", "AWS.AppMesh", "AWS::AppMesh"];

fn by_content(path: &Path, name: &str, search: Search) -> Option<Foreign> {
    let signs: &[(Foreign, &[&str])] = match name.rsplit('.').next()? {
        "hcl" | "tftpl" | "tfstate" => &[(Foreign::Terraform, &["aws_appmesh_"])],
        "yaml" | "yml" => &[(Foreign::Pulumi, &["aws:appmesh"])],
        "ts" | "mts" | "tsx" | "js" | "mjs" | "cjs" | "py" | "java" | "kt" | "cs" | "fs" | "go" => {
            &[(Foreign::Pulumi, &PULUMI), (Foreign::Cdk8s, &["appmesh.k8s.aws"]), (Foreign::Cdk, &CDK)]
        }
        _ => return None,
    };
    let is_small = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() <= LARGEST);
    let text = is_small.then(|| std::fs::read(path).ok()).flatten()?;
    let text = String::from_utf8_lossy(&text);
    let found = signs.iter().find(|(_, signs)| signs.iter().any(|sign| text.contains(sign)));
    let is_program = |foreign: &Foreign| libraries(*foreign).iter().any(|library| text.contains(library));
    found.map(|(foreign, _)| *foreign).filter(|foreign| search != Search::Programs || is_program(foreign))
}

/// The names of a tool's library, one of which each of its programs imports.
const fn libraries(tool: Foreign) -> &'static [&'static str] {
    match tool {
        Foreign::Cdk => &["aws-cdk", "aws_cdk", "awscdk", "Amazon.CDK"],
        Foreign::Cdk8s => &["cdk8s"],
        Foreign::Terraform => &["aws_appmesh_"],
        Foreign::Pulumi | Foreign::Helm | Foreign::Kustomize | Foreign::Compressed => &[],
    }
}
