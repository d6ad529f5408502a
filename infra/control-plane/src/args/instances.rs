//! The command-line options of Cloud Map instances.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use aws::Aws;
use clap::Args;
use control_plane::instances::{InstanceDirectorySettings, InstanceFile, InstanceFileError, PolledInstances};
use control_plane::xds::XdsSettings;

use crate::certificate_args::interval;

/// The source of the endpoints of nodes with Cloud Map service discovery.
#[derive(Debug, Args)]
pub(crate) struct InstanceArgs {
    /// The source of Cloud Map instances: `aws`, polled with the AWS SDK's own environment variables, or a JSON file,
    /// reloaded when it changes.
    #[arg(long, value_name = "aws|FILE")]
    instances: Option<InstanceSource>,
    /// With `aws`: how often to poll each service that a connected proxy calls.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = interval)]
    instance_refresh: Duration,
}

#[derive(Debug, Clone)]
enum InstanceSource {
    Aws,
    /// A file named `aws` is given as `./aws`.
    File(PathBuf),
}

impl FromStr for InstanceSource {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "aws" { Self::Aws } else { Self::File(PathBuf::from(text)) })
    }
}

impl InstanceArgs {
    /// Applies the options to the settings. Polling starts when proxies call a Cloud Map service.
    pub(crate) async fn apply(self, settings: XdsSettings) -> Result<XdsSettings, InstanceFileError> {
        Ok(match self.instances {
            None => settings,
            Some(InstanceSource::File(file)) => XdsSettings { instances: InstanceFile::open(file)?, ..settings },
            Some(InstanceSource::Aws) => {
                let directory = Arc::new(Aws::open().await.instances());
                let polling = InstanceDirectorySettings { refresh: self.instance_refresh };
                XdsSettings { instances: PolledInstances::start(directory, polling), ..settings }
            }
        })
    }
}
