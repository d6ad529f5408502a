//! The tools of the scenarios: causing changes, waiting for their effects, and checking them.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::decision::Decision;
use super::route::{Route, RouteName};
use super::traffic::{Load, RequestCounts, Traffic};
use super::view::LiveView;
use stack::console::say;
use stack::demo_mesh::{self, PERIOD, alarm_name, now};
use stack::failure::{Failure, Result};
use stack::interrupt;
use stack::workspace::Workspace;
use stack::{self, Stack};

const FUNCTION: &str = "route-failover";

/// The time limit of an awaited effect: it takes a second or two, and more on a loaded machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The activity of the demo while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WhileWaiting {
    /// The demo does nothing: something else runs the function.
    Wait,
    /// The demo runs the function as its schedule does, and prints the decisions.
    RunAndPrint,
}

#[derive(Debug)]
pub(super) struct DemoContext {
    pub(super) stack: Stack,
    pub(super) workspace: Workspace,
    tick: Value,
    log_group: String,
    since: u64,
    /// The log lines that were read.
    read: BTreeSet<String>,
    /// The last printed decision.
    last_printed: String,
    /// The load, if there is one.
    traffic: Option<Traffic>,
    /// The view of `meshwarden` that is shown in the meantime, if there is one.
    pub(super) view: Option<LiveView>,
    policy: String,
    /// The nodes with a stopped proxy.
    stopped: BTreeSet<String>,
}

/// The share of its requests that a failing node answers with an error, in percent.
const FAILING: u32 = 60;

impl DemoContext {
    pub(super) fn new(workspace: &Workspace, stack: Stack) -> Result<Self> {
        let path = workspace.file("events/route-failover/tick-rule.json");
        let text = fs::read_to_string(&path).map_err(Failure::file("read", &path))?;
        let tick = serde_json::from_str(&text).map_err(|why| Failure::Unreadable { path, why: why.to_string() })?;
        let log_group = stack.outputs.named("RouteFailoverLog")?.to_owned();
        Ok(Self {
            stack,
            workspace: workspace.clone(),
            tick,
            log_group,
            since: now() * 1000,
            read: BTreeSet::new(),
            last_printed: String::new(),
            traffic: None,
            view: None,
            policy: stack::demo_policy(workspace)?,
            stopped: BTreeSet::new(),
        })
    }

