//! The local stack: the control plane, `MiniStack`, moto, and the deployed functions.

mod bucket;
mod data_plane;
mod deploy;
mod endpoints;
mod folder;
mod load;
mod local_aws;
mod outputs;
mod proxy;
mod replicas;
mod resolver;
mod servers;

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::command::{Followed, Run};
use crate::console::{Background, say, step};
use crate::demo_mesh;
use crate::failure::{Failure, Result};
use crate::http::Client;
use crate::programs::{Programs, Selection};
use crate::setup;
use crate::workspace::Workspace;

pub use data_plane::DataPlane;
pub use deploy::{DEMO_POLICY, REPORTS, demo_policy, put_policy};
pub use endpoints::Endpoints;
use folder::Folder;
pub use local_aws::LocalAws;
pub use outputs::Outputs;
pub use proxy::Proxy;
pub use replicas::{NAME as REPLICAS_NAME, Replica, Replicas, are_addresses_available as replica_addresses_available};

/// The folder of the stack that `up` starts and `down` ends.
const KEPT: &str = "run";

/// A running stack.
#[derive(Debug)]
pub struct Stack {
    /// The addresses of the services.
    pub endpoints: Endpoints,
    /// The outputs of the deployed template.
    pub outputs: Outputs,
    /// The bridge to the AWS services.
    pub aws: LocalAws,
    /// The client of all requests.
    pub client: Client,
    /// The Envoys and the applications.
    pub data_plane: DataPlane,
    programs: Programs,
    /// The address of the agent that sends the statistics of proxies to CloudWatch.
    statsd: String,
}

/// A stack that ends when this is dropped.
#[derive(Debug)]
pub struct TemporaryStack {
    /// The running stack.
    pub stack: Stack,
    // Dropped after the stack, which may still use its processes.
    _folder: folder::EndOnDrop,
}

/// Starts a temporary stack.
pub fn start_temporary(workspace: &Workspace, name: &str, selection: Selection) -> Result<TemporaryStack> {
    let folder = Folder::lock(workspace.local(name))?.end_on_drop();
    let stack = start(workspace, folder.get(), selection)?;
    Ok(TemporaryStack { stack, _folder: folder })
}

/// Starts the stack that runs until `down`.
pub fn up(workspace: &Workspace, with_load: bool) -> Result<()> {
    let folder = Folder::lock(workspace.local(KEPT))?.end_on_drop();
    if folder.get().runs() {
        // The running stack must not be ended.
        folder.keep();
        return Err(Failure::StackRuns);
    }
    let stack = start(workspace, folder.get(), Selection::Needed)?;
    step("requests through the gateway", |_| load::until_answered(&stack.client, &stack.data_plane.gateway))?;
    if with_load {
        load::switch(&stack.client, &stack.data_plane.shop, true)?;
    }
    stack.outputs.write(folder.get())?;
    let variables = workspace.local("env");
    fs::write(&variables, stack.endpoints.script(&stack.outputs)).map_err(Failure::file("write", &variables))?;
    folder.keep();
    say(format_args!("\nApp Mesh API  {}", stack.endpoints.app_mesh));
    say(format_args!("AWS services  {}", stack.endpoints.aws));
    say(format_args!("certificates  {}", stack.endpoints.certificates));
    say(format_args!("the shop      http://{}", stack.data_plane.gateway));
    say("\nnode                     what        where");
    for line in &stack.data_plane.ports {
        say(line);
    }
    if with_load {
        say(format_args!("\n{} requests a second go through the gateway", load::PER_SECOND));
    }
    say(format_args!("\n. .local/env                 configure any SDK, the AWS CLI and meshwarden for it"));
    say(format_args!("{} status --watch", stack.programs.path("meshwarden")?.display()));
    say("cargo xtask load on|off      start or stop the light load");
    say("cargo xtask invoke <function> events/<function>/<event>.json");
    say("cargo xtask down             end everything");
    Ok(())
}

/// Starts or stops the light load of the running stack.
pub fn switch_load(workspace: &Workspace, on: bool) -> Result<()> {
    let outputs = Outputs::read(&workspace.local(KEPT))?;
    load::switch(&Client::new(), &outputs.shop, on)?;
    say(if on { "requests go through the gateway" } else { "no requests are sent" });
    Ok(())
}

