//! The scenarios.

use std::time::{Duration, Instant};

use super::certificates;
use super::route::{Route, RouteName, table};
use super::scene::{Scene, ensure};
use super::traffic::{Counts, Load, PRODUCTS};
use crate::cli::Scenario;
use crate::console::say;
use crate::demo_mesh::{scale_out_alarm, scale_out_alarm_name};
use crate::failure::Result;

pub(super) fn play(scenario: Scenario, scene: &mut Scene) -> Result<()> {
    scene.turn_page()?;
    match scenario {
        Scenario::Traffic => traffic(scene),
        Scenario::Failover => failover(scene),
        Scenario::Duplicate => duplicate(scene),
        Scenario::Standby => standby(scene),
        Scenario::Person => person(scene),
        Scenario::CommonCause => common_cause(scene),
        Scenario::ScaleOut => scale_out(scene),
        Scenario::Compliance => super::compliance::play(scene),
        Scenario::Certificates => certificates::play(scene),
    }
}

const CATALOG: RouteName<'static> = RouteName { router: "catalog", route: "products" };
const INVENTORY: RouteName<'static> = RouteName { router: "inventory", route: "stock" };
const SEARCH: RouteName<'static> = RouteName { router: "search", route: "query" };
const CART: RouteName<'static> = RouteName { router: "cart", route: "cart" };
const RECOMMENDATIONS: RouteName<'static> = RouteName { router: "recommendations", route: "personal" };
const PAYMENTS: RouteName<'static> = RouteName { router: "payments", route: "authorise" };

/// How long requests that are on their way when the weights move may take to come back: the route's own time-out.
const ON_THEIR_WAY: Duration = Duration::from_secs(2);

fn traffic(scene: &mut Scene) -> Result<()> {
    say("\n== traffic: a version dies under real requests, through real Envoys");
    say(
        "  gateway -> storefront -> catalog, fifty requests a second. Once a second Envoy's own statistics are put into",
    );
    say(
        "  CloudWatch by the agent beside it, for the alarms that `meshwarden alarms` wrote. The policy binds none of them.",
    );
    say("  From here on the numbers are requests, not weights.\n");
    let before = scene.route(CATALOG)?;
    scene.start_traffic(PRODUCTS, ["catalog-v1", "catalog-v2"])?;
    let began = scene.counts()?;
    scene.until_alarms_are(&["catalog-v1", "catalog-v2"], "OK")?;
    scene.watch(Duration::from_secs(4))?;
    let broken = scene.counts()?;
    let healthy = broken.since(&began);
    ensure(healthy.total() > 0 && healthy.failures() == 0, "no request fails while all is well", || {
        format!("{healthy:?}")
    })?;

    say("\n  Now 60 % of what reaches catalog-v1 fails. Its health check stays green, and retries hide a part.\n");
    scene.break_application("catalog-v1", 60)?;
    let decision = scene.logged(CATALOG, "Failover", 1)?;
    let moved = scene.counts()?;
    say(format_args!("    {}", decision.sentence()));
    let shifted = scene.route(CATALOG)?;
    has_weight(&shifted, "catalog-v1", |weight| weight == 0)?;
    same_but_for_weights(&before, &shifted)?;
    scene.watch(ON_THEIR_WAY)?;
    let settled = scene.counts()?;
    scene.watch(Duration::from_secs(4))?;
    let drained = scene.counts()?;
    let (dying, on_their_way, after) = (moved.since(&broken), settled.since(&moved), drained.since(&settled));
    ensure(after.failures() == 0, "errors stop when the weights have moved", || format!("{after:?}"))?;
    ensure(after.share("catalog-v1") == 0.0, "no request reaches the drained node", || format!("{after:?}"))?;

    say(
        "\n  catalog-v1 is repaired. Its alarm covers ten seconds, which have to be without errors; then a probe share.\n",
    );
    scene.repair(&["catalog-v1"])?;
    scene.until_alarms_are(&["catalog-v1"], "OK")?;
    scene.wake_until(CATALOG, "Failback")?;
    let probing = scene.counts()?;
    scene.watch(Duration::from_secs(4))?;
    let probe = scene.counts()?.since(&probing);
    scene.wake_until(CATALOG, "Failback")?;
    let stepping = scene.counts()?;
    scene.watch(Duration::from_secs(4))?;
    let step = scene.counts()?.since(&stepping);
    scene.wake_until(CATALOG, "Restore")?;
    let restoring = scene.counts()?;
    scene.watch(Duration::from_secs(4))?;
    let all = scene.end_traffic()?;
    let restored = all.since(&restoring);
    let route = scene.route(CATALOG)?;
    ensure(route.weights() == before.weights(), "the original weights are back", || format!("{:?}", route.weights()))?;

    say("\n    what requests saw                   requests   failed   catalog-v1   catalog-v2");
    for (moment, counts) in [
        ("all well", &healthy),
        ("catalog-v1 fails, weights not yet moved", &dying),
        ("requests on their way meanwhile", &on_their_way),
        ("weights moved", &after),
        ("probe share", &probe),
        ("next step", &step),
        ("original weights again", &restored),
    ] {
        say(measured(moment, counts));
    }
    say(format_args!(
        "\n  Requests that failed though catalog-v2 could have served them: {} before the weights moved, {} after.",
        dying.failures() + on_their_way.failures(),
        after.failures(),
    ));
    let late = all.since(&settled);
    ensure(late.failures() == 0, "no request failed while the node came back", || format!("{late:?}"))
}

