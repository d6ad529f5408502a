//! The scenario on replicas: one of three is killed, an alarm moves weights through another, and the killed one returns.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::context::{DemoContext, ensure};
use super::route::Route;
use super::traffic::{Load, RequestCounts, Traffic};
use stack::console::say;
use stack::demo_mesh::MARKET;
use stack::failure::{Failure, Result};
use stack::interrupt;
use stack::{Endpoints, REPLICAS_NAME, Replicas, put_policy, replica_addresses_available};

/// The function.
const FUNCTION: &str = "RouteFailoverFunction";

/// The path of the route in the App Mesh API, and its name in reports.
const ROUTE: &str = "/v20190125/meshes/market/virtualRouter/reviews/routes/all";
const RESOURCE: &str = "mesh/market/virtualRouter/reviews/route/all";

const NODES: [&str; 2] = ["reviews-a", "reviews-b"];

/// The proxy with the route. Its replica is killed.
const CALLER: &str = "mesh/market/virtualNode/front";

/// The share of its requests that the failing node fails, in percent. Retries hide it from the callers.
const FAILING: u32 = 40;

/// The time limit of an awaited effect.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The number of replicas.
const REPLICAS: usize = 3;

/// The duration of a measurement.
const MEASURED: Duration = Duration::from_secs(2);

/// The maximum duration of requests in progress at a change of weights.
const IN_PROGRESS: Duration = Duration::from_secs(1);

pub(super) fn play(context: &mut DemoContext) -> Result<()> {
    say("\n== replicas: the control plane runs three times, one replica is killed, and the others go on");
    if !replica_addresses_available() {
        say(
            "  Skipped: this machine has not the addresses 127.0.0.2, 127.0.0.3 and 127.0.0.4. On macOS, add each with",
        );
        say("  `sudo ifconfig lo0 alias 127.0.0.2`.");
        return Ok(());
    }
    say(format_args!(
        "  A separate mesh, the market: gateway -> front -> reviews-a and -b. Its Envoys know one name, {REPLICAS_NAME},"
    ));
    say("  which has three addresses in DNS.");
    let workspace = context.workspace.clone();
    let replicas = Replicas::start(&workspace, context.stack())?;
    let shop_policy = context.policy().to_owned();
    let mode = "    kiosk: { default: enforce }\n";
    let policy = shop_policy.replacen(mode, &format!("{mode}    {MARKET}: {{ default: enforce }}\n"), 1);
    ensure(policy != shop_policy, "the policy has the mode of the kiosk", || shop_policy.clone())?;
    put_policy(&mut context.stack.aws, &policy)?;
    use_control_plane(context, &replicas.get(0)?.api)?;
    replicas.deploy_alarms(&workspace, context.stack())?;
    let mut scenario = ReplicaScenario { traffic: None, replicas };
    let result = scenario.play(context);
    // Later scenarios use the shop.
    put_policy(&mut context.stack.aws, &shop_policy)?;
    let shop = context.stack.endpoints.app_mesh.clone();
    let restored = use_control_plane(context, &shop);
    result.and(restored)
}

struct ReplicaScenario {
    traffic: Option<Traffic>,
    replicas: Replicas,
}

impl ReplicaScenario {
    fn play(&mut self, context: &mut DemoContext) -> Result<()> {
        let began = self.begin()?;
        let victim = self.replica_of(CALLER)?;
        let other = (victim + 1) % REPLICAS;
        let before = self.route(other)?;
        use_control_plane(context, &self.replicas.get(other)?.api)?;
        self.until("the alarms have data", |_| {
            let states = [context.state_of_alarm(&alarm(NODES[0]))?, context.state_of_alarm(&alarm(NODES[1]))?];
            Ok(states.iter().all(|state| state == "OK").then_some(()))
        })?;
        let healthy = self.counts()?;
        self.kill(victim, other)?;
        let moved = self.fail_over(context, other)?;
        watch(IN_PROGRESS)?;
        let settled = self.counts()?;
        watch(MEASURED)?;
        let drained = self.counts()?.since(&settled);
        ensure(drained.total() > 0 && drained.served(NODES[0]) == 0, "no request reaches the drained node", || {
            format!("{drained:?}")
        })?;
        self.return_killed(victim, &moved)?;

        let name = self.replicas.get(victim)?.name.clone();
        say(format_args!("\n  {} is repaired, and an operator writes the original weights through {name}.", NODES[0]));
        self.fail(context, 0)?;
        let url = format!("{}{ROUTE}", self.replicas.get(victim)?.api);
        let spec = before.spec_with(|node| before.weight(node).unwrap_or_default());
        context.stack.client.put(&url, &json!({"spec": spec}))?.success("UpdateRoute")?;
        watch(IN_PROGRESS)?;
        let restored = self.counts()?;
        watch(MEASURED)?;
        let all = self.end_traffic()?;
        let last = all.since(&restored);
        let share = last.share(NODES[0]);
        ensure((30.0..70.0).contains(&share), "the traffic is back", || format!("{share:.0} %: {last:?}"))?;
        table(&[
            ("three replicas", &healthy.since(&began)),
            ("one killed, until the weights are moved", &settled.since(&healthy)),
            ("two replicas, weights moved", &drained),
            ("three replicas again, original weights", &last),
        ]);
        let total = all.since(&began);
        say(format_args!("\n  Failed requests: {} of {}.", total.failures(), total.total()));
        ensure(total.failures() == 0, "no request fails", || format!("{total:?}"))
    }

