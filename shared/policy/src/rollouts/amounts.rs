//! Ratios, response times and bake times in human-readable form.

use std::fmt;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The reason why a text is not a valid amount of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RolloutAmountError {
    /// The text is not a ratio.
    #[error("invalid ratio `{given}`: write it like 1% or 0.5%, from 0% to 100%, with at most four decimals")]
    Ratio {
        /// The text.
        given: String,
    },
    /// The text is not a response time.
    #[error("invalid response time `{given}`: write it like 500ms or 2s, from 1ms to 10m")]
    Milliseconds {
        /// The text.
        given: String,
    },
    /// The text is not a bake time.
    #[error("invalid bake time `{given}`: write it like 30m, from 0s to 24h")]
    BakeTime {
        /// The text.
        given: String,
    },
    /// The text is not a statistic of response times.
    #[error("invalid statistic `{given}`: write Average, or a percentile from p1 to p100 like p99 or p99.9")]
    Statistic {
        /// The text.
        given: String,
    },
}

/// A ratio from 0 % to 100 %, written like `0.5%`; exact to one millionth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("examples" = ["1%", "0.5%"]))]
pub struct Ratio(u32);

impl Ratio {
    /// The millionths of a whole.
    const WHOLE: u32 = 1_000_000;

    /// The ratio as a number from 0 to 1.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE)
    }
}

impl TryFrom<String> for Ratio {
    type Error = RolloutAmountError;

    fn try_from(given: String) -> Result<Self, RolloutAmountError> {
        let parse = || {
            let number = given.strip_suffix('%')?.trim_end();
            let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
            let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            if whole.is_empty() || whole.len() > 3 || decimals.len() > 4 || !is_number(whole) || !is_number(decimals) {
                return None;
            }
            let ratio = format!("{whole}{decimals:0<4}").parse::<u32>().ok()?;
            (ratio <= Self::WHOLE).then_some(Self(ratio))
        };
        parse().ok_or(RolloutAmountError::Ratio { given })
    }
}

/// Displays `0.5%`.
impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = (self.0 / 10_000, self.0 % 10_000);
        if decimals == 0 {
            return write!(f, "{whole}%");
        }
        let decimals = format!("{decimals:04}");
        write!(f, "{whole}.{}%", decimals.trim_end_matches('0'))
    }
}

impl From<Ratio> for String {
    fn from(ratio: Ratio) -> Self {
        ratio.to_string()
    }
}

/// A response time from 1 ms to 10 minutes, written like `500ms` or `2s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("examples" = ["500ms", "2s"]))]
pub struct Milliseconds(u32);

impl Milliseconds {
    /// The longest response time, in milliseconds.
    const MAX: i128 = 10 * 60 * 1000;

    /// The number of milliseconds.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<String> for Milliseconds {
    type Error = RolloutAmountError;

    fn try_from(given: String) -> Result<Self, RolloutAmountError> {
        let millis = given.parse::<SignedDuration>().ok().map(|length| length.as_millis());
        let millis =
            millis.filter(|millis| (1..=Self::MAX).contains(millis)).and_then(|millis| u32::try_from(millis).ok());
        millis.map(Self).ok_or(RolloutAmountError::Milliseconds { given })
    }
}

impl From<Milliseconds> for String {
    fn from(time: Milliseconds) -> Self {
        time.to_string()
    }
}

/// Displays `500ms`.
impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// How long the last step is watched before the promotion: 0 seconds to 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("examples" = ["30m", "0s"]))]
pub struct BakeTime(SignedDuration);

impl BakeTime {
    /// The longest bake time.
    const MAX: SignedDuration = SignedDuration::from_hours(24);

    /// A time in whole minutes, for constants.
    pub(super) const fn minutes(minutes: u16) -> Self {
        Self(SignedDuration::from_secs(minutes as i64 * 60))
    }

    /// The duration.
    #[must_use]
    pub const fn get(self) -> SignedDuration {
        self.0
    }
}

impl TryFrom<String> for BakeTime {
    type Error = RolloutAmountError;

    fn try_from(given: String) -> Result<Self, RolloutAmountError> {
        let length = given.parse::<SignedDuration>().ok();
        let length = length.filter(|length| (SignedDuration::ZERO..=Self::MAX).contains(length));
        length.map(Self).ok_or(RolloutAmountError::BakeTime { given })
    }
}

impl From<BakeTime> for String {
    fn from(BakeTime(length): BakeTime) -> Self {
        format!("{length:#}")
    }
}

/// A statistic of response times: the average or a percentile, written like CloudWatch writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("examples" = ["p99", "p99.9", "Average"]))]
pub struct Statistic(String);

impl Statistic {
    /// The name for CloudWatch.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Statistic {
    type Error = RolloutAmountError;

    fn try_from(given: String) -> Result<Self, RolloutAmountError> {
        let is_percentile = given.strip_prefix('p').is_some_and(|number| {
            let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
            let is_number =
                |text: &str| (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            let in_range = whole.parse::<u8>().is_ok_and(|whole| (1..100).contains(&whole)) || number == "100";
            is_number(whole) && is_number(decimals) && in_range
        });
        if is_percentile || given == "Average" { Ok(Self(given)) } else { Err(RolloutAmountError::Statistic { given }) }
    }
}

impl From<Statistic> for String {
    fn from(Statistic(name): Statistic) -> Self {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_exact_and_read_back() {
        for (text, millionths) in [("1%", 10_000), ("0.5%", 5_000), ("100%", 1_000_000), ("0%", 0), ("0.0001%", 1)] {
            let ratio = Ratio::try_from(text.to_owned()).unwrap();
            assert_eq!((ratio.0, ratio.to_string().as_str()), (millionths, text));
        }
        for text in ["", "1", "%", "101%", "-1%", "0.00001%", "1.%%", "a%", ".5%", "1e1%"] {
            assert!(Ratio::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn response_times_bake_times_and_statistics_have_bounds() {
        for (text, millis) in [("500ms", 500), ("2s", 2000), ("10m", 600_000)] {
            assert_eq!(Milliseconds::try_from(text.to_owned()).unwrap().get(), millis);
        }
        for text in ["0ms", "11m", "-1s", "fast", "500"] {
            assert!(Milliseconds::try_from(text.to_owned()).is_err(), "{text}");
        }
        for text in ["0s", "30m", "24h"] {
            assert!(BakeTime::try_from(text.to_owned()).is_ok(), "{text}");
        }
        for text in ["-1s", "25h", "long"] {
            assert!(BakeTime::try_from(text.to_owned()).is_err(), "{text}");
        }
        for text in ["p99", "p99.9", "p1", "p100", "Average"] {
            assert!(Statistic::try_from(text.to_owned()).is_ok(), "{text}");
        }
        for text in ["p0", "p101", "p", "99", "Sum", "p99.", "p100.5", "tm99"] {
            assert!(Statistic::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
