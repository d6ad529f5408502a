//! Durations and shares in human-readable form.

use std::fmt;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A duration from one second to thirty days, written like `90s`, `5m` or `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("examples" = ["90s", "5m", "1h 30m"]))]
pub struct Period(SignedDuration);

impl Period {
    /// The minimum: alarms have a resolution of one second.
    pub const MIN: SignedDuration = SignedDuration::from_secs(1);
    /// The maximum: journal and restore points are kept longer than this.
    pub const MAX: SignedDuration = SignedDuration::from_hours(30 * 24);

    /// A duration in whole minutes, for constants.
    #[must_use]
    pub const fn minutes(minutes: u16) -> Self {
        Self(SignedDuration::from_secs(minutes as i64 * 60))
    }

    /// A duration in whole minutes beyond 255, for constants.
    #[must_use]
    pub const fn minutes_long(minutes: u16) -> Self {
        Self(SignedDuration::from_secs(minutes as i64 * 60))
    }

    /// The duration.
    #[must_use]
    pub const fn get(self) -> SignedDuration {
        self.0
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl TryFrom<String> for Period {
    type Error = AmountError;

    fn try_from(text: String) -> Result<Self, AmountError> {
        let length: SignedDuration = text.parse().map_err(|_| AmountError::Period { given: text.clone() })?;
        if (Self::MIN..=Self::MAX).contains(&length) {
            Ok(Self(length))
        } else {
            Err(AmountError::PeriodRange { given: text })
        }
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

/// A share from 1 to 100 percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u8", into = "u8")]
#[schemars(with = "u8", extend("minimum" = 1, "maximum" = 100))]
pub struct Percent(u8);

impl Percent {
    /// Creates a share; accepts 1 to 100.
    pub const fn new(percent: u8) -> Result<Self, AmountError> {
        match percent {
            1..=100 => Ok(Self(percent)),
            given => Err(AmountError::Percent { given }),
        }
    }

    /// Creates a share from a constant.
    #[must_use]
    pub const fn constant(percent: u8) -> Self {
        Self(percent)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Percent {
    type Error = AmountError;

    fn try_from(percent: u8) -> Result<Self, AmountError> {
        Self::new(percent)
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

/// The reason why a text is not a valid amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// The text is not a duration.
    #[error("invalid duration `{given}`: write it like 90s, 5m or 1h 30m")]
    Period {
        /// The text.
        given: String,
    },
    /// The duration is out of bounds.
    #[error("invalid duration `{given}`: expected 1s to 30 days")]
    PeriodRange {
        /// The text.
        given: String,
    },
    /// The share is out of bounds.
    #[error("invalid share {given}: expected 1 to 100 percent")]
    Percent {
        /// The number.
        given: u8,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("1h 30m", 5400), ("1h30m", 5400), ("4h", 14400)] {
            assert_eq!(Period::try_from(text.to_owned()).unwrap().get().as_secs(), seconds, "{text}");
        }
        for text in ["", "5", "five minutes", "-5m", "0s", "500ms", "31d", "721h"] {
            assert!(Period::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_period_reads_back_as_written_out() {
        for text in ["90s", "5m", "1h 30m", "720h"] {
            let period = Period::try_from(text.to_owned()).unwrap();
            assert_eq!(Period::try_from(period.to_string()).unwrap(), period, "{text}");
        }
    }
}
