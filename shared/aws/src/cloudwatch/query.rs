//! Counts the data points of metrics, each in the account that holds it.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{
    Dimension, MessageData, Metric, MetricDataQuery, MetricDataResult, MetricStat, StandardUnit, StatusCode,
};
use aws_smithy_types::DateTime;
use futures::future::join_all;
use jiff::Timestamp;
use mesh::alarm::{Alarm, CountedMetric, MetricData, MetricQuery, MetricTerm, metric_name};
use ports::{PortError, PortErrorKind};

use crate::call::call;

/// Counts the data points that each metric has in `from..until`. The metrics of each account are one request, so that a
/// denied account does not hide the metrics of the role's own. A metric that cannot be read is marked as such. An error
/// that a retry may resolve fails the whole count.
pub(super) async fn count(
    client: &Client,
    alarm: &Alarm,
    metrics: &[CountedMetric],
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<MetricData>, PortError> {
    let mut by_account: BTreeMap<Option<&str>, Vec<(usize, &CountedMetric)>> = BTreeMap::new();
    for (number, metric) in metrics.iter().enumerate() {
        by_account.entry(metric.query.account_id.as_deref()).or_default().push((number, metric));
    }
    let requests = by_account.into_values().map(|metrics| async move {
        let counted = count_account(client, alarm, &metrics, from, until).await;
        (metrics, counted)
    });
    let mut found: BTreeMap<usize, MetricData> = BTreeMap::new();
    for (metrics, counted) in join_all(requests).await {
        match counted {
            Ok(counted) => found.extend(counted),
            Err(error) if error.kind.may_heal() => return Err(error),
            Err(error) => {
                let said = format!("{}: {}", error.kind, error.message);
                found.extend(metrics.into_iter().map(|(number, metric)| (number, unreadable(metric, said.clone()))));
            }
        }
    }
    Ok(found.into_values().collect())
}

async fn count_account(
    client: &Client,
    alarm: &Alarm,
    metrics: &[(usize, &CountedMetric)],
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<(usize, MetricData)>, PortError> {
    let what = || format!("count data points of alarm {}", alarm.name);
    let queries: Vec<MetricDataQuery> = metrics
        .iter()
        .map(|(number, metric)| query(&id(*number), &metric.query))
        .collect::<Result<_, _>>()
        .map_err(|why| PortError::new(what(), PortErrorKind::Other, why))?;
    let pages = client
        .get_metric_data()
        .set_metric_data_queries(Some(queries))
        .start_time(DateTime::from_secs(from.as_second()))
        .end_time(DateTime::from_secs(until.as_second()))
        .into_paginator()
        .stop_on_duplicate_token(false)
        .send();
    let pages: Vec<_> = call(what, pages.collect::<Result<Vec<_>, _>>()).await?;
    let results: Vec<MetricDataResult> =
        pages.into_iter().flat_map(|page| page.metric_data_results.unwrap_or_default()).collect();
    metrics
        .iter()
        .map(|(number, metric)| {
            let id = id(*number);
            let mut counted = data(metric, 0, 0, None);
            // A series that is cut at the end of a page also has a result on the next page.
            for result in results.iter().filter(|result| result.id() == Some(id.as_str())) {
                add(&mut counted, result).map_err(|why| PortError::new(what(), PortErrorKind::Unavailable, why))?;
            }
            Ok((*number, counted))
        })
        .collect()
}

/// Adds the data points of a result. An internal error is an error, and must not look like missing data.
fn add(counted: &mut MetricData, result: &MetricDataResult) -> Result<(), String> {
    let said = || {
        let texts = result.messages().iter().filter_map(MessageData::value);
        texts.collect::<Vec<_>>().join("; ")
    };
    match result.status_code() {
        Some(StatusCode::Complete | StatusCode::PartialData) | None => {
            let above_zero = result.values().iter().filter(|value| **value > 0.0).count();
            counted.points = counted.points.saturating_add(number_of(result.values().len()));
            counted.above_zero = counted.above_zero.saturating_add(number_of(above_zero));
        }
        Some(StatusCode::InternalError) => return Err(format!("an internal error: {}", said())),
        Some(StatusCode::Forbidden) => counted.unreadable = Some(format!("forbidden: {}", said())),
        Some(other) => counted.unreadable = Some(format!("the unknown status `{}`: {}", other.as_str(), said())),
    }
    Ok(())
}

fn number_of(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn unreadable(metric: &CountedMetric, why: String) -> MetricData {
    data(metric, 0, 0, Some(why))
}

fn data(metric: &CountedMetric, points: u32, above_zero: u32, unreadable: Option<String>) -> MetricData {
    let account = metric.query.account_id.clone();
    MetricData { metric: metric_name(&metric.query), account, usage: metric.usage, points, above_zero, unreadable }
}

/// The id of a query. Ids begin with a lower-case letter; those of the alarm could clash with the companions
/// of its metrics.
fn id(number: usize) -> String {
    format!("q{number}")
}

fn query(id: &str, query: &MetricQuery) -> Result<MetricDataQuery, String> {
    let request = MetricDataQuery::builder().id(id).return_data(true).set_account_id(query.account_id.clone());
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

#[cfg(test)]
mod tests {
    use mesh::alarm::MetricUse;

    use super::*;

    fn metric(account: Option<&str>) -> CountedMetric {
        let term = MetricTerm::Stat {
            namespace: "AppMesh".into(),
            metric: "Errors".into(),
            dimensions: BTreeMap::from([("VirtualNode".into(), "recommendations-v1".into())]),
            period: 60,
            stat: "Sum".into(),
            unit: None,
        };
        let query = MetricQuery { id: "m1".into(), term, returns_data: false, account_id: account.map(str::to_owned) };
        CountedMetric { query, usage: MetricUse::Errors }
    }

    #[test]
    fn query_uses_the_account_of_the_metric_and_returns_data() {
        let request = query("q0", &metric(Some("210987654321")).query).unwrap();
        assert_eq!((request.account_id(), request.return_data()), (Some("210987654321"), Some(true)));
        assert_eq!(request.metric_stat().unwrap().metric().unwrap().metric_name(), Some("Errors"));
        assert_eq!(query("q0", &metric(None).query).unwrap().account_id(), None);
    }

    #[test]
    fn result_is_counted_by_its_status() {
        let result = |status: &str| {
            MetricDataResult::builder().id("q0").values(0.0).values(2.0).status_code(StatusCode::from(status)).build()
        };
        let counted = |status: &str| {
            let mut counted = data(&metric(None), 0, 0, None);
            add(&mut counted, &result(status)).map(|()| (counted.points, counted.above_zero, counted.unreadable))
        };
        assert_eq!(counted("Complete"), Ok((2, 1, None)));
        assert_eq!(counted("PartialData"), Ok((2, 1, None)));
        assert!(counted("InternalError").is_err(), "an internal error is transient");
        for status in ["Forbidden", "Odd"] {
            let (points, _, why) = counted(status).unwrap();
            assert!(points == 0 && why.is_some(), "{status}");
        }
    }
}
