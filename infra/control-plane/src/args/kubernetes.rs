//! The command `kubernetes`.

use std::error::Error;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use control_plane::TlsFiles;
use control_plane::kubernetes::{
    KubernetesServer, KubernetesSettings, KubernetesSync, LeaseSettings, MeshApi, WebhookSettings,
};
use kubernetes::ClusterName;
use kubernetes::injection::InjectionSettings;
use rules::pack::Severity;
use uuid::Uuid;

use crate::certificate_args::interval;

/// The longest duration of one watch; the API server ends watches after some minutes anyway.
const LONGEST_WATCH: Duration = Duration::from_mins(5);

/// The time after which another process takes over a lease that is not renewed.
const LEASE_DURATION: Duration = Duration::from_secs(15);

/// The options of `kubernetes`.
#[derive(Debug, Args)]
pub(crate) struct KubernetesArgs {
    /// The name of the cluster in the tags of its resources: unique among the clusters that share meshes, and never changed.
    #[arg(long, value_name = "NAME", value_parser = ClusterName::parse)]
    cluster: ClusterName,
    /// The URL of the App Mesh API; the variables of the SDK have region and credentials. Default: `AWS_ENDPOINT_URL_APP_MESH`.
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// The `--auth-audience` of the App Mesh API, if it authenticates its callers with STS.
    #[arg(long, value_name = "NAME")]
    api_audience: Option<String>,
    /// The URL of the Kubernetes API. Default: the cluster of this pod, with its service account.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// With `--server`: the file with the token of a service account, read for each request.
    #[arg(long, value_name = "FILE", requires = "server")]
    token_file: Option<PathBuf>,
    /// With `--server`: the CA certificates of the Kubernetes API. Default: the roots of the machine.
    #[arg(long, value_name = "FILE", requires = "server")]
    ca_file: Option<PathBuf>,
    /// The lease of the writing process, as NAMESPACE/NAME. Required with several processes.
    #[arg(long, value_name = "LEASE", value_parser = lease)]
    lease: Option<(String, String)>,
    /// The name of this process in the lease. Default: `HOSTNAME` with a random suffix.
    #[arg(long, value_name = "NAME", requires = "lease")]
    identity: Option<String>,
    /// How often all resources are compared without an event.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = interval)]
    resync: Duration,
    /// Serves metrics and health checks on this address. Prints `metrics http://ADDR:PORT`.
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
    /// Serves the admission webhooks on this address. Prints `webhook https://ADDR:PORT`.
    #[arg(long, value_name = "ADDR", requires_all = ["webhook_tls_cert", "webhook_tls_key"])]
    webhook: Option<SocketAddr>,
    /// The certificate of the webhooks. Reloaded when it changes.
    #[arg(long, value_name = "FILE", requires = "webhook")]
    webhook_tls_cert: Option<PathBuf>,
    /// The key of `--webhook-tls-cert`.
    #[arg(long, value_name = "FILE", requires = "webhook")]
    webhook_tls_key: Option<PathBuf>,
    /// The policy for the effects of a change. Default: the built-in policy.
    #[arg(long, value_name = "FILE", requires = "webhook")]
    policy: Option<PathBuf>,
    /// The lowest severity of a finding that refuses a change, and every cut of a working call; `off` only warns.
    #[arg(long, value_name = "SEVERITY", default_value = "high", requires = "webhook")]
    refuse: RefuseArg,
    #[command(flatten)]
    injection: InjectionArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RefuseArg {
    Off,
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl RefuseArg {
    const fn severity(self) -> Option<Severity> {
        match self {
            Self::Off => None,
            Self::Info => Some(Severity::Info),
            Self::Low => Some(Severity::Low),
            Self::Medium => Some(Severity::Medium),
            Self::High => Some(Severity::High),
            Self::Critical => Some(Severity::Critical),
        }
    }
}

/// The images and addresses of injected containers.
#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "the fields have the names of the options")]
struct InjectionArgs {
    /// Injects Envoy into pods, with this image of Envoy.
    #[arg(long, value_name = "IMAGE", requires_all = ["webhook", "inject_control_plane_image", "inject_redirect_image",
        "inject_xds", "inject_xds_server_name", "inject_xds_ca", "inject_api", "inject_audience"])]
    inject_envoy_image: Option<String>,
    /// The image of the control plane, for the token and the bootstrap of a pod.
    #[arg(long, value_name = "IMAGE", requires = "inject_envoy_image")]
    inject_control_plane_image: Option<String>,
    /// An image with `nft`, for the redirect rules of a pod.
    #[arg(long, value_name = "IMAGE", requires = "inject_envoy_image")]
    inject_redirect_image: Option<String>,
    /// The addresses at which pods reach xDS, as in `bootstrap --xds`.
    #[arg(long, value_name = "ADDR", requires = "inject_envoy_image")]
    inject_xds: Option<String>,
    /// The name in the certificate of xDS.
    #[arg(long, value_name = "NAME", requires = "inject_envoy_image")]
    inject_xds_server_name: Option<String>,
    /// The CA certificates of xDS and of the App Mesh API. Read at the start.
    #[arg(long, value_name = "FILE", requires = "inject_envoy_image")]
    inject_xds_ca: Option<PathBuf>,
    /// The URL at which pods reach the App Mesh API, which issues node tokens.
    #[arg(long, value_name = "URL", requires = "inject_envoy_image")]
    inject_api: Option<String>,
    /// The `--xds-audience` of the control plane.
    #[arg(long, value_name = "NAME", requires = "inject_envoy_image")]
    inject_audience: Option<String>,
    /// The default resources of an injected Envoy: requests of CPU and memory, limits of CPU and memory. `-` sets none.
    #[arg(long, value_name = "CPU,MEMORY,CPU,MEMORY", default_value = "100m,64Mi,-,256Mi", value_parser = resources)]
    inject_resources: [String; 4],
}

