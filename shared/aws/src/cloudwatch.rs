//! The alarm port over CloudWatch.

mod alarm;
mod mute_rule;
mod query;

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::operation::describe_alarms::DescribeAlarmsOutput;
use aws_sdk_cloudwatch::operation::describe_alarms::builders::DescribeAlarmsFluentBuilder;
use aws_sdk_cloudwatch::types::{AlarmMuteRuleStatus, AlarmType, MetricDataResult, StatusCode};
use aws_smithy_types::DateTime;
use futures::future::try_join_all;
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use mesh::alarm::{Alarm, AlarmName, AlarmSource, Contributor, MuteRule};
use ports::{AlarmReader, PortError, PortErrorKind};

use crate::call::call;

/// How many names one request may carry, and how many alarms a page (`DescribeAlarms`).
const PAGE: usize = 100;

/// Mute rules described at a time. Few are ever active at once, and each call counts against the account's rate.
const MUTE_RULES_AT_A_TIME: usize = 4;

/// Alarms as CloudWatch has them.
#[derive(Clone, Debug)]
pub struct CloudWatch(Client);

impl CloudWatch {
    /// Alarms behind this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    async fn described(
        &self,
        what: impl Fn() -> String,
        request: DescribeAlarmsFluentBuilder,
    ) -> Result<Vec<Alarm>, PortError> {
        // Without the types named, only metric alarms are returned.
        let request = request.alarm_types(AlarmType::MetricAlarm).alarm_types(AlarmType::CompositeAlarm);
        let pages = request.into_paginator().send();
        let pages: Vec<DescribeAlarmsOutput> = call(&what, pages.collect::<Result<_, _>>()).await?;
        let mut alarms = Vec::new();
        for page in pages {
            for found in page.metric_alarms.unwrap_or_default() {
                alarms.push(alarm::metric(found));
            }
            for found in page.composite_alarms.unwrap_or_default() {
                alarms.push(alarm::composite(&found));
            }
        }
        let unreadable =
            |error| PortError::new(what(), PortErrorKind::Other, format!("the answer can't be read: {error}"));
        alarms.into_iter().collect::<Result<_, _>>().map_err(unreadable)
    }
}

#[async_trait]
impl AlarmReader for CloudWatch {
    async fn by_name(&self, names: &[AlarmName]) -> Result<Vec<Alarm>, PortError> {
        let chunks = names.chunks(PAGE).map(|chunk| {
            let names = chunk.iter().map(|name| name.as_str().to_owned()).collect();
            let what = || format!("describe {} alarms", chunk.len());
            self.described(what, self.0.describe_alarms().set_alarm_names(Some(names)))
        });
        Ok(try_join_all(chunks).await?.into_iter().flatten().collect())
    }

    async fn all(&self, prefix: &str) -> Result<Vec<Alarm>, PortError> {
        let prefix = (!prefix.is_empty()).then(|| prefix.to_owned());
        let what = || format!("list the alarms that begin with `{}`", prefix.as_deref().unwrap_or_default());
        let request = self.0.describe_alarms().set_alarm_name_prefix(prefix.clone()).max_records(100);
        self.described(what, request).await
    }

    async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, PortError> {
        let request = self.0.list_tags_for_resource().resource_arn(arn);
        let answer = call(|| format!("list tags of alarm {arn}"), request.send()).await?;
        let tags = answer.tags.unwrap_or_default().into_iter();
        Ok(tags.filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default()))).collect())
    }

    async fn contributors(&self, alarm: &AlarmName) -> Result<Vec<Contributor>, PortError> {
        let what = || format!("describe contributors of alarm {alarm}");
        let mut contributors = Vec::new();
        let mut token = None;
        loop {
            let request = self.0.describe_alarm_contributors().alarm_name(alarm.as_str()).set_next_token(token);
            let page = call(what, request.send()).await?;
            contributors.extend(page.alarm_contributors.unwrap_or_default().into_iter().map(alarm::contributor));
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(contributors);
            }
        }
    }

    async fn active_mute_rules(&self) -> Result<Vec<MuteRule>, PortError> {
        let request = self.0.list_alarm_mute_rules().statuses(AlarmMuteRuleStatus::Active);
        let pages = request.into_paginator().send();
        let pages: Vec<_> = call(|| "list alarm mute rules".to_owned(), pages.collect::<Result<Vec<_>, _>>()).await?;
        let listed = pages.into_iter().flat_map(|page| page.alarm_mute_rule_summaries.unwrap_or_default());
        let names: Vec<String> = listed.filter_map(|summary| mute_rule::active(&summary)).collect();
        let described = stream::iter(names).map(|name| async move {
            let request = self.0.get_alarm_mute_rule().alarm_mute_rule_name(&name);
            match call(|| format!("get alarm mute rule {name}"), request.send()).await {
                Ok(found) => Ok(mute_rule::read(name, &found)),
                // Deleted since it was listed.
                Err(error) if error.kind == PortErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        });
        let rules: Vec<Option<MuteRule>> = described.buffered(MUTE_RULES_AT_A_TIME).try_collect().await?;
        Ok(rules.into_iter().flatten().collect())
    }

    async fn data_points(&self, alarm: &Alarm, from: Timestamp, until: Timestamp) -> Result<u32, PortError> {
        let what = || format!("count data points of alarm {}", alarm.name);
        let queries = match &alarm.source {
            AlarmSource::Metric(queries) => {
                query::counted(queries).map_err(|why| PortError::new(what(), PortErrorKind::Other, why))?
            }
            // GetMetricData has no PromQL, so that nothing can be counted.
            AlarmSource::Composite(_) | AlarmSource::PromQl(_) => return Ok(0),
            AlarmSource::Unreadable(why) => return Err(PortError::new(what(), PortErrorKind::Other, why.clone())),
        };
        let pages = self
            .0
            .get_metric_data()
            .set_metric_data_queries(Some(queries))
            .start_time(DateTime::from_secs(from.as_second()))
            .end_time(DateTime::from_secs(until.as_second()))
            .into_paginator()
            .send();
        let pages: Vec<_> = call(what, pages.collect::<Result<Vec<_>, _>>()).await?;
        let results = pages.into_iter().flat_map(|page| page.metric_data_results.unwrap_or_default());
        let mut points = 0_usize;
        for result in results {
            points += whole(&result).map_err(|(kind, why)| PortError::new(what(), kind, why))?;
        }
        Ok(u32::try_from(points).unwrap_or(u32::MAX))
    }
}

/// How many values a result has, if it is one to go by: a failed query must not look like silence.
fn whole(result: &MetricDataResult) -> Result<usize, (PortErrorKind, String)> {
    let said = || {
        let texts = result.messages().iter().filter_map(|message| message.value());
        texts.collect::<Vec<_>>().join("; ")
    };
    match result.status_code() {
        // Of a series that is cut at a page's end the next page brings the rest.
        Some(StatusCode::Complete | StatusCode::PartialData) | None => Ok(result.values().len()),
        Some(StatusCode::InternalError) => Err((PortErrorKind::Unavailable, format!("an internal error: {}", said()))),
        Some(StatusCode::Forbidden) => Err((PortErrorKind::Denied, format!("forbidden: {}", said()))),
        Some(other) => Err((PortErrorKind::Other, format!("the unknown status `{}`: {}", other.as_str(), said()))),
    }
}
