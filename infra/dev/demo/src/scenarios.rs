//! The scenarios.

use std::time::{Duration, Instant};

use super::certificates;
use super::checks::{same_but_for_weights, show};
use super::context::{DemoContext, ensure};
use super::route::{Route, RouteName};
use super::traffic::{Load, PRODUCTS, RequestCounts};
use stack::console::say;
use stack::demo_mesh::{scale_out_alarm, scale_out_alarm_name};
use stack::failure::Result;
use stack::scenario::Scenario;

pub(super) fn play(scenario: Scenario, context: &mut DemoContext) -> Result<()> {
    context.skip_log()?;
    match scenario {
        Scenario::Traffic => traffic(context),
        Scenario::Failover => failover(context),
        Scenario::Rollback => super::rollouts::rollback(context),
        Scenario::Canary => super::rollouts::canary(context),
        Scenario::Drill => super::drill::play(context),
        Scenario::Duplicate => duplicate(context),
        Scenario::Standby => standby(context),
        Scenario::Person => person(context),
        Scenario::CommonCause => common_cause(context),
        Scenario::ScaleOut => scale_out(context),
        Scenario::Compliance => super::compliance::play(context),
        Scenario::Certificates => certificates::play(context),
        Scenario::Replicas => super::replicas::play(context),
    }
}

const CATALOG: RouteName<'static> = RouteName { router: "catalog", route: "products" };
const INVENTORY: RouteName<'static> = RouteName { router: "inventory", route: "stock" };
const SEARCH: RouteName<'static> = RouteName { router: "search", route: "query" };
const CART: RouteName<'static> = RouteName { router: "cart", route: "cart" };
const RECOMMENDATIONS: RouteName<'static> = RouteName { router: "recommendations", route: "personal" };
const PAYMENTS: RouteName<'static> = RouteName { router: "payments", route: "authorise" };

/// The maximum duration of requests in progress at a change of weights: the route's timeout.
const IN_PROGRESS: Duration = Duration::from_secs(2);

fn traffic(context: &mut DemoContext) -> Result<()> {
    say("\n== traffic: a version fails under real requests, through real Envoys");
    say(
        "  gateway -> storefront -> catalog, fifty requests a second. Once a second the agent sends Envoy's own statistics to",
    );
    say("  CloudWatch, for the alarms that `meshwarden alarms` wrote. The policy binds none of them.");
    say("  From here on the numbers are requests, not weights.\n");
    let before = context.route(CATALOG)?;
    context.start_traffic(PRODUCTS, ["catalog-v1", "catalog-v2"])?;
    let began = context.counts()?;
    context.until_alarms_are(&["catalog-v1", "catalog-v2"], "OK")?;
    context.watch(Duration::from_secs(4))?;
    let broken = context.counts()?;
    let healthy = broken.since(&began);
    ensure(healthy.total() > 0 && healthy.failures() == 0, "no request fails while everything is healthy", || {
        format!("{healthy:?}")
    })?;

    say("\n  Now 60 % of the requests to catalog-v1 fail. Its health check still passes, and retries hide a part.\n");
    context.break_application("catalog-v1", 60)?;
    let decision = context.logged(CATALOG, "Failover", 1)?;
    let moved = context.counts()?;
    say(format_args!("    {}", decision.sentence()));
    let shifted = context.route(CATALOG)?;
    has_weight(&shifted, "catalog-v1", |weight| weight == 0)?;
    same_but_for_weights(&before, &shifted)?;
    context.watch(IN_PROGRESS)?;
    let settled = context.counts()?;
    context.watch(Duration::from_secs(4))?;
    let drained = context.counts()?;
    let (failing, in_progress, after) = (moved.since(&broken), settled.since(&moved), drained.since(&settled));
    ensure(after.failures() == 0, "errors stop when the weights have moved", || format!("{after:?}"))?;
    ensure(after.share("catalog-v1") == 0.0, "no request reaches the drained node", || format!("{after:?}"))?;

    say(
        "\n  catalog-v1 is repaired. Its alarm covers ten seconds, which have to be without errors; then a probe share.\n",
    );
    context.repair(&["catalog-v1"])?;
    context.until_alarms_are(&["catalog-v1"], "OK")?;
    context.run_until(CATALOG, "Failback")?;
    let probing = context.counts()?;
    context.watch(Duration::from_secs(4))?;
    let probe = context.counts()?.since(&probing);
    context.run_until(CATALOG, "Failback")?;
    let stepping = context.counts()?;
    context.watch(Duration::from_secs(4))?;
    let step = context.counts()?.since(&stepping);
    context.run_until(CATALOG, "Restore")?;
    let restoring = context.counts()?;
    context.watch(Duration::from_secs(4))?;
    let all = context.end_traffic()?;
    let restored = all.since(&restoring);
    let route = context.route(CATALOG)?;
    ensure(route.weights() == before.weights(), "the original weights are back", || format!("{:?}", route.weights()))?;

    say("\n    result of requests                  requests   failed   catalog-v1   catalog-v2");
    for (moment, counts) in [
        ("everything healthy", &healthy),
        ("catalog-v1 fails, weights not yet moved", &failing),
        ("requests in progress at the change", &in_progress),
        ("weights moved", &after),
        ("probe share", &probe),
        ("next step", &step),
        ("original weights again", &restored),
    ] {
        say(measured(moment, counts));
    }
    say(format_args!(
        "\n  Failed requests that catalog-v2 could have served: {} before the weights moved, {} after.",
        failing.failures() + in_progress.failures(),
        after.failures(),
    ));
    let late = all.since(&settled);
    ensure(late.failures() == 0, "no request failed during the return", || format!("{late:?}"))
}