fn measured(moment: &str, counts: &Counts) -> String {
    let share = |node: &str| format!("{:.1} %", counts.share(node));
    let (first, second) = (share("catalog-v1"), share("catalog-v2"));
    format!("    {moment:<40} {:>3}   {:>6}   {first:>10}   {second:>10}", counts.total(), counts.failures())
}

fn failover(scene: &mut Scene) -> Result<()> {
    say("\n== failover: a node fails, its traffic moves away, and comes back step by step");
    let before = scene.route(CATALOG)?;
    scene.start_quiet_traffic(PRODUCTS)?;
    scene.until_alarms_are(&["catalog-v1", "catalog-v2"], "OK")?;
    let shifted = fail(scene, CATALOG, "catalog-v1", "Failover")?;
    show(CATALOG, &[("before", &before), ("shifted", &shifted)]);
    same_but_for_weights(&before, &shifted)?;
    has_weight(&shifted, "catalog-v1", |weight| weight == 0)?;

    say(
        "\n  catalog-v1 is repaired. Drained, it gets no requests, so its alarm has no data and turns OK. From here on the demo",
    );
    say(
        "  invokes the function as its schedule does. Silence is not health: first nothing happens for the dwell (4 s), then a",
    );
    say("  probe share is tried.");
    scene.repair(&["catalog-v1"])?;
    scene.wake_until(CATALOG, "InsideDwell")?;
    // No requests from here on, so that the probe share proves nothing.
    scene.end_traffic()?;
    scene.wake_until(CATALOG, "Failback")?;
    let probe = scene.route(CATALOG)?;
    show(CATALOG, &[("shifted", &shifted), ("probe", &probe)]);
    has_weight(&probe, "catalog-v1", |weight| (1..60).contains(&weight))?;

    say("\n  A step without requests proves nothing, so the next one does not follow.");
    scene.wake_until(CATALOG, "Unproven")?;
    say("  Requests without errors come in, and the next step follows; then the original weights are restored.");
    scene.start_quiet_traffic(PRODUCTS)?;
    scene.wake_until(CATALOG, "Failback")?;
    let step = scene.route(CATALOG)?;
    let probe_weight = probe.weight("catalog-v1").unwrap_or_default();
    has_weight(&step, "catalog-v1", |weight| (probe_weight + 1..60).contains(&weight))?;
    scene.wake_until(CATALOG, "Restore")?;
    scene.end_traffic()?;
    let restored = scene.route(CATALOG)?;
    let moments =
        [("before", &before), ("shifted", &shifted), ("probe", &probe), ("step", &step), ("restored", &restored)];
    show(CATALOG, &moments);
    ensure(restored.weights() == before.weights(), "the original weights are back", || {
        format!("{:?}", restored.weights())
    })?;
    same_but_for_weights(&before, &restored)
}

