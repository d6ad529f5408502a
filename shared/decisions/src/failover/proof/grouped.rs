//! Metrics Insights queries for the series of one node.
//!
//! A query that groups by node has one series for each node, and `GetMetricData` returns all of them. The series of
//! other nodes prove nothing about this one.

use std::collections::BTreeMap;

use super::target::ProofTarget;
use crate::failover::label;
use mesh::alarm::{Direction, Formula, MetricQuery, MetricTerm};

/// The period of a query without one, in seconds.
const DEFAULT_PERIOD: u32 = 60;

/// The line for the series of the target only. Other lines stay as they are. A query that fixes every dimension of its
/// metric becomes that metric.
pub(super) fn of_target(line: &MetricQuery, target: &ProofTarget<'_>) -> MetricQuery {
    let MetricTerm::Expression { expression, period } = &line.term else { return line.clone() };
    let query = Formula::read(expression, Direction::Above).filter(|formula| formula.namespace.is_some());
    let Some(query) = query else { return line.clone() };
    let added = added(&query, target);
    let term = stat(&query, &added, *period).unwrap_or_else(|| {
        let expression = with_conditions(expression, &query, &added);
        MetricTerm::Expression { expression, period: *period }
    });
    MetricQuery { term, ..line.clone() }
}

/// The labels by which the query groups and which name the target, each with its value for the target.
fn added<'q>(query: &'q Formula, target: &ProofTarget<'_>) -> Vec<(&'q str, String)> {
    let discovery = target.discovery;
    let grouped = |dimension: &str| {
        let labels = query.grouping.iter().flatten();
        labels.map(String::as_str).find(|found| label::plain(found) == label::plain(dimension))
    };
    // On outbound metrics, the virtual node is the caller.
    let node = grouped(&discovery.target_virtual_node_dimension).or_else(|| grouped(&discovery.virtual_node_dimension));
    let Some(node) = node else { return Vec::new() };
    let mesh = grouped(&discovery.mesh_dimension).map(|label| (label, target.mesh.to_string()));
    mesh.into_iter().chain([(node, target.node.to_string())]).collect()
}

/// The metric that the query selects, if the query fixes all of its dimensions.
fn stat(query: &Formula, added: &[(&str, String)], period: Option<u32>) -> Option<MetricTerm> {
    let metric = query.uses.first()?;
    let mut fixed: BTreeMap<&str, &str> = BTreeMap::new();
    for matcher in &metric.labels {
        if matcher.operator != "=" {
            return None;
        }
        fixed.insert(&matcher.label, &matcher.value);
    }
    fixed.extend(added.iter().map(|(label, value)| (*label, value.as_str())));
    let dimensions =
        query.schema.as_ref()?.iter().map(|name| Some((name.clone(), (*fixed.get(name.as_str())?).to_owned())));
    let dimensions: BTreeMap<String, String> = dimensions.collect::<Option<_>>()?;
    // A condition on a tag, or on another label that is no dimension, selects fewer series.
    if fixed.len() != dimensions.len() {
        return None;
    }
    let stat = match query.function.as_ref()?.to_ascii_uppercase().as_str() {
        "AVG" => "Average",
        "COUNT" => "SampleCount",
        "MAX" => "Maximum",
        "MIN" => "Minimum",
        "SUM" => "Sum",
        _ => return None,
    };
    Some(MetricTerm::Stat {
        namespace: query.namespace.clone()?,
        metric: metric.name.clone(),
        dimensions,
        period: period.unwrap_or(DEFAULT_PERIOD),
        stat: stat.to_owned(),
        unit: None,
    })
}

/// The metric that a line selects, with the dimensions that it names. A query without a schema may select metrics with
/// further dimensions.
pub(super) fn selected_metric(line: &MetricQuery) -> Option<MetricTerm> {
    let MetricTerm::Expression { expression, period } = &line.term else { return Some(line.term.clone()) };
    let query = Formula::read(expression, Direction::Above).filter(|formula| formula.namespace.is_some())?;
    let labels = query.uses.first()?.labels.iter().map(|matcher| matcher.label.clone()).collect();
    stat(&Formula { schema: Some(labels), ..query }, &[], *period)
}

