//! The two bounded numbers of a weighted target.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::WeightError;

/// A weight: 0 to 100, relative to the other weights of the route. The sum does not have to be 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Weight(u8);

impl Weight {
    /// No traffic.
    pub const ZERO: Self = Self(0);
    /// The largest weight.
    pub const MAX: Self = Self(100);

    /// Creates a weight of 0 to 100.
    pub const fn new(weight: u8) -> Result<Self, WeightError> {
        if weight <= 100 { Ok(Self(weight)) } else { Err(WeightError::Weight { given: weight }) }
    }

    /// The weight as a number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Weight {
    type Error = WeightError;

    fn try_from(weight: u8) -> Result<Self, WeightError> {
        Self::new(weight)
    }
}

impl From<Weight> for u8 {
    fn from(weight: Weight) -> Self {
        weight.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A port: 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Port(u16);

impl Port {
    /// Creates a port of 1 to 65535.
    pub const fn new(port: u16) -> Result<Self, WeightError> {
        if port == 0 { Err(WeightError::Port) } else { Ok(Self(port)) }
    }

    /// The port as a number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for Port {
    type Error = WeightError;

    fn try_from(port: u16) -> Result<Self, WeightError> {
        Self::new(port)
    }
}

impl From<Port> for u16 {
    fn from(port: Port) -> Self {
        port.0
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
