//! Converts CloudWatch's alarms into the model's types.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::{
    ActionsSuppressedBy, AlarmContributor, ComparisonOperator, CompositeAlarm, Dimension, EvaluationCriteria,
    EvaluationState as SdkEvaluationState, MetricAlarm, MetricDataQuery, StateValue,
};
use aws_smithy_types::DateTime;
use jiff::Timestamp;
use mesh::alarm::{
    Alarm, AlarmName, AlarmNameError, AlarmSource, AlarmState, Comparison, Condition, Contributor, EvaluationState,
    MetricQuery, MetricTerm, MissingData, PromQlQuery, SuppressedBy, Suppressor,
};

/// Converts a metric alarm: on one metric, on metric math, on an anomaly band, or on a query.
pub(super) fn metric(found: MetricAlarm) -> Result<Alarm, AlarmNameError> {
    let name = AlarmName::parse(found.alarm_name().unwrap_or_default())?;
    let arn = found.alarm_arn().unwrap_or_default().to_owned();
    let condition = condition(&found);
    let alarm = Alarm {
        since: since(found.state_transitioned_timestamp(), found.state_updated_timestamp()),
        // `PutMetricAlarm` enables the actions of an alarm that leaves the member out.
        actions_enabled: found.actions_enabled().unwrap_or(true),
        condition,
        evaluation: found.evaluation_state().map(evaluation),
        state_reason: found.state_reason().map(str::to_owned),
        state_reason_data: found.state_reason_data().map(str::to_owned),
        alarm_actions: Some(found.alarm_actions().to_vec()),
        ..Alarm::new(name, &arn, state(found.state_value()), AlarmSource::Metric(Vec::new()))
    };
    let source = source(found).unwrap_or_else(|why| AlarmSource::Unreadable(why.to_owned()));
    Ok(Alarm { source, ..alarm })
}

/// Converts a composite alarm.
pub(super) fn composite(found: &CompositeAlarm) -> Result<Alarm, AlarmNameError> {
    let suppressed_by = found.actions_suppressed_by().map(|by| match by {
        ActionsSuppressedBy::Alarm => SuppressedBy::Alarm,
        ActionsSuppressedBy::WaitPeriod => SuppressedBy::WaitPeriod,
        ActionsSuppressedBy::ExtensionPeriod => SuppressedBy::ExtensionPeriod,
        other => SuppressedBy::Unrecognised(other.as_str().to_owned()),
    });
    let suppressed = suppressed_by.as_ref().map(|by| {
        let by = match by {
            SuppressedBy::Alarm => "its suppressor is in ALARM",
            SuppressedBy::WaitPeriod => "it waits for its suppressor",
            SuppressedBy::ExtensionPeriod => "its suppressor left ALARM a moment ago",
            SuppressedBy::Unrecognised(other) => other,
        };
        found.actions_suppressed_reason().map_or_else(|| by.to_owned(), |reason| format!("{by}: {reason}"))
    });
    let source = found.alarm_rule().map_or_else(
        || AlarmSource::Unreadable("it has no rule".to_owned()),
        |rule| AlarmSource::Composite(rule.to_owned()),
    );
    let name = AlarmName::parse(found.alarm_name().unwrap_or_default())?;
    let arn = found.alarm_arn().unwrap_or_default();
    Ok(Alarm {
        since: since(found.state_transitioned_timestamp(), found.state_updated_timestamp()),
        actions_enabled: found.actions_enabled().unwrap_or(true),
        suppressed,
        state_reason: found.state_reason().map(str::to_owned),
        state_reason_data: found.state_reason_data().map(str::to_owned),
        alarm_actions: Some(found.alarm_actions().to_vec()),
        suppressor: suppressor(found)?,
        suppressed_by,
        ..Alarm::new(name, arn, state(found.state_value()), source)
    })
}

/// Converts a time series that is in `ALARM`.
pub(super) fn contributor(found: AlarmContributor) -> Contributor {
    Contributor {
        since: since(found.state_transitioned_timestamp(), None),
        id: found.contributor_id.unwrap_or_default(),
        attributes: found.contributor_attributes.unwrap_or_default().into_iter().collect(),
        reason: found.state_reason,
    }
}

