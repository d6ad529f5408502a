//! The demo: a shop's mesh, and what becomes of it when things go wrong.
//!
//! Every chapter checks what it prints: one whose weights or reasons are not as told fails, and the demo with it.

mod audit;
mod certificates;
mod chapters;
mod compliance;
mod decision;
mod kiosk;
mod route;
mod scene;
mod traffic;

use std::time::Instant;

use crate::cli::Chapter;
use crate::console::say;
use crate::failure::Result;
use crate::stack;
use crate::workspace::Workspace;
use scene::Scene;

const CHAPTERS: [Chapter; 8] = [
    Chapter::Traffic,
    Chapter::Failover,
    Chapter::Duplicate,
    Chapter::Standby,
    Chapter::Person,
    Chapter::CommonCause,
    Chapter::Compliance,
    Chapter::Certificates,
];

/// Plays one chapter, or all of them, on a stack of its own that ends with it.
pub(crate) fn run(workspace: &Workspace, chapter: Option<Chapter>) -> Result<()> {
    let started = Instant::now();
    let borrowed = stack::borrow(workspace, "demo")?;
    let set_up = started.elapsed();
    let curtain = Instant::now();
    let mut scene = Scene::of(workspace, borrowed.stack)?;
    let chosen = chapter.map_or_else(|| CHAPTERS.to_vec(), |chapter| vec![chapter]);
    for chapter in &chosen {
        chapters::play(*chapter, &mut scene)?;
    }
    say(format_args!(
        "\nAll of it happened as told: {} of {} chapters in {:.0} s, after {:.0} s of set-up. Nothing is left running.",
        chosen.len(),
        CHAPTERS.len(),
        curtain.elapsed().as_secs_f32(),
        set_up.as_secs_f32(),
    ));
    Ok(())
}
