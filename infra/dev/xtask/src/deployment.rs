//! The check of the files that deploy Meshwarden: templates, the Helm chart with its example values, and manifests.

use std::fs;
use std::path::{Path, PathBuf};

use stack::command::Run;
use stack::console::step;
use stack::failure::{Failure, Result};
use stack::setup;
use stack::workspace::Workspace;

/// The templates of CloudFormation.
const TEMPLATES: [&str; 3] =
    ["infra/template.yaml", "infra/deploy/ecs/control-plane.yaml", "infra/deploy/sidecar/ecs-task.yaml"];

/// Manifests that no chart renders.
const MANIFESTS: [&str; 1] = ["infra/deploy/sidecar/kubernetes.yaml"];

const CHART: &str = "infra/deploy/helm/meshwarden-control-plane";

/// Checks every file.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    step("cfn-lint", |progress| {
        Run::new(workspace.venv_program("cfn-lint"), workspace.root()).args(TEMPLATES).condensed(progress)
    })?;
    let helm = setup::helm(workspace)?;
    let mut manifests: Vec<PathBuf> = MANIFESTS.map(|path| workspace.file(path)).into();
    for values in example_values(workspace)? {
        manifests.push(render(workspace, &helm, &values)?);
    }
    refuse_without_values(workspace, &helm)?;
    step("kubernetes-validate", |progress| {
        Run::new(workspace.venv_program("kubernetes-validate"), workspace.root())
            .args(["--strict", "--no-warn"])
            .args(manifests)
            .condensed(progress)
    })?;
    Ok(())
}

/// The example values of the chart, each for another installation.
fn example_values(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let folder = workspace.file(CHART).join("ci");
    let entries = fs::read_dir(&folder).map_err(Failure::file("list", &folder))?;
    let mut values: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    values.sort();
    if values.is_empty() {
        return Err(Failure::Unreadable { path: folder, why: "it has no example values".to_owned() });
    }
    Ok(values)
}

/// Lints the chart with these values, and writes the manifests that it renders.
fn render(workspace: &Workspace, helm: &Path, values: &Path) -> Result<PathBuf> {
    let name = values.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let manifests = step(&format!("helm {name}"), |progress| {
        let helm = |command: &[&str]| Run::new(helm, workspace.root()).args(command).arg_pair("--values", values);
        helm(&["lint", "--strict", CHART]).condensed(progress)?;
        helm(&["template", "mesh", CHART]).filter("")
    })?;
    let file = workspace.local(&format!("helm/{name}.yaml"));
    fs::write(&file, manifests).map_err(Failure::file("write", &file))?;
    Ok(file)
}

/// The chart has no useful defaults for account, image and store, so it must refuse to render without them.
fn refuse_without_values(workspace: &Workspace, helm: &Path) -> Result<()> {
    match Run::new(helm, workspace.root()).args(["template", "mesh", CHART]).filter("") {
        Err(Failure::Command { .. }) => Ok(()),
        Err(failure) => Err(failure),
        Ok(_) => Err(Failure::Unexpected {
            expected: "the schema of the chart refuses missing values".to_owned(),
            seen: "helm rendered it without values".to_owned(),
        }),
    }
}
