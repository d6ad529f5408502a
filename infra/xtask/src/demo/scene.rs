//! What the scenarios are told with: making things happen, waiting for what follows, and checking it.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::decision::Decision;
use super::route::{Route, RouteName};
use super::traffic::{Counts, Traffic};
use crate::console::say;
use crate::demo_mesh::{MANY, alarm_name, metric_data, now, requests};
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::stack::{self, Stack};
use crate::workspace::Workspace;

const FUNCTION: &str = "route-failover";

/// What a scenario waits for happens within a second or two; a loaded machine gets this.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is done while something is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    /// Nothing: it has to come by itself.
    Wait,
    /// The function is woken as by its schedule, and what it says is told.
    WakeAndTell,
}

#[derive(Debug)]
pub(super) struct Scene {
    pub(super) stack: Stack,
    pub(super) workspace: Workspace,
    tick: Value,
    log_group: String,
    since: u64,
    /// Lines of the log that were looked at.
    read: BTreeSet<String>,
    /// What was said last.
    told: String,
    /// The load, while there is one.
    traffic: Option<Traffic>,
    policy: String,
}

impl Scene {
    pub(super) fn of(workspace: &Workspace, stack: Stack) -> Result<Self> {
        let path = workspace.file("events/route-failover/tick-rule.json");
        let text = fs::read_to_string(&path).map_err(Failure::file("read", &path))?;
        let tick = serde_json::from_str(&text).map_err(|why| Failure::Unreadable { path, why: why.to_string() })?;
        let arn = stack.outputs.named("RouteFailoverFunction")?;
        let log_group = format!("/aws/lambda/{}", arn.rsplit(':').next().unwrap_or(arn));
        Ok(Self {
            stack,
            workspace: workspace.clone(),
            tick,
            log_group,
            since: now() * 1000,
            read: BTreeSet::new(),
            told: String::new(),
            traffic: None,
            policy: stack::demo_policy(workspace)?,
        })
    }