fn measured(moment: &str, counts: &RequestCounts) -> String {
    let share = |node: &str| format!("{:.1} %", counts.share(node));
    let (first, second) = (share("catalog-v1"), share("catalog-v2"));
    format!("    {moment:<40} {:>3}   {:>6}   {first:>10}   {second:>10}", counts.total(), counts.failures())
}

fn failover(context: &mut DemoContext) -> Result<()> {
    say("\n== failover: a node fails, its traffic moves away, and comes back step by step");
    let before = context.route(CATALOG)?;
    context.start_quiet_traffic(PRODUCTS)?;
    context.until_alarms_are(&["catalog-v1", "catalog-v2"], "OK")?;
    let shifted = fail(context, CATALOG, "catalog-v1", "Failover")?;
    show(CATALOG, &[("before", &before), ("shifted", &shifted)]);
    same_but_for_weights(&before, &shifted)?;
    has_weight(&shifted, "catalog-v1", |weight| weight == 0)?;

    say(
        "\n  catalog-v1 is repaired. Drained, it gets no requests, so its alarm has no data and turns OK. From here on the demo",
    );
    say(
        "  invokes the function as its schedule does. Missing data is not health: nothing happens during the dwell (4 s), then a",
    );
    say("  probe share follows.");
    context.repair(&["catalog-v1"])?;
    context.run_until(CATALOG, "InsideDwell")?;
    // No requests from here on, so that the probe share has no data.
    context.end_traffic()?;
    context.run_until(CATALOG, "Failback")?;
    let probe = context.route(CATALOG)?;
    show(CATALOG, &[("shifted", &shifted), ("probe", &probe)]);
    has_weight(&probe, "catalog-v1", |weight| (1..60).contains(&weight))?;

    say("\n  A step without requests has no data, so the next one does not follow.");
    context.run_until(CATALOG, "Unproven")?;
    say("  With requests that succeed the next step follows; then the original weights are restored.");
    context.start_quiet_traffic(PRODUCTS)?;
    context.run_until(CATALOG, "Failback")?;
    let step = context.route(CATALOG)?;
    let probe_weight = probe.weight("catalog-v1").unwrap_or_default();
    has_weight(&step, "catalog-v1", |weight| (probe_weight + 1..60).contains(&weight))?;
    context.run_until(CATALOG, "Restore")?;
    context.end_traffic()?;
    let restored = context.route(CATALOG)?;
    let moments =
        [("before", &before), ("shifted", &shifted), ("probe", &probe), ("step", &step), ("restored", &restored)];
    show(CATALOG, &moments);
    ensure(restored.weights() == before.weights(), "the original weights are back", || {
        format!("{:?}", restored.weights())
    })?;
    same_but_for_weights(&before, &restored)
}

fn duplicate(context: &mut DemoContext) -> Result<()> {
    say("\n== duplicate: an event that is delivered twice changes the weights once");
    say("  The catalog reads the stock over TCP, with a connection for each product.");
    let before = context.route(INVENTORY)?;
    context.start_quiet_traffic(PRODUCTS)?;
    let shifted = fail(context, INVENTORY, "inventory-a", "Failover")?;
    say("\n  SNS delivers at least once. The same notice twice more:");
    context.skip_log()?;
    context.repeat_notice("inventory-a")?;
    context.repeat_notice("inventory-a")?;
    let answer = context.logged(INVENTORY, "AlreadyShifted", 2)?;
    say(format_args!("    {} Twice.", answer.sentence()));
    let after = context.route(INVENTORY)?;
    show(INVENTORY, &[("before", &before), ("shifted", &shifted), ("after two more notices", &after)]);
    let versions = || format!("versions {:?}, then {:?}", shifted.version(), after.version());
    ensure(after.version() == shifted.version(), "the route was not written again", versions)?;
    say(format_args!(
        "    The route is still at version {}: it was not written again.",
        after.version().unwrap_or_default()
    ));
    context.end_traffic()?;
    context.repair(&["inventory-a"])
}

fn standby(context: &mut DemoContext) -> Result<()> {
    say("\n== standby: a standby takes the traffic of a node that has no sibling");
    say("  search-green has weight 0, so it has no data. The policy declares it ready.");
    let before = context.route(SEARCH)?;
    context.start_quiet_traffic(Load::on("/search"))?;
    let shifted = fail(context, SEARCH, "search-blue", "Failover")?;
    show(SEARCH, &[("before", &before), ("shifted", &shifted)]);
    same_but_for_weights(&before, &shifted)?;
    has_weight(&shifted, "search-green", |weight| weight == 100)?;
    context.end_traffic()?;
    context.repair(&["search-blue"])
}

