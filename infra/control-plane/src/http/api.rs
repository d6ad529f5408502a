//! The state that every request needs.

use std::sync::Arc;

use crate::admission::Admission;
use crate::auth::Guard;
use crate::connections::BodyBudget;
use crate::events::Events;
use crate::identity::NodeTokens;
use crate::rights::RightsGate;
use crate::state::Realm;
use crate::store::Store;
use crate::xds::AdsState;

/// The state that every request needs.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) guard: Guard,
    pub(crate) rights: Arc<RightsGate>,
    /// `None` without keys that sign node tokens.
    pub(crate) tokens: Option<Arc<NodeTokens>>,
    /// `None` if admission is off.
    pub(crate) admission: Option<Admission>,
    pub(crate) events: Events,
    pub(crate) realm: Realm,
    pub(crate) store: Arc<Store>,
    /// The memory for bodies of unknown callers.
    pub(crate) bodies: Arc<BodyBudget>,
    pub(crate) proxies: Arc<AdsState>,
}
