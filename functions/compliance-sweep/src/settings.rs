//! The settings that only this function reads from its environment. A variable with an empty value counts as unset.

/// How a trigger for all meshes is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FanOut {
    /// The triggered invocation sweeps all meshes.
    Direct,
    /// The invocation requests a sweep of each mesh by an event. A rule sends the events to the queue that triggers
    /// this function.
    ByQueue,
}

/// The settings that only this function has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `MESHWARDEN_SWEEP_BY_QUEUE`: `on` or `off`; unset: off.
    pub fan_out: FanOut,
    /// `MESHWARDEN_SECURITY_HUB`: `on` or `off`; unset: off.
    pub security_hub: bool,
}

/// An invalid setting: the variable and the expected value, in one line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A switch that is neither on nor off.
    #[error("invalid {variable} `{given}`: expected `on` or `off`")]
    Switch {
        /// The name of the variable.
        variable: &'static str,
        /// The given value.
        given: String,
    },
    /// Sweeps by queue without an event bus: no message would reach the queue.
    #[error("invalid MESHWARDEN_SWEEP_BY_QUEUE `on`: it needs an event bus; set MESHWARDEN_BUS")]
    NoBus,
}

impl Settings {
    /// Reads the settings. `lookup` returns the value of a variable; `has_bus` is whether an event bus is configured.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>, has_bus: bool) -> Result<Self, SettingsError> {
        let switch = |variable: &'static str| match lookup(variable).as_deref() {
            None | Some("" | "off") => Ok(false),
            Some("on") => Ok(true),
            Some(given) => Err(SettingsError::Switch { variable, given: given.to_owned() }),
        };
        let fan_out = match (switch("MESHWARDEN_SWEEP_BY_QUEUE")?, has_bus) {
            (false, _) => FanOut::Direct,
            (true, true) => FanOut::ByQueue,
            (true, false) => return Err(SettingsError::NoBus),
        };
        Ok(Self { fan_out, security_hub: switch("MESHWARDEN_SECURITY_HUB")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_off_unless_they_are_on() {
        let read = |queue: Option<&str>, hub: Option<&str>, has_bus| {
            let value = |name: &str| match name {
                "MESHWARDEN_SWEEP_BY_QUEUE" => queue.map(str::to_owned),
                "MESHWARDEN_SECURITY_HUB" => hub.map(str::to_owned),
                _ => None,
            };
            Settings::from_env(value, has_bus)
        };
        let off = Settings { fan_out: FanOut::Direct, security_hub: false };
        for (queue, hub) in [(None, None), (Some(""), Some("")), (Some("off"), Some("off"))] {
            assert_eq!(read(queue, hub, false), Ok(off));
        }
        assert_eq!(read(Some("on"), Some("on"), true), Ok(Settings { fan_out: FanOut::ByQueue, security_hub: true }));
        assert_eq!(read(Some("on"), None, false), Err(SettingsError::NoBus));
        let error = read(None, Some("yes"), true).unwrap_err().to_string();
        assert!(error.contains("invalid MESHWARDEN_SECURITY_HUB `yes`: expected `on` or `off`"), "{error}");
    }
}
