//! CloudWatch's alarms in the words of the model.

use aws_sdk_cloudwatch::types::{
    ActionsSuppressedBy, CompositeAlarm, Dimension, MetricAlarm, MetricDataQuery, StateValue,
};
use aws_smithy_types::DateTime;
use jiff::Timestamp;
use mesh::alarm::{Alarm, AlarmName, AlarmNameError, AlarmSource, AlarmState, MetricQuery, MetricTerm};
use std::collections::BTreeMap;

/// Reads a metric alarm: on one metric, on metric math, or on an anomaly band.
pub(super) fn metric(found: MetricAlarm) -> Result<Alarm, AlarmNameError> {
    Ok(Alarm {
        name: AlarmName::parse(found.alarm_name().unwrap_or_default())?,
        arn: found.alarm_arn().unwrap_or_default().to_owned(),
        state: state(found.state_value()),
        since: since(found.state_transitioned_timestamp(), found.state_updated_timestamp()),
        // `PutMetricAlarm` takes an alarm without this member as one whose actions are on.
        actions_enabled: found.actions_enabled().unwrap_or(true),
        suppressed: None,
        source: source(found).map_or_else(|why| AlarmSource::Unreadable(why.to_owned()), AlarmSource::Metric),
    })
}

/// Reads a composite alarm.
pub(super) fn composite(found: &CompositeAlarm) -> Result<Alarm, AlarmNameError> {
    let suppressed = found.actions_suppressed_by().map(|by| {
        let by = match by {
            ActionsSuppressedBy::Alarm => "its suppressor is in ALARM",
            ActionsSuppressedBy::WaitPeriod => "it waits for its suppressor",
            ActionsSuppressedBy::ExtensionPeriod => "its suppressor has just gone off",
            other => other.as_str(),
        };
        found.actions_suppressed_reason().map_or_else(|| by.to_owned(), |reason| format!("{by}: {reason}"))
    });
    Ok(Alarm {
        name: AlarmName::parse(found.alarm_name().unwrap_or_default())?,
        arn: found.alarm_arn().unwrap_or_default().to_owned(),
        state: state(found.state_value()),
        since: since(found.state_transitioned_timestamp(), found.state_updated_timestamp()),
        actions_enabled: found.actions_enabled().unwrap_or(true),
        suppressed,
        source: found.alarm_rule().map_or_else(
            || AlarmSource::Unreadable("it has no rule".to_owned()),
            |rule| AlarmSource::Composite(rule.to_owned()),
        ),
    })
}

fn state(found: Option<&StateValue>) -> AlarmState {
    match found {
        Some(StateValue::Ok) => AlarmState::Ok,
        Some(StateValue::Alarm) => AlarmState::Alarm,
        Some(StateValue::InsufficientData) => AlarmState::InsufficientData,
        Some(other) => AlarmState::Unrecognised(other.as_str().to_owned()),
        None => AlarmState::Unrecognised(String::new()),
    }
}

/// The update's time moves also when only the reason changes, so the transition's time goes first.
fn since(transitioned: Option<&DateTime>, updated: Option<&DateTime>) -> Option<Timestamp> {
    let time = transitioned.or(updated)?;
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok()
}

fn source(found: MetricAlarm) -> Result<Vec<MetricQuery>, &'static str> {
    if let Some(queries) = found.metrics.filter(|queries| !queries.is_empty()) {
        return queries.into_iter().map(query).collect();
    }
    let stat = found.statistic.map(|statistic| statistic.as_str().to_owned()).or(found.extended_statistic);
    let term = MetricTerm::Stat {
        namespace: found.namespace.ok_or("it names no metric")?,
        metric: found.metric_name.ok_or("it names no metric")?,
        dimensions: dimensions(found.dimensions.unwrap_or_default()),
        period: period(found.period)?.ok_or("it has no period")?,
        stat: stat.ok_or("it has no statistic")?,
        unit: found.unit.map(|unit| unit.as_str().to_owned()),
    };
    Ok(vec![MetricQuery { id: "m1".to_owned(), term, returns_data: true }])
}

fn query(found: MetricDataQuery) -> Result<MetricQuery, &'static str> {
    let term = match (found.metric_stat, found.expression) {
        (Some(stat), None) => {
            let metric = stat.metric.ok_or("one of its queries names no metric")?;
            MetricTerm::Stat {
                namespace: metric.namespace.ok_or("one of its queries names no namespace")?,
                metric: metric.metric_name.ok_or("one of its queries names no metric")?,
                dimensions: dimensions(metric.dimensions.unwrap_or_default()),
                period: period(stat.period)?.ok_or("one of its queries has no period")?,
                stat: stat.stat.ok_or("one of its queries has no statistic")?,
                unit: stat.unit.map(|unit| unit.as_str().to_owned()),
            }
        }
        (None, Some(expression)) => MetricTerm::Expression { expression, period: period(found.period)? },
        (Some(_), Some(_)) | (None, None) => return Err("one of its queries is neither a metric nor an expression"),
    };
    Ok(MetricQuery {
        id: found.id.ok_or("one of its queries has no id")?,
        term,
        // As `PutMetricAlarm` has it: a query returns data unless it says that it doesn't.
        returns_data: found.return_data.unwrap_or(true),
    })
}

fn dimensions(found: Vec<Dimension>) -> BTreeMap<String, String> {
    found.into_iter().filter_map(|dimension| Some((dimension.name?, dimension.value?))).collect()
}

