//! Roles, and the patterns that allow them.

use std::fmt;
use std::str::FromStr;

use crate::auth::Caller;

/// The role of the caller's credentials: `arn:aws:iam::123456789012:role/NAME`. The path is missing because STS does
/// not return it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Role {
    partition: String,
    account: String,
    name: String,
}

impl Role {
    /// The role of an assumed-role session, the only accepted kind of caller.
    pub(super) fn from_session_arn(arn: &str) -> Option<Self> {
        let ["arn", partition, "sts", "", account, resource] = arn.split(':').collect::<Vec<_>>()[..] else {
            return None;
        };
        let ["assumed-role", name, session] = resource.split('/').collect::<Vec<_>>()[..] else { return None };
        let whole = is_account(account) && is_partition(partition) && is_name(name, "") && !session.is_empty();
        whole.then(|| Self { partition: partition.to_owned(), account: account.to_owned(), name: name.to_owned() })
    }
}

/// A session of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) arn: String,
    pub(super) role: Role,
}

impl Session {
    pub(super) fn parse(arn: &str) -> Option<Self> {
        Some(Self { role: Role::from_session_arn(arn)?, arn: arn.to_owned() })
    }

    pub(super) fn caller(&self) -> Caller {
        let Role { account, name, .. } = &self.role;
        Caller::Session {
            arn: self.arn.clone(),
            account: account.clone(),
            role: self.role.to_string(),
            name: name.clone(),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arn:{}:iam::{}:role/{}", self.partition, self.account, self.name)
    }
}

/// Roles of one account: `arn:aws:iam::123456789012:role/meshwarden-*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolePattern(Role);

/// A pattern that matches no roles, or the roles of more than one account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid role pattern {0:?}: expected arn:aws:iam::ACCOUNT:role/NAME, with * for any characters of the name only, and without the role's path, which STS does not return"
)]
pub struct RolePatternError(String);

impl FromStr for RolePattern {
    type Err = RolePatternError;

    fn from_str(text: &str) -> Result<Self, RolePatternError> {
        let parse = || {
            let ["arn", partition, "iam", "", account, resource] = text.split(':').collect::<Vec<_>>()[..] else {
                return None;
            };
            let name = resource.strip_prefix("role/")?;
            let whole = is_account(account) && is_partition(partition) && is_name(name, "*");
            let role = Role { partition: partition.to_owned(), account: account.to_owned(), name: name.to_owned() };
            whole.then_some(Self(role))
        };
        parse().ok_or_else(|| RolePatternError(text.to_owned()))
    }
}

impl RolePattern {
    /// Whether the role with this ARN, without a path, is one of these.
    pub(crate) fn allows_arn(&self, role: &str) -> bool {
        role.parse::<Self>().is_ok_and(|Self(role)| self.allows(&role))
    }

    pub(super) fn allows(&self, role: &Role) -> bool {
        self.0.partition == role.partition && self.0.account == role.account && matches(&self.0.name, &role.name)
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(before) else { return false };
    (0..=rest.len()).filter_map(|at| rest.get(at..)).any(|rest| matches(after, rest))
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_partition(text: &str) -> bool {
    text.split('-').next() == Some("aws") && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

/// Whether the text is a role name by IAM's rules, with the characters of `more` in addition. At most three `*` are
/// allowed, since each multiplies the work of a match.
fn is_name(text: &str, more: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().filter(|byte| *byte == b'*').count() <= 3
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b) || more.as_bytes().contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_allowed_by_its_role() {
        let arn = |name: &str| format!("arn:aws:sts::123456789012:assumed-role/{name}/session-1");
        for (pattern, session, expected) in [
            ("arn:aws:iam::123456789012:role/mesh", arn("mesh"), true),
            ("arn:aws:iam::123456789012:role/mesh", arn("mesh2"), false),
            ("arn:aws:iam::123456789012:role/mesh", arn("Mesh"), false),
            ("arn:aws:iam::123456789012:role/mesh-*", arn("mesh-failover"), true),
            ("arn:aws:iam::123456789012:role/mesh-*", arn("other-mesh-failover"), false),
            ("arn:aws:iam::123456789012:role/*-mesh-*-x", arn("a-mesh-b-x"), true),
            ("arn:aws:iam::123456789012:role/*-mesh-*-x", arn("a-mesh-x"), false),
            ("arn:aws:iam::123456789012:role/*", arn("any"), true),
            ("arn:aws:iam::210987654321:role/*", arn("any"), false),
            ("arn:aws-cn:iam::123456789012:role/*", arn("any"), false),
        ] {
            let role = Role::from_session_arn(&session).unwrap();
            assert_eq!(pattern.parse::<RolePattern>().unwrap().allows(&role), expected, "{pattern} {session}");
        }
    }

    #[test]
    fn other_arns_are_not_role_sessions() {
        for arn in [
            "arn:aws:iam::123456789012:root",
            "arn:aws:iam::123456789012:user/mesh",
            "arn:aws:iam::123456789012:role/mesh",
            "arn:aws:sts::123456789012:federated-user/mesh",
            "arn:aws:sts::123456789012:assumed-role/mesh",
            "arn:aws:sts::123456789012:assumed-role/mesh/",
            "arn:aws:sts::123456789012:assumed-role/a/mesh/session",
            "arn:aws:sts::12345678901:assumed-role/mesh/session",
            "arn:aws:sts::123456789012:assumed-role/*/session",
            "arn:evil:sts::123456789012:assumed-role/mesh/session",
            "",
        ] {
            assert_eq!(Role::from_session_arn(arn), None, "{arn}");
        }
    }

    #[test]
    fn a_pattern_stays_within_one_account() {
        for pattern in [
            "*",
            "arn:aws:iam::*:role/mesh",
            "arn:*:iam::123456789012:role/mesh",
            "arn:aws:iam::123456789012:*",
            "arn:aws:iam::123456789012:user/mesh",
            "arn:aws:iam::123456789012:role/team/mesh",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:role/****",
            "arn:aws:sts::123456789012:assumed-role/mesh/session",
        ] {
            assert!(pattern.parse::<RolePattern>().is_err(), "{pattern}");
        }
    }
}
