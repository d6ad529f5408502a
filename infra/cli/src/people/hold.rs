//! `hold` and `release`: a route is a person's for a while, and Meshwarden's again.

use jiff::Timestamp;
use mesh::failover::held;
use serde_json::{Value, json};

use super::args::{HoldArgs, ReleaseArgs};
use super::desk::{Desk, Said};
use super::error::{Refusal, Trouble};

/// Keeps the route: what route-failover respects after an edit by hand, with an end of the person's choosing.
pub(super) async fn hold(desk: &Desk<'_>, args: &HoldArgs) -> Result<String, Trouble> {
    let now = desk.now();
    let until = end(args, now)?;
    let seen = desk.see(&args.route).await?;
    let record = held(desk.record(&seen, now)?, until, now);
    let (route, split, by) = (&args.route, &seen.facts.split, &desk.by);
    let text = format!("{by} keeps {split} until {until:.0}: {}", args.reason);
    desk.confirm(&format!("Hold {route} at {split} until {until:.0}, whatever alarms say?"))?;
    let facts = json!({ "by": by, "why": args.reason, "until": until, "split": split });
    desk.note(&seen, &record, &Said { code: "PersonHeld", facts, text: &text, plan: Value::Null }).await?;
    Ok(format!("{route} is held at {split} until {until:.0}; `meshwarden release {route}` gives it back earlier\n"))
}

/// Gives the route back, as the event of a release does: from now on alarms count again, and drains until now don't.
pub(super) async fn release(desk: &Desk<'_>, args: &ReleaseArgs) -> Result<String, Trouble> {
    let now = desk.now();
    let mut seen = desk.see(&args.route).await?;
    let before = desk.record(&seen, now)?;
    if before.edit.is_none() && before.drains.is_empty() {
        return Err(Refusal::NotHeld { route: args.route.clone() }.into());
    }
    seen.facts.released = Some(now);
    let record = desk.record(&seen, now)?;
    let (route, split, by) = (&args.route, &seen.facts.split, &desk.by);
    let text = format!("{by} gives the route back at {split}");
    desk.confirm(&format!("Release {route} at {split}, so that alarms move its weights again?"))?;
    let facts = json!({ "by": by, "split": split, "edit": before.edit });
    desk.note(&seen, &record, &Said { code: "PersonReleased", facts, text: &text, plan: Value::Null }).await?;
    Ok(format!("{route} is released at {split}; route-failover takes it up with its next wake, within a minute\n"))
}

fn end(args: &HoldArgs, now: Timestamp) -> Result<Timestamp, Trouble> {
    let until = match (args.until, args.length) {
        (Some(until), _) => until,
        (None, Some(length)) => now.checked_add(length).map_err(|_| Trouble::TooLong)?,
        // One of both is required on the command line.
        (None, None) => now,
    };
    if until > now { Ok(until) } else { Err(Trouble::PastEnd { until, now }) }
}
