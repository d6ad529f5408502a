//! The settings of injection.

/// The images and addresses of injected containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InjectionSettings {
    /// The image of Envoy.
    pub envoy_image: String,
    /// The image of the control plane, for the token and the bootstrap.
    pub control_plane_image: String,
    /// An image with `nft`.
    pub redirect_image: String,
    /// The addresses at which the control plane serves xDS, as in `bootstrap --xds`.
    pub xds: String,
    /// The name in the control plane's certificate for xDS.
    pub tls_server_name: String,
    /// The CA certificates of the control plane in PEM.
    pub ca: String,
    /// The URL of the App Mesh API, which issues node tokens.
    pub api: String,
    /// The audience of node tokens, as in `--xds-audience`.
    pub audience: String,
    /// The default resources of Envoy: requests of CPU and memory, limits of CPU and memory. An empty text sets none.
    pub resources: [String; 4],
}