    /// Starts the load, and shows the proxies through each replica.
    fn begin(&mut self) -> Result<RequestCounts> {
        self.traffic = Some(Traffic::start(&self.replicas.data_plane, Load::on("/reviews"), None)?);
        self.until("requests are served", |scenario| Ok((scenario.counts()?.total() > 0).then_some(())))?;
        let began = self.counts()?;
        self.until("all replicas report the same proxies", |scenario| {
            for replica in 0..REPLICAS {
                let report = scenario.replicas.proxies(replica)?;
                if report.get("complete") != Some(&json!(true)) || !is_settled(&served(&report)) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })?;
        say("\n  Each proxy has a stream with one replica, and every replica reports the proxies of all:\n");
        self.show()?;
        Ok(began)
    }

    /// Kills a replica, and waits until its most important proxy has another one.
    fn kill(&self, victim: usize, other: usize) -> Result<()> {
        let name = &self.replicas.get(victim)?.name;
        say(format_args!("\n  {name}, which serves the proxy of front, is killed (SIGKILL)."));
        self.replicas.kill(victim)?;
        let killed = Instant::now();
        self.until("front has a stream with another replica", |scenario| {
            let streams = served(&scenario.replicas.proxies(other)?).remove(CALLER).unwrap_or_default();
            Ok(streams.iter().any(|id| scenario.replicas.name_of(id) != name).then_some(()))
        })?;
        say(format_args!("  That Envoy has another one after {:.1} s.", killed.elapsed().as_secs_f32()));
        Ok(())
    }

    /// Lets a node fail, and waits until the function has moved the weights through a replica.
    fn fail_over(&self, context: &mut DemoContext, other: usize) -> Result<Route> {
        let name = &self.replicas.get(other)?.name;
        say(format_args!(
            "\n  Now {FAILING} % of the requests to {} fail; retries hide it from the callers. Its alarm goes to route-failover,",
            NODES[0]
        ));
        say(format_args!("  which uses {name} now. The demo only waits."));
        context.skip_log()?;
        self.fail(context, FAILING)?;
        let failing = Instant::now();
        let moved = self.until("the weights are moved", |scenario| {
            let route = scenario.route(other)?;
            Ok((route.weight(NODES[0]) == Some(0)).then_some(route))
        })?;
        say(format_args!("  Metric, alarm, SNS, function, {name}, weights: {:.1} s.", failing.elapsed().as_secs_f32()));
        self.until("the decision is logged", |_| {
            let decisions = context.new_decisions()?;
            let found = decisions.into_iter().find(|one| one.resource == RESOURCE && one.reason == "Failover");
            Ok(found.map(|decision| say(format_args!("    {}", decision.sentence()))))
        })?;
        Ok(moved)
    }

    /// Starts the killed replica again, and shows the proxies through each replica.
    fn return_killed(&mut self, victim: usize, moved: &Route) -> Result<()> {
        let name = self.replicas.get(victim)?.name.clone();
        say(format_args!("\n  {name} returns. It reads the failover that it missed from the log before it serves."));
        let returned = Instant::now();
        self.replicas.restart(victim)?;
        let read = self.route(victim)?;
        ensure(read.weights() == moved.weights(), "the returned replica has the moved weights", || {
            format!("{:?}", read.weights())
        })?;
        say(format_args!("  It has the moved weights {:.1} s after its start.\n", returned.elapsed().as_secs_f32()));
        self.replicas.learn_id(victim)?;
        self.until("the replicas report the same", |scenario| {
            let mut all = Vec::new();
            for replica in 0..REPLICAS {
                all.push(served(&scenario.replicas.proxies(replica)?));
            }
            Ok(all.iter().all(|one| is_settled(one) && Some(one) == all.first()).then_some(()))
        })?;
        self.show()?;
        self.explain_silence(victim)
    }

    /// Prints the replica of each proxy as each replica reports it.
    fn show(&self) -> Result<()> {
        let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let (mut titles, mut complete) = (Vec::new(), Vec::new());
        for replica in 0..REPLICAS {
            titles.push(self.replicas.get(replica)?.name.clone());
            let report = self.replicas.proxies(replica)?;
            for (proxy, ids) in served(&report) {
                let names: Vec<&str> = ids.iter().map(|id| self.replicas.name_of(id)).collect();
                rows.entry(proxy).or_default().push(names.join(", "));
            }
            let is_complete = report.get("complete") == Some(&json!(true));
            complete.push(if is_complete { "complete" } else { "incomplete" }.to_owned());
        }
        let first = ("GET /proxies through".to_owned(), titles);
        let last = ("(the whole report)".to_owned(), complete);
        for (title, cells) in [first].into_iter().chain(rows).chain([last]) {
            let mut line = format!("    {title:<42}");
            for cell in cells {
                write!(line, " {cell:<12}").ok();
            }
            say(line.trim_end());
        }
        Ok(())
    }

    /// Prints what the report says about the killed process.
    fn explain_silence(&self, through: usize) -> Result<()> {
        let report = self.replicas.proxies(through)?;
        let unknown = report.get("unknown").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_held = unknown.iter().any(|one| one.get("resources") == Some(&json!(["*"])));
        ensure(is_held, "the killed process is not taken for one that has stopped", || report.to_string())?;
        say(
            "  The report stays incomplete: the killed process has not said that its proxies left it. So no CA is removed until",
        );
        say("  `--serve-stale-for` and 15 minutes have passed. Weights are moved meanwhile, as above.");
        Ok(())
    }

    fn replica_of(&self, proxy: &str) -> Result<usize> {
        let report = self.replicas.proxies(0)?;
        let ids = served(&report).remove(proxy).unwrap_or_default();
        let found = self.replicas.all.iter().position(|replica| replica.ids.iter().any(|id| ids.contains(id)));
        found.ok_or_else(|| Failure::Unexpected {
            expected: format!("a replica serves {proxy}"),
            seen: report.to_string(),
        })
    }

    fn route(&self, through: usize) -> Result<Route> {
        let url = format!("{}{ROUTE}", self.replicas.get(through)?.api);
        Ok(Route::new(stack::http::Client::new().get(&url)?.success("DescribeRoute")?))
    }

    /// Lets the first node fail this percentage of its requests.
    fn fail(&self, context: &DemoContext, percent: u32) -> Result<()> {
        let url = format!("{}/failing/{}", self.replicas.data_plane.shop, NODES[0]);
        context.stack.client.put(&url, &json!(percent))?.success(NODES[0]).map(drop)
    }

    fn counts(&self) -> Result<RequestCounts> {
        self.traffic.as_ref().map_or_else(|| Ok(RequestCounts::default()), Traffic::counts)
    }

    fn end_traffic(&mut self) -> Result<RequestCounts> {
        self.traffic.take().map_or_else(|| Ok(RequestCounts::default()), Traffic::end)
    }

    /// Waits for something under load.
    fn until<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Result<Option<T>>) -> Result<T> {
        let found = interrupt::poll(TIMEOUT, || look(self))?;
        found.ok_or_else(|| Failure::Unexpected {
            expected: what.to_owned(),
            seen: format!("nothing of it in {} s", TIMEOUT.as_secs()),
        })
    }
}

