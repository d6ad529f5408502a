//! The rights in a file, for tools and tests.

use std::path::Path;

use mesh::name::ResourcePath;

use super::access::{Access, Level};
use super::file::{self, RightsFileError};
use super::grant::Rights;
use crate::auth::Caller;

/// The rights in a file, without a server.
#[derive(Debug, Clone)]
pub struct RightsFile(Rights);

impl RightsFile {
    /// Reads and checks a file.
    pub fn open(path: &Path) -> Result<Self, RightsFileError> {
        file::load(path).map(|(_, rights)| Self(rights))
    }

    /// Whether the sessions of a role may execute an operation of the API, such as `UpdateRoute`, on a resource. The role has no
    /// path in its ARN.
    #[must_use]
    pub fn allows_role(&self, role: &str, operation: &str, path: &ResourcePath) -> bool {
        Level::of_operation(operation).is_some_and(|level| self.0.allows(&caller(role), &Access::resource(level, path)))
    }

    /// Whether the sessions of a role may read and refresh the certificates of proxies.
    #[must_use]
    pub fn allows_certificates(&self, role: &str) -> bool {
        self.0.allows(&caller(role), &Access::Certificates)
    }

    /// Whether the sessions of a role get an unfiltered list of proxies.
    #[must_use]
    pub fn reads_every_proxy(&self, role: &str) -> bool {
        self.0.reads_every_proxy(&caller(role))
    }
}

fn caller(role: &str) -> Caller {
    let name = role.rsplit('/').next().unwrap_or_default().to_owned();
    Caller::Session { arn: String::new(), account: String::new(), role: role.to_owned(), name }
}

impl Level {
    /// The level of an operation by its name in the API model.
    fn of_operation(operation: &str) -> Option<Self> {
        let levels = [
            (Self::Read, ["Describe", "List"]),
            (Self::Tag, ["TagResource", "UntagResource"]),
            (Self::Update, ["Update", "Update"]),
            (Self::Write, ["Create", "Delete"]),
        ];
        let is_of = |prefixes: &[&str; 2]| prefixes.iter().any(|prefix| operation.starts_with(prefix));
        levels.into_iter().find(|(_, prefixes)| is_of(prefixes)).map(|(level, _)| level)
    }
}
