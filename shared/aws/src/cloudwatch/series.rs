//! Reads the data points of metrics by `GetMetricData`.

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, ScanBy, StatusCode};
use aws_smithy_types::DateTime;
use futures::future::try_join_all;
use jiff::Timestamp;
use ports::{MetricSeries, PortError, PortErrorKind, SeriesData};

use crate::call::call;

/// The maximum number of queries in one request.
const QUERIES: usize = 500;

/// Reads the data points of each series in `from..until`.
pub(super) async fn read(
    client: &Client,
    series: &[MetricSeries],
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<SeriesData>, PortError> {
    let chunks = series.chunks(QUERIES).map(|chunk| read_chunk(client, chunk, from, until));
    Ok(try_join_all(chunks).await?.into_iter().flatten().collect())
}

async fn read_chunk(
    client: &Client,
    series: &[MetricSeries],
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<SeriesData>, PortError> {
    let what = || format!("read {} metrics", series.len());
    let queries = series.iter().enumerate().map(|(number, series)| query(number, series));
    let queries: Vec<MetricDataQuery> =
        queries.collect::<Result<_, _>>().map_err(|why| PortError::new(what(), PortErrorKind::Other, why))?;
    let pages = client
        .get_metric_data()
        .set_metric_data_queries(Some(queries))
        .start_time(DateTime::from_secs(from.as_second()))
        .end_time(DateTime::from_secs(until.as_second()))
        .scan_by(ScanBy::TimestampAscending)
        .into_paginator()
        .stop_on_duplicate_token(false)
        .send();
    let pages: Vec<_> = call(what, pages.collect::<Result<Vec<_>, _>>()).await?;
    let results: Vec<MetricDataResult> =
        pages.into_iter().flat_map(|page| page.metric_data_results.unwrap_or_default()).collect();
    let of_series = |number: usize| {
        let id = id(number);
        let parts: Vec<&MetricDataResult> = results.iter().filter(|result| result.id() == Some(id.as_str())).collect();
        data(&parts).map_err(|why| PortError::new(what(), PortErrorKind::Unavailable, why))
    };
    (0..series.len()).map(of_series).collect()
}

fn id(number: usize) -> String {
    format!("s{number}")
}

fn query(number: usize, series: &MetricSeries) -> Result<MetricDataQuery, String> {
    let dimensions = series.dimensions.iter().map(|(name, value)| Dimension::builder().name(name).value(value).build());
    let metric = Metric::builder()
        .namespace(&series.namespace)
        .metric_name(&series.metric)
        .set_dimensions(Some(dimensions.collect()))
        .build();
    let period = i32::try_from(series.period).map_err(|_| format!("the period of {} s is too long", series.period))?;
    let stat = MetricStat::builder().metric(metric).period(period).stat(&series.stat).build();
    Ok(MetricDataQuery::builder().id(id(number)).return_data(true).metric_stat(stat).build())
}

/// The data of a series from the parts of its result. A part that is incomplete on the last page makes the series
/// unreadable: a sum over some of the points would be wrong. The error is that of the service, and may pass.
fn data(parts: &[&MetricDataResult]) -> Result<SeriesData, String> {
    let mut points = Vec::new();
    for part in parts {
        match part.status_code() {
            Some(StatusCode::Complete | StatusCode::PartialData) => {}
            None => return Ok(SeriesData::Unreadable("the result has no status".to_owned())),
            Some(StatusCode::InternalError) => return Err("an internal error of CloudWatch".to_owned()),
            Some(StatusCode::Forbidden) => return Ok(SeriesData::Unreadable("forbidden".to_owned())),
            Some(other) => return Ok(SeriesData::Unreadable(format!("the unknown status `{}`", other.as_str()))),
        }
        for (at, value) in part.timestamps().iter().zip(part.values()) {
            if let Ok(at) = Timestamp::from_second(at.secs()) {
                points.push((at, *value));
            }
        }
    }
    match parts.last().map(|last| last.status_code()) {
        None => return Ok(SeriesData::Unreadable("the response has no result".to_owned())),
        Some(Some(StatusCode::PartialData)) => return Ok(SeriesData::Unreadable("partial data".to_owned())),
        Some(_) => {}
    }
    points.sort_by_key(|(at, _)| *at);
    Ok(SeriesData::Points(points))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(status: &str, points: &[(i64, f64)]) -> MetricDataResult {
        let mut result = MetricDataResult::builder().id("s0").status_code(StatusCode::from(status));
        for (at, value) in points {
            result = result.timestamps(DateTime::from_secs(*at)).values(*value);
        }
        result.build()
    }

    #[test]
    fn partial_forbidden_and_failed_results_are_not_data() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let (complete, partial) = (result("Complete", &[(60, 2.0)]), result("PartialData", &[(0, 1.0)]));
        assert_eq!(data(&[&complete]), Ok(SeriesData::Points(vec![(at(60), 2.0)])));
        let both = Ok(SeriesData::Points(vec![(at(0), 1.0), (at(60), 2.0)]));
        assert_eq!(data(&[&partial, &complete]), both, "a series that continues on the next page");
        assert_eq!(data(&[&partial]), Ok(SeriesData::Unreadable("partial data".to_owned())));
        assert!(matches!(data(&[&result("Forbidden", &[])]), Ok(SeriesData::Unreadable(_))));
        assert!(matches!(data(&[&result("Odd", &[])]), Ok(SeriesData::Unreadable(_))));
        assert!(matches!(data(&[]), Ok(SeriesData::Unreadable(_))));
        assert!(data(&[&result("InternalError", &[])]).is_err());
        assert_eq!(data(&[&result("Complete", &[])]), Ok(SeriesData::Points(Vec::new())), "no data is not unreadable");
    }
}
