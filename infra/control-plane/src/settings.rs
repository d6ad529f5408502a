//! The settings of the control plane.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use mesh::name::AccountId;

use crate::admission::AdmissionSettings;
use crate::auth::ApiAuth;
use crate::connections::ConnectionLimits;
use crate::events::EventReceiver;
use crate::quotas::Quotas;
use crate::state::Region;
use crate::tls::TlsFiles;
use crate::xds::XdsSettings;

/// The settings of one server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address of the API. Port 0 selects a free port. Without authentication only loopback addresses are
    /// accepted.
    pub api: SocketAddr,
    /// The authentication of API callers.
    pub api_auth: ApiAuth,
    /// The API's TLS certificate and key. `None` serves the API without TLS.
    pub api_tls: Option<TlsFiles>,
    /// The account that owns every mesh.
    pub account: AccountId,
    /// The region in every ARN.
    pub region: Region,
    /// The limits on connections, of the API and of proxies.
    pub connections: ConnectionLimits,
    /// The settings of admission.
    pub admission: AdmissionSettings,
    /// The quotas.
    pub quotas: Quotas,
    /// The folder of the stored state. `None` keeps the state in memory.
    pub data: Option<PathBuf>,
    /// The receivers of change events.
    pub events: Vec<EventReceiver>,
    /// The settings of the ADS server.
    pub xds: XdsSettings,
}

impl Settings {
    /// The defaults: a free loopback port, no authentication, no quotas, and the state in memory.
    #[must_use]
    pub fn new(account: AccountId, region: Region) -> Self {
        Self {
            api: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            api_auth: ApiAuth::default(),
            api_tls: None,
            connections: ConnectionLimits::default(),
            account,
            region,
            admission: AdmissionSettings::default(),
            quotas: Quotas::default(),
            data: None,
            events: Vec::new(),
            xds: XdsSettings::default(),
        }
    }
}
