//! `cargo xtask`: the entry point for developers and CI.
//!
//! ```text
//!   test ──► fmt, clippy, set-up, deployment files, all tests, docs, cargo-deny
//!   up ────► .local/venv, control plane, MiniStack, demo mesh, functions, template ──► .local/env
//!   attack ─► floods, malformed requests, kills, full disks: control plane; misbehaving services: functions
//!   bench ──► programs built as for AWS ──► a table of ratios
//!   image ─► the container image of the control plane in target/image
//!   release ► packages, plain template, image, chart, checksums in dist
//!   demo ──► a separate stack of the same kind, then one failure after another ──► weights before and after
//! ```
//!
//! The demo is a separate program, which this one builds and starts. Both use the crate `stack`. This crate ends only
//! processes that it has started.

mod advisories;
mod attack;
mod bench;
mod cli;
mod demo;
mod deployment;
mod image;
mod junit;
mod release;
mod suite;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Switch, Task};
use stack::failure::Result;
use stack::programs::Selection;
use stack::workspace::Workspace;
use stack::{console, interrupt, setup};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match interrupt::watch().and_then(|()| run(cli.task)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            console::print_failure(&failure);
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    let workspace = Workspace::find()?;
    match task {
        Task::Setup => setup::everything(&workspace),
        Task::Test { fast, long, seed } => {
            let extent = match (fast, long) {
                (true, _) => suite::Extent::Fast,
                (false, true) => suite::Extent::Long,
                (false, false) => suite::Extent::Full,
            };
            suite::run(&workspace, extent, seed)
        }
        Task::Attack { part, function } => attack::run(&workspace, part, function.as_deref()),
        Task::Advisories { newest } => advisories::check(&workspace, newest),
        Task::Bench { part } => bench::run(&workspace, part),
        Task::Up { no_load } => stack::up(&workspace, !no_load),
        Task::Load { switch } => stack::switch_load(&workspace, switch == Switch::On),
        Task::Down => stack::down(&workspace),
        Task::Invoke { function, event } => stack::invoke(&workspace, &function, &event),
        Task::Release(args) => release::run(&workspace, &args),
        Task::Image { program, to } => image::run(&workspace, program, to),
        Task::Demo { scenario } => demo::run(&workspace, scenario, Selection::Needed),
    }
}
