//! A warm failover over in-memory ports: the number of its sequential calls, and its own time.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use mesh::alarm::{Alarm, AlarmName, AlarmSource, AlarmState};
use mesh::name::ResourcePath;
use policy::Policy;
use ports::Deadline;
use ports_memory::{Fault, Gate, MemoryPolicy, MemoryPorts};
use route_failover::{Ports, Recipient};
use runner::events::parse;
use runner::{Handler as _, PolicyKeeper};
use serde_json::json;

use crate::{Row, median};

/// The latency of every call, in virtual time.
const LATENCY: Duration = Duration::from_millis(20);

/// The number of repetitions for the function's own time.
const RUNS: usize = 200;

/// The number of nodes in the mesh.
const NODES: usize = 50;

pub(crate) fn measure() -> Result<Vec<Row>, Box<dyn Error>> {
    let paused = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    let virtual_time = paused.block_on(run(LATENCY))?;
    let calls = virtual_time.1;
    let real = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut own = Vec::new();
    for _ in 0..RUNS {
        own.push(real.block_on(run(Duration::ZERO))?.0.as_secs_f64() * 1000.0);
    }
    let rounds = virtual_time.0.as_secs_f64() / LATENCY.as_secs_f64();
    Ok(vec![
        Row {
            what: "warm failover, calls at 20 ms each, event to weights written",
            figure: format!("{rounds:.0} rounds one after the other"),
            relation: format!("of {calls} calls in all, those after the write included"),
        },
        Row {
            what: "own time of a warm failover, mesh of 50 nodes, without the SDK's share",
            figure: format!("{:.2} ms", median(own.clone())),
            relation: format!("{:.1} % of its {rounds:.0} rounds", 100.0 * median(own) / (rounds * 20.0)),
        },
    ])
}

/// One failover of a warm function: the time until it writes the weights, or its total time if the calls have no
/// latency, and the number of its calls.
async fn run(latency: Duration) -> Result<(Duration, usize), Box<dyn Error>> {
    let now: Timestamp = "2026-10-05T12:00:00Z".parse()?;
    let memory = shop(now)?;
    let function = route_failover::function(
        ports(&memory),
        PolicyKeeper::start(Box::new(MemoryPolicy::new(POLICY, memory.faults.clone())), Policy::read, now).await?,
        Recipient::default(),
    );
    let tick = parse(&json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}));
    let deadline = || Deadline::after(Duration::from_secs(30));
    function.handle(tick, deadline()).await.map_err(|retry| retry.why)?;

    let name = AlarmName::parse("errors-0")?;
    memory.clock.advance(SignedDuration::from_secs(30));
    memory.alarms.set_state(&name, AlarmState::Alarm, now);
    memory.faults.set_latency(latency);
    let before = memory.faults.calls().len();
    let event = parse(&json!({
        "source": "aws.cloudwatch", "detail-type": "CloudWatch Alarm State Change",
        "detail": {"alarmName": "errors-0", "state": {"value": "ALARM"}},
    }));
    let (wall, clock) = (Instant::now(), tokio::time::Instant::now());
    let gate = Gate::default();
    memory.faults.once(|call| call.name == "update route", Fault::Waits(gate.clone()));
    let at_the_write = async {
        gate.reached().await;
        let reached = clock.elapsed();
        gate.open();
        reached
    };
    let (handled, to_write) = tokio::join!(function.handle(event, deadline()), at_the_write);
    let report = handled.map_err(|retry| retry.why)?;
    let took = if latency.is_zero() { wall.elapsed() } else { to_write };
    let acted = report.decisions.iter().any(|decision| decision.reason == "Failover");
    if !acted {
        return Err(format!("the failover did not happen: {report:?}").into());
    }
    Ok((took, memory.faults.calls().len() - before))
}

const POLICY: &str = "version: 1
modes: {default: enforce}
failover:
  bindings:
    - {alarm: errors-0, mesh: shop, virtualNode: service-0-a}
  targets:
    - {mesh: shop, virtualNode: service-0-b, assumeReady: true}
";

fn shop(now: Timestamp) -> Result<MemoryPorts, Box<dyn Error>> {
    let memory = MemoryPorts::at(now);
    let put = |path: String, spec: serde_json::Value| -> Result<(), Box<dyn Error>> {
        memory
            .mesh
            .put_spec(&ResourcePath::parse(&path)?, &spec)
            .map_err(|violations| format!("{path}: {violations:?}"))?;
        Ok(())
    };
    put("mesh/shop".to_owned(), json!({}))?;
    for service in 0..NODES / 2 {
        for version in ["a", "b"] {
            let spec = json!({
                "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
                "serviceDiscovery": {"dns": {"hostname": format!("service-{service}-{version}.local")}},
            });
            put(format!("mesh/shop/virtualNode/service-{service}-{version}"), spec)?;
        }
        let router = format!("mesh/shop/virtualRouter/service-{service}");
        put(router.clone(), json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}]}))?;
        let target = |version: &str| json!({"virtualNode": format!("service-{service}-{version}"), "weight": 50});
        let spec =
            json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [target("a"), target("b")]}}});
        put(format!("{router}/route/all"), spec)?;
        let provider = json!({"provider": {"virtualRouter": {"virtualRouterName": format!("service-{service}")}}});
        put(format!("mesh/shop/virtualService/service-{service}.local"), provider)?;
    }
    let arn = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:errors-0";
    let (name, source) = (AlarmName::parse("errors-0")?, AlarmSource::Metric(Vec::new()));
    memory.alarms.put(Alarm { since: Some(now), ..Alarm::new(name, arn, AlarmState::Ok, source) });
    Ok(memory)
}

fn ports(memory: &MemoryPorts) -> Ports {
    Ports {
        clock: Arc::new(memory.clock.clone()),
        meshes: Arc::new(memory.mesh.clone()),
        routes: Arc::new(memory.mesh.clone()),
        alarms: Arc::new(memory.alarms.clone()),
        state: Arc::new(memory.state.clone()),
        notifier: Arc::new(memory.notifier.clone()),
        bus: Arc::new(memory.bus.clone()),
        reports: Arc::new(memory.reports.clone()),
    }
}
