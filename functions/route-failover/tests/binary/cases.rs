//! Cases of `tests/cases`: alarms as CloudWatch describes them, a policy, and a script of steps and expectations, run
//! through the built command.
//!
//! A script is a list of steps: `state` moves alarms and `mute` moves mute rules, `restart` starts another process, `run`
//! makes scheduled runs, `event` delivers one of the case's events, `faults` makes the next calls of an operation fail,
//! `until` makes runs until something holds, and everything else is checked at once: `weights`, the `reason` and `facts` of the route's last decision, the reason of an `alarm`, a `page`
//! with this code, the number of `pages`, the messages of the last batch that `failed`, how many faults were `met`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use meshwarden_tests::cloudwatch::{CloudWatch, World};
use meshwarden_tests::faults::Fault;
use meshwarden_tests::function::{Build, Function};
use meshwarden_tests::stack::{ControlPlane, create_state_table};
use meshwarden_tests::way::{Passed, Way};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::stage::{Theatre, sample};

const ROUTE: &str = "/v20190125/meshes/shop/virtualRouter/recs/routes/all";
const RESOURCE: &str = "mesh/shop/virtualRouter/recs/route/all";

/// The time limit of an action that takes a few seconds on an idle machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The number of concurrent cases: each is a separate process, which mostly waits.
const AT_A_TIME: usize = 4;

#[tokio::test]
async fn every_case_meets_its_expectations() {
    let Some(theatre) = Theatre::open().await else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    let results: Vec<Result<(), String>> =
        stream::iter(&cases).map(|case| play(&theatre, case)).buffer_unordered(AT_A_TIME).collect().await;
    let failed: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{} of {} cases failed:\n{}", failed.len(), cases.len(), failed.join("\n"));
    println!("{} cases", cases.len());
}

struct Case {
    name: String,
    events: Vec<Value>,
    plane: ControlPlane,
    cloudwatch: CloudWatch,
    way: Way,
    build: Build,
    function: Function,
    /// The newest decision about the route, and the newest ones about alarms.
    route: Value,
    alarms: Vec<Value>,
    /// The failed messages of the newest batch.
    failed: Vec<Value>,
}

async fn play(theatre: &Theatre, folder: &Path) -> Result<(), String> {
    let read = |file: &str| -> Option<Value> {
        let text = std::fs::read_to_string(folder.join(file)).ok()?;
        Some(serde_json::from_str(&text).unwrap_or_else(|error| unreachable!("{}/{file}: {error}", folder.display())))
    };
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let script = read("case.json").unwrap();
    let strings =
        |value: &Value| value.as_array().into_iter().flatten().map(|item| item.as_str().unwrap().to_owned()).collect();
    let by_alarm = |member: &str| {
        let of_alarms = script[member].as_object().into_iter().flatten();
        of_alarms.map(|(alarm, of_alarm)| (alarm.clone(), of_alarm.clone())).collect()
    };
    let world = World {
        alarms: read("alarms.json").unwrap().as_array().unwrap().clone(),
        data: script["data"].as_array().cloned().unwrap_or_default(),
        forbidden: strings(&script["forbidden"]),
        contributors: by_alarm("contributors"),
        tags: by_alarm("tags"),
        mute_rules: script["muteRules"].as_array().cloned().unwrap_or_default(),
    };
    let plane = ControlPlane::start().await;
    build_mesh(&plane).await;
    let cloudwatch = CloudWatch::start(world).await;
    let way = Way::to(&[
        ("AWS_ENDPOINT_URL_APP_MESH", plane.endpoint.as_str()),
        ("AWS_ENDPOINT_URL", theatre.endpoint()),
        ("AWS_ENDPOINT_URL_CLOUDWATCH", cloudwatch.endpoint.as_str()),
    ])
    .await;
    let table = format!("case-{name}");
    create_state_table(&theatre.table(), &table).await;
    let build = Build::new("route-failover", env!("CARGO_BIN_EXE_route-failover"))
        .calls(&way)
        .with("MESHWARDEN_POLICY", folder.join("policy.yaml").to_string_lossy())
        .with("MESHWARDEN_TABLE", &table)
        .with("MESHWARDEN_TOPIC", theatre.topic());
    let function = build.start().await;
    let events = read("events.json").map(|events| events.as_array().unwrap().clone()).unwrap_or_default();
    let mut case = Case {
        name,
        events,
        plane,
        cloudwatch,
        way,
        build,
        function,
        route: Value::Null,
        alarms: Vec::new(),
        failed: Vec::new(),
    };
    for (number, step) in script["script"].as_array().unwrap().iter().enumerate() {
        if let Err(why) = case.step(step).await {
            let mut text = format!(
                "{}, step {number} {step}: {why}\n  pages: {:?}\n  route: {}",
                case.name,
                case.pages(),
                case.route
            );
            let _ = write!(text, "\n  alarms: {:?}", case.alarms);
            return Err(text);
        }
    }
    Ok(())
}

