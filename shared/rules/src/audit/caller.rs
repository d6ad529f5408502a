//! The caller of an API operation, from CloudTrail.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Meshwarden's functions that write to meshes.
const OURS: [&str; 6] = [
    "route-failover",
    "certificate-rotation",
    "traffic-shift",
    "tag-compliance",
    "egress-compliance",
    "failover-drill",
];

/// The maximum length of a text from the caller: a user agent can have any content.
const LONGEST: usize = 120;

/// The caller of an API operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiCaller {
    /// The identity.
    #[serde(flatten)]
    pub who: Who,
    /// The account of the credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The service that made the call on the caller's behalf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// The source address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The user agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// The identity behind the credentials of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "who", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Who {
    /// A session of an IAM role.
    RoleSession {
        /// The role that issued the session.
        role: String,
        /// The session name, chosen by the caller that assumed the role.
        session: String,
        /// The source identity, set when the first role was assumed; the session cannot change it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
    },
    /// An IAM user.
    User {
        /// Its name.
        name: String,
    },
    /// The account's root user.
    Root,
    /// A user of another identity provider.
    Federated {
        /// The name.
        name: String,
    },
    /// An AWS service.
    Service {
        /// The service.
        name: String,
    },
    /// A principal of another account.
    OtherAccount {
        /// Its unique id, for example `AIDA…` or `AROA…:session`; CloudTrail has no other information.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        principal: Option<String>,
    },
    /// The event has no identity.
    Unknown,
    /// An identity type that this version does not know.
    Unrecognised {
        /// The type.
        kind: String,
    },
}

impl ApiCaller {
    /// An unknown caller.
    pub const UNKNOWN: Self = Self { who: Who::Unknown, account: None, through: None, address: None, agent: None };

    /// Reads the `detail` of an event: `userIdentity`, `sourceIPAddress` and `userAgent`. Missing members are unknown.
    #[must_use]
    pub fn read(detail: &Value) -> Self {
        let at = |pointer: &str| text(detail, pointer);
        Self {
            who: who(detail),
            account: at("/userIdentity/accountId"),
            through: at("/userIdentity/invokedBy"),
            address: at("/sourceIPAddress"),
            agent: at("/userAgent"),
        }
    }

    /// The Meshwarden function with the caller's role and session names. A principal that may create roles can use
    /// these names, so the result is only used in texts.
    #[must_use]
    pub fn function(&self) -> Option<&'static str> {
        let Who::RoleSession { role, session, .. } = &self.who else { return None };
        let (role, session) = (squashed(role), squashed(session));
        OURS.into_iter().find(|name| {
            let name = squashed(name);
            role.contains(&name) && session.contains(&name)
        })
    }
}

fn who(detail: &Value) -> Who {
    let at = |pointer: &str| text(detail, pointer);
    let unnamed = || "without a name".to_owned();
    // `…:assumed-role/ROLE/SESSION`, `…:federated-user/NAME`, `…:user/path/NAME`
    let arn = at("/userIdentity/arn").unwrap_or_default();
    let resource = arn.split(':').nth(5).unwrap_or_default();
    let last = || resource.rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned);
    // A user of IAM Identity Center may have an id alone.
    let id = || at("/userIdentity/principalId").or_else(|| at("/userIdentity/onBehalfOf/userId"));
    let name = || at("/userIdentity/userName").or_else(last).or_else(id);
    match at("/userIdentity/type").as_deref() {
        Some("AssumedRole") => {
            let parts: Vec<&str> = resource.split('/').collect();
            let of_arn = |at: usize| parts.get(at).map(|part| (*part).to_owned());
            // The principal is `ID:SESSION`.
            let principal = at("/userIdentity/principalId");
            let session = principal.and_then(|id| Some(id.split_once(':')?.1.to_owned()));
            Who::RoleSession {
                role: at("/userIdentity/sessionContext/sessionIssuer/userName")
                    .or_else(|| of_arn(1))
                    .unwrap_or_else(unnamed),
                session: of_arn(2).or(session).unwrap_or_else(unnamed),
                source: at("/userIdentity/sessionContext/sourceIdentity"),
            }
        }
        Some("IAMUser" | "IdentityCenterUser") => Who::User { name: name().unwrap_or_else(unnamed) },
        Some("Root") => Who::Root,
        Some("FederatedUser" | "SAMLUser" | "WebIdentityUser" | "Directory") => {
            Who::Federated { name: name().unwrap_or_else(unnamed) }
        }
        Some("AWSService") => Who::Service { name: at("/userIdentity/invokedBy").unwrap_or_else(unnamed) },
        Some("AWSAccount") => Who::OtherAccount { principal: at("/userIdentity/principalId") },
        Some("Unknown") | None => Who::Unknown,
        Some(kind) => Who::Unrecognised { kind: kind.to_owned() },
    }
}

/// A text from an event, made safe for log lines and mails.
fn text(detail: &Value, pointer: &str) -> Option<String> {
    let text = detail.pointer(pointer)?.as_str()?;
    let kept: String = text.chars().filter(|character| !character.is_control()).take(LONGEST).collect();
    (!kept.is_empty()).then_some(kept)
}

