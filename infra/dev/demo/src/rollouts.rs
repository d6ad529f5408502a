//! The scenarios on rollouts: a new version that fails, and one that is promoted.

use std::fs;
use std::time::Duration;

use super::checks::{same_but_for_weights, show};
use super::context::{DemoContext, ensure};
use super::route::RouteName;
use super::traffic::{Load, RequestCounts};
use stack::console::say;
use stack::demo_mesh::now_in_milliseconds;
use stack::failure::{Failure, Result};

/// The function.
const FUNCTION: &str = "traffic-shift";

const REVIEWS: RouteName<'static> = RouteName { router: "reviews", route: "reviews" };
const OLD: &str = "reviews-v1";
const NEW: &str = "reviews-v2";

/// The maximum duration of requests in progress at a change of weights: the route's timeout.
const IN_PROGRESS: Duration = Duration::from_secs(2);

/// The time limit of a change of weights that follows at once.
const AT_ONCE: Duration = Duration::from_secs(45);

/// The time limit of a step, which lasts a minute.
const A_STEP: Duration = Duration::from_secs(150);

/// A new version fails at 10 %, and its gate rolls it back.
pub(super) fn rollback(context: &mut DemoContext) -> Result<()> {
    say("\n== rollback: a new version fails at 10 %, and its gate rolls it back");
    say(
        "  gateway -> storefront -> reviews, fifty requests a second, all of them to reviews-v1. The release reviews-v2 has a",
    );
    say("  defect: 60 % of its requests fail. The operator who deploys it does not know that yet.");
    let before = context.route(REVIEWS)?;
    context.break_application(NEW, 60)?;
    context.start_quiet_traffic(Load::on("/reviews"))?;
    context.until_alarms_are(&[OLD, NEW], "OK")?;
    let began = context.counts()?;
    let id = "reviews-v2-broken";
    start(context, id)?;
    context.start_view(&["rollout", "status", id, "--watch"])?;
    context.start_traffic(Load::on("/reviews"), [OLD, NEW])?;
    let at_ten = context.until_weights(Some(FUNCTION), REVIEWS, &[90, 10], AT_ONCE)?;
    let ten = context.counts()?;
    say("    The route has 90 and 10. From here on the demo only waits: metric, alarm, event, function, weights.");
    context.until_alarms_are(&[NEW], "ALARM")?;
    let failing_gate = now_in_milliseconds();
    let rolled_back = context.until_weights(None, REVIEWS, &[100, 0], AT_ONCE)?;
    let written = now_in_milliseconds();
    let moved = context.counts()?;
    context.watch(IN_PROGRESS)?;
    let settled = context.counts()?;
    context.watch(Duration::from_secs(5))?;
    let promoted = context.until_view_ends(AT_ONCE)?;
    let all = context.end_traffic()?;
    ensure(!promoted, "`rollout status --watch` fails for a rollout that is not promoted", || {
        "it succeeds".to_owned()
    })?;

    let (failing, last, after) = (moved.since(&ten), settled.since(&moved), all.since(&settled));
    ensure(after.failures() == 0, "no request fails after the rollback", || format!("{after:?}"))?;
    ensure(after.served(NEW) == 0, "no request reaches the new version after the rollback", || format!("{after:?}"))?;
    ensure(failing.failures() > 0, "requests fail before the rollback", || format!("{failing:?}"))?;
    same_but_for_weights(&before, &rolled_back)?;
    show(REVIEWS, &[("before", &before), ("10 %", &at_ten), ("rolled back", &rolled_back)]);
    table(&[
        ("before the rollout", &ten.since(&began)),
        ("10 %, until the weights are back", &failing),
        ("requests in progress at the rollback", &last),
        ("after the rollback", &after),
    ]);
    let seconds = |from: u64, to: u64| Duration::from_millis(to.saturating_sub(from)).as_secs_f32();
    let last_request = all.last_served(NEW).unwrap_or_default();
    say(format_args!(
        "\n  From the failing gate to the weights before: {:.1} s; to the last request on {NEW}: {:.1} s.",
        seconds(failing_gate, written),
        seconds(failing_gate, last_request),
    ));
    say(format_args!(
        "  Failed requests: {} at 10 %, {} after the rollback.",
        failing.failures() + last.failures(),
        after.failures(),
    ));
    say("\n  The operator looks the reason up.\n");
    let shown = context.operator(&["rollout", "status", id])?;
    let is_explained = shown.iter().any(|line| line.contains("rolled-back: GateFailed"));
    ensure(is_explained, "the status says that a gate failed", || shown.join("\n"))?;
    context.repair(&[NEW])
}

