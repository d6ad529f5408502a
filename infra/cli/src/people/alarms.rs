//! `alarms`: the alarms that a mesh needs, as a template or compared with those of an account.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use decisions::failover::{ProofTarget, counted_metrics, needing_tags, unread_alarms};
use decisions::monitoring::{
    AccountAlarms, NodeAlarms, TargetCheck, check as compare, cloudformation, required, rests_on_other_account,
    terraform,
};
use jiff::SignedDuration;
use mesh::alarm::{Alarm, AlarmName};
use mesh::graph::Mesh;
use mesh::name::MeshName;
use ports::{Pace, PortError, PortErrorKind, survey};
use readers::{File, Surroundings, read_all};
use serde_json::{Value, json};

use super::alarms_error::AlarmsError;
use super::args::{AlarmsArgs, AlarmsFormat};
use super::desk::Desk;
use super::error::{Refusal, Trouble};
use super::status::AT_A_TIME;
use crate::check::{Files, Text, Unread, find};

/// The `--source` value for the App Mesh API.
const API: &str = "api";

/// The period of the data point query that tests whether metrics are readable.
const LATELY: SignedDuration = SignedDuration::from_mins(10);

/// The most levels of composite alarm children that are fetched.
const MAX_DEPTH: usize = 5;

pub(super) async fn alarms(desk: &Desk<'_>, args: &AlarmsArgs) -> Result<String, Trouble> {
    let format = format(args)?;
    let model = model(desk, args).await?;
    let needed = selected(&model, desk, args)?;
    let text = match format {
        AlarmsFormat::Cloudformation => laid_out(&cloudformation(&needed).map_err(AlarmsError::Template)?, 2),
        AlarmsFormat::Terraform => laid_out(&terraform(&needed), 3),
        AlarmsFormat::Table | AlarmsFormat::Json => return check(desk, args, &needed, format).await,
    };
    match &args.output {
        None => Ok(text),
        Some(path) => {
            let failed = |source| Trouble::File { call: "write", path: path.clone(), source };
            std::fs::write(path, text).map_err(failed)?;
            Ok(format!("{}: the alarms of {} targets\n", path.display(), needed.len()))
        }
    }
}

/// JSON with one line for each resource, so a changed alarm is one changed line. The compact form helps a template stay
/// below 51,200 bytes; CloudFormation accepts larger templates only from a bucket.
fn laid_out(document: &Value, levels: usize) -> String {
    let mut text = String::new();
    lay_out(&mut text, document, levels, 0);
    text.push('\n');
    text
}

fn lay_out(text: &mut String, value: &Value, levels: usize, depth: usize) {
    match value {
        Value::Object(members) if depth < levels && !members.is_empty() => {
            text.push_str("{\n");
            for (place, (name, member)) in members.iter().enumerate() {
                let _ = write!(text, "{:width$}{}: ", "", Value::from(name.as_str()), width = 2 * (depth + 1));
                lay_out(text, member, levels, depth + 1);
                text.push_str(if place + 1 == members.len() { "\n" } else { ",\n" });
            }
            let _ = write!(text, "{:width$}}}", "", width = 2 * depth);
        }
        other => {
            let _ = write!(text, "{other}");
        }
    }
}

fn format(args: &AlarmsArgs) -> Result<AlarmsFormat, AlarmsError> {
    let by_default = if args.check { AlarmsFormat::Table } else { AlarmsFormat::Cloudformation };
    let format = args.format.unwrap_or(by_default);
    match format {
        AlarmsFormat::Table | AlarmsFormat::Json if args.check => Ok(format),
        AlarmsFormat::Cloudformation | AlarmsFormat::Terraform if !args.check => Ok(format),
        AlarmsFormat::Table | AlarmsFormat::Json | AlarmsFormat::Cloudformation | AlarmsFormat::Terraform => {
            Err(AlarmsError::Format)
        }
    }
}

/// The alarms of the selected targets.
fn selected(model: &Mesh, desk: &Desk<'_>, args: &AlarmsArgs) -> Result<Vec<NodeAlarms>, AlarmsError> {
    let mut needed = required(model, &desk.policy.failover, args.metrics.into(), &args.namespace);
    if !args.nodes.is_empty() {
        let is_target = |node: &str| needed.iter().any(|one| one.node.as_str() == node);
        if let Some(node) = args.nodes.iter().find(|node| !is_target(node.as_str())) {
            return Err(AlarmsError::NoTarget { mesh: args.mesh.clone(), node: node.to_string() });
        }
        needed.retain(|one| args.nodes.contains(&one.node));
    }
    if needed.is_empty() { Err(AlarmsError::NoTargets { mesh: args.mesh.clone() }) } else { Ok(needed) }
}

/// The complete mesh. An unreadable part is an error, since it may contain targets.
async fn model(desk: &Desk<'_>, args: &AlarmsArgs) -> Result<Mesh, Trouble> {
    let files: Vec<PathBuf> = args.source.iter().filter(|path| path.as_os_str() != API).cloned().collect();
    if files.is_empty() {
        return from_api(desk, &args.mesh).await;
    }
    Ok(from_files(&files, &args.mesh)?)
}

