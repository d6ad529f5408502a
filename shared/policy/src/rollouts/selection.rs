//! Members of a request with two forms: the selection of routes, and a step.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{Error as _, IntoDeserializer as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use mesh::name::{MeshName, RouteId, RouteName, VirtualRouterName, VirtualServiceName};

/// The routes of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteSelection {
    /// These routes.
    Routes(Vec<RouterRoute>),
    /// All routes of the router that provides this virtual service.
    Service(VirtualServiceName),
}

/// A route of the rollout's mesh, written like `recs/all`: the virtual router and the route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("examples" = ["recs/all"]))]
pub struct RouterRoute {
    /// The virtual router.
    pub router: VirtualRouterName,
    /// The route.
    pub route: RouteName,
}

/// A step of a canary: a percent, written like `25` or `{percent: 25, approve: true}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolloutStep {
    /// The percent of the moved traffic that the new version receives, from 1 to 100.
    pub percent: u8,
    /// Whether the step ends only after an operator's approval.
    pub approve: bool,
}

impl RouterRoute {
    /// The route's id in a mesh.
    #[must_use]
    pub fn id(&self, mesh: &MeshName) -> RouteId {
        RouteId::new(mesh.clone(), self.router.clone(), self.route.clone())
    }
}

impl TryFrom<String> for RouterRoute {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let invalid = |why: String| format!("invalid route `{text}`: expected ROUTER/ROUTE as in recs/all: {why}");
        let (router, route) = text.split_once('/').ok_or_else(|| invalid("the slash is missing".to_owned()))?;
        let router = VirtualRouterName::parse(router).map_err(|error| invalid(error.to_string()))?;
        let route = RouteName::parse(route).map_err(|error| invalid(error.to_string()))?;
        Ok(Self { router, route })
    }
}

impl From<RouterRoute> for String {
    fn from(route: RouterRoute) -> Self {
        route.to_string()
    }
}

/// Displays `recs/all`.
impl fmt::Display for RouterRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.router, self.route)
    }
}

/// The form of [`RouteSelection::Service`].
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfService {
    /// The virtual service.
    virtual_service: VirtualServiceName,
}

impl Serialize for RouteSelection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Routes(routes) => routes.serialize(serializer),
            Self::Service(service) => OfService { virtual_service: service.clone() }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RouteSelection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = RouteSelection;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of routes like [recs/all], or {virtualService: NAME}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RouteSelection, A::Error> {
                let mut routes = Vec::new();
                while let Some(route) = items.next_element()? {
                    routes.push(route);
                }
                Ok(RouteSelection::Routes(routes))
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<RouteSelection, A::Error> {
                let form = OfService::deserialize(serde::de::value::MapAccessDeserializer::new(members))?;
                Ok(RouteSelection::Service(form.virtual_service))
            }
        }
        deserializer.deserialize_any(Forms)
    }
}

impl JsonSchema for RouteSelection {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RouteSelection".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (routes, service) = (generator.subschema_for::<Vec<RouterRoute>>(), generator.subschema_for::<OfService>());
        schemars::json_schema!({ "description": "The routes of a rollout.", "anyOf": [routes, service] })
    }
}

/// The long form of a step.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LongStep {
    /// The percent of the moved traffic that the new version receives.
    #[schemars(range(min = 1, max = 100))]
    percent: u8,
    /// Whether the step ends only after an operator's approval.
    #[serde(default)]
    approve: bool,
}

impl Serialize for RolloutStep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { percent, approve } = *self;
        if approve { LongStep { percent, approve }.serialize(serializer) } else { percent.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for RolloutStep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = RolloutStep;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a percent like 25, or {percent: 25, approve: true}")
            }

            fn visit_u64<E: serde::de::Error>(self, percent: u64) -> Result<RolloutStep, E> {
                let percent = u8::try_from(percent).ok().filter(|percent| (1..=100).contains(percent));
                let percent = percent.ok_or_else(|| E::custom("invalid percent: expected 1 to 100"))?;
                Ok(RolloutStep { percent, approve: false })
            }

            fn visit_i64<E: serde::de::Error>(self, percent: i64) -> Result<RolloutStep, E> {
                let percent = u64::try_from(percent).map_err(|_| E::custom("invalid percent: expected 1 to 100"))?;
                self.visit_u64(percent)
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<RolloutStep, A::Error> {
                let LongStep { percent, approve } =
                    LongStep::deserialize(serde::de::value::MapAccessDeserializer::new(members))?;
                let number: serde::de::value::U64Deserializer<A::Error> = u64::from(percent).into_deserializer();
                let step = RolloutStep::deserialize(number).map_err(A::Error::custom)?;
                Ok(RolloutStep { approve, ..step })
            }
        }
        deserializer.deserialize_any(Forms)
    }
}

impl JsonSchema for RolloutStep {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RolloutStep".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let long = generator.subschema_for::<LongStep>();
        schemars::json_schema!({
            "description": "A step of a canary: a percent, or a percent with an approval.",
            "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 100 }, long],
        })
    }
}
