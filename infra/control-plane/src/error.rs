//! The reasons to refuse a request, as errors of the API.

use mesh::name::{AccountId, MeshName, ResourcePath};
use mesh::resource::Tags;
use mesh::validate::Violation;
use rules::pack::{Finding, rule_named};

use crate::denial::Denial;
use crate::quotas::Quota;

/// How many findings the message of a refusal contains in full.
const MAX_FINDINGS_IN_MESSAGE: usize = 3;

/// The reasons to refuse a request. The display text is the `message` of the response.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ApiError {
    /// A member of the request is invalid.
    #[error("{}", violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid {
        /// All violations, each with its member. Never empty.
        violations: Vec<Violation>,
    },
    /// The resource of the request, or its parent, does not exist.
    #[error("{path} does not exist")]
    NotFound {
        /// The resource that does not exist.
        path: ResourcePath,
    },
    /// A tag operation has an ARN of another account or region, or of another service.
    #[error("{arn} does not exist here")]
    UnknownArn {
        /// The ARN of the request.
        arn: String,
    },
    /// The spec refers to a resource that does not exist.
    #[error("{target} does not exist, but the spec of {path} refers to it")]
    DanglingReference {
        /// The resource of the write.
        path: ResourcePath,
        /// The resource that does not exist.
        target: Box<ResourcePath>,
    },
    /// A resource of that name exists, created by another request.
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
    /// The resource has another version than the write is based on.
    #[error("{path} is at version {current}, not at version {expected} as the request requires")]
    VersionMismatch {
        /// The resource.
        path: ResourcePath,
        /// The version of the request.
        expected: u64,
        /// The version of the resource; 0 if it does not exist.
        current: u64,
    },
    /// The resource cannot be deleted while another resource needs it.
    #[error("{path} cannot be deleted: {by} still {}", relation.words())]
    InUse {
        /// The resource.
        path: ResourcePath,
        /// The first resource that needs it.
        by: Box<ResourcePath>,
        /// How it needs the resource.
        relation: Relation,
    },
    /// One more resource would exceed a quota.
    #[error("{owner} has reached the quota {quota} of {limit}")]
    QuotaReached {
        /// The owner of the quota: the account, a mesh, a router, a gateway, a node.
        owner: String,
        /// The quota.
        quota: Quota,
        /// The highest allowed number.
        limit: usize,
    },
    /// A resource would have more tags than the API allows.
    #[error("{path} would get {count} tags, and at most {} are allowed; none was applied", Tags::MAX)]
    TooManyTags {
        /// The resource.
        path: ResourcePath,
        /// The number of tags of the resource after the request, or of the request if that alone exceeds the limit.
        count: usize,
    },
    /// `meshOwner` names another account than that of the server.
    #[error("mesh/{mesh} of account {owner} is not shared with account {account}")]
    NotShared {
        /// The mesh.
        mesh: MeshName,
        /// The account in `meshOwner`.
        owner: AccountId,
        /// The account of this server.
        account: AccountId,
    },
    /// The policy refuses the findings that the write would create.
    #[error("the policy refuses the write of {path}: {}", findings_message(findings))]
    NotAdmitted {
        /// The resource of the write.
        path: ResourcePath,
        /// The findings that refuse the write. Never empty.
        findings: Vec<Finding>,
    },
    /// The caller is not authenticated, or not allowed to do this.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The rights of the caller do not allow the request.
    #[error("{caller} may not do this: the rights file does not grant {missing}")]
    NotGranted {
        /// The caller.
        caller: String,
        /// The missing grant.
        missing: String,
    },
    /// The caller made more writes than the limit of its key or role. Nothing was changed.
    #[error(
        "this key or role has reached its limit of writes, so nothing was changed; repeat the request after {retry_after} s"
    )]
    TooManyWrites {
        /// The time after which the write may pass, in seconds.
        retry_after: u64,
    },
    /// The storage has failed. Nothing was changed.
    #[error("the storage has failed, so nothing was changed; the server's log has the reason")]
    Unavailable,
    /// A shared store did not answer in time. The write may have been stored, or may still be.
    #[error(
        "the outcome of the write is unknown: the store did not answer in time; read the resource, or repeat the request with its client token"
    )]
    OutcomeUnknown,
    /// The state of this replica is older than a client may rely on. Nothing was changed.
    #[error("this replica cannot read the current state from the store, so nothing was changed; another replica may")]
    Stale,
    /// Too many writes wait for the store. Nothing was changed.
    #[error("too many writes are waiting for the store, so nothing was changed; repeat the request later")]
    Crowded,
    /// No operation of the API has this method and URI.
    #[error("{method} {uri} is not an operation of the App Mesh API")]
    UnknownOperation {
        /// The method.
        method: String,
        /// The URI's path.
        uri: String,
        /// Whether the URI has an operation with another method.
        known_uri: bool,
    },
}

