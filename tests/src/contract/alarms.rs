//! The contract of [`AlarmReader`].

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, MetricDatum, StateValue, Statistic, Tag};
use decisions::failover::{ProofTarget, counted_metrics};
use jiff::{SignedDuration, Timestamp};
use mesh::alarm::{Alarm, AlarmName, AlarmSource, AlarmState, MetricQuery, MetricTerm};
use mesh::name::{MeshName, VirtualNodeName};
use policy::AlarmDiscovery;
use ports::{AlarmReader, PortErrorKind};
use ports_memory::MemoryAlarms;

use super::kind;

/// A test fixture that can set up alarms without the port.
#[async_trait]
pub trait AlarmsUnderTest: Sync {
    /// The port under test.
    fn reader(&self) -> &dyn AlarmReader;
    /// Creates an alarm on the sum, over a minute, of a metric with the alarm's name, of node `name`.
    async fn metric(&self, name: &str, state: AlarmState);
    /// Creates a composite alarm.
    async fn composite(&self, name: &str, rule: &str);
    /// Adds a tag to an alarm.
    async fn tag(&self, name: &str, key: &str, value: &str);
    /// Adds a data point to an alarm's metric.
    async fn data(&self, name: &str, at: Timestamp);
}

/// Runs every check.
pub async fn all(fixture: &dyn AlarmsUnderTest) {
    alarm_has_its_state_and_metric(fixture).await;
    composite_alarms_are_found_by_name(fixture).await;
    missing_alarm_is_left_out(fixture).await;
    more_than_one_request_and_page_are_read(fixture).await;
    tags_are_read(fixture).await;
    data_points_are_counted(fixture).await;
}

fn name(text: &str) -> AlarmName {
    AlarmName::parse(text).unwrap()
}

fn arn(name: &str) -> String {
    format!("arn:aws:cloudwatch:{}:{}:alarm:{name}", crate::stack::REGION, crate::stack::ACCOUNT)
}

async fn one(fixture: &dyn AlarmsUnderTest, text: &str) -> Alarm {
    let mut alarms = fixture.reader().by_name(&[name(text)]).await.unwrap();
    assert_eq!(alarms.len(), 1);
    alarms.remove(0)
}

async fn alarm_has_its_state_and_metric(fixture: &dyn AlarmsUnderTest) {
    for (text, state) in
        [("read-ok", AlarmState::Ok), ("read-alarm", AlarmState::Alarm), ("read-none", AlarmState::InsufficientData)]
    {
        fixture.metric(text, state.clone()).await;
        let alarm = one(fixture, text).await;
        assert_eq!((alarm.name.as_str(), alarm.arn.as_str(), &alarm.state), (text, arn(text).as_str(), &state));
        assert!(alarm.since.is_some());
        assert!(alarm.actions_enabled && alarm.suppressed.is_none());
        assert_eq!(alarm.source, AlarmSource::Metric(vec![query(text)]));
    }
}

async fn composite_alarms_are_found_by_name(fixture: &dyn AlarmsUnderTest) {
    fixture.metric("child", AlarmState::Alarm).await;
    fixture.composite("parent", "ALARM(\"child\")").await;
    let alarms = fixture.reader().by_name(&[name("child"), name("parent")]).await.unwrap();
    let parent = alarms.iter().find(|alarm| alarm.name.as_str() == "parent").unwrap();
    assert_eq!(alarms.len(), 2);
    assert_eq!(parent.source, AlarmSource::Composite("ALARM(\"child\")".into()));
    assert_eq!(parent.state, AlarmState::Alarm);
    assert_eq!(fixture.reader().data_points(parent, &[], Timestamp::UNIX_EPOCH, Timestamp::now()).await.unwrap(), []);
}

async fn missing_alarm_is_left_out(fixture: &dyn AlarmsUnderTest) {
    fixture.metric("there", AlarmState::Ok).await;
    let alarms = fixture.reader().by_name(&[name("not-there"), name("there")]).await.unwrap();
    assert_eq!(alarms.into_iter().map(|alarm| alarm.name).collect::<Vec<_>>(), [name("there")]);
    assert_eq!(fixture.reader().by_name(&[]).await.unwrap(), []);
    assert_eq!(kind(fixture.reader().tags(&arn("not-there")).await), PortErrorKind::NotFound);
}

async fn more_than_one_request_and_page_are_read(fixture: &dyn AlarmsUnderTest) {
    let names: Vec<_> = (0..130).map(|n| format!("many-{n:03}")).collect();
    for name in &names {
        fixture.metric(name, AlarmState::Ok).await;
    }
    let found = |alarms: Vec<Alarm>| {
        let mut names: Vec<_> = alarms.into_iter().map(|alarm| alarm.name.as_str().to_owned()).collect();
        names.sort();
        names
    };
    let requested: Vec<_> = names.iter().map(|text| name(text)).collect();
    assert_eq!(found(fixture.reader().by_name(&requested).await.unwrap()), names);
    assert_eq!(found(fixture.reader().all("many-").await.unwrap()), names);
    assert!(found(fixture.reader().all("").await.unwrap()).len() > 130);
}