impl Case {
    async fn step(&mut self, step: &Value) -> Result<(), String> {
        for (name, state) in step["state"].as_object().into_iter().flatten() {
            self.cloudwatch.change(|world| world.set_state(name, state.as_str().unwrap()));
        }
        for (name, status) in step["mute"].as_object().into_iter().flatten() {
            self.cloudwatch.change(|world| world.set_mute_rule(name, status.as_str().unwrap()));
        }
        if step["restart"] == true {
            self.function = self.build.start().await;
        }
        for fault in step["faults"].as_array().into_iter().flatten() {
            let times = usize::try_from(fault["times"].as_u64().unwrap_or(1)).unwrap();
            self.way.inject_next(fault["at"].as_str().unwrap(), injected(&fault["fault"]), times);
        }
        for _ in 0..step["run"].as_u64().unwrap_or_default() {
            self.run(&sample("tick-rule")).await?;
        }
        if let Some(number) = step["event"].as_u64() {
            let event = self.events[usize::try_from(number).unwrap()].clone();
            self.run(&event).await?;
        }
        match step.get("until") {
            Some(wanted) => self.until(wanted, step["alternate"].as_str()).await,
            None => self.holds(step).await,
        }
    }

    /// Makes runs until the expectation is met. With `alternate`, an alarm changes between two states that are not `ALARM`.
    async fn until(&mut self, wanted: &Value, alternate: Option<&str>) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let mut states = ["INSUFFICIENT_DATA", "OK"].into_iter().cycle();
        loop {
            let Err(why) = self.holds(wanted).await else { return Ok(()) };
            if Instant::now() > deadline {
                return Err(why);
            }
            if let Some(name) = alternate {
                let state = states.next().unwrap();
                self.cloudwatch.change(|world| world.set_state(name, state));
            }
            self.run(&sample("tick-rule")).await?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn run(&mut self, event: &Value) -> Result<(), String> {
        let answer = self.function.answer(event).await.map_err(|error| error.to_string())?;
        let failed = answer["batchItemFailures"].as_array().cloned().unwrap_or_default();
        self.failed = failed.into_iter().map(|failure| failure["itemIdentifier"].clone()).collect();
        let decisions = answer["decisions"].as_array().cloned().unwrap_or_default();
        if let Some(decision) = decisions.iter().find(|decision| decision["resource"] == RESOURCE) {
            self.route = decision.clone();
        }
        let is_alarm = |decision: &Value| decision["resource"].as_str().is_some_and(|name| name.starts_with("alarm/"));
        self.alarms = decisions.into_iter().filter(is_alarm).collect();
        Ok(())
    }

    /// Checks all expectations of a step.
    async fn holds(&self, step: &Value) -> Result<(), String> {
        for (member, wanted) in step.as_object().unwrap() {
            let found = match member.as_str() {
                "state" | "mute" | "restart" | "run" | "event" | "alternate" | "faults" => continue,
                "failed" => json!(self.failed),
                "met" => json!(self.way.happened().len()),
                "weights" => self.weights().await,
                "reason" => self.route["reason"].clone(),
                "facts" => {
                    let facts = wanted.as_object().unwrap().keys();
                    facts.map(|at| (at.clone(), self.route["facts"].pointer(at).cloned().unwrap_or_default())).collect()
                }
                "alarm" => {
                    let of = |name: &String| {
                        self.alarms.iter().find(|decision| decision["resource"] == format!("alarm/{name}"))
                    };
                    let names = wanted.as_object().unwrap().keys();
                    names
                        .map(|name| (name.clone(), of(name).map_or(Value::Null, |line| line["reason"].clone())))
                        .collect()
                }
                "page" => {
                    let code = wanted.as_str().unwrap();
                    let paged = self.pages().iter().any(|subject| subject.contains(code));
                    if paged { wanted.clone() } else { Value::Null }
                }
                "pages" => json!(self.pages().len()),
                other => unreachable!("a case can't check {other}"),
            };
            if found != *wanted {
                return Err(format!("{member} is {found} and not {wanted}"));
            }
        }
        Ok(())
    }

    async fn weights(&self) -> Value {
        let route = self.plane.get(ROUTE).await;
        let targets = route["spec"]["http2Route"]["action"]["weightedTargets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(|target| target["weight"].clone()).collect()
    }

    /// The subjects of the notices that page, as the form encodes them.
    fn pages(&self) -> Vec<String> {
        let is_page = |passed: &Passed| passed.operation == "Publish" && passed.body.contains("StringValue=page");
        let subject = |body: &str| Some(body.split_once("&Subject=")?.1.split('&').next()?.to_owned());
        self.way.passed().into_iter().filter(is_page).filter_map(|passed| subject(&passed.body)).collect()
    }
}

/// A fault by its name, or an error as `[status, code, message]`.
fn injected(fault: &Value) -> Fault {
    if let Some(name) = fault.as_str() {
        let known = Fault::ALL.into_iter().find(|one| format!("{one:?}") == name);
        return known.unwrap_or_else(|| unreachable!("unknown fault {name}"));
    }
    // The few texts of a test live as long as its process.
    let text = |at: usize| -> &'static str { Box::leak(fault[at].as_str().unwrap().to_owned().into_boxed_str()) };
    Fault::Error { status: u16::try_from(fault[0].as_u64().unwrap()).unwrap(), code: text(1), message: text(2) }
}

async fn build_mesh(plane: &ControlPlane) {
    const MESH: &str = "/v20190125/meshes/shop";
    let listener = json!({ "portMapping": { "port": 8080, "protocol": "http2" } });
    plane.put("/v20190125/meshes", &json!({ "meshName": "shop" })).await;
    let nodes: BTreeSet<&str> = ["recs-v1", "recs-v2"].into();
    for node in &nodes {
        let discovery = json!({ "dns": { "hostname": format!("{node}.shop.local") } });
        let spec = json!({ "listeners": [listener], "serviceDiscovery": discovery });
        plane.put(&format!("{MESH}/virtualNodes"), &json!({ "virtualNodeName": node, "spec": spec })).await;
    }
    let router = json!({ "virtualRouterName": "recs", "spec": { "listeners": [listener] } });
    plane.put(&format!("{MESH}/virtualRouters"), &router).await;
    let targets: Vec<Value> = nodes.iter().map(|node| json!({ "virtualNode": node, "weight": 50 })).collect();
    let spec = json!({ "http2Route": { "action": { "weightedTargets": targets }, "match": { "prefix": "/" } } });
    plane.put(&format!("{MESH}/virtualRouter/recs/routes"), &json!({ "routeName": "all", "spec": spec })).await;
}