/// Converts the suppressor, which is given by name or by ARN.
fn suppressor(found: &CompositeAlarm) -> Result<Option<Suppressor>, AlarmNameError> {
    let Some(alarm) = found.actions_suppressor().filter(|suppressor| !suppressor.is_empty()) else {
        return Ok(None);
    };
    let seconds = |period: Option<i32>| period.and_then(|period| u32::try_from(period).ok()).unwrap_or_default();
    Ok(Some(Suppressor {
        alarm: AlarmName::from_name_or_arn(alarm)?,
        wait_period: seconds(found.actions_suppressor_wait_period()),
        extension_period: seconds(found.actions_suppressor_extension_period()),
    }))
}

fn condition(found: &MetricAlarm) -> Option<Condition> {
    let count = |count: Option<i32>| count.and_then(|count| u32::try_from(count).ok());
    Some(Condition {
        comparison: match found.comparison_operator()? {
            ComparisonOperator::GreaterThanOrEqualToThreshold => Comparison::GreaterThanOrEqualToThreshold,
            ComparisonOperator::GreaterThanThreshold => Comparison::GreaterThanThreshold,
            ComparisonOperator::LessThanThreshold => Comparison::LessThanThreshold,
            ComparisonOperator::LessThanOrEqualToThreshold => Comparison::LessThanOrEqualToThreshold,
            ComparisonOperator::GreaterThanUpperThreshold => Comparison::GreaterThanUpperThreshold,
            ComparisonOperator::LessThanLowerThreshold => Comparison::LessThanLowerThreshold,
            ComparisonOperator::LessThanLowerOrGreaterThanUpperThreshold => {
                Comparison::LessThanLowerOrGreaterThanUpperThreshold
            }
            other => Comparison::Unrecognised(other.as_str().to_owned()),
        },
        threshold: found.threshold(),
        band: found.threshold_metric_id().map(str::to_owned),
        evaluation_periods: count(found.evaluation_periods()),
        datapoints_to_alarm: count(found.datapoints_to_alarm()),
        missing_data: match found.treat_missing_data() {
            None | Some("" | "missing") => MissingData::Missing,
            Some("ignore") => MissingData::Ignore,
            Some("breaching") => MissingData::Breaching,
            Some("notBreaching") => MissingData::NotBreaching,
            Some(other) => MissingData::Unrecognised(other.to_owned()),
        },
    })
}