fn duplicate(scene: &mut Scene) -> Result<()> {
    say("\n== duplicate: an event that is delivered twice changes the weights once");
    say("  The catalog looks the stock up over TCP, a connection for each product.");
    let before = scene.route(INVENTORY)?;
    scene.start_quiet_traffic(PRODUCTS)?;
    let shifted = fail(scene, INVENTORY, "inventory-a", "Failover")?;
    say("\n  SNS delivers at least once. Here is the same notice twice more:");
    scene.turn_page()?;
    scene.notice_again("inventory-a")?;
    scene.notice_again("inventory-a")?;
    let answer = scene.logged(INVENTORY, "AlreadyShifted", 2)?;
    say(format_args!("    {} Twice.", answer.sentence()));
    let after = scene.route(INVENTORY)?;
    show(INVENTORY, &[("before", &before), ("shifted", &shifted), ("after two more notices", &after)]);
    let versions = || format!("versions {:?}, then {:?}", shifted.version(), after.version());
    ensure(after.version() == shifted.version(), "the route was not written again", versions)?;
    say(format_args!(
        "    The route is still at version {}: it was not written again.",
        after.version().unwrap_or_default()
    ));
    scene.end_traffic()?;
    scene.repair(&["inventory-a"])
}

fn standby(scene: &mut Scene) -> Result<()> {
    say("\n== standby: a standby takes the traffic of a node that has no sibling");
    say("  search-green has weight 0, so it has no data. The policy declares it ready.");
    let before = scene.route(SEARCH)?;
    scene.start_quiet_traffic(Load::on("/search"))?;
    let shifted = fail(scene, SEARCH, "search-blue", "Failover")?;
    show(SEARCH, &[("before", &before), ("shifted", &shifted)]);
    same_but_for_weights(&before, &shifted)?;
    has_weight(&shifted, "search-green", |weight| weight == 100)?;
    scene.end_traffic()?;
    scene.repair(&["search-blue"])
}

fn person(scene: &mut Scene) -> Result<()> {
    say("\n== person: an operator's edit is respected");
    let before = scene.route(CART)?;
    scene.wake()?;
    say("  An operator sets the cart's weights to 20 and 80 through the API.");
    scene.edit(CART, &before.spec_with(|node| if node == "cart-a" { 20 } else { 80 }))?;
    scene.wake()?;
    let edited = scene.route(CART)?;
    scene.start_quiet_traffic(Load::on("/cart"))?;
    let after = fail(scene, CART, "cart-a", "PersonEdited")?;
    show(CART, &[("before", &before), ("edited", &edited), ("cart-a fails", &after)]);
    ensure(after.version() == edited.version(), "the edit is left alone", || format!("{:?}", after.weights()))?;

    say("\n  The operator releases the route by an event on Meshwarden's bus, and the failover follows.");
    scene.turn_page()?;
    scene.release(CART)?;
    let decision = scene.logged(CART, "Failover", 1)?;
    say(format_args!("    {}", decision.sentence()));
    let released = scene.route(CART)?;
    show(CART, &[("edited", &edited), ("released", &released)]);
    has_weight(&released, "cart-a", |weight| weight == 0)?;
    scene.end_traffic()?;
    scene.repair(&["cart-a"])
}

