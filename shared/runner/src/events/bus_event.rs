//! An event of an event bus, with the path to it in the delivery.

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::reading::{Flaw, join, read};

/// An event, with its path in the delivery. A missing detail is an error only for types that need one.
pub(super) struct BusEvent<'a> {
    inner: EventBridgeEvent<Option<Value>>,
    at: &'a str,
    detail_at: String,
}

impl<'a> BusEvent<'a> {
    /// Reads an event. Members that the crate's type requires and this crate does not need may be missing.
    pub(super) fn read(event: &Value, at: &'a str) -> Result<Self, Flaw> {
        #[derive(Deserialize)]
        struct Typed {
            #[serde(rename = "detail-type")]
            detail_type: String,
        }
        if let Ok(event) = EventBridgeEvent::deserialize(event) {
            return Ok(Self { inner: event, at, detail_at: join(at, "detail") });
        }
        let Typed { detail_type } = read(event, at)?;
        let text = |member: &str| event.get(member).and_then(Value::as_str).map(str::to_owned);
        let mut lenient = EventBridgeEvent::default();
        lenient.detail_type = detail_type;
        lenient.source = text("source").unwrap_or_else(|| "an unnamed source".to_owned());
        lenient.id = text("id");
        lenient.account = text("account");
        lenient.region = text("region");
        lenient.time = text("time").and_then(|time| time.parse().ok());
        lenient.resources = event
            .get("resources")
            .and_then(Value::as_array)
            .map(|resources| resources.iter().filter_map(Value::as_str).map(str::to_owned).collect());
        lenient.detail = event.get("detail").filter(|detail| !detail.is_null()).cloned();
        Ok(Self { inner: lenient, at, detail_at: join(at, "detail") })
    }

    /// The event of a recorded call to App Mesh that has no event around it: the record is the detail.
    pub(super) fn from_record(record: &Value, at: &'a str) -> Self {
        let text = |member: &str| record.get(member).and_then(Value::as_str).map(str::to_owned);
        let mut event = EventBridgeEvent::default();
        event.id = text("eventID");
        event.account = text("recipientAccountId");
        event.region = text("awsRegion");
        event.detail = Some(record.clone());
        Self { inner: event, at, detail_at: at.to_owned() }
    }

    /// The source of the event, such as `aws.cloudwatch`.
    pub(super) fn source(&self) -> &str {
        &self.inner.source
    }

    /// The event's `detail-type`.
    pub(super) fn detail_type(&self) -> &str {
        &self.inner.detail_type
    }

    /// The id of the event.
    pub(super) fn id(&self) -> Option<&str> {
        self.inner.id.as_deref()
    }

    /// The account of the event.
    pub(super) fn account(&self) -> Option<&str> {
        self.inner.account.as_deref()
    }

    /// The region of the event.
    pub(super) fn region(&self) -> Option<&str> {
        self.inner.region.as_deref()
    }

    /// The time of the event.
    pub(super) fn time(&self) -> Option<Timestamp> {
        let time = self.inner.time?;
        Timestamp::from_millisecond(time.timestamp_millis()).ok()
    }

    /// The resources that the event concerns; `None` if the event has no such list.
    pub(super) fn resources(&self) -> Option<&[String]> {
        self.inner.resources.as_deref()
    }

    /// The unparsed detail.
    pub(super) fn raw_detail(&self) -> Result<&Value, Flaw> {
        self.inner.detail.as_ref().ok_or_else(|| Flaw::missing(self.at, "detail"))
    }

    /// Parses the detail as `T`.
    pub(super) fn detail<T: DeserializeOwned>(&self) -> Result<T, Flaw> {
        read(self.raw_detail()?, &self.detail_at())
    }

    /// The path of the detail.
    pub(super) fn detail_at(&self) -> String {
        self.detail_at.clone()
    }

    /// The path of the event itself.
    pub(super) const fn at(&self) -> &str {
        self.at
    }
}
