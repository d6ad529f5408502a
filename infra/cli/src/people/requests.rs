//! Requests by virtual node, from the metrics that `rollouts.metrics` names.

use std::collections::BTreeSet;

use jiff::Timestamp;
use mesh::name::{MeshName, VirtualNodeName};
use ports::{MetricSeries, PortError, SeriesData};

use super::desk::Desk;

/// The period of a data point, in seconds.
const PERIOD: u32 = 60;

/// The requests and failed requests of each node since the minute of `since`, as one line. A series that cannot be read
/// is a part of the line, not an error: the rest of a view is worth showing without it.
pub(super) async fn by_node<'n>(
    desk: &Desk<'_>,
    mesh: &MeshName,
    nodes: impl IntoIterator<Item = &'n VirtualNodeName>,
    since: Timestamp,
) -> String {
    let nodes: BTreeSet<&VirtualNodeName> = nodes.into_iter().collect();
    let from = Timestamp::from_second(since.as_second() - since.as_second().rem_euclid(i64::from(PERIOD)));
    let from = from.unwrap_or(since);
    let time = format!("{from:.0}");
    match counts(desk, mesh, &nodes, from).await {
        Ok(counts) => {
            let parts = nodes.iter().zip(counts).map(|(node, count)| format!("{node} {count}"));
            format!("requests since {time}: {}", parts.collect::<Vec<_>>().join("; "))
        }
        Err(error) => format!("requests: cannot be read: {error}"),
    }
}

async fn counts(
    desk: &Desk<'_>,
    mesh: &MeshName,
    nodes: &BTreeSet<&VirtualNodeName>,
    from: Timestamp,
) -> Result<Vec<String>, PortError> {
    let metrics = &desk.policy.rollouts.metrics;
    let series = |node: &VirtualNodeName, metric: &str| MetricSeries {
        namespace: metrics.namespace.clone(),
        metric: metric.to_owned(),
        dimensions: [("Mesh", mesh.as_str()), ("TargetVirtualNode", node.as_str())]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        stat: "Sum".to_owned(),
        period: PERIOD,
    };
    let wanted: Vec<MetricSeries> =
        nodes.iter().flat_map(|node| [series(node, &metrics.requests), series(node, &metrics.errors)]).collect();
    let data = desk.ports.metrics.read(&wanted, from, desk.now()).await?;
    Ok(data.chunks(2).map(count).collect())
}

/// The text of the series of one node: its requests and its failed requests.
fn count(series: &[SeriesData]) -> String {
    let sum = |data: Option<&SeriesData>| match data {
        Some(SeriesData::Points(points)) => format!("{:.0}", points.iter().fold(0.0, |sum, (_, value)| sum + value)),
        Some(SeriesData::Unreadable(why)) => format!("unreadable ({why})"),
        None => "unreadable".to_owned(),
    };
    format!("{}, {} failed", sum(series.first()), sum(series.get(1)))
}