    /// Starts a load through the gateway, with a column for each of two nodes.
    pub(super) fn start_traffic(&mut self, nodes: [&'static str; 2]) -> Result<()> {
        self.traffic = Some(Traffic::start(&self.stack.data_plane, Some(nodes))?);
        Ok(())
    }

    /// The same without a line a second.
    pub(super) fn start_quiet_traffic(&mut self) -> Result<()> {
        self.traffic = Some(Traffic::start(&self.stack.data_plane, None)?);
        Ok(())
    }

    /// What everything happens on.
    pub(super) fn stack(&mut self) -> &mut Stack {
        &mut self.stack
    }

    /// The event by which a schedule wakes any function.
    pub(super) fn tick_event(&self) -> Value {
        self.tick.clone()
    }

    /// The policy that the functions were deployed with.
    pub(super) fn policy(&self) -> &str {
        &self.policy
    }

    /// Ends the load.
    pub(super) fn end_traffic(&mut self) -> Result<Counts> {
        match self.traffic.take() {
            Some(traffic) => traffic.end(),
            None => Ok(Counts::default()),
        }
    }

    /// Lets an application fail so many percent of the requests that reach it.
    pub(super) fn break_application(&self, node: &str, percent: u32) -> Result<()> {
        self.traffic.as_ref().map_or(Ok(()), |traffic| traffic.fail(node, percent))
    }

    /// What the load has seen so far.
    pub(super) fn counts(&self) -> Result<Counts> {
        self.traffic.as_ref().map_or_else(|| Ok(Counts::default()), Traffic::counts)
    }

    /// Lets requests go by for a while.
    pub(super) fn watch(&mut self, time: Duration) -> Result<()> {
        let over = Instant::now() + time;
        let patience = time + PATIENCE;
        interrupt::poll(patience, || {
            self.tick()?;
            Ok((Instant::now() >= over).then_some(()))
        })
        .map(drop)
    }

    fn tick(&mut self) -> Result<()> {
        self.traffic.as_mut().map_or(Ok(()), |traffic| traffic.tick(&mut self.stack.aws))
    }

    /// Reads a route through the App Mesh API.
    pub(super) fn route(&self, name: RouteName) -> Result<Route> {
        let url = format!("{}{}", self.stack.endpoints.app_mesh, name.path());
        Ok(Route::of(self.stack.client.get(&url)?.success("DescribeRoute")?))
    }

    /// Writes a route as a person does who knows nothing of Meshwarden.
    pub(super) fn edit(&self, name: RouteName, spec: &Value) -> Result<()> {
        let url = format!("{}{}", self.stack.endpoints.app_mesh, name.path());
        self.stack.client.put(&url, &json!({"spec": spec}))?.success("UpdateRoute").map(drop)
    }

    /// Lets many requests to nodes go well.
    pub(super) fn succeed(&mut self, nodes: &[&str]) -> Result<()> {
        self.requests(nodes, 0.2, MANY)
    }

    /// Puts requests to nodes into CloudWatch, with so many percent of errors.
    fn requests(&mut self, nodes: &[&str], errors: f64, count: u32) -> Result<()> {
        let data: Vec<Value> = nodes.iter().map(|node| requests(node, errors, count)).collect();
        self.stack.aws.call("cloudwatch", "put_metric_data", &metric_data(&data)).map(drop)
    }

    /// Lets most requests to nodes fail, again and again, until their alarms are on; tells their state.
    ///
    /// An alarm looks at the average of its period, in which there may still be good requests from before.
    pub(super) fn fail(&mut self, nodes: &[&str]) -> Result<String> {
        let on = interrupt::poll(PATIENCE, || {
            self.requests(nodes, 60.0, 20)?;
            for node in nodes {
                if self.alarm_state(node)? != "ALARM" {
                    return Ok(None);
                }
            }
            Ok(Some("ALARM".to_owned()))
        })?;
        on.ok_or_else(|| Failure::Unexpected {
            expected: format!("the alarms of {} go on", nodes.join(", ")),
            seen: "not all of them did".to_owned(),
        })
    }

    /// Lets a node's alarm lose its data, as the real CloudWatch does by itself once the node gets no requests.
    pub(super) fn no_data(&mut self, node: &str) -> Result<()> {
        let request = json!({
            "AlarmName": alarm_name(node), "StateValue": "INSUFFICIENT_DATA",
            "StateReason": "Insufficient Data: the node has had no requests",
        });
        self.stack.aws.call("cloudwatch", "set_alarm_state", &request).map(drop)
    }

    /// The state of a node's alarm, as CloudWatch tells it.
    pub(super) fn alarm_state(&mut self, node: &str) -> Result<String> {
        let answer =
            self.stack.aws.call("cloudwatch", "describe_alarms", &json!({"AlarmNames": [alarm_name(node)]}))?;
        let state = answer.pointer("/MetricAlarms/0/StateValue").and_then(Value::as_str);
        Ok(state.unwrap_or("missing").to_owned())
    }

    /// Sends the notice that a node's alarm is on once more, as SNS may.
    pub(super) fn notice_again(&mut self, node: &str) -> Result<()> {
        let message = json!({
            "AlarmName": alarm_name(node), "OldStateValue": "OK", "NewStateValue": "ALARM",
            "NewStateReason": "the same notice, delivered again",
        });
        let topic = self.stack.outputs.named("AlarmTopic")?;
        let request = json!({"TopicArn": topic, "Message": message.to_string()});
        self.stack.aws.call("sns", "publish", &request).map(drop)
    }

    /// Gives a route back to Meshwarden, by an event on its bus.
    pub(super) fn release(&mut self, name: RouteName) -> Result<()> {
        let detail = json!({
            "mesh": crate::demo_mesh::MESH, "virtualRouter": name.router, "route": name.route, "by": "the demo",
        });
        let bus = self.stack.outputs.named("EventBus")?;
        let entry = json!({
            "EventBusName": bus, "Source": "meshwarden", "DetailType": "Meshwarden Release Route",
            "Detail": detail.to_string(),
        });
        self.stack.aws.call("events", "put_events", &json!({"Entries": [entry]})).map(drop)
    }

    /// Wakes the function as its schedule does every minute.
    pub(super) fn wake(&self) -> Result<()> {
        self.stack.invoke(FUNCTION, &self.tick).map(drop)
    }

    /// Wakes the function until it has given this reason for a route, telling each reason once.
    pub(super) fn wake_until(&mut self, name: RouteName, reason: &str) -> Result<Decision> {
        self.awaited(name, reason, 1, Meanwhile::WakeAndTell)
    }

    /// Waits until the function, woken by something else than the demo, has given this reason for a route so often.
    pub(super) fn logged(&mut self, name: RouteName, reason: &str, times: usize) -> Result<Decision> {
        self.awaited(name, reason, times, Meanwhile::Wait)
    }

    /// Reads the log, which has the decisions of every wake whoever brought it, until it has what is awaited.
    fn awaited(&mut self, name: RouteName, reason: &str, times: usize, meanwhile: Meanwhile) -> Result<Decision> {
        let resource = name.resource();
        let mut told = BTreeSet::new();
        let mut matching = Vec::new();
        let found = interrupt::poll(PATIENCE, || {
            self.tick()?;
            for decision in self.new_decisions()? {
                if decision.resource != resource {
                    continue;
                }
                told.insert(decision.reason.clone());
                if meanwhile == Meanwhile::WakeAndTell {
                    self.tell(&decision);
                }
                if decision.reason == reason {
                    matching.push(decision);
                }
            }
            let found = matching.get(times - 1).cloned();
            if found.is_none() && meanwhile == Meanwhile::WakeAndTell {
                self.wake()?;
            }
            Ok(found)
        })?;
        found.ok_or_else(|| Failure::Unexpected {
            expected: format!("{resource} comes to {reason} {times} time(s)"),
            seen: format!("the log has only {told:?}"),
        })
    }

    /// Says what was decided, unless it was the last thing that was said.
    pub(super) fn tell(&mut self, decision: &Decision) {
        let sentence = decision.sentence();
        if sentence != self.told {
            say(format_args!("    {sentence}"));
            self.told = sentence;
        }
    }

    /// Passes over what the log has so far.
    pub(super) fn turn_page(&mut self) -> Result<()> {
        self.new_decisions().map(drop)
    }

    fn new_decisions(&mut self) -> Result<Vec<Decision>> {
        let request = json!({"logGroupName": self.log_group, "startTime": self.since});
        let answer = self.stack.aws.call("logs", "filter_log_events", &request)?;
        let events = answer.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
        // Each invocation has a stream of its own, and no line comes twice in one.
        let new = events.iter().filter(|event| {
            let identity = [event.get("logStreamName"), event.get("message")];
            self.read.insert(identity.into_iter().flatten().map(Value::to_string).collect())
        });
        Ok(new.filter_map(|event| Decision::of_line(event.get("message")?.as_str()?)).collect())
    }
}

/// Fails unless something is so.
pub(super) fn ensure(is_so: bool, expected: &str, seen: impl FnOnce() -> String) -> Result<()> {
    if is_so { Ok(()) } else { Err(Failure::Unexpected { expected: expected.to_owned(), seen: seen() }) }
}