/// How one resource needs another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It is a child of the resource.
    Inside,
    /// Its spec refers to the resource.
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

/// The error types of the API, as SDKs know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// The request is invalid.
    BadRequest,
    /// Another resource exists, or the resource has changed.
    Conflict,
    /// The caller is not allowed to do this.
    Forbidden,
    /// A quota is reached.
    LimitExceeded,
    /// The resource does not exist.
    NotFound,
    /// Other resources need the resource.
    ResourceInUse,
    /// The resource would have more than 50 tags.
    TooManyTags,
    /// The server cannot process the request now.
    ServiceUnavailable,
    /// The client sends more requests than the server can process.
    TooManyRequests,
    /// Not in the API model: the error of AWS services for a URI without an operation. Deliberately not `NotFound`,
    /// which a client with a wrong endpoint would read as the absence of a resource.
    UnknownOperation,
    /// Like `UnknownOperation`, for a URI that has an operation with another method.
    MethodNotAllowed,
}

impl ErrorType {
    /// The name of the exception.
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
            Self::TooManyRequests => "TooManyRequestsException",
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
            Self::TooManyRequests => 429,
            Self::ServiceUnavailable => 503,
        }
    }
}

impl ApiError {
    /// A single violation of one member.
    #[must_use]
    pub fn invalid(member: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { violations: vec![Violation::malformed(member, message)] }
    }

    /// The error type in the API.
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
            Self::NotShared { .. } | Self::NotGranted { .. } | Self::Denied(_) => ErrorType::Forbidden,
            Self::Unavailable | Self::OutcomeUnknown | Self::Stale => ErrorType::ServiceUnavailable,
            Self::Crowded | Self::TooManyWrites { .. } => ErrorType::TooManyRequests,
            Self::UnknownOperation { known_uri: false, .. } => ErrorType::UnknownOperation,
            Self::UnknownOperation { known_uri: true, .. } => ErrorType::MethodNotAllowed,
        }
    }

    /// Whether a failed write was applied, for errors of the store: the value of a response header.
    #[must_use]
    pub const fn write_outcome(&self) -> Option<&'static str> {
        match self {
            Self::OutcomeUnknown => Some("unknown"),
            Self::Unavailable | Self::Stale | Self::Crowded | Self::TooManyWrites { .. } => Some("not-applied"),
            Self::Invalid { .. }
            | Self::NotFound { .. }
            | Self::UnknownArn { .. }
            | Self::DanglingReference { .. }
            | Self::AlreadyExists { .. }
            | Self::TokenReused { .. }
            | Self::VersionMismatch { .. }
            | Self::InUse { .. }
            | Self::QuotaReached { .. }
            | Self::TooManyTags { .. }
            | Self::NotShared { .. }
            | Self::NotAdmitted { .. }
            | Self::NotGranted { .. }
            | Self::Denied(_)
            | Self::UnknownOperation { .. } => None,
        }
    }

    /// The time after which the same request may pass, in seconds, for errors that depend on it.
    #[must_use]
    pub const fn retry_after(&self) -> Option<u64> {
        if let Self::TooManyWrites { retry_after } = self { Some(*retry_after) } else { None }
    }

    /// The current version of the resource, for errors that depend on it.
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
            | Self::NotGranted { .. }
            | Self::TooManyWrites { .. }
            | Self::Unavailable
            | Self::OutcomeUnknown
            | Self::Stale
            | Self::Crowded
            | Self::UnknownOperation { .. } => None,
        }
    }
}

impl From<Violation> for ApiError {
    fn from(violation: Violation) -> Self {
        Self::Invalid { violations: vec![violation] }
    }
}

/// The findings as the message of a refusal: each rule, resource, problem and remedy.
pub(crate) fn findings_message(findings: &[Finding]) -> String {
    let messages = findings.iter().take(MAX_FINDINGS_IN_MESSAGE).map(|finding| {
        let remedy = rule_named(finding.rule).map_or("", |rule| rule.remedy);
        let (rule, resource, message) = (finding.rule, &finding.resource, &finding.message);
        format!(
            "{rule} ({}) on {resource}: {message}. {remedy} To allow it for a while, add a waiver of rule {rule} on \
             {resource}, with owner, reason and until, to the policy",
            finding.severity
        )
    });
    let mut text = messages.collect::<Vec<_>>().join("; ");
    if findings.len() > MAX_FINDINGS_IN_MESSAGE {
        text.push_str("; and more findings: ");
        text.push_str(&findings.len().saturating_sub(MAX_FINDINGS_IN_MESSAGE).to_string());
    }
    text
}
