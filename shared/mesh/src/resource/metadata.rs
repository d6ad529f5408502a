//! The metadata of a resource.

use crate::spec::shapes::{serde_through_wire, structure, words};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Number, Value};

use crate::name::{AccountId, Arn};
use crate::spec::Refusal;
use crate::spec::bounded::Int;
use crate::spec::wire::{Reader, Shape, Wire};

structure! {
    /// The metadata that the service sets.
    pub struct Metadata {
        /// Its ARN, in the account of the mesh's owner.
        "arn" => arn: Arn,
        /// When it was created.
        "createdAt" => created_at: Epoch,
        /// When it was last updated, or deleted.
        "lastUpdatedAt" => last_updated_at: Epoch,
        /// The account that owns the mesh.
        "meshOwner" => mesh_owner: AccountId,
        /// The account that owns the resource; may differ from the mesh's owner in a shared mesh.
        "resourceOwner" => resource_owner: AccountId,
        /// The unique id, constant while the resource exists.
        "uid" => uid: String,
        /// The version: 1 at creation, increased by each update.
        "version" => version: Int<0, { i64::MAX }>,
    }
}

/// The unknown member that holds the caller of the version. The API model has no such member, so clients of the API do not
/// see it.
const WRITTEN_BY: &str = "writtenBy";

impl Metadata {
    /// The caller that wrote the version, as the server authenticated it: the ARN of a role or the id of a key. `None` if
    /// the server does not name it.
    #[must_use]
    pub fn written_by(&self) -> Option<&str> {
        self.extra.get(WRITTEN_BY)?.as_str()
    }

    /// Sets the caller that wrote the version.
    pub fn set_written_by(&mut self, caller: Option<&str>) {
        match caller {
            Some(caller) => self.extra.insert(WRITTEN_BY.to_owned(), caller.into()),
            None => self.extra.remove(WRITTEN_BY),
        };
    }
}

structure! {
    /// The status of a resource.
    pub struct Status {
        /// The status value.
        "status" => status: StatusCode,
    }
}

words! {
    /// The status value of a resource.
    pub enum StatusCode {
        /// The resource exists.
        "ACTIVE" => Active,
        /// The resource is deleted by this response.
        "DELETED" => Deleted,
        /// Defined by the API, but never observed.
        "INACTIVE" => Inactive,
    }
}

/// A time in the API: seconds since 1970 as a JSON number, rounded to milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(Timestamp);

impl Epoch {
    /// The time, to the millisecond.
    #[must_use]
    pub fn new(time: Timestamp) -> Self {
        // Within the range of timestamps, since `time` is.
        Self(Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time))
    }

    /// The time.
    #[must_use]
    pub const fn time(self) -> Timestamp {
        self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Wire for Epoch {
    fn read(value: &Value, reader: &mut Reader) -> Option<Self> {
        let Some(seconds) = value.as_f64() else {
            return reader.refuse_type("a number of seconds since 1970", value);
        };
        // A double represents present times with a precision of a quarter microsecond; adding half a millisecond
        // rounds.
        let time = SignedDuration::try_from_secs_f64(seconds + 0.0005).and_then(Timestamp::from_duration);
        let Ok(time) = time else {
            let reason = format!("is {value}, which is not a time in the years -9999 to 9999");
            return reader.refuse(Refusal::Malformed { reason });
        };
        Some(Self::new(time))
    }

    fn write(&self) -> Option<Value> {
        let duration = self.0.as_duration();
        if duration.subsec_nanos() == 0 {
            return Some(Value::from(duration.as_secs()));
        }
        Number::from_f64(duration.as_secs_f64()).map(Value::Number)
    }

    fn shape() -> Shape {
        Shape::Number
    }
}

serde_through_wire!(Epoch);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn caller_of_a_version_is_stored_and_read_back() {
        let read = json!({
            "arn": "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop", "createdAt": 0, "lastUpdatedAt": 0,
            "meshOwner": "123456789012", "resourceOwner": "123456789012", "uid": "u", "version": 1,
        });
        let mut metadata: Metadata = serde_json::from_value(read.clone()).unwrap();
        assert_eq!(metadata.written_by(), None);
        metadata.set_written_by(Some("AKIDTERRAFORM"));
        let stored = serde_json::to_value(&metadata).unwrap();
        assert_eq!(serde_json::from_value::<Metadata>(stored).unwrap().written_by(), Some("AKIDTERRAFORM"));
        metadata.set_written_by(None);
        assert_eq!(serde_json::to_value(&metadata).unwrap(), read);
    }

    #[test]
    fn times_are_epoch_seconds() {
        for (wire, text) in [
            (json!(0), "1970-01-01T00:00:00Z"),
            (json!(1_700_000_000), "2023-11-14T22:13:20Z"),
            (json!(1_700_000_000.001), "2023-11-14T22:13:20.001Z"),
            (json!(1_700_000_000.999), "2023-11-14T22:13:20.999Z"),
        ] {
            let epoch: Epoch = serde_json::from_value(wire.clone()).unwrap();
            assert_eq!(epoch.to_string(), text);
            assert_eq!(serde_json::to_value(epoch).unwrap(), wire);
        }
        for wire in [json!("2023-11-14"), json!(1e300), json!(true)] {
            assert!(serde_json::from_value::<Epoch>(wire.clone()).is_err(), "{wire}");
        }
    }
}
