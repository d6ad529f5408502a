//! The measured traffic of a drill: requests, failures and peaks of the receivers while the node is drained.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use mesh::name::VirtualNodeName;
use serde::{Deserialize, Serialize};

/// A measured number, or the reason why there is none. Missing data is never 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measured {
    /// The number.
    Known(f64),
    /// The reason why it is not known.
    Missing(String),
}

impl Measured {
    /// The number, if it is known.
    #[must_use]
    pub const fn known(&self) -> Option<f64> {
        match self {
            Self::Known(number) => Some(*number),
            Self::Missing(_) => None,
        }
    }

    /// The sum of numbers by their node; missing if one of them is missing, or if there are none.
    fn sum<'n>(numbers: impl Iterator<Item = (&'n VirtualNodeName, &'n Self)>) -> Self {
        let mut sum = None;
        for (node, number) in numbers {
            match number {
                Self::Known(number) => sum = Some(sum.unwrap_or_default() + number),
                Self::Missing(why) => return Self::Missing(format!("{node}: {why}")),
            }
        }
        sum.map_or_else(|| Self::Missing("the drill has no receiver".to_owned()), Self::Known)
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(number) if number.fract() == 0.0 => write!(f, "{number:.0}"),
            Self::Known(number) => write!(f, "{number:.1}"),
            Self::Missing(why) => write!(f, "not known ({why})"),
        }
    }
}

/// The traffic of the receivers in one period of a drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillTraffic {
    /// The begin of the period.
    pub from: Timestamp,
    /// The end of the period. CloudWatch may publish the last minutes later.
    pub until: Timestamp,
    /// The traffic of each receiver.
    pub receivers: BTreeMap<VirtualNodeName, ReceiverTraffic>,
}

/// The traffic of one receiver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiverTraffic {
    /// The number of requests.
    pub requests: Measured,
    /// The number of failed requests.
    pub failures: Measured,
    /// The requests a second in the busiest minute.
    pub peak: Measured,
}

impl DrillTraffic {
    /// The requests of all receivers.
    #[must_use]
    pub fn requests(&self) -> Measured {
        Measured::sum(self.receivers.iter().map(|(node, traffic)| (node, &traffic.requests)))
    }

    /// The failed requests of all receivers.
    #[must_use]
    pub fn failures(&self) -> Measured {
        Measured::sum(self.receivers.iter().map(|(node, traffic)| (node, &traffic.failures)))
    }

    /// Whether this reading is to replace an earlier one: it has not lost a number that the other one has.
    pub(crate) fn replaces(&self, earlier: &Self) -> bool {
        let is_known = |traffic: &Self| traffic.requests().known().is_some();
        is_known(self) || !is_known(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(requests: [Measured; 2]) -> DrillTraffic {
        let [first, second] = requests.map(|requests| ReceiverTraffic {
            requests,
            failures: Measured::Known(0.0),
            peak: Measured::Known(1.0),
        });
        let node = |name: &str| name.parse().unwrap();
        DrillTraffic {
            from: Timestamp::UNIX_EPOCH,
            until: Timestamp::UNIX_EPOCH,
            receivers: [(node("v1"), first), (node("v2"), second)].into(),
        }
    }

    #[test]
    fn sum_is_missing_if_one_number_is() {
        let missing = || Measured::Missing("no data points".to_owned());
        assert_eq!(traffic([Measured::Known(2.0), Measured::Known(3.0)]).requests(), Measured::Known(5.0));
        let partly = traffic([Measured::Known(2.0), missing()]);
        assert_eq!(partly.requests().to_string(), "not known (v2: no data points)");
        let none = DrillTraffic { receivers: BTreeMap::new(), ..partly.clone() };
        assert_eq!(none.requests().known(), None);
        let whole = traffic([Measured::Known(2.0), Measured::Known(3.0)]);
        assert!(whole.replaces(&partly) && !partly.replaces(&whole) && partly.replaces(&none));
    }
}