fn period(found: Option<i32>) -> Result<Option<u32>, &'static str> {
    found.map(u32::try_from).transpose().map_err(|_| "it has a negative period")
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudwatch::types::{Metric, MetricStat, StandardUnit, Statistic};

    use super::*;

    fn dimension(name: &str, value: &str) -> Dimension {
        Dimension::builder().name(name).value(value).build()
    }

    fn stat(namespace: &str, metric: &str, period: u32, stat: &str, unit: Option<&str>) -> MetricTerm {
        MetricTerm::Stat {
            namespace: namespace.into(),
            metric: metric.into(),
            dimensions: BTreeMap::from([("VirtualNode".into(), "recommendations-v2".into())]),
            period,
            stat: stat.into(),
            unit: unit.map(str::to_owned),
        }
    }

    #[test]
    fn a_single_metric_becomes_one_query() {
        let found = MetricAlarm::builder()
            .alarm_name("a")
            .alarm_arn("arn:a")
            .state_value(StateValue::Alarm)
            .state_updated_timestamp(DateTime::from_secs(20))
            .state_transitioned_timestamp(DateTime::from_secs_and_nanos(10, 500_000_000))
            .actions_enabled(false)
            .namespace("AppMesh")
            .metric_name("Errors")
            .dimensions(dimension("VirtualNode", "recommendations-v2"))
            .period(86_400)
            .statistic(Statistic::Sum)
            .unit(StandardUnit::Count)
            .build();
        let expected = Alarm {
            name: AlarmName::parse("a").unwrap(),
            arn: "arn:a".into(),
            state: AlarmState::Alarm,
            since: Some("1970-01-01T00:00:10.5Z".parse().unwrap()),
            actions_enabled: false,
            suppressed: None,
            source: AlarmSource::Metric(vec![MetricQuery {
                id: "m1".into(),
                term: stat("AppMesh", "Errors", 86_400, "Sum", Some("Count")),
                returns_data: true,
            }]),
        };
        assert_eq!(metric(found), Ok(expected));
    }

    #[test]
    fn an_extended_statistic_is_kept_and_an_update_dates_where_nothing_else_does() {
        let found = MetricAlarm::builder()
            .alarm_name("a")
            .state_updated_timestamp(DateTime::from_secs(20))
            .namespace("AppMesh")
            .metric_name("Latency")
            .dimensions(dimension("VirtualNode", "recommendations-v2"))
            .period(60)
            .extended_statistic("p99")
            .build();
        let alarm = metric(found).unwrap();
        assert_eq!(alarm.since, Some("1970-01-01T00:00:20Z".parse().unwrap()));
        assert_eq!(alarm.state, AlarmState::Unrecognised(String::new()));
        assert!(alarm.actions_enabled);
        let AlarmSource::Metric(queries) = alarm.source else { panic!() };
        assert_eq!(queries[0].term, stat("AppMesh", "Latency", 60, "p99", None));
    }

    #[test]
    fn metric_math_and_bands_are_kept_line_by_line() {
        let metric_stat = MetricStat::builder()
            .metric(
                Metric::builder()
                    .namespace("AppMesh")
                    .metric_name("Errors")
                    .dimensions(dimension("VirtualNode", "recommendations-v2"))
                    .build(),
            )
            .period(60)
            .stat("Sum")
            .build();
        let found = MetricAlarm::builder()
            .alarm_name("a")
            .metrics(
                MetricDataQuery::builder().id("ad1").expression("ANOMALY_DETECTION_BAND(m1, 2)").period(300).build(),
            )
            .metrics(MetricDataQuery::builder().id("m1").metric_stat(metric_stat).return_data(false).build())
            .build();
        let AlarmSource::Metric(queries) = metric(found).unwrap().source else { panic!() };
        let band = MetricTerm::Expression { expression: "ANOMALY_DETECTION_BAND(m1, 2)".into(), period: Some(300) };
        let expected = [
            MetricQuery { id: "ad1".into(), term: band, returns_data: true },
            MetricQuery { id: "m1".into(), term: stat("AppMesh", "Errors", 60, "Sum", None), returns_data: false },
        ];
        assert_eq!(queries, expected);
    }

    #[test]
    fn what_can_t_be_read_is_kept_as_unreadable() {
        for (found, why) in [
            (MetricAlarm::builder(), "it names no metric"),
            (MetricAlarm::builder().namespace("n").metric_name("m").period(60), "it has no statistic"),
            (
                MetricAlarm::builder().metrics(MetricDataQuery::builder().id("m1").build()),
                "one of its queries is neither a metric nor an expression",
            ),
        ] {
            let alarm = metric(found.alarm_name("a").build()).unwrap();
            assert_eq!(alarm.source, AlarmSource::Unreadable(why.into()));
        }
        assert!(metric(MetricAlarm::builder().build()).is_err(), "an alarm without a name is none");
    }

    #[test]
    fn a_composite_alarm_says_why_its_actions_are_suppressed() {
        let found =
            CompositeAlarm::builder().alarm_name("c").alarm_rule("ALARM(a)").state_value(StateValue::from("PAUSED"));
        let plain = composite(&found.clone().build()).unwrap();
        assert_eq!(plain.source, AlarmSource::Composite("ALARM(a)".into()));
        assert_eq!((plain.suppressed, plain.state), (None, AlarmState::Unrecognised("PAUSED".into())));
        let found =
            found.actions_suppressed_by(ActionsSuppressedBy::WaitPeriod).actions_suppressed_reason("maintenance");
        let suppressed = composite(&found.build()).unwrap().suppressed;
        assert_eq!(suppressed.as_deref(), Some("it waits for its suppressor: maintenance"));
    }
}
