//! The part of the command line about certificates.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws::Aws;
use clap::{Args, ValueEnum};
use control_plane::certificates::{Binding, Bindings, CertificateFiles, Keeper, KeeperSettings, Sources};
use control_plane::xds::{CertificateRule, ListenError, SdsServer, XdsSettings};

/// Where certificates for proxies come from.
#[derive(Debug, Args)]
pub(crate) struct CertificateArgs {
    /// Where certificates are fetched: nowhere, or from ACM, private CAs and Secrets Manager, by the AWS SDK's own
    /// variables.
    #[arg(long, value_name = "WHERE", default_value = "none")]
    certificates: Origin,
    /// How often what is served is held against its source.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = interval)]
    certificate_refresh: Duration,
    /// Binds a name of the meshes (`sds.secretName`) to a bundle in Secrets Manager; `#certificate` or `#trust` after the
    /// ARN says which part of it, where it has both. Can be repeated.
    #[arg(long = "bundle", value_name = "NAME=SECRET_ARN")]
    bundles: Vec<Binding>,
    /// Lets a mesh name only the certificates, CAs and bundles of its patterns, with `*` for any characters. Without it any
    /// mesh may name any; with it a mesh without a pattern may name none. Can be repeated.
    #[arg(long = "certificates-for", value_name = "MESH=PATTERN")]
    rules: Vec<CertificateRule>,
    /// How bound secrets get to proxies: `local`, by the socket beside each (`control-plane sds`), or `ads`.
    #[arg(long, value_name = "HOW", default_value = "local")]
    sds: Way,
    /// The folder in which the paths of certificates in files are found, to tell what is in them: `/` where proxies run
    /// on this machine.
    #[arg(long, value_name = "DIR")]
    certificate_files: Option<PathBuf>,
}

/// Serves bound secrets to the proxies on this machine.
#[derive(Debug, Args)]
pub(crate) struct SdsArgs {
    /// The socket, made with mode 0600.
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// A user whose proxies are served; then the mode is 0660, and whoever connects is asked who it is. Only this
    /// process' own user, when none is given. Can be repeated.
    #[arg(long = "uid", value_name = "UID")]
    uids: Vec<u32>,
    /// A name of a secret, and the bundle in Secrets Manager that it means, `#certificate` or `#trust` after the ARN
    /// where the bundle has both. Can be repeated.
    #[arg(long = "bundle", value_name = "NAME=SECRET_ARN", required = true)]
    bundles: Vec<Binding>,
    /// How often what is served is held against its source.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = interval)]
    certificate_refresh: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Origin {
    None,
    Aws,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Way {
    Local,
    Ads,
}

impl CertificateArgs {
    /// Why these can't be used together.
    pub(crate) fn conflict(&self) -> Option<&'static str> {
        let fetches = self.certificates == Origin::Aws;
        if !fetches && !self.bundles.is_empty() {
            return Some("--bundle fetches nothing without --certificates aws");
        }
        if !fetches && !self.rules.is_empty() {
            return Some("--certificates-for allows nothing without --certificates aws");
        }
        if self.sds == Way::Ads && self.bundles.is_empty() {
            return Some("--sds ads sends nothing without --bundle");
        }
        None
    }

    /// The settings with what these say. Starts asking when proxies need something.
    pub(crate) async fn apply(self, settings: XdsSettings) -> XdsSettings {
        let settings = XdsSettings { certificate_files: self.certificate_files.map(CertificateFiles::new), ..settings };
        if self.certificates == Origin::None {
            return settings;
        }
        let sources = sources(self.bundles).await;
        let bound = if self.sds == Way::Ads { sources.bindings.names() } else { settings.bound };
        let keeper = Keeper::start(sources, keeping(self.certificate_refresh));
        XdsSettings { secrets: keeper, bound, certificate_rules: self.rules, ..settings }
    }
}

impl SdsArgs {
    /// The server: listening, not yet answering.
    pub(crate) async fn bind(self) -> Result<SdsServer, ListenError> {
        let sources = sources(self.bundles).await;
        let names = sources.bindings.names();
        let users = Some(self.uids).filter(|uids| !uids.is_empty());
        SdsServer::bind(self.socket, users, names, Keeper::start(sources, keeping(self.certificate_refresh))).await
    }
}

fn keeping(refresh: Duration) -> KeeperSettings {
    KeeperSettings { refresh, ..KeeperSettings::default() }
}

async fn sources(bundles: Vec<Binding>) -> Sources {
    let aws = Aws::open().await;
    Sources {
        store: Arc::new(aws.certificates()),
        authorities: Arc::new(aws.authorities()),
        bundles: Arc::new(aws.bundles()),
        bindings: Bindings::new(bundles),
    }
}

/// The shortest interval. Every secret or service is a call or two, of a handful a second that the account has for everybody.
const SHORTEST: Duration = Duration::from_secs(1);

pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let read = text.parse::<jiff::SignedDuration>().ok().and_then(|length| Duration::try_from(length).ok());
    read.filter(|length| *length >= SHORTEST)
        .ok_or_else(|| format!("{text:?} is no time of a second or more, such as 60s"))
}
