//! Why a request is refused, as the API's errors.

use mesh::name::{AccountId, MeshName, ResourcePath};
use mesh::pack::Finding;
use mesh::resource::Tags;
use mesh::validate::Violation;

use crate::auth::Denial;
use crate::quotas::Quota;

/// How many findings a refusal tells in full.
const TOLD: usize = 3;

/// Every way in which a request can be refused. Its text is the `message` of the answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ApiError {
    /// Something in the request is not as the API has it.
    #[error("{}", violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid {
        /// All that was found, each with the member it is about. Never empty.
        violations: Vec<Violation>,
    },
    /// The resource that the request is about, or the parent of it, does not exist.
    #[error("{path} does not exist")]
    NotFound {
        /// What does not exist.
        path: ResourcePath,
    },
    /// A tag operation names a resource of another account or region, or no App Mesh resource at all.
    #[error("{arn} does not exist here")]
    UnknownArn {
        /// The ARN as given.
        arn: String,
    },
    /// The spec names a resource that does not exist.
    #[error("{target} does not exist, but the spec of {path} refers to it")]
    DanglingReference {
        /// The resource that was to be written.
        path: ResourcePath,
        /// What its spec refers to.
        target: Box<ResourcePath>,
    },
    /// There is a resource of that name, created by another request.
    #[error("{path} already exists")]
    AlreadyExists {
        /// The resource.
        path: ResourcePath,
        /// Its version.
        version: u64,
    },
    /// The client token was used for another request on the same resource.
    #[error("the client token {token:?} was used before on {path}, for a different request")]
    TokenReused {
        /// The resource.
        path: ResourcePath,
        /// The token.
        token: String,
        /// The version that the resource has.
        version: u64,
    },
    /// The resource moved on since the caller looked.
    #[error("{path} is at version {current}, not at version {expected} as the request requires")]
    VersionMismatch {
        /// The resource.
        path: ResourcePath,
        /// The version that the caller asked for.
        expected: u64,
        /// The version that the resource has, 0 when it does not exist.
        current: u64,
    },
    /// The resource can't be deleted while something needs it.
    #[error("{path} can't be deleted: {by} still {}", relation.words())]
    InUse {
        /// The resource.
        path: ResourcePath,
        /// What needs it; the first of them, when there are several.
        by: Box<ResourcePath>,
        /// How.
        relation: Relation,
    },
    /// One more would be over the quota.
    #[error("{owner} can't have more: the quota {quota} is {limit}")]
    QuotaReached {
        /// Whose quota: the account, a mesh, a router, a gateway, a node.
        owner: String,
        /// Which quota.
        quota: Quota,
        /// The most allowed.
        limit: usize,
    },
    /// A resource would have more tags than the API allows.
    #[error("{path} would get {count} tags, and at most {} are allowed; none was applied", Tags::MAX)]
    TooManyTags {
        /// The resource.
        path: ResourcePath,
        /// The tags it would have, or those in the request when these alone are too many.
        count: usize,
    },
    /// `meshOwner` names an account whose meshes are not served here.
    #[error("mesh/{mesh} of account {owner} is not shared with account {account}")]
    NotShared {
        /// The mesh.
        mesh: MeshName,
        /// The account that was said to own it.
        owner: AccountId,
        /// The account served here.
        account: AccountId,
    },
    /// The policy refuses what the write would create.
    #[error("{path} is not written, by the policy: {}", told(findings))]
    NotAdmitted {
        /// The resource that was to be written.
        path: ResourcePath,
        /// What the write would create. Never empty.
        findings: Vec<Finding>,
    },
    /// The caller is not known, or may not do this.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The storage does not work. What was asked for did not happen.
    #[error("what is written can't be stored at the moment, so nothing was changed; the server's log says why")]
    Unavailable,
    /// No operation of the API has this method and URI.
    #[error("{method} {uri} is not an operation of the App Mesh API")]
    UnknownOperation {
        /// The method.
        method: String,
        /// The URI's path.
        uri: String,
        /// Whether another method would be an operation.
        known_uri: bool,
    },
}

/// How one resource needs another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It is in it.
    Inside,
    /// Its spec names it.
    RefersTo,
}

impl Relation {
    const fn words(self) -> &'static str {
        match self {
            Self::Inside => "is in it",
            Self::RefersTo => "refers to it",
        }
    }
}

