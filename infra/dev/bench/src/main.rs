//! Measures Meshwarden.
//!
//! ```text
//! bench ECHO SDK-ECHO ROUTE-FAILOVER CONTROL-PLANE ENVOY     the programs, the first four built alike
//! bench pack | rotation | sweep                              one of the parts that need no other program
//! bench replicas CONTROL-PLANE ENVOY PYTHON MINISTACK        replicas on the local DynamoDB
//! ```
//!
//! Every figure is printed with a figure of the same run to compare it with: absolute figures depend on the machine,
//! ratios hardly. The program never fails because something was slow.

mod api;
mod cold_start;
mod decisions;
mod failover;
mod moved;
mod pack;
mod replicas;
mod rotation;
mod streams;
mod sweep;

use std::error::Error;
use std::io::{self, Write as _};
use std::path::PathBuf;

/// A row of the table.
struct Row {
    what: &'static str,
    figure: String,
    relation: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let programs: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if let [mode, reading] = programs.as_slice()
        && mode.as_os_str() == sweep::READER
    {
        return runtime.block_on(sweep::read(reading.as_os_str()));
    }
    match programs.as_slice() {
        [only] if only.as_os_str() == "pack" => return table(pack::measure()?),
        [only] if only.as_os_str() == "rotation" => return table(rotations()?),
        [only] if only.as_os_str() == "sweep" => return table(runtime.block_on(sweep::measure())?),
        [mode, control_plane, envoy, python, ministack] if mode.as_os_str() == "replicas" => {
            let store = replicas::StorePrograms { python, ministack };
            return table(runtime.block_on(replicas::measure(control_plane, envoy, store))?);
        }
        _ => {}
    }
    let [echo, sdk_echo, function, control_plane, envoy] = programs.as_slice() else {
        return Err("usage: bench ECHO SDK-ECHO ROUTE-FAILOVER CONTROL-PLANE ENVOY".into());
    };
    let mut rows = Vec::new();
    rows.extend(runtime.block_on(cold_start::measure(echo, sdk_echo, function))?);
    rows.extend(failover::measure()?);
    rows.extend(rotations()?);
    rows.extend(pack::measure()?);
    rows.extend(runtime.block_on(sweep::measure())?);
    rows.extend(runtime.block_on(api::measure())?);
    rows.extend(streams::snapshots()?);
    rows.extend(runtime.block_on(streams::pushes())?);
    rows.extend(runtime.block_on(moved::measure(control_plane, envoy))?);
    table(rows)
}

/// The decisions of certificate-rotation, and its runs.
fn rotations() -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = decisions::measure()?;
    rows.extend(rotation::measure()?);
    Ok(rows)
}

fn table(rows: Vec<Row>) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    writeln!(out, "| what | figure | in relation |")?;
    writeln!(out, "|---|---|---|")?;
    for Row { what, figure, relation } in rows {
        writeln!(out, "| {what} | {figure} | {relation} |")?;
    }
    Ok(())
}

/// Writes a line to standard output.
fn say(line: &str) -> Result<(), Box<dyn Error>> {
    Ok(writeln!(io::stdout().lock(), "{line}")?)
}

/// The median of some measurements.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
