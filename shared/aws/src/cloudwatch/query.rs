//! An alarm's queries, sent again to count what its metric had.

use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat, StandardUnit};
use mesh::alarm::{MetricQuery, MetricTerm};

/// The queries of an alarm, of which only those return data that its own metric is made of.
pub(super) fn counted(queries: &[MetricQuery]) -> Result<Vec<MetricDataQuery>, String> {
    queries.iter().map(one).collect()
}

fn one(query: &MetricQuery) -> Result<MetricDataQuery, String> {
    let request = MetricDataQuery::builder().id(&query.id).return_data(query.returns_data && !is_band(&query.term));
    let too_long = |period: u32| format!("the period of {period} s is too long");
    Ok(match &query.term {
        MetricTerm::Expression { expression, period } => {
            let period = period.map(|period| i32::try_from(period).map_err(|_| too_long(period))).transpose()?;
            request.expression(expression).set_period(period).build()
        }
        MetricTerm::Stat { namespace, metric, dimensions, period, stat, unit } => {
            let dimensions =
                dimensions.iter().map(|(name, value)| Dimension::builder().name(name).value(value).build());
            let metric = Metric::builder()
                .namespace(namespace)
                .metric_name(metric)
                .set_dimensions(Some(dimensions.collect()))
                .build();
            let stat = MetricStat::builder()
                .metric(metric)
                .period(i32::try_from(*period).map_err(|_| too_long(*period))?)
                .stat(stat)
                .set_unit(unit.as_deref().map(StandardUnit::from));
            request.metric_stat(stat.build()).build()
        }
    })
}

/// A band is made from the past and has points when the metric itself is silent.
fn is_band(term: &MetricTerm) -> bool {
    match term {
        MetricTerm::Expression { expression, .. } => expression.to_ascii_uppercase().contains("ANOMALY_DETECTION_BAND"),
        MetricTerm::Stat { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_is_asked_for_and_not_counted() {
        let expression = |id: &str, expression: &str, returns_data| MetricQuery {
            id: id.into(),
            term: MetricTerm::Expression { expression: expression.into(), period: None },
            returns_data,
            account_id: None,
        };
        let queries = counted(&[
            expression("ad1", "anomaly_detection_band(m1, 2)", true),
            expression("e1", "100*m1/m2", true),
            expression("e2", "m1+m2", false),
        ])
        .unwrap();
        let returning: Vec<_> =
            queries.iter().map(|query| (query.id().unwrap(), query.return_data().unwrap())).collect();
        assert_eq!(returning, [("ad1", false), ("e1", true), ("e2", false)]);
    }
}
