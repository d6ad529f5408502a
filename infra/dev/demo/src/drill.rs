//! The scenario on drills: a standby that is declared ready is not.

use std::time::Duration;

use super::checks::{same_but_for_weights, show};
use super::context::{DemoContext, ensure};
use super::route::RouteName;
use super::traffic::Load;
use stack::console::say;
use stack::demo_mesh::now_in_milliseconds;
use stack::failure::Result;

/// The function.
const FUNCTION: &str = "failover-drill";

/// The plan in the demo's policy.
const PLAN: &str = "search-blue";

const SEARCH: RouteName<'static> = RouteName { router: "search", route: "query" };
const NODE: &str = "search-blue";
const STANDBY: &str = "search-green";

/// The maximum duration of requests in progress at a change of weights: the route's timeout.
const IN_PROGRESS: Duration = Duration::from_secs(2);

/// The time limit of a change of weights.
const AT_ONCE: Duration = Duration::from_secs(45);

pub(super) fn play(context: &mut DemoContext) -> Result<()> {
    say("\n== drill: a standby that is declared ready is not, and a drill finds out before an outage does");
    say(
        "  search-green is the standby of search-blue. It has weight 0, so no alarm can prove its health; the policy says that",
    );
    say("  it is ready. Since its last deployment 60 % of its requests would fail.");
    let before = context.route(SEARCH)?;
    context.break_application(STANDBY, 60)?;
    context.start_quiet_traffic(Load::on("/search"))?;
    context.until_alarms_are(&[NODE, STANDBY], "OK")?;
    let began = context.counts()?;
    say("");
    context.operator(&["drill", "start", PLAN, "--by", "dana"])?;
    context.start_traffic(Load::on("/search"), [NODE, STANDBY])?;
    let drained = context.until_weights(Some(FUNCTION), SEARCH, &[0, 100], AT_ONCE)?;
    let drilled = context.counts()?;
    context.start_view(&["drill", "status", "--mesh", "shop", "--watch"])?;
    say("    search-blue is drained as a failover would. From here on the demo only waits.");
    context.until_alarms_are(&[STANDBY], "ALARM")?;
    let failing = now_in_milliseconds();
    let restored = context.until_weights(None, SEARCH, &[100, 0], AT_ONCE)?;
    let written = now_in_milliseconds();
    context.watch(IN_PROGRESS)?;
    let settled = context.counts()?;
    context.watch(Duration::from_secs(4))?;
    let all = context.end_traffic()?;
    context.end_view();
    let (during, after) = (settled.since(&drilled), all.since(&settled));
    ensure(during.failures() > 0, "requests fail during the drill", || format!("{during:?}"))?;
    ensure(after.failures() == 0, "no request fails after the restore", || format!("{after:?}"))?;
    ensure(after.served(STANDBY) == 0, "no request reaches the standby after the restore", || format!("{after:?}"))?;
    say("");
    same_but_for_weights(&before, &restored)?;
    ensure(restored.weights() == before.weights(), "the exact weights are back", || {
        format!("{:?}", restored.weights())
    })?;
    show(SEARCH, &[("before", &before), ("drill", &drained), ("restored", &restored)]);
    let seconds = |to: u64| Duration::from_millis(to.saturating_sub(failing)).as_secs_f32();
    say(format_args!(
        "\n  From the alarm to the weights before: {:.1} s; to the last request on {STANDBY}: {:.1} s.",
        seconds(written),
        seconds(all.last_served(STANDBY).unwrap_or_default()),
    ));
    say(format_args!(
        "  Requests: {} before the drill, {} during it with {} failed, {} after it with {} failed. In an outage of search-blue",
        drilled.since(&began).total(),
        during.total(),
        during.failures(),
        after.total(),
        after.failures(),
    ));
    say("  that would have been the only answer. The drill has failed, and the finding stays until one succeeds.\n");
    // The run that restored the weights may not have seen the acknowledgement of the end.
    context.run_function(FUNCTION)?;
    let shown = context.operator(&["drill", "status", "--mesh", "shop"])?;
    let is_failed = shown.iter().any(|line| line.contains("FAILED"));
    ensure(is_failed, "the drill has failed", || shown.join("\n"))?;
    context.repair(&[STANDBY])
}