async fn from_api(desk: &Desk<'_>, name: &MeshName) -> Result<Mesh, Trouble> {
    let read = survey(desk.ports.meshes.as_ref(), name, &mut Pace::new(AT_A_TIME, AT_A_TIME)).await?;
    let model = read.model(name).map_err(|error| {
        PortError::new(
            format!("read mesh {name}"),
            PortErrorKind::Other,
            format!("its resources are inconsistent: {error}"),
        )
    })?;
    match read.unread.into_iter().next() {
        Some((_, error)) => Err(error.into()),
        None => Ok(model),
    }
}

fn from_files(paths: &[PathBuf], name: &MeshName) -> Result<Mesh, AlarmsError> {
    let Files { found, unread, .. } = find(paths);
    if let Some(error) = unread.into_iter().next() {
        return Err(error.into());
    }
    let texts: Vec<Text> = found.iter().map(crate::check::Found::read).collect::<Result<_, _>>()?;
    let files: Vec<File<'_>> = texts.iter().map(|text| File { name: &text.name, text: &text.content }).collect();
    let around = Surroundings { mesh: Some(name.clone()), ..Surroundings::default() };
    let (reading, errors) = read_all(&files, &around);
    if let Some(error) = errors.into_iter().find(|error| crate::check::matters(error, &texts)) {
        return Err(Unread::Content(error).into());
    }
    if let Some(first) = reading.refusals.first() {
        return Err(AlarmsError::Refused { count: reading.refusals.len(), first: first.source_.to_string() });
    }
    let mut meshes = reading.meshes();
    meshes.remove(name).ok_or_else(|| {
        let others: Vec<&str> = meshes.keys().map(MeshName::as_str).collect();
        let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        AlarmsError::NoMesh { mesh: name.clone(), others }
    })
}

async fn check(
    desk: &Desk<'_>,
    args: &AlarmsArgs,
    needed: &[NodeAlarms],
    format: AlarmsFormat,
) -> Result<String, Trouble> {
    let (alarms, tags) = read_alarms(desk).await?;
    let uncounted = uncounted(desk, needed, &alarms).await;
    let account = AccountAlarms { alarms: &alarms, tags: &tags, uncounted: &uncounted };
    let checks = compare(needed, account, &desk.policy.failover);
    let text = if format == AlarmsFormat::Json {
        format!("{:#}\n", json!({"mesh": args.mesh, "targets": checks}))
    } else {
        table(&checks)
    };
    let lacking = checks.iter().filter(|check| !check.has_usable_alarm()).count();
    if lacking == 0 {
        return Ok(text);
    }
    Err(Refusal::WithoutAlarm { lacking, all: checks.len(), text }.into())
}

/// Every alarm of the account, with the tags of alarms that need them for their target.
async fn read_alarms(
    desk: &Desk<'_>,
) -> Result<(Vec<Alarm>, BTreeMap<AlarmName, BTreeMap<String, String>>), PortError> {
    let (policy, port) = (&desk.policy.failover, &desk.ports.alarms);
    // The discovery prefix is not applied, so that the check can report alarms outside the prefix.
    let mut alarms = port.all("").await?;
    for _ in 0..MAX_DEPTH {
        let missing = unread_alarms(&alarms);
        if missing.is_empty() {
            break;
        }
        let children = port.by_name(&missing).await?;
        if children.is_empty() {
            break;
        }
        alarms.extend(children);
    }
    let mut tags = BTreeMap::new();
    for alarm in needing_tags(&alarms, policy) {
        tags.insert(alarm.name.clone(), port.tags(&alarm.arn).await?);
    }
    Ok((alarms, tags))
}

/// The alarms on metrics of another account that are unreadable from this account, so these alarms do not count.
async fn uncounted(desk: &Desk<'_>, needed: &[NodeAlarms], alarms: &[Alarm]) -> BTreeSet<AlarmName> {
    let now = desk.ports.clock.now();
    let mut uncounted = BTreeSet::new();
    // The readability of a metric does not depend on the node, so any node serves.
    let Some(first) = needed.first() else { return uncounted };
    let target = ProofTarget { mesh: &first.mesh, node: &first.node, discovery: &desk.policy.failover.discovery };
    for alarm in alarms.iter().filter(|alarm| rests_on_other_account(alarm)) {
        let Ok(metrics) = counted_metrics(alarm, alarms, &target) else { continue };
        let data = desk.ports.alarms.data_points(alarm, &metrics, now - LATELY, now).await;
        if data.is_ok_and(|data| data.iter().all(|metric| metric.unreadable.is_none())) {
            continue;
        }
        uncounted.insert(alarm.name.clone());
    }
    uncounted
}

fn table(checks: &[TargetCheck]) -> String {
    let mut text = String::new();
    for check in checks {
        let alarms: Vec<&str> = check.usable.iter().map(AlarmName::as_str).collect();
        let usable = if alarms.is_empty() { "no usable alarm".to_owned() } else { alarms.join(", ") };
        let _ = writeln!(text, "{}/{}: {usable}", check.mesh, check.virtual_node);
        for problem in &check.problems {
            let _ = writeln!(text, "  {problem}");
        }
    }
    let lacking = checks.iter().filter(|check| !check.has_usable_alarm()).count();
    let _ = writeln!(text, "{} targets, {lacking} without a usable alarm", checks.len());
    text
}
