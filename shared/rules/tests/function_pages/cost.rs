//! The cost of an idle installation, computed from `infra/template.yaml`: nothing fails, and no mesh changes.

use std::fmt::Write as _;

use super::template::Template;

/// Hours of a month, as AWS calculates.
const HOURS: f64 = 730.0;
/// Prices in US dollars, of us-east-1 and without free tiers.
const ALARM_METRIC: f64 = 0.10;
const CUSTOM_METRIC: f64 = 0.30;
const MILLION_QUEUE_REQUESTS: f64 = 0.40;
const MILLION_INVOCATIONS: f64 = 0.20;
const GIGABYTE_SECOND: f64 = 0.000_013_333_4;
const GIGABYTE_OF_LOGS: f64 = 0.50;
const MILLION_READS: f64 = 0.125;

/// Lambda polls a queue with five connections, each for 20 seconds.
const POLLS_PER_HOUR: f64 = 5.0 * 3600.0 / 20.0;
/// Assumed for a scheduled run without work. The benchmarks measure less.
const SECONDS_PER_RUN: f64 = 0.5;
const KILOBYTES_OF_LOGS_PER_RUN: f64 = 1.0;
const READS_PER_RUN: f64 = 10.0;

/// The maximum cost of an idle installation with every function.
const LIMIT: f64 = 10.0;

/// One line of the bill.
struct Item {
    what: String,
    dollars: f64,
}

/// A count as a number of the calculation.
fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

fn items(template: &Template) -> Vec<Item> {
    let million = 1_000_000.0;
    let runs = template.scheduled_runs_per_hour();
    let all_runs: f64 = runs.iter().map(|run| run.per_hour * HOURS).sum();
    let gigabyte_seconds: f64 =
        runs.iter().map(|run| run.per_hour * HOURS * SECONDS_PER_RUN * run.megabytes / 1024.0).sum();
    // A metric is billed for the hours in which it is published.
    let heartbeats = template.heartbeats();
    let metric_hours: f64 = heartbeats
        .iter()
        .map(|function| {
            let of_function = runs.iter().filter(|run| run.function == *function);
            of_function.map(|run| run.per_hour).sum::<f64>().min(1.0)
        })
        .sum();
    let (alarms, alarm_metrics) = template.alarm_counts();
    let queues = template.polled_queues();
    let item = |what: String, dollars: f64| Item { what, dollars };
    vec![
        item(format!("{alarms} alarms on {alarm_metrics} metrics"), number(alarm_metrics) * ALARM_METRIC),
        item(format!("{} heartbeat metrics", heartbeats.len()), metric_hours * CUSTOM_METRIC),
        item(
            format!("empty receives of {queues} queues"),
            number(queues) * POLLS_PER_HOUR * HOURS * MILLION_QUEUE_REQUESTS / million,
        ),
        item(
            format!("{all_runs:.0} scheduled runs of Lambda"),
            all_runs * MILLION_INVOCATIONS / million + gigabyte_seconds * GIGABYTE_SECOND,
        ),
        item("logs".to_owned(), all_runs * KILOBYTES_OF_LOGS_PER_RUN / million * GIGABYTE_OF_LOGS),
        item("reads of the state table".to_owned(), all_runs * READS_PER_RUN / million * MILLION_READS),
    ]
}

fn total(items: &[Item]) -> f64 {
    items.iter().map(|item| item.dollars).sum()
}

/// The table of the operator's guide.
pub(super) fn table(template: &Template) -> String {
    let items = items(template);
    let mut text = "| part | USD a month |\n|---|---|\n".to_owned();
    for Item { what, dollars } in &items {
        writeln!(text, "| {what} | {dollars:.2} |").unwrap();
    }
    writeln!(text, "| **total** | **{:.2}** |", total(&items)).unwrap();
    text
}

#[test]
fn idle_installation_costs_at_most_the_limit() {
    let items = items(&Template::parse(&super::read("infra/template.yaml")));
    assert!(items.iter().all(|item| item.dollars > 0.0), "an item costs nothing: the template was not read");
    assert!(total(&items) <= LIMIT, "an idle installation costs {:.2} USD a month", total(&items));
}