fn common_cause(scene: &mut Scene) -> Result<()> {
    let nodes = ["payments-a", "payments-b", "payments-c"];
    say("\n== common-cause: everything fails at once, so nothing is moved");
    say(
        "  All three nodes of payments fail in the same moment, as they do when a database dies. They are called by gRPC.",
    );
    let before = scene.route(PAYMENTS)?;
    scene.start_quiet_traffic(Load::on("/orders"))?;
    scene.await_period()?;
    nodes.iter().try_for_each(|node| scene.fail(node))?;
    let decision = scene.logged(PAYMENTS, "CommonCause", 1)?;
    say(format_args!("    {}", decision.sentence()));
    scene.end_traffic()?;
    let after = scene.route(PAYMENTS)?;
    show(PAYMENTS, &[("before", &before), ("all three fail", &after)]);
    ensure(after.version() == before.version(), "nothing is moved", || format!("{:?}", after.weights()))?;
    scene.repair(&nodes)
}

fn scale_out(scene: &mut Scene) -> Result<()> {
    let node = "recommendations-v1";
    let name = scale_out_alarm_name(node);
    say("\n== scale-out: a caller's alarm on load moves nothing");
    say(
        "  recommendations-v1 calls the catalog, and is busy: its scale-out alarm on the requests that it makes turns on. The",
    );
    say(
        "  alarm has all four dimensions of App Mesh's outbound metrics and acts through the same topic, but it reports load.",
    );
    let routes = [RECOMMENDATIONS, CATALOG];
    let before = routes.map(|route| scene.route(route));
    let topic = scene.stack().outputs.named("AlarmTopic")?.to_owned();
    // Fewer than elsewhere: the route has a time-out of 400 ms, which a busy machine may not keep under more.
    scene.start_quiet_traffic(Load { path: "/recommendations", per_second: 20 })?;
    let alarm = scale_out_alarm(node, "catalog.shop.local", ["catalog-v1", "catalog-v2"], &topic);
    scene.alarm_on(&alarm, &name)?;
    scene.wake()?;
    scene.end_traffic()?;
    for (route, before) in routes.into_iter().zip(before) {
        let (before, after) = (before?, scene.route(route)?);
        show(route, &[("before", &before), ("scale-out alarm on", &after)]);
        ensure(after.version() == before.version(), "no weight is moved", || format!("{:?}", after.weights()))?;
    }
    say("\n  An operator asks why.\n");
    let explained = scene.stack.meshwarden(&scene.workspace, &["explain", &format!("alarm/{name}")])?;
    say("");
    for line in &explained {
        say(format_args!("    {line}"));
    }
    let is_explained = explained.iter().any(|line| line.contains("NotAFailureMetric"));
    ensure(is_explained, "the reason is NotAFailureMetric", || explained.join("\n"))
}

/// Lets one node fail, and waits for what the function makes of it by itself.
fn fail(scene: &mut Scene, route: RouteName<'_>, node: &str, reason: &str) -> Result<Route> {
    let started = Instant::now();
    scene.fail(node)?;
    say("  The demo does nothing else.");
    let state = scene.until_alarms_are(&[node], "ALARM")?;
    let decision = scene.logged(route, reason, 1)?;
    let seconds = started.elapsed().as_secs_f32();
    say(format_args!("  Metric, alarm ({state}), SNS, function, weights: {seconds:.1} s."));
    say(format_args!("    {}", decision.sentence()));
    scene.route(route)
}

fn show(route: RouteName<'_>, moments: &[(&str, &Route)]) {
    say("");
    say(table(route, moments));
}

fn has_weight(route: &Route, node: &str, is_right: impl Fn(u64) -> bool) -> Result<()> {
    let right = route.weight(node).is_some_and(is_right);
    ensure(right, &format!("the weight of {node} is as expected"), || format!("the weights are {:?}", route.weights()))
}

fn same_but_for_weights(before: &Route, after: &Route) -> Result<()> {
    let same = before.all_but_weights() == after.all_but_weights();
    ensure(same, "only weights were changed", || after.all_but_weights().to_string())?;
    say("    Match, headers, retries, timeouts and priority of the route are what they were.");
    Ok(())
}