/// Ends the running stack.
pub fn down(workspace: &Workspace) -> Result<()> {
    let folder = Folder::lock(workspace.local(KEPT))?;
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

/// Invokes a function of the running stack, and prints its report.
pub fn invoke(workspace: &Workspace, function: &str, event: &Path) -> Result<()> {
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
    pub fn invoke(&self, function: &str, event: &Value) -> Result<Value> {
        self.outputs.invoke(&self.client, function, event)
    }

    /// Computes the edges of the demo mesh with `shop-edges`.
    pub fn edges(&self, input: &Value) -> Result<String> {
        let program = self.programs.path("shop-edges")?;
        Run::new(program, program.parent().unwrap_or(program)).filter(&input.to_string())
    }

    /// Writes the alarms of a mesh with `meshwarden alarms`, and deploys them. Returns their number.
    fn deploy_alarms(&mut self, workspace: &Workspace, folder: &Folder, mesh: &str, name: &str) -> Result<usize> {
        let file = folder.path().join("alarms.json");
        // The command runs in the root and is printed, so the path is relative.
        let output = file.strip_prefix(workspace.root()).unwrap_or(&file).display().to_string();
        self.meshwarden(workspace, &["alarms", mesh, "--policy", DEMO_POLICY, "--output", &output])?;
        let template = fs::read_to_string(&file).map_err(Failure::file("read", &file))?;
        let written: Value =
            serde_json::from_str(&template).map_err(|why| Failure::Unreadable { path: file, why: why.to_string() })?;
        let topic = self.outputs.named("AlarmTopic")?.to_owned();
        step("deploy the alarms", |progress| {
            let stack = deploy::AlarmStack { name, template: &template, topic: &topic };
            deploy::deploy_alarms(folder, &mut self.aws, &self.endpoints, stack, progress)
        })?;
        Ok(written.get("Resources").and_then(Value::as_object).map_or(0, serde_json::Map::len))
    }

    /// Runs the `meshwarden` command on the stack as an operator would, and returns its output.
    pub fn meshwarden(&self, workspace: &Workspace, arguments: &[&str]) -> Result<Vec<String>> {
        let run = self.meshwarden_run(workspace, arguments)?;
        step(&format!("meshwarden {}", arguments.join(" ")), |progress| run.condensed(progress))
    }

    /// Starts the `meshwarden` command on the stack, and returns its output as it comes.
    pub fn follow_meshwarden(&self, workspace: &Workspace, arguments: &[&str]) -> Result<Followed> {
        self.meshwarden_run(workspace, arguments)?.followed()
    }

    fn meshwarden_run(&self, workspace: &Workspace, arguments: &[&str]) -> Result<Run> {
        let run = Run::new(self.programs.path("meshwarden")?, workspace.root()).args(arguments);
        let run = run.env("MESHWARDEN_TABLE", self.outputs.named("StateTable")?);
        let run = run.env("MESHWARDEN_POLICY", bucket::policy_location());
        let variables = self.endpoints.variables();
        Ok(variables.iter().fold(run, |run, (name, value)| run.env(name, value)))
    }
}

fn start(workspace: &Workspace, folder: &Folder, selection: Selection) -> Result<Stack> {
    folder.end()?;
    say("local stack");
    // pip is limited by the network and the disk, the compiler by the processors.
    let python = setup::python_in_background(workspace)?;
    let programs = step("build the programs", |progress| Programs::build(workspace, selection, progress))?;
    python.map_or(Ok(()), Background::finish)?;
    let client = Client::new();
    let (moto, ministack) = step("start moto and MiniStack", |_| {
        let moto = servers::start_moto(workspace, folder)?;
        let ministack = servers::start_ministack(workspace, folder, &moto.address)?;
        moto.until_moto_answers(&client)?;
        ministack.until_ministack_answers(&client)?;
        Ok((moto.address, ministack.address))
    })?;
    let control_plane = step("start the control plane", |_| {
        servers::start_control_plane(programs.path("control-plane")?, folder, &moto)
    })?;
    let endpoints = Endpoints { app_mesh: control_plane.api, certificates: moto, aws: ministack };
    let resources = step("load the demo mesh", |_| demo_mesh::load(workspace, &client, &endpoints.app_mesh))?;
    let (data_plane, statsd) = step("start the Envoys and applications", |_| {
        let statsd = servers::start_agent(workspace, folder, &endpoints)?;
        let (app_mesh, xds) = (&endpoints.app_mesh, &control_plane.xds);
        let upstream = proxy::Upstream { app_mesh, xds, statsd: &statsd, resolver: None };
        let owners = demo_mesh::proxies(workspace)?;
        let started = data_plane::start(workspace, folder, &programs, &client, upstream, (demo_mesh::MESH, &owners))?;
        Ok((started, statsd))
    })?;
    let mut aws = LocalAws::open(workspace, &endpoints)?;
    let mut outputs = step("deploy infra/template.yaml", |progress| {
        deploy::deploy(workspace, folder, &mut aws, &endpoints, &programs, progress)
    })?;
    outputs.shop.clone_from(&data_plane.shop);
    let proxies = data_plane.proxies.len();
    let mut stack = Stack { endpoints, outputs, aws, client, data_plane, programs, statsd };
    let alarms = stack.deploy_alarms(workspace, folder, demo_mesh::MESH, deploy::ALARMS_STACK)?;
    say(format_args!("  {resources} mesh resources, {alarms} alarms, {proxies} Envoys"));
    Ok(stack)
}
