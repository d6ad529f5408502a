//! The quotas that the API enforces. By default there are none, since App Mesh's quotas were limits of a service that
//! no longer exists. They can be enabled together or one by one.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use mesh::name::ResourceKind;

/// The quotas in effect: the limits that are set, and for all others the preset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quotas {
    preset: QuotaPreset,
    set: BTreeMap<Quota, usize>,
}

/// The quotas that apply where no limit is set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum QuotaPreset {
    /// No quotas.
    #[default]
    None,
    /// The defaults that AWS documented for App Mesh.
    Aws,
}

impl Quotas {
    /// The limits of a preset.
    #[must_use]
    pub const fn new(preset: QuotaPreset) -> Self {
        Self { preset, set: BTreeMap::new() }
    }

    /// The same limits with one of them changed.
    #[must_use]
    pub fn with(mut self, setting: QuotaSetting) -> Self {
        self.set.insert(setting.quota, setting.limit);
        self
    }

    /// The limit of a quota; `None` if it is unlimited.
    #[must_use]
    pub fn limit(&self, quota: Quota) -> Option<usize> {
        let preset = match self.preset {
            QuotaPreset::None => None,
            QuotaPreset::Aws => Some(quota.aws_default()),
        };
        self.set.get(&quota).copied().or(preset)
    }
}

/// A quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quota {
    /// Meshes in the account.
    Meshes,
    /// Virtual nodes in one mesh.
    VirtualNodes,
    /// Virtual routers in one mesh.
    VirtualRouters,
    /// Virtual services in one mesh.
    VirtualServices,
    /// Virtual gateways in one mesh.
    VirtualGateways,
    /// Routes of one virtual router.
    Routes,
    /// Gateway routes of one virtual gateway.
    GatewayRoutes,
    /// Backends of one virtual node.
    Backends,
    /// Weighted targets of one route. The API model bounds the list at ten as well, so only a lower limit has effect.
    WeightedTargets,
}

impl Quota {
    /// Every quota, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::Meshes,
        Self::VirtualNodes,
        Self::VirtualRouters,
        Self::VirtualServices,
        Self::VirtualGateways,
        Self::Routes,
        Self::GatewayRoutes,
        Self::Backends,
        Self::WeightedTargets,
    ];

    /// The quota on the number of resources of this kind in one collection.
    #[must_use]
    pub fn on(kind: ResourceKind) -> Self {
        match kind {
            ResourceKind::Mesh => Self::Meshes,
            ResourceKind::VirtualNode => Self::VirtualNodes,
            ResourceKind::VirtualRouter => Self::VirtualRouters,
            ResourceKind::VirtualService => Self::VirtualServices,
            ResourceKind::VirtualGateway => Self::VirtualGateways,
            ResourceKind::Route => Self::Routes,
            ResourceKind::GatewayRoute => Self::GatewayRoutes,
        }
    }

    /// The name that sets and reports the quota.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Meshes => "meshes-per-account",
            Self::VirtualNodes => "virtual-nodes-per-mesh",
            Self::VirtualRouters => "virtual-routers-per-mesh",
            Self::VirtualServices => "virtual-services-per-mesh",
            Self::VirtualGateways => "virtual-gateways-per-mesh",
            Self::Routes => "routes-per-virtual-router",
            Self::GatewayRoutes => "gateway-routes-per-virtual-gateway",
            Self::Backends => "backends-per-virtual-node",
            Self::WeightedTargets => "weighted-targets-per-route",
        }
    }

    fn aws_default(self) -> usize {
        match self {
            Self::Meshes => 15,
            Self::VirtualNodes | Self::VirtualRouters | Self::VirtualServices => 200,
            Self::VirtualGateways => 3,
            Self::Routes | Self::Backends => 50,
            Self::GatewayRoutes | Self::WeightedTargets => 10,
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A quota with its limit, written `name=N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaSetting {
    /// The quota.
    pub quota: Quota,
    /// Its limit.
    pub limit: usize,
}

impl FromStr for QuotaSetting {
    type Err = QuotaSettingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, limit) = text.split_once('=').ok_or_else(|| QuotaSettingError::Shape(text.to_owned()))?;
        let quota = Quota::ALL
            .into_iter()
            .find(|quota| quota.name() == name)
            .ok_or_else(|| QuotaSettingError::Unknown(name.to_owned()))?;
        let limit = limit.parse().map_err(|_| QuotaSettingError::Limit { quota, limit: limit.to_owned() })?;
        Ok(Self { quota, limit })
    }
}

/// The text is not a quota setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuotaSettingError {
    /// The text contains no `=`.
    #[error("invalid quota setting {0:?}: expected name=N")]
    Shape(String),
    /// No quota has that name.
    #[error("invalid quota {0:?}: expected one of {all}", all = Quota::ALL.map(Quota::name).join(", "))]
    Unknown(String),
    /// The limit is not a number.
    #[error("invalid limit {limit:?} of quota {quota}: expected a whole number")]
    Limit {
        /// The quota.
        quota: Quota,
        /// The text of its limit.
        limit: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_has_its_preset_until_it_is_set() {
        for (preset, nodes) in [(QuotaPreset::None, None), (QuotaPreset::Aws, Some(200))] {
            let quotas = Quotas::new(preset).with("routes-per-virtual-router=2".parse().unwrap());
            assert_eq!(quotas.limit(Quota::Routes), Some(2), "{preset:?}");
            assert_eq!(quotas.limit(Quota::VirtualNodes), nodes, "{preset:?}");
        }
        assert!(Quota::ALL.into_iter().all(|quota| Quotas::default().limit(quota).is_none()));
    }

    #[test]
    fn every_quota_can_be_set_by_its_name() {
        for quota in Quota::ALL {
            let setting: QuotaSetting = format!("{quota}=7").parse().unwrap();
            assert_eq!(setting, QuotaSetting { quota, limit: 7 });
        }
    }

    #[test]
    fn an_invalid_setting_is_refused_with_a_reason() {
        for (text, reason) in [
            ("routes", "expected name=N"),
            ("route=3", "expected one of meshes-per-account"),
            ("meshes-per-account=many", "expected a whole number"),
            ("meshes-per-account=-1", "expected a whole number"),
        ] {
            let error = text.parse::<QuotaSetting>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
