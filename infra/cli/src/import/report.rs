//! The reports of an import.

use std::fmt::Write as _;

use imports::{CarriedOutcome, CarriedRow, Effects, Plan, Step};
use rules::pack::Finding;
use serde::Serialize;
use serde_json::Value;

use super::execute::{Execution, StepOutcome};

/// The most findings of a table; JSON has all of them.
const MOST_FINDINGS: usize = 20;

/// The longest value in a table, in characters.
const LONGEST_VALUE: usize = 80;

/// The results of an import.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImportReport {
    /// The plan.
    pub(crate) plan: Plan,
    /// Its effects.
    pub(crate) effects: Effects,
    /// The executed steps; `None` if nothing was to be written.
    pub(crate) execution: Option<Execution>,
    /// The reason why nothing was written; `None` if the plan was executed or only shown.
    pub(crate) refusal: Option<String>,
    /// Each member of the files, and the API afterwards; empty if the plan was not executed.
    pub(crate) carried_over: Vec<CarriedRow>,
    /// The command that completes a failed import.
    #[serde(rename = "continueWith")]
    pub(crate) continue_with: Option<String>,
}

impl ImportReport {
    /// One JSON object.
    pub(crate) fn json(&self) -> String {
        // Serialization fails only for maps with keys that are not texts.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Lines for a terminal.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).map_or_else(|_| String::new(), |()| text)
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        self.write_plan(text)?;
        if !self.plan.is_empty() {
            self.write_effects(text)?;
        }
        if let Some(refusal) = &self.refusal {
            writeln!(text, "nothing was written: {refusal}")?;
        }
        if let Some(execution) = &self.execution {
            self.write_execution(execution, text)?;
        }
        if self.execution.is_some() || (self.plan.is_empty() && !self.carried_over.is_empty()) {
            self.write_carried(text)?;
        }
        Ok(())
    }

    fn write_plan(&self, text: &mut String) -> std::fmt::Result {
        let Plan { steps, unchanged, kept } = &self.plan;
        for step in steps {
            writeln!(text, "{:6}  {}", step.verb(), step.path())?;
            match step {
                Step::Update { changes, .. } => {
                    for change in changes {
                        let (before, after) = (shown(change.before.as_ref()), shown(change.after.as_ref()));
                        writeln!(text, "          {}: {before} -> {after}", change.path)?;
                    }
                }
                Step::Tag { set, remove, .. } => {
                    for (key, value) in set {
                        writeln!(text, "          {key} = {value}")?;
                    }
                    for key in remove {
                        writeln!(text, "          {key} is removed")?;
                    }
                }
                Step::Create { .. } | Step::Delete { .. } => {}
            }
        }
        let count = |verb: &str| steps.iter().filter(|step| step.verb() == verb).count();
        writeln!(
            text,
            "plan: {} to create, {} to update, {} to tag, {} to delete, {} unchanged",
            count("create"),
            count("update"),
            count("tag"),
            count("delete"),
            unchanged.len()
        )?;
        if !kept.is_empty() {
            let mut names: Vec<String> = kept.iter().take(5).map(ToString::to_string).collect();
            if kept.len() > 5 {
                names.push(format!("and {} more", kept.len() - 5));
            }
            let names = names.join(", ");
            writeln!(text, "not in the files and kept (--prune deletes them, except meshes): {names}")?;
        }
        Ok(())
    }

    fn write_effects(&self, text: &mut String) -> std::fmt::Result {
        let Effects { created, resolved, remaining, cuts } = &self.effects;
        for cut in cuts {
            writeln!(text, "cut     {}: {} (after the write of {})", cut.resource, cut.message, cut.step)?;
        }
        let (created_count, resolved_count) = (created.len(), resolved.len());
        writeln!(text, "findings: {created_count} created, {resolved_count} resolved, {remaining} remain")?;
        let mut created: Vec<&Finding> = created.iter().collect();
        created.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        for finding in created.iter().take(MOST_FINDINGS) {
            let severity = format!("{:?}", finding.severity).to_lowercase();
            writeln!(text, "  {severity:8}  {}: {}: {}", finding.rule.as_str(), finding.resource, finding.message)?;
        }
        if created.len() > MOST_FINDINGS {
            writeln!(text, "  and {} more; --format json lists all", created.len() - MOST_FINDINGS)?;
        }
        Ok(())
    }

    fn write_execution(&self, execution: &Execution, text: &mut String) -> std::fmt::Result {
        let Execution { done, failure } = execution;
        let count = |outcome: StepOutcome| done.iter().filter(|one| **one == outcome).count();
        write!(text, "written: {} of {} steps", done.len(), self.plan.steps.len())?;
        let in_place = count(StepOutcome::AlreadyInPlace);
        if in_place > 0 {
            write!(text, ", {in_place} of them by an earlier run or another writer")?;
        }
        text.push('\n');
        for (step, _) in self.plan.steps.iter().zip(done).filter(|(_, outcome)| **outcome == StepOutcome::Overwrote) {
            let path = step.path();
            writeln!(
                text,
                "the server does not compare versions, and a change of another writer was replaced: {path}"
            )?;
        }
        if let Some(failure) = failure {
            writeln!(text, "stopped: {failure}")?;
            for step in self.plan.steps.iter().skip(done.len()) {
                writeln!(text, "not written: {} {}", step.verb(), step.path())?;
            }
            if let Some(command) = &self.continue_with {
                writeln!(text, "to continue: {command}")?;
            }
        }
        Ok(())
    }

    fn write_carried(&self, text: &mut String) -> std::fmt::Result {
        let count = |outcome: CarriedOutcome| self.carried_over.iter().filter(|row| row.outcome == outcome).count();
        writeln!(
            text,
            "carried over: {} members as in the files, {} added by the API, {} different, {} that the API does not \
             have, {} dropped, {} declarations skipped",
            count(CarriedOutcome::Carried),
            count(CarriedOutcome::Added),
            count(CarriedOutcome::Differs),
            count(CarriedOutcome::NotHeld),
            count(CarriedOutcome::Dropped),
            count(CarriedOutcome::Skipped)
        )?;
        for row in self.carried_over.iter().filter(|row| row.outcome != CarriedOutcome::Carried) {
            write_row(row, text)?;
        }
        Ok(())
    }
}

fn write_row(row: &CarriedRow, text: &mut String) -> std::fmt::Result {
    let outcome = match row.outcome {
        CarriedOutcome::Carried => "carried",
        CarriedOutcome::Added => "added",
        CarriedOutcome::Differs => "differs",
        CarriedOutcome::NotHeld => "not held",
        CarriedOutcome::Dropped => "dropped",
        CarriedOutcome::Skipped => "skipped",
    };
    write!(text, "  {outcome:8}  {}", row.file)?;
    if let Some(line) = row.line {
        write!(text, ":{line}")?;
    }
    write!(text, ": {}", row.id)?;
    if !row.member.is_empty() {
        write!(text, ": {}", row.member)?;
    }
    match row.outcome {
        CarriedOutcome::Differs => {
            let (in_file, in_api) = (shown(row.in_file.as_ref()), shown(row.in_api.as_ref()));
            write!(text, ": {in_file} in the file, {in_api} in the API")?;
        }
        CarriedOutcome::Added => write!(text, " = {}", shown(row.in_api.as_ref()))?,
        CarriedOutcome::Carried | CarriedOutcome::NotHeld | CarriedOutcome::Dropped | CarriedOutcome::Skipped => {}
    }
    writeln!(text, ": {}", row.reason)
}

/// A value in a line; an absent one is a dash.
fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let text = value.to_string();
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
