//! What the control plane is started with.

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
    /// Where the API listens. Port 0 takes a free one. Only loopback addresses are accepted while nobody has to
    /// prove who they are.
    pub api: SocketAddr,
    /// Who may call the API.
    pub api_auth: ApiAuth,
    /// The certificate that the API shows. None, and it speaks no TLS.
    pub api_tls: Option<TlsFiles>,
    /// The account that owns every mesh.
    pub account: AccountId,
    /// The region in every ARN.
    pub region: Region,
    /// The bounds on connections, of the API and of proxies.
    pub connections: ConnectionLimits,
    /// How writes are judged.
    pub admission: AdmissionSettings,
    /// The limits.
    pub quotas: Quotas,
    /// The folder in which the state is kept. `None` keeps it in memory, until the process ends.
    pub data: Option<PathBuf>,
    /// Who is told of changes.
    pub events: Vec<EventReceiver>,
    /// The ADS server.
    pub xds: XdsSettings,
}

impl Settings {
    /// A free loopback port, the documented quotas, and the state in memory.
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