/// The errors of the API, as SDKs know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// The request is malformed.
    BadRequest,
    /// Something else is there already, or was meanwhile.
    Conflict,
    /// The caller may not.
    Forbidden,
    /// A quota is reached.
    LimitExceeded,
    /// There is no such resource.
    NotFound,
    /// Others need the resource.
    ResourceInUse,
    /// More than 50 tags.
    TooManyTags,
    /// The server can't do it now.
    ServiceUnavailable,
    /// Not in the API model: what AWS services answer to a URI that is none of theirs. Deliberately not `NotFound`,
    /// which a client with a wrong endpoint would take for the absence of a resource.
    UnknownOperation,
    /// As `UnknownOperation`, where the URI is right and the method is not.
    MethodNotAllowed,
}

impl ErrorType {
    /// The exception's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequestException",
            Self::Conflict => "ConflictException",
            Self::Forbidden => "ForbiddenException",
            Self::LimitExceeded => "LimitExceededException",
            Self::NotFound => "NotFoundException",
            Self::ResourceInUse => "ResourceInUseException",
            Self::TooManyTags => "TooManyTagsException",
            Self::ServiceUnavailable => "ServiceUnavailableException",
            Self::UnknownOperation | Self::MethodNotAllowed => "UnknownOperationException",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest | Self::LimitExceeded | Self::TooManyTags => 400,
            Self::Forbidden => 403,
            Self::NotFound | Self::UnknownOperation => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict | Self::ResourceInUse => 409,
            Self::ServiceUnavailable => 503,
        }
    }
}

impl ApiError {
    /// One thing wrong with one member of the request.
    #[must_use]
    pub fn invalid(member: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { violations: vec![Violation::malformed(member, message)] }
    }

    /// Which of the API's errors it is.
    #[must_use]
    pub const fn error_type(&self) -> ErrorType {
        match self {
            Self::Invalid { .. } | Self::NotAdmitted { .. } => ErrorType::BadRequest,
            Self::NotFound { .. } | Self::UnknownArn { .. } | Self::DanglingReference { .. } => ErrorType::NotFound,
            Self::AlreadyExists { .. } | Self::TokenReused { .. } | Self::VersionMismatch { .. } => ErrorType::Conflict,
            Self::InUse { .. } => ErrorType::ResourceInUse,
            Self::QuotaReached { .. } => ErrorType::LimitExceeded,
            Self::TooManyTags { .. } => ErrorType::TooManyTags,
            Self::Denied(denial) if denial.is_temporary() => ErrorType::ServiceUnavailable,
            Self::NotShared { .. } | Self::Denied(_) => ErrorType::Forbidden,
            Self::Unavailable => ErrorType::ServiceUnavailable,
            Self::UnknownOperation { known_uri: false, .. } => ErrorType::UnknownOperation,
            Self::UnknownOperation { known_uri: true, .. } => ErrorType::MethodNotAllowed,
        }
    }

    /// The version that the resource really has, where that is what the caller needs to know.
    #[must_use]
    pub const fn current_version(&self) -> Option<u64> {
        match self {
            Self::VersionMismatch { current, .. } => Some(*current),
            Self::AlreadyExists { version, .. } | Self::TokenReused { version, .. } => Some(*version),
            Self::Invalid { .. }
            | Self::NotFound { .. }
            | Self::UnknownArn { .. }
            | Self::DanglingReference { .. }
            | Self::InUse { .. }
            | Self::QuotaReached { .. }
            | Self::TooManyTags { .. }
            | Self::NotShared { .. }
            | Self::NotAdmitted { .. }
            | Self::Denied(_)
            | Self::Unavailable
            | Self::UnknownOperation { .. } => None,
        }
    }
}

impl From<Violation> for ApiError {
    fn from(violation: Violation) -> Self {
        Self::Invalid { violations: vec![violation] }
    }
}

/// Findings as the message of a refusal: what, where, and what to do.
pub(crate) fn told(findings: &[Finding]) -> String {
    let told = findings.iter().take(TOLD).map(|finding| {
        let mend = finding.rule.rule().map_or("", |rule| rule.mend);
        let (rule, resource, message) = (finding.rule, &finding.resource, &finding.message);
        format!(
            "{rule} ({}) on {resource}: {message}. {mend} To allow it for a while, add a waiver of rule {rule} on \
             {resource}, with owner, reason and until, to the policy",
            finding.severity
        )
    });
    let mut told = told.collect::<Vec<_>>().join("; ");
    if findings.len() > TOLD {
        told.push_str("; and more findings: ");
        told.push_str(&findings.len().saturating_sub(TOLD).to_string());
    }
    told
}