fn lease(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err(format!("invalid lease `{text}`: expected NAMESPACE/NAME")),
    }
}

fn resources(text: &str) -> Result<[String; 4], String> {
    let parts: Vec<String> = text.split(',').map(|part| part.trim().trim_matches('-').to_owned()).collect();
    parts
        .try_into()
        .map_err(|_| format!("invalid resources `{text}`: expected four quantities, such as 100m,64Mi,-,256Mi"))
}

impl KubernetesArgs {
    /// Reconciles until `stop` completes.
    pub(crate) async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<(), Box<dyn Error>> {
        let sync = KubernetesSync::bind(self.settings().await?).await?;
        if let Some(addr) = sync.metrics_addr() {
            writeln!(io::stdout(), "metrics http://{addr}")?;
        }
        if let Some(addr) = sync.webhook_addr() {
            writeln!(io::stdout(), "webhook https://{addr}")?;
        }
        sync.run(stop).await;
        Ok(())
    }

    async fn settings(self) -> Result<KubernetesSettings, Box<dyn Error>> {
        let server = match self.server {
            Some(url) => KubernetesServer { url, token_file: self.token_file, ca_file: self.ca_file },
            None => KubernetesServer::in_cluster(|name| std::env::var(name).ok())
                .ok_or("this process is not in a pod; pass --server URL")?,
        };
        let api = connect(self.api.as_deref(), self.api_audience.as_deref()).await?;
        let identity = self.identity.unwrap_or_else(|| {
            let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "meshwarden".to_owned());
            format!("{host}_{}", Uuid::new_v4())
        });
        let lease =
            self.lease.map(|(namespace, name)| LeaseSettings { namespace, name, identity, duration: LEASE_DURATION });
        let injection = self.injection.settings()?;
        let tls = self.webhook_tls_cert.zip(self.webhook_tls_key);
        let (policy, refuses) = (self.policy, self.refuse.severity());
        let webhook = self.webhook.zip(tls).map(|(addr, (certificate, key))| WebhookSettings {
            addr,
            tls: TlsFiles { certificate, key },
            policy,
            refuses,
            injection,
        });
        Ok(KubernetesSettings {
            server,
            api,
            cluster: self.cluster,
            lease,
            resync: self.resync,
            longest_watch: LONGEST_WATCH,
            metrics: self.metrics,
            webhook,
        })
    }
}

impl InjectionArgs {
    fn settings(self) -> Result<Option<InjectionSettings>, Box<dyn Error>> {
        let Some(envoy_image) = self.inject_envoy_image else { return Ok(None) };
        let ca = self.inject_xds_ca.map(|file| read(&file)).transpose()?;
        // The command line requires each of them.
        let missing = "injection needs every --inject option";
        Ok(Some(InjectionSettings {
            envoy_image,
            control_plane_image: self.inject_control_plane_image.ok_or(missing)?,
            redirect_image: self.inject_redirect_image.ok_or(missing)?,
            xds: self.inject_xds.ok_or(missing)?,
            tls_server_name: self.inject_xds_server_name.ok_or(missing)?,
            ca: ca.ok_or(missing)?,
            api: self.inject_api.ok_or(missing)?,
            audience: self.inject_audience.ok_or(missing)?,
            resources: self.inject_resources,
        }))
    }
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("failed to read {}: {error}", file.display()))
}

async fn connect(endpoint: Option<&str>, audience: Option<&str>) -> Result<Arc<dyn MeshApi>, Box<dyn Error>> {
    let aws = aws::Aws::open().await;
    let aws = match endpoint {
        Some(given) if given.starts_with("http://") || given.starts_with("https://") => aws.calling_app_mesh_at(given),
        Some(given) => {
            return Err(format!("invalid URL of the App Mesh API `{given}`: expected https://HOST:PORT").into());
        }
        None => aws,
    };
    if !aws.has_region() {
        return Err("no region is set; set AWS_REGION to the --region of the control plane".into());
    }
    Ok(Arc::new(aws.mesh_known_to(audience)))
}