/// Waits for a while under load.
fn watch(time: Duration) -> Result<()> {
    let over = Instant::now() + time;
    interrupt::poll(time + TIMEOUT, || Ok((Instant::now() >= over).then_some(()))).map(drop)
}

/// Prints the results of requests at several moments.
fn table(moments: &[(&str, &RequestCounts)]) {
    let (first, second) = (NODES[0], NODES[1]);
    say(format_args!("\n    {:<44} requests   failed   {first:>10}   {second:>10}", "requests through the Envoys"));
    for (moment, counts) in moments {
        let (one, two) = (counts.served(first), counts.served(second));
        say(format_args!("    {moment:<44} {:>8}   {:>6}   {one:>10}   {two:>10}", counts.total(), counts.failures()));
    }
}

/// The ids of the replicas at which each connected proxy has a stream, by resource.
fn served(report: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut served: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for proxy in report.get("proxies").and_then(Value::as_array).into_iter().flatten() {
        let text = |member: &str| proxy.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
        served.entry(text("resource")).or_default().insert(text("replica"));
    }
    served
}

/// The number of proxies of the market.
const PROXIES: usize = 4;

/// Whether each proxy is reported once.
fn is_settled(served: &BTreeMap<String, BTreeSet<String>>) -> bool {
    served.len() == PROXIES && served.values().all(|replicas| replicas.len() == 1)
}

fn alarm(node: &str) -> String {
    format!("meshwarden/{MARKET}/{node}")
}

/// Lets route-failover use another control plane.
fn use_control_plane(context: &mut DemoContext, api: &str) -> Result<()> {
    let name = context.stack.outputs.named(FUNCTION)?.to_owned();
    let aws = &mut context.stack.aws;
    let present = aws.call("lambda", "get_function_configuration", &json!({"FunctionName": name}))?;
    let mut variables = present.pointer("/Environment/Variables").cloned().unwrap_or_else(|| json!({}));
    if let Some(members) = variables.as_object_mut() {
        members.insert(Endpoints::APP_MESH_VARIABLE.to_owned(), api.into());
    }
    let request = json!({"FunctionName": name, "Environment": {"Variables": variables}});
    aws.call("lambda", "update_function_configuration", &request).map(drop)
}
