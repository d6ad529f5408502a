//! Where Cloud Map instances come from, on the command line.

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

/// Where the endpoints of nodes come from that Cloud Map finds.
#[derive(Debug, Args)]
pub(crate) struct InstanceArgs {
    /// Where the instances of Cloud Map services come from: `aws`, asked by the AWS SDK's own variables, or a JSON file,
    /// read again when it changes.
    #[arg(long, value_name = "aws|FILE")]
    instances: Option<Origin>,
    /// With `aws`: how often each service is asked for that a connected proxy calls.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = interval)]
    instance_refresh: Duration,
}

#[derive(Debug, Clone)]
enum Origin {
    Aws,
    /// Also one named `aws`, as `./aws`.
    File(PathBuf),
}

impl FromStr for Origin {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "aws" { Self::Aws } else { Self::File(PathBuf::from(text)) })
    }
}

impl InstanceArgs {
    /// The settings with what these say. Starts asking when proxies call such a service.
    pub(crate) async fn apply(self, settings: XdsSettings) -> Result<XdsSettings, InstanceFileError> {
        Ok(match self.instances {
            None => settings,
            Some(Origin::File(file)) => XdsSettings { instances: InstanceFile::open(file)?, ..settings },
            Some(Origin::Aws) => {
                let directory = Arc::new(Aws::open().await.instances());
                let asking = InstanceDirectorySettings { refresh: self.instance_refresh };
                XdsSettings { instances: PolledInstances::start(directory, asking), ..settings }
            }
        })
    }
}