/// The query with further conditions. [`Formula::read`] has parsed it, so it has one `GROUP` outside quotes.
fn with_conditions(expression: &str, query: &Formula, added: &[(&str, String)]) -> String {
    let Some(at) = position_of_group(expression).filter(|_| !added.is_empty()) else { return expression.to_owned() };
    let conditions: Vec<String> = added.iter().map(|(label, value)| format!("\"{label}\" = '{value}'")).collect();
    let has_conditions = query.uses.iter().any(|found| !found.labels.is_empty());
    let joint = if has_conditions { "AND" } else { "WHERE" };
    let (before, after) = expression.split_at(at);
    format!("{before}{joint} {} {after}", conditions.join(" AND "))
}

/// The position of the word `GROUP` outside quotes.
fn position_of_group(expression: &str) -> Option<usize> {
    let mut quote = None;
    for (at, character) in expression.char_indices() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, _) => {
                let word = expression.get(at..at + "GROUP".len());
                let is_begin = expression.get(..at).is_some_and(|before| before.ends_with(char::is_whitespace));
                if is_begin && word.is_some_and(|word| word.eq_ignore_ascii_case("GROUP")) {
                    return Some(at);
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh::name::{MeshName, VirtualNodeName};
    use policy::AlarmDiscovery;

    fn shown(expression: &str) -> String {
        let (mesh, node) = (MeshName::parse("shop").unwrap(), VirtualNodeName::parse("v1").unwrap());
        let target = ProofTarget { mesh: &mesh, node: &node, discovery: &AlarmDiscovery::default() };
        let term = MetricTerm::Expression { expression: expression.to_owned(), period: None };
        match of_target(&MetricQuery::new("q1", term), &target).term {
            MetricTerm::Stat { namespace, metric, dimensions, stat, .. } => {
                let dimensions: Vec<String> =
                    dimensions.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("{stat} {namespace}/{metric} {}", dimensions.join(" "))
            }
            MetricTerm::Expression { expression, .. } => expression,
        }
    }

    #[test]
    fn grouped_query_is_restricted_to_the_node() {
        for (expression, expected) in [
            (
                "SELECT SUM(Errors) FROM SCHEMA(AppMesh, Mesh, VirtualNode) GROUP BY Mesh, VirtualNode",
                "Sum AppMesh/Errors Mesh=shop VirtualNode=v1",
            ),
            (
                "select avg(Latency) from schema(\"AppMesh\", Mesh, VirtualNode) where Mesh = 'shop' group by VirtualNode order by avg() desc limit 5",
                "Average AppMesh/Latency Mesh=shop VirtualNode=v1",
            ),
            (
                "SELECT SUM(Errors) FROM SCHEMA(AppMesh, Mesh, VirtualNode) WHERE Mesh = 'shop' AND VirtualNode = 'v1'",
                "Sum AppMesh/Errors Mesh=shop VirtualNode=v1",
            ),
            // The caller is not known, so the query stays one.
            (
                "SELECT SUM(Errors) FROM SCHEMA(AppMesh, Mesh, VirtualNode, TargetVirtualNode) WHERE Mesh = 'shop' GROUP BY TargetVirtualNode",
                "SELECT SUM(Errors) FROM SCHEMA(AppMesh, Mesh, VirtualNode, TargetVirtualNode) WHERE Mesh = 'shop' AND \"TargetVirtualNode\" = 'v1' GROUP BY TargetVirtualNode",
            ),
            (
                "SELECT SUM(Errors) FROM \"Group Metrics\" GROUP BY Mesh, VirtualNode ORDER BY SUM() DESC",
                "SELECT SUM(Errors) FROM \"Group Metrics\" WHERE \"Mesh\" = 'shop' AND \"VirtualNode\" = 'v1' GROUP BY Mesh, VirtualNode ORDER BY SUM() DESC",
            ),
            (
                "SELECT SUM(Errors) FROM SCHEMA(AppMesh, Mesh, VirtualNode) WHERE Mesh != 'test' GROUP BY VirtualNode",
                "SELECT SUM(Errors) FROM SCHEMA(AppMesh, Mesh, VirtualNode) WHERE Mesh != 'test' AND \"VirtualNode\" = 'v1' GROUP BY VirtualNode",
            ),
            ("SELECT SUM(Errors) FROM AppMesh GROUP BY Zone", "SELECT SUM(Errors) FROM AppMesh GROUP BY Zone"),
            ("SELECT SUM(Errors) FROM AppMesh", "SELECT SUM(Errors) FROM AppMesh"),
            ("FILL(m1, 0)", "FILL(m1, 0)"),
        ] {
            assert_eq!(shown(expression), expected, "{expression}");
        }
    }
}