    /// Starts a load through the gateway, with a column for each of two nodes.
    pub(super) fn start_traffic(&mut self, load: Load, nodes: [&'static str; 2]) -> Result<()> {
        self.traffic = Some(Traffic::start(&self.stack.data_plane, load, Some(nodes))?);
        Ok(())
    }

    /// The same without a line per second.
    pub(super) fn start_quiet_traffic(&mut self, load: Load) -> Result<()> {
        self.traffic = Some(Traffic::start(&self.stack.data_plane, load, None)?);
        Ok(())
    }

    /// The stack of the demo.
    pub(super) fn stack(&mut self) -> &mut Stack {
        &mut self.stack
    }

    /// The event with which a schedule runs any function.
    pub(super) fn tick_event(&self) -> Value {
        self.tick.clone()
    }

    /// The policy of the deployed functions.
    pub(super) fn policy(&self) -> &str {
        &self.policy
    }

    /// Ends the load.
    pub(super) fn end_traffic(&mut self) -> Result<RequestCounts> {
        match self.traffic.take() {
            Some(traffic) => traffic.end(),
            None => Ok(RequestCounts::default()),
        }
    }

    /// Lets an application fail this percentage of its requests.
    pub(super) fn break_application(&mut self, node: &str, percent: u32) -> Result<()> {
        let url = format!("{}/failing/{node}", self.stack.data_plane.shop);
        self.stack.client.put(&url, &json!(percent))?.success(node).map(drop)
    }

    /// The results of the load so far.
    pub(super) fn counts(&self) -> Result<RequestCounts> {
        self.traffic.as_ref().map_or_else(|| Ok(RequestCounts::default()), Traffic::counts)
    }

    /// Waits for a while under load.
    pub(super) fn watch(&mut self, time: Duration) -> Result<()> {
        let over = Instant::now() + time;
        let limit = time + TIMEOUT;
        interrupt::poll(limit, || {
            self.tick()?;
            Ok((Instant::now() >= over).then_some(()))
        })
        .map(drop)
    }

    /// Waits until a period of the alarms begins, so that several nodes fail in the same period.
    pub(super) fn await_period(&mut self) -> Result<()> {
        let begun = interrupt::poll(TIMEOUT, || {
            self.tick()?;
            Ok((now().is_multiple_of(u64::from(PERIOD))).then_some(()))
        })?;
        ensure(begun.is_some(), "a period begins", || "the clock does not advance".to_owned())
    }

    /// Prints what has happened since the last call: the figures of the load, and the lines of the view.
    pub(super) fn tick(&mut self) -> Result<()> {
        if let Some(view) = &self.view {
            view.print();
        }
        self.traffic.as_mut().map_or(Ok(()), Traffic::tick)
    }

    /// Reads a route through the App Mesh API.
    pub(super) fn route(&self, name: RouteName<'_>) -> Result<Route> {
        let url = format!("{}{}", self.stack.endpoints.app_mesh, name.path());
        Ok(Route::new(self.stack.client.get(&url)?.success("DescribeRoute")?))
    }

    /// Writes a route through the API, as an operator does.
    pub(super) fn edit(&self, name: RouteName<'_>, spec: &Value) -> Result<()> {
        let url = format!("{}{}", self.stack.endpoints.app_mesh, name.path());
        self.stack.client.put(&url, &json!({"spec": spec}))?.success("UpdateRoute").map(drop)
    }

    /// Repairs nodes.
    pub(super) fn repair(&mut self, nodes: &[&str]) -> Result<()> {
        for node in nodes {
            if self.stopped.remove(*node) {
                let client = self.stack.client.clone();
                self.stack.data_plane.proxy(node)?.restart(&client)?;
            } else {
                self.break_application(node, 0)?;
            }
        }
        Ok(())
    }

    /// Lets a node fail, and prints how: its application fails most requests. For TCP, a proxy does not recognise
    /// errors, so the proxy of the node is stopped, as when its task dies.
    pub(super) fn fail(&mut self, node: &str) -> Result<()> {
        if demo_mesh::protocol(&self.workspace, node)? == "tcp" {
            say(format_args!("  {node} fails: its Envoy is stopped, so connections to it are refused from now on."));
            self.stack.data_plane.proxy(node)?.stop()?;
            self.stopped.insert(node.to_owned());
            return Ok(());
        }
        say(format_args!("  {FAILING} % of the requests to {node} fail from now on."));
        self.break_application(node, FAILING)
    }

    /// Waits until the alarms of nodes have a state, and returns the state.
    pub(super) fn until_alarms_are(&mut self, nodes: &[&str], state: &str) -> Result<String> {
        let mut seen = Vec::new();
        let reached = interrupt::poll(TIMEOUT, || {
            self.tick()?;
            seen.clear();
            for node in nodes {
                seen.push(self.alarm_state(node)?);
            }
            Ok(seen.iter().all(|one| one == state).then(|| state.to_owned()))
        })?;
        reached.ok_or_else(|| Failure::Unexpected {
            expected: format!("the alarms of {} are {state}", nodes.join(", ")),
            seen: format!("they are {}", seen.join(", ")),
        })
    }

    /// Creates an alarm, and waits until the agent's data turns it on.
    pub(super) fn alarm_on(&mut self, alarm: &Value, name: &str) -> Result<()> {
        self.stack.aws.call("cloudwatch", "put_metric_alarm", alarm)?;
        let on = interrupt::poll(TIMEOUT, || {
            self.tick()?;
            Ok((self.state_of_alarm(name)? == "ALARM").then_some(()))
        })?;
        ensure(on.is_some(), &format!("the alarm {name} is on"), || "it stays off".to_owned())
    }

    /// The state of a node's alarm in CloudWatch.
    fn alarm_state(&mut self, node: &str) -> Result<String> {
        self.state_of_alarm(&alarm_name(node))
    }

    /// The state of an alarm in CloudWatch.
    pub(super) fn state_of_alarm(&mut self, name: &str) -> Result<String> {
        let request = json!({"AlarmNames": [name], "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]});
        let answer = self.stack.aws.call("cloudwatch", "describe_alarms", &request)?;
        let state = ["/MetricAlarms/0/StateValue", "/CompositeAlarms/0/StateValue"]
            .iter()
            .find_map(|place| answer.pointer(place).and_then(Value::as_str));
        Ok(state.unwrap_or("missing").to_owned())
    }

    /// Sends the notice of a node's alarm again, as SNS may.
    pub(super) fn repeat_notice(&mut self, node: &str) -> Result<()> {
        let message = json!({
            "AlarmName": alarm_name(node), "OldStateValue": "OK", "NewStateValue": "ALARM",
            "NewStateReason": "the same notice, delivered again",
        });
        let topic = self.stack.outputs.named("AlarmTopic")?;
        let request = json!({"TopicArn": topic, "Message": message.to_string()});
        self.stack.aws.call("sns", "publish", &request).map(drop)
    }

    /// Releases a route to Meshwarden, by an event on its bus.
    pub(super) fn release(&mut self, name: RouteName<'_>) -> Result<()> {
        let detail = json!({
            "mesh": stack::demo_mesh::MESH, "virtualRouter": name.router, "route": name.route, "by": "the demo",
        });
        let bus = self.stack.outputs.named("EventBus")?;
        let entry = json!({
            "EventBusName": bus, "Source": "meshwarden", "DetailType": "Meshwarden Release Route",
            "Detail": detail.to_string(),
        });
        self.stack.aws.call("events", "put_events", &json!({"Entries": [entry]})).map(drop)
    }

    /// Runs the function as its schedule does every minute.
    pub(super) fn run(&self) -> Result<()> {
        self.stack.invoke(FUNCTION, &self.tick).map(drop)
    }

    /// Runs the function until it has given this reason for a route, and prints each reason once.
    pub(super) fn run_until(&mut self, name: RouteName<'_>, reason: &str) -> Result<Decision> {
        self.awaited(name, reason, 1, WhileWaiting::RunAndPrint)
    }

    /// Waits until the function, which the demo does not run, has given this reason for a route this number of times.
    pub(super) fn logged(&mut self, name: RouteName<'_>, reason: &str, times: usize) -> Result<Decision> {
        self.awaited(name, reason, times, WhileWaiting::Wait)
    }

    /// Reads the log, which has the decisions of every run, until it has the awaited decision.
    fn awaited(
        &mut self,
        name: RouteName<'_>,
        reason: &str,
        times: usize,
        meanwhile: WhileWaiting,
    ) -> Result<Decision> {
        let resource = name.resource();
        let mut reasons = BTreeSet::new();
        let mut matching = Vec::new();
        let found = interrupt::poll(TIMEOUT, || {
            self.tick()?;
            for decision in self.new_decisions()? {
                if decision.resource != resource {
                    continue;
                }
                reasons.insert(decision.reason.clone());
                if meanwhile == WhileWaiting::RunAndPrint {
                    self.print(&decision);
                }
                if decision.reason == reason {
                    matching.push(decision);
                }
            }
            let found = matching.get(times - 1).cloned();
            if found.is_none() && meanwhile == WhileWaiting::RunAndPrint {
                self.run()?;
            }
            Ok(found)
        })?;
        found.ok_or_else(|| Failure::Unexpected {
            expected: format!("the decision on {resource} is {reason} {times} time(s)"),
            seen: format!("the log has only {reasons:?}"),
        })
    }

    /// Prints a decision, unless it is the same as the last one.
    fn print(&mut self, decision: &Decision) {
        let sentence = decision.sentence();
        if sentence != self.last_printed {
            say(format_args!("    {sentence}"));
            self.last_printed = sentence;
        }
    }

    /// Skips the present contents of the log.
    pub(super) fn skip_log(&mut self) -> Result<()> {
        self.new_decisions().map(drop)
    }

    /// The decisions of route-failover since the last call.
    pub(super) fn new_decisions(&mut self) -> Result<Vec<Decision>> {
        let request = json!({"logGroupName": self.log_group, "startTime": self.since});
        let answer = self.stack.aws.call("logs", "filter_log_events", &request)?;
        let events = answer.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
        // Each invocation has a separate stream, in which no line occurs twice.
        let new = events.iter().filter(|event| {
            let identity = [event.get("logStreamName"), event.get("message")];
            self.read.insert(identity.into_iter().flatten().map(Value::to_string).collect())
        });
        Ok(new.filter_map(|event| Decision::parse_line(event.get("message")?.as_str()?)).collect())
    }
}

/// Fails with an error unless the condition holds.
pub(super) fn ensure(is_so: bool, expected: &str, seen: impl FnOnce() -> String) -> Result<()> {
    if is_so { Ok(()) } else { Err(Failure::Unexpected { expected: expected.to_owned(), seen: seen() }) }
}