/// A new version gets its traffic step by step, and is promoted.
pub(super) fn canary(context: &mut DemoContext) -> Result<()> {
    say("\n== canary: a new version gets its traffic step by step, and is promoted");
    say("  The same route. The repaired release answers every request.");
    let before = context.route(REVIEWS)?;
    context.start_quiet_traffic(Load::on("/reviews"))?;
    context.until_alarms_are(&[OLD, NEW], "OK")?;
    let began = context.counts()?;
    let id = "reviews-v2-repaired";
    start(context, id)?;
    context.start_view(&["rollout", "status", id, "--watch"])?;
    let at_ten = context.until_weights(Some(FUNCTION), REVIEWS, &[90, 10], AT_ONCE)?;
    let ten = context.counts()?;
    say("    The step lasts a minute, counted from the acknowledgement of the proxies, while every gate passes.");
    let at_fifty = context.until_weights(Some(FUNCTION), REVIEWS, &[50, 50], A_STEP)?;
    let fifty = context.counts()?;
    context.watch(Duration::from_secs(5))?;
    say("    The operator has seen enough, and skips the remaining time.");
    let promoting = context.counts()?;
    context.operator(&["rollout", "promote", id, "--by", "dana"])?;
    let promoted = context.until_weights(Some(FUNCTION), REVIEWS, &[0, 100], AT_ONCE)?;
    context.watch(IN_PROGRESS)?;
    let all_moved = context.counts()?;
    let has_succeeded = context.until_view_ends(AT_ONCE)?;
    // route-failover agrees that these are the declared weights.
    context.run()?;
    context.watch(Duration::from_secs(3))?;
    let all = context.end_traffic()?;
    ensure(has_succeeded, "`rollout status --watch` succeeds for a promoted rollout", || "it fails".to_owned())?;
    let last = context.route(REVIEWS)?;
    ensure(last.weights() == promoted.weights(), "the promoted weights stay", || format!("{:?}", last.weights()))?;
    same_but_for_weights(&before, &last)?;
    show(REVIEWS, &[("before", &before), ("10 %", &at_ten), ("50 %", &at_fifty), ("promoted", &last)]);
    let steps = [
        ("before the rollout", ten.since(&began)),
        ("10 %", fifty.since(&ten)),
        ("50 %", promoting.since(&fifty)),
        ("promoted", all.since(&all_moved)),
    ];
    let lines: Vec<(&str, &RequestCounts)> = steps.iter().map(|(step, counts)| (*step, counts)).collect();
    table(&lines);
    let (canary, after) = (fifty.since(&ten), all.since(&all_moved));
    let share = canary.share(NEW);
    ensure((5.0..20.0).contains(&share), "the canary gets about a tenth", || format!("{share:.1} %"))?;
    ensure(after.served(OLD) == 0, "the old version gets nothing after the promotion", || format!("{after:?}"))?;
    let failed = all.since(&began).failures();
    ensure(failed == 0, "no request fails during the rollout", || format!("{failed} failed"))?;
    say("\n  Failed requests: 0.");
    Ok(())
}

/// Starts a rollout as an operator does.
fn start(context: &mut DemoContext, id: &str) -> Result<()> {
    let request = request(id);
    let file = context.workspace.local("demo").join(format!("{id}.yaml"));
    fs::write(&file, &request).map_err(Failure::file("write", &file))?;
    say("\n  The request:\n");
    for line in request.lines() {
        say(format_args!("    {line}"));
    }
    say("");
    context.operator(&["rollout", "start", &file.display().to_string(), "--by", "dana"]).map(drop)
}

fn request(id: &str) -> String {
    format!(
        "id: {id}\nmesh: shop\nroutes: [{}/{}]\nmoves: [{{from: {OLD}, to: {NEW}}}]\nstrategy: canary\n\
         steps: [10, 50]\ninterval: 1m\nbake: 0s\ngates: {{alarms: [meshwarden/shop/{NEW}]}}\n",
        REVIEWS.router, REVIEWS.route
    )
}

fn table(lines: &[(&str, &RequestCounts)]) {
    say(format_args!("\n    {:<40} requests   failed   {OLD:>12}   {NEW:>12}", "requests by version"));
    for (moment, counts) in lines {
        let (old, new) = (counts.served(OLD), counts.served(NEW));
        say(format_args!("    {moment:<40} {:>8}   {:>6}   {old:>12}   {new:>12}", counts.total(), counts.failures()));
    }
}
