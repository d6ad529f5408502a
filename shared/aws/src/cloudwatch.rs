//! The alarm port over CloudWatch.

mod alarm;
mod mute_rule;
mod query;
mod series;

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::operation::describe_alarms::DescribeAlarmsOutput;
use aws_sdk_cloudwatch::operation::describe_alarms::builders::DescribeAlarmsFluentBuilder;
use aws_sdk_cloudwatch::types::{AlarmMuteRuleStatus, AlarmType};
use futures::future::try_join_all;
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use mesh::alarm::{Alarm, AlarmName, Contributor, CountedMetric, MetricData, MuteRule};
use ports::{AlarmReader, MetricReader, MetricSeries, PortError, PortErrorKind, SeriesData};

use crate::answer::{MOST_PAGES, ResponseLimit};
use crate::call::call;

/// The maximum number of names in one request, and of alarms in a page (`DescribeAlarms`).
const PAGE: usize = 100;

/// The number of mute rules described at a time. Few are ever active at once, and each call counts against the
/// account's rate.
const MUTE_RULES_AT_A_TIME: usize = 4;

/// Alarms in CloudWatch.
#[derive(Clone, Debug)]
pub struct CloudWatch(Client);

impl CloudWatch {
    /// Creates an adapter that uses this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    async fn described(
        &self,
        what: impl Fn() -> String,
        request: DescribeAlarmsFluentBuilder,
    ) -> Result<Vec<Alarm>, PortError> {
        // Without explicit types, only metric alarms are returned.
        let request = request.alarm_types(AlarmType::MetricAlarm).alarm_types(AlarmType::CompositeAlarm);
        let pages = request.into_paginator().stop_on_duplicate_token(false).send();
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
        let unreadable = |error| {
            PortError::new(what(), PortErrorKind::Other, format!("the response of CloudWatch can't be read: {error}"))
        };
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
        let endless = |why: ResponseLimit| {
            let message = format!("{why} [CloudWatch DescribeAlarmContributors]");
            PortError::new(what(), PortErrorKind::Other, message)
        };
        let mut contributors = Vec::new();
        let mut token = None;
        for _ in 0..MOST_PAGES {
            let request = self.0.describe_alarm_contributors().alarm_name(alarm.as_str()).set_next_token(token.clone());
            let page = call(what, request.send()).await?;
            contributors.extend(page.alarm_contributors.unwrap_or_default().into_iter().map(alarm::contributor));
            let next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(contributors);
            }
            if next == token {
                return Err(endless(ResponseLimit::RepeatedToken));
            }
            token = next;
        }
        Err(endless(ResponseLimit::Pages))
    }

    async fn active_mute_rules(&self) -> Result<Vec<MuteRule>, PortError> {
        let request = self.0.list_alarm_mute_rules().statuses(AlarmMuteRuleStatus::Active);
        let pages = request.into_paginator().stop_on_duplicate_token(false).send();
        let pages: Vec<_> = call(|| "list alarm mute rules".to_owned(), pages.collect::<Result<Vec<_>, _>>()).await?;
        let listed = pages.into_iter().flat_map(|page| page.alarm_mute_rule_summaries.unwrap_or_default());
        let names: Vec<String> = listed.filter_map(|summary| mute_rule::active(&summary)).collect();
        let described = stream::iter(names).map(|name| async move {
            let request = self.0.get_alarm_mute_rule().alarm_mute_rule_name(&name);
            match call(|| format!("get alarm mute rule {name}"), request.send()).await {
                Ok(found) => Ok(mute_rule::read(name, &found)),
                // The rule was deleted since it was listed.
                Err(error) if error.kind == PortErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        });
        let rules: Vec<Option<MuteRule>> = described.buffered(MUTE_RULES_AT_A_TIME).try_collect().await?;
        Ok(rules.into_iter().flatten().collect())
    }

    async fn data_points(
        &self,
        alarm: &Alarm,
        metrics: &[CountedMetric],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<MetricData>, PortError> {
        query::count(&self.0, alarm, metrics, from, until).await
    }
}

#[async_trait]
impl MetricReader for CloudWatch {
    async fn read(
        &self,
        series: &[MetricSeries],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<SeriesData>, PortError> {
        series::read(&self.0, series, from, until).await
    }
}