fn person(context: &mut DemoContext) -> Result<()> {
    say("\n== person: an operator's edit is respected");
    let before = context.route(CART)?;
    context.run()?;
    say("  An operator sets the cart's weights to 20 and 80 through the API.");
    context.edit(CART, &before.spec_with(|node| if node == "cart-a" { 20 } else { 80 }))?;
    context.run()?;
    let edited = context.route(CART)?;
    context.start_quiet_traffic(Load::on("/cart"))?;
    let after = fail(context, CART, "cart-a", "PersonEdited")?;
    show(CART, &[("before", &before), ("edited", &edited), ("cart-a fails", &after)]);
    ensure(after.version() == edited.version(), "the edit is left alone", || format!("{:?}", after.weights()))?;

    say("\n  The operator releases the route by an event on Meshwarden's bus, and the failover follows.");
    context.skip_log()?;
    context.release(CART)?;
    let decision = context.logged(CART, "Failover", 1)?;
    say(format_args!("    {}", decision.sentence()));
    let released = context.route(CART)?;
    show(CART, &[("edited", &edited), ("released", &released)]);
    has_weight(&released, "cart-a", |weight| weight == 0)?;
    context.end_traffic()?;
    context.repair(&["cart-a"])
}

fn common_cause(context: &mut DemoContext) -> Result<()> {
    let nodes = ["payments-a", "payments-b", "payments-c"];
    say("\n== common-cause: everything fails at once, so nothing is moved");
    say("  All three nodes of payments fail at the same time, as when their database fails. They are called by gRPC.");
    let before = context.route(PAYMENTS)?;
    context.start_quiet_traffic(Load::on("/orders"))?;
    context.await_period()?;
    nodes.iter().try_for_each(|node| context.fail(node))?;
    let decision = context.logged(PAYMENTS, "CommonCause", 1)?;
    say(format_args!("    {}", decision.sentence()));
    context.end_traffic()?;
    let after = context.route(PAYMENTS)?;
    show(PAYMENTS, &[("before", &before), ("all three fail", &after)]);
    ensure(after.version() == before.version(), "nothing is moved", || format!("{:?}", after.weights()))?;
    context.repair(&nodes)
}

fn scale_out(context: &mut DemoContext) -> Result<()> {
    let node = "recommendations-v1";
    let name = scale_out_alarm_name(node);
    say("\n== scale-out: a caller's alarm on load moves nothing");
    say(
        "  recommendations-v1 calls the catalog under load, so the scale-out alarm on its number of requests is on. The",
    );
    say("  alarm has all four dimensions of App Mesh's outbound metrics and the same topic, but it is about load.");
    let routes = [RECOMMENDATIONS, CATALOG];
    let before = routes.map(|route| context.route(route));
    let topic = context.stack().outputs.named("AlarmTopic")?.to_owned();
    // Fewer requests than elsewhere: the route has a timeout of 400 ms, which a busy machine may exceed.
    context.start_quiet_traffic(Load { path: "/recommendations", per_second: 20 })?;
    let alarm = scale_out_alarm(node, "catalog.shop.local", ["catalog-v1", "catalog-v2"], &topic);
    context.alarm_on(&alarm, &name)?;
    context.run()?;
    context.end_traffic()?;
    for (route, before) in routes.into_iter().zip(before) {
        let (before, after) = (before?, context.route(route)?);
        show(route, &[("before", &before), ("scale-out alarm on", &after)]);
        ensure(after.version() == before.version(), "no weight is moved", || format!("{:?}", after.weights()))?;
    }
    say("\n  An operator looks up the reason.\n");
    let explained = context.stack.meshwarden(&context.workspace, &["explain", &format!("alarm/{name}")])?;
    say("");
    for line in &explained {
        say(format_args!("    {line}"));
    }
    let is_explained = explained.iter().any(|line| line.contains("NotAFailureMetric"));
    ensure(is_explained, "the reason is NotAFailureMetric", || explained.join("\n"))
}

/// Lets one node fail, and waits for the decision of the function, which the alarm runs.
fn fail(context: &mut DemoContext, route: RouteName<'_>, node: &str, reason: &str) -> Result<Route> {
    let started = Instant::now();
    context.fail(node)?;
    say("  The demo only waits.");
    let state = context.until_alarms_are(&[node], "ALARM")?;
    let decision = context.logged(route, reason, 1)?;
    let seconds = started.elapsed().as_secs_f32();
    say(format_args!("  Metric, alarm ({state}), SNS, function, weights: {seconds:.1} s."));
    say(format_args!("    {}", decision.sentence()));
    context.route(route)
}

fn has_weight(route: &Route, node: &str, is_right: impl Fn(u64) -> bool) -> Result<()> {
    let right = route.weight(node).is_some_and(is_right);
    ensure(right, &format!("the weight of {node} is as expected"), || format!("the weights are {:?}", route.weights()))
}
