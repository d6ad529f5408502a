//! The local stack: the control plane, `MiniStack`, moto, and what is deployed into them.

mod data_plane;
mod deploy;
mod endpoints;
mod folder;
mod servers;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::Run;
use crate::console::{say, step};
use crate::demo_mesh;
use crate::failure::{Failure, Result};
use crate::http::Client;
use crate::local_aws::LocalAws;
use crate::setup;
use crate::workspace::Workspace;

pub(crate) use data_plane::DataPlane;
pub(crate) use deploy::{Outputs, REPORTS, demo_policy, put_policy};
pub(crate) use endpoints::Endpoints;
use folder::Folder;
use servers::Programs;

/// What `up` starts, and `down` ends.
const KEPT: &str = "run";

/// A stack that runs.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) endpoints: Endpoints,
    pub(crate) outputs: Outputs,
    pub(crate) aws: LocalAws,
    pub(crate) client: Client,
    pub(crate) data_plane: DataPlane,
    /// The command for people.
    meshwarden: PathBuf,
}

/// A stack that ends when this is dropped, however that comes about.
#[derive(Debug)]
pub(crate) struct Borrowed {
    pub(crate) stack: Stack,
    // Dropped after the stack, which may still be speaking to what runs in it.
    _folder: folder::Ending,
}

/// Starts a stack for the caller alone.
pub(crate) fn borrow(workspace: &Workspace, name: &str) -> Result<Borrowed> {
    let folder = Folder::take(workspace.local(name))?.ending();
    let stack = start(workspace, folder.get())?;
    Ok(Borrowed { stack, _folder: folder })
}

/// Starts the stack that stays.
pub(crate) fn up(workspace: &Workspace) -> Result<()> {
    let folder = Folder::take(workspace.local(KEPT))?.ending();
    if folder.get().runs() {
        // It is somebody's: it must survive this.
        folder.keep();
        return Err(Failure::StackRuns);
    }
    let stack = start(workspace, folder.get())?;
    stack.outputs.write(folder.get())?;
    let variables = workspace.local("env");
    fs::write(&variables, stack.endpoints.script(&stack.outputs)).map_err(Failure::file("write", &variables))?;
    folder.keep();
    say(format_args!("\nApp Mesh API  {}", stack.endpoints.app_mesh));
    say(format_args!("AWS services  {}", stack.endpoints.aws));
    if let Some(certificates) = &stack.endpoints.certificates {
        say(format_args!("certificates  {certificates}"));
    }
    say(format_args!("the shop      http://{}", stack.data_plane.gateway));
    say("\nnode                     what        where");
    for line in &stack.data_plane.ports {
        say(line);
    }
    say("\n. .local/env                 point any SDK or the AWS CLI at it");
    say("cargo xtask invoke <function> events/<function>/<event>.json");
    say("cargo xtask down             end it");
    Ok(())
}

/// Ends the stack that stays.
pub(crate) fn down(workspace: &Workspace) -> Result<()> {
    let folder = Folder::take(workspace.local(KEPT))?;
    let ended = folder.end()?;
    let variables = workspace.local("env");
    if variables.exists() {
        fs::remove_file(&variables).map_err(Failure::file("remove", variables))?;
    }
    match ended.as_slice() {
        [] => say("nothing was running"),
        names => say(format_args!("ended {}", names.join(", "))),
    }
    Ok(())
}

/// Invokes a function of the stack that stays, and prints what it returned.
pub(crate) fn invoke(workspace: &Workspace, function: &str, event: &Path) -> Result<()> {
    let outputs = Outputs::read(&workspace.local(KEPT))?;
    let text = fs::read_to_string(event).map_err(Failure::file("read", event))?;
    let event = serde_json::from_str(&text)
        .map_err(|why| Failure::Unreadable { path: event.to_path_buf(), why: why.to_string() })?;
    let report = outputs.invoke(&Client::new(), function, &event)?;
    say(format_args!("{report:#}"));
    Ok(())
}

impl Stack {
    /// Invokes a function with an event, and returns its report.
    pub(crate) fn invoke(&self, function: &str, event: &Value) -> Result<Value> {
        self.outputs.invoke(&self.client, function, event)
    }

    /// Runs the `meshwarden` command on the stack as a person would, and returns what it prints.
    pub(crate) fn meshwarden(&self, workspace: &Workspace, arguments: &[&str]) -> Result<Vec<String>> {
        let run = Run::new(&self.meshwarden, workspace.root()).args(arguments);
        let run = run.env("MESHWARDEN_TABLE", self.outputs.named("StateTable")?);
        let variables = self.endpoints.variables();
        let run = variables.iter().fold(run, |run, (name, value)| run.env(name, value));
        step(&format!("meshwarden {}", arguments.join(" ")), |progress| run.condensed(progress))
    }
}

fn start(workspace: &Workspace, folder: &Folder) -> Result<Stack> {
    folder.end()?;
    say("local stack");
    setup::python(workspace)?;
    let programs = Programs::build(workspace)?;
    let packages = deploy::Packages::build(workspace)?;
    let client = Client::new();
    let certificates = if servers::moto_is_installed(workspace) {
        Some(step("start moto", |_| servers::start_moto(workspace, folder, &client))?)
    } else {
        say("  moto is not installed: no ACM, no private CAs and no AWS Config here");
        None
    };
    let control_plane = step("start the control plane", |_| {
        servers::start_control_plane(&programs.control_plane, folder, certificates.as_deref())
    })?;
    let app_mesh = control_plane.api;
    let aws =
        step("start MiniStack", |_| servers::start_ministack(workspace, folder, &client, certificates.as_deref()))?;
    let endpoints = Endpoints { app_mesh, certificates, aws };
    let resources = step("load the demo mesh", |_| demo_mesh::load(workspace, &client, &endpoints.app_mesh))?;
    let data_plane = step("start the Envoys and applications", |_| {
        data_plane::start(workspace, folder, &programs, &client, &endpoints.app_mesh, &control_plane.xds)
    })?;
    let mut aws = LocalAws::open(workspace, &endpoints)?;
    let outputs = step("deploy infra/template.yaml", |progress| {
        deploy::deploy(workspace, folder, &mut aws, &endpoints, &packages, progress)
    })?;
    let alarms =
        step("alarms on the demo mesh", |_| demo_mesh::put_alarms(workspace, &mut aws, outputs.named("AlarmTopic")?))?;
    let proxies = data_plane.proxies.len();
    say(format_args!("  {resources} mesh resources, {alarms} alarms, {proxies} Envoys"));
    Ok(Stack { endpoints, outputs, aws, client, data_plane, meshwarden: programs.meshwarden })
}