/// Only letters and digits, in lower case, so that `meshwarden-RouteFailover-1A` contains `route-failover`.
fn squashed(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|character| character.to_ascii_lowercase()).collect()
}

impl fmt::Display for ApiCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.function(), &self.who) {
            (Some(function), _) => write!(f, "Meshwarden's {function}")?,
            (None, Who::RoleSession { role, session, source }) => {
                write!(f, "{session} in role {role}")?;
                if let Some(source) = source {
                    write!(f, ", source identity {source}")?;
                }
            }
            (None, Who::User { name }) => write!(f, "user {name}")?,
            (None, Who::Root) => f.write_str("the account's root user")?,
            (None, Who::Federated { name }) => write!(f, "federated user {name}")?,
            (None, Who::Service { name }) => write!(f, "the service {name}")?,
            (None, Who::OtherAccount { principal: None }) => f.write_str("a principal of another account")?,
            (None, Who::OtherAccount { principal: Some(id) }) => write!(f, "principal {id} of another account")?,
            (None, Who::Unknown) => f.write_str("an unknown caller")?,
            (None, Who::Unrecognised { kind }) => write!(f, "a caller of type {kind}")?,
        }
        let through = self.through.as_ref().filter(|_| !matches!(self.who, Who::Service { .. }));
        let parts = [
            self.account.as_ref().map(|account| format!("account {account}")),
            through.map(|service| format!("through {service}")),
            self.address.as_ref().map(|address| format!("from {address}")),
            self.agent.as_ref().map(|agent| format!("with {agent}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { Ok(()) } else { write!(f, " ({})", parts.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_caller_is_named() {
        let role = |role: &str, session: &str| {
            json!({"type": "AssumedRole", "principalId": format!("AROAX:{session}"), "accountId": "1",
                "arn": format!("arn:aws:sts::1:assumed-role/{role}/{session}"),
                "sessionContext": {"sessionIssuer": {"type": "Role", "userName": role}}})
        };
        let issued = json!({"type": "AssumedRole", "principalId": "AROAX:ci",
            "sessionContext": {"sessionIssuer": {"userName": "Deployer"}, "sourceIdentity": "ann"}});
        for (identity, expected) in [
            (role("Deployer", "ann"), "ann in role Deployer (account 1)"),
            (issued, "ci in role Deployer, source identity ann"),
            (role("m-RouteFailoverRole-9X", "m-RouteFailover-1A"), "Meshwarden's route-failover (account 1)"),
            // A session may have any name, so only session and role together identify a function.
            (role("Deployer", "m-RouteFailover-1A"), "m-RouteFailover-1A in role Deployer (account 1)"),
            (json!({"type": "IdentityCenterUser", "onBehalfOf": {"userId": "94d-1"}}), "user 94d-1"),
            (
                json!({"type": "IAMUser", "userName": "bob", "invokedBy": "x.amazonaws.com"}),
                "user bob (through x.amazonaws.com)",
            ),
            (json!({"type": "IAMUser", "arn": "arn:aws:iam::1:user/team/bob"}), "user bob"),
            (json!({"type": "Root", "accountId": "1"}), "the account's root user (account 1)"),
            (json!({"type": "FederatedUser", "arn": "arn:aws:sts::1:federated-user/eve"}), "federated user eve"),
            (
                json!({"type": "AWSService", "invokedBy": "cloudformation.amazonaws.com"}),
                "the service cloudformation.amazonaws.com",
            ),
            (json!({"type": "AWSAccount", "accountId": "2"}), "a principal of another account (account 2)"),
            (
                json!({"type": "AWSAccount", "accountId": "2", "principalId": "AROAX:ci"}),
                "principal AROAX:ci of another account (account 2)",
            ),
            (json!({"type": "Unknown"}), "an unknown caller"),
            (json!({"type": "Robot"}), "a caller of type Robot"),
            (json!({"type": "AssumedRole"}), "without a name in role without a name"),
            (json!(null), "an unknown caller"),
            (json!({"type": 7}), "an unknown caller"),
        ] {
            let caller = ApiCaller::read(&json!({ "userIdentity": identity }));
            assert_eq!(caller.to_string(), expected, "{identity}");
            let stored: ApiCaller = serde_json::from_value(serde_json::to_value(&caller).unwrap()).unwrap();
            assert_eq!(stored, caller);
        }
    }

    #[test]
    fn stored_caller_of_another_account_without_principal_is_read() {
        let stored: ApiCaller = serde_json::from_value(json!({ "who": "other-account", "account": "2" })).unwrap();
        assert_eq!(stored.who, Who::OtherAccount { principal: None });
    }

    #[test]
    fn text_from_a_caller_stays_on_one_line() {
        let agent = format!("curl\r\nSubject: no findings {}", "x".repeat(500));
        let caller = ApiCaller::read(&json!({"sourceIPAddress": "192.0.2.1", "userAgent": agent}));
        assert_eq!(caller.agent.as_ref().unwrap().len(), LONGEST);
        assert!(caller.to_string().starts_with("an unknown caller (from 192.0.2.1, with curlSubject: no"), "{caller}");
    }
}