async fn tags_are_read(fixture: &dyn AlarmsUnderTest) {
    fixture.metric("tagged", AlarmState::Ok).await;
    assert_eq!(fixture.reader().tags(&arn("tagged")).await.unwrap(), BTreeMap::new());
    fixture.tag("tagged", "meshwarden:target", "shop/recommendations-v2").await;
    let tags = BTreeMap::from([("meshwarden:target".to_owned(), "shop/recommendations-v2".to_owned())]);
    assert_eq!(fixture.reader().tags(&arn("tagged")).await.unwrap(), tags);
}

async fn data_points_are_counted(fixture: &dyn AlarmsUnderTest) {
    fixture.metric("counted", AlarmState::Ok).await;
    let minute = Timestamp::from_second(Timestamp::now().as_second() / 60 * 60).unwrap();
    let ago = |minutes: i64| minute - SignedDuration::from_mins(minutes);
    for minutes in [30, 5, 4, 3] {
        fixture.data("counted", ago(minutes)).await;
    }
    let alarm = one(fixture, "counted").await;
    let reader = fixture.reader();
    let metrics = {
        let (mesh, node) = (MeshName::parse("shop").unwrap(), VirtualNodeName::parse("counted").unwrap());
        counted_metrics(&alarm, &[], &ProofTarget { mesh: &mesh, node: &node, discovery: &AlarmDiscovery::default() })
            .unwrap()
    };
    for (from, until, expected) in
        [(ago(6), ago(0), 3), (ago(4), ago(0), 2), (ago(6), ago(3), 2), (ago(20), ago(10), 0)]
    {
        let counted = reader.data_points(&alarm, &metrics, from, until).await.unwrap();
        let points: Vec<(u32, u32)> = counted.iter().map(|metric| (metric.points, metric.above_zero)).collect();
        assert_eq!(points, [(expected, expected)], "{from} to {until}");
    }
}

fn query(name: &str) -> MetricQuery {
    let term = MetricTerm::Stat {
        namespace: "AppMesh".into(),
        metric: name.into(),
        dimensions: BTreeMap::from([("Mesh".into(), "shop".into()), ("VirtualNode".into(), name.into())]),
        period: 60,
        stat: "Sum".into(),
        unit: None,
    };
    MetricQuery::new("m1", term)
}

#[async_trait]
impl AlarmsUnderTest for MemoryAlarms {
    fn reader(&self) -> &dyn AlarmReader {
        self
    }

    async fn metric(&self, text: &str, state: AlarmState) {
        self.put(alarm(text, state, AlarmSource::Metric(vec![query(text)])));
    }

    async fn composite(&self, text: &str, rule: &str) {
        self.put(alarm(text, AlarmState::Alarm, AlarmSource::Composite(rule.to_owned())));
    }

    async fn tag(&self, text: &str, key: &str, value: &str) {
        self.set_tags(&arn(text), BTreeMap::from([(key.to_owned(), value.to_owned())]));
    }

    async fn data(&self, text: &str, at: Timestamp) {
        self.add_data(&name(text), at);
    }
}

fn alarm(text: &str, state: AlarmState, source: AlarmSource) -> Alarm {
    let since = Some(Timestamp::UNIX_EPOCH);
    Alarm { since, ..Alarm::new(name(text), &arn(text), state, source) }
}

/// The fixture over a CloudWatch endpoint.
#[derive(Debug)]
pub struct AlarmsOverApi {
    /// The adapter under test.
    pub alarms: aws::CloudWatch,
    /// The client that sets up the alarms.
    pub client: Client,
}

fn dimensions(text: &str) -> Vec<Dimension> {
    let pairs = [("Mesh", "shop"), ("VirtualNode", text)];
    pairs.map(|(name, value)| Dimension::builder().name(name).value(value).build()).to_vec()
}

#[async_trait]
impl AlarmsUnderTest for AlarmsOverApi {
    fn reader(&self) -> &dyn AlarmReader {
        &self.alarms
    }

    async fn metric(&self, text: &str, state: AlarmState) {
        let put = self.client.put_metric_alarm().alarm_name(text).namespace("AppMesh").metric_name(text);
        let put = put.set_dimensions(Some(dimensions(text))).period(60).statistic(Statistic::Sum).evaluation_periods(1);
        put.threshold(5.0).comparison_operator(ComparisonOperator::GreaterThanThreshold).send().await.unwrap();
        let state = match state {
            AlarmState::Ok => StateValue::Ok,
            AlarmState::Alarm => StateValue::Alarm,
            AlarmState::InsufficientData => StateValue::InsufficientData,
            AlarmState::Unrecognised(text) => StateValue::from(text.as_str()),
        };
        let set = self.client.set_alarm_state().alarm_name(text).state_value(state).state_reason("set by a test");
        set.send().await.unwrap();
    }

    async fn composite(&self, text: &str, rule: &str) {
        self.client.put_composite_alarm().alarm_name(text).alarm_rule(rule).send().await.unwrap();
    }

    async fn tag(&self, text: &str, key: &str, value: &str) {
        let tag = Tag::builder().key(key).value(value).build();
        self.client.tag_resource().resource_arn(arn(text)).tags(tag).send().await.unwrap();
    }

    async fn data(&self, text: &str, at: Timestamp) {
        let point = MetricDatum::builder()
            .metric_name(text)
            .set_dimensions(Some(dimensions(text)))
            .timestamp(DateTime::from_secs(at.as_second()))
            .value(1.0)
            .build();
        self.client.put_metric_data().namespace("AppMesh").metric_data(point).send().await.unwrap();
    }
}