fn evaluation(found: &SdkEvaluationState) -> EvaluationState {
    match found {
        SdkEvaluationState::PartialData => EvaluationState::PartialData,
        SdkEvaluationState::EvaluationFailure => EvaluationState::EvaluationFailure,
        SdkEvaluationState::EvaluationError => EvaluationState::EvaluationError,
        other => EvaluationState::Unrecognised(other.as_str().to_owned()),
    }
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

/// The time of the last transition, or else of the last update. The update's time also moves when only
/// the reason changes.
fn since(transitioned: Option<&DateTime>, updated: Option<&DateTime>) -> Option<Timestamp> {
    let time = transitioned.or(updated)?;
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok()
}

fn source(found: MetricAlarm) -> Result<AlarmSource, &'static str> {
    match found.evaluation_criteria {
        Some(EvaluationCriteria::PromQlCriteria(criteria)) => {
            return Ok(AlarmSource::PromQl(PromQlQuery {
                query: criteria.query.ok_or("it has no PromQL query")?,
                pending_period: period(criteria.pending_period)?,
                recovery_period: period(criteria.recovery_period)?,
            }));
        }
        Some(_) => return Err("its evaluation criteria are of an unknown kind"),
        None => {}
    }
    if let Some(queries) = found.metrics.filter(|queries| !queries.is_empty()) {
        return Ok(AlarmSource::Metric(queries.into_iter().map(query).collect::<Result<_, _>>()?));
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
    Ok(AlarmSource::Metric(vec![MetricQuery::new("m1", term)]))
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
        // As in `PutMetricAlarm`, a query returns data unless `ReturnData` is false.
        returns_data: found.return_data.unwrap_or(true),
        account_id: found.account_id.filter(|account| !account.is_empty()),
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
    use aws_sdk_cloudwatch::types::{AlarmPromQlCriteria, Metric, MetricStat, StandardUnit, Statistic};

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
    fn single_metric_becomes_one_query() {
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
        let term = stat("AppMesh", "Errors", 86_400, "Sum", Some("Count"));
        let source = AlarmSource::Metric(vec![MetricQuery::new("m1", term)]);
        let expected = Alarm {
            since: Some("1970-01-01T00:00:10.5Z".parse().unwrap()),
            actions_enabled: false,
            alarm_actions: Some(Vec::new()),
            ..Alarm::new(AlarmName::parse("a").unwrap(), "arn:a", AlarmState::Alarm, source)
        };
        assert_eq!(metric(found), Ok(expected));
    }

    #[test]
    fn extended_statistic_is_kept_and_update_time_is_the_fallback() {
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
    fn metric_math_and_bands_are_kept_per_query() {
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
            .metrics(
                MetricDataQuery::builder()
                    .id("m1")
                    .metric_stat(metric_stat)
                    .return_data(false)
                    .account_id("210987654321")
                    .build(),
            )
            .build();
        let AlarmSource::Metric(queries) = metric(found).unwrap().source else { panic!() };
        let band = MetricTerm::Expression { expression: "ANOMALY_DETECTION_BAND(m1, 2)".into(), period: Some(300) };
        let expected = [
            MetricQuery::new("ad1", band),
            MetricQuery {
                returns_data: false,
                account_id: Some("210987654321".into()),
                ..MetricQuery::new("m1", stat("AppMesh", "Errors", 60, "Sum", None))
            },
        ];
        assert_eq!(queries, expected);
    }

    #[test]
    fn unreadable_alarm_is_kept_as_unreadable() {
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
    fn composite_alarm_has_the_reason_of_its_suppression() {
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

    #[test]
    fn condition_evaluation_state_and_actions_are_read() {
        let found = MetricAlarm::builder()
            .alarm_name("a")
            .comparison_operator(ComparisonOperator::LessThanThreshold)
            .threshold(99.5)
            .evaluation_periods(3)
            .datapoints_to_alarm(2)
            .treat_missing_data("notBreaching")
            .evaluation_state(SdkEvaluationState::PartialData)
            .state_reason("Threshold Crossed")
            .alarm_actions("arn:aws:sns:us-east-1:123456789012:t");
        let alarm = metric(found.build()).unwrap();
        let expected = Condition {
            comparison: Comparison::LessThanThreshold,
            threshold: Some(99.5),
            band: None,
            evaluation_periods: Some(3),
            datapoints_to_alarm: Some(2),
            missing_data: MissingData::NotBreaching,
        };
        assert_eq!(alarm.condition, Some(expected));
        assert_eq!(alarm.evaluation, Some(EvaluationState::PartialData));
        assert_eq!(alarm.state_reason.as_deref(), Some("Threshold Crossed"));
        assert!(alarm.notifies("arn:aws:sns:us-east-1:123456789012:t"));
    }

    #[test]
    fn promql_alarm_keeps_its_query() {
        let criteria = AlarmPromQlCriteria::builder().query("up == 0").pending_period(60).recovery_period(120).build();
        let found =
            MetricAlarm::builder().alarm_name("a").evaluation_criteria(EvaluationCriteria::PromQlCriteria(criteria));
        let alarm = metric(found.build()).unwrap();
        let query = PromQlQuery { query: "up == 0".into(), pending_period: Some(60), recovery_period: Some(120) };
        assert!(alarm.has_contributors());
        assert_eq!(alarm.source, AlarmSource::PromQl(query));
    }

    #[test]
    fn suppressor_is_read_with_its_periods() {
        let found = CompositeAlarm::builder()
            .alarm_name("c")
            .alarm_rule("ALARM(a)")
            .actions_suppressor("arn:aws:cloudwatch:us-east-1:123456789012:alarm:maintenance")
            .actions_suppressor_wait_period(60)
            .actions_suppressor_extension_period(30);
        let expected =
            Suppressor { alarm: AlarmName::parse("maintenance").unwrap(), wait_period: 60, extension_period: 30 };
        assert_eq!(composite(&found.build()).unwrap().suppressor, Some(expected));
    }
}
