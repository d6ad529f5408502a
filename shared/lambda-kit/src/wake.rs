//! The trigger of an invocation: every event shape that AWS sends, read into the few members that matter.
//!
//! ```text
//! list ─▶ item ─┐
//! SQS message ──┼─▶ body or message (JSON text) ─▶ EventBridge event │ direct alarm action │ alarm notice ─▶ Payload
//! SNS record ───┤                                  │ invocation of an AWS Config rule
//! plain event ──┘
//! ```
//!
//! An event is only a trigger: its state is a hint for operators, and every decision reads the alarm again. So only a name
//! and a state are required; everything else may be missing, and unknown members are ignored.
//!
//! The envelopes have the types of `aws_lambda_events`; what is inside them has types of this module.

mod alarm;
mod certificate;
mod config;
mod envelope;
mod eventbridge;
mod identity;
mod mesh_write;
mod reading;

use std::collections::BTreeMap;

use jiff::Timestamp;
use mesh::alarm::{AlarmName, AlarmState};
use mesh::audit::Caller;
use mesh::name::{AccountId, MeshName, ResourcePath, RouteId};
use ports::{ConfigItem, ResultToken};
use serde::Serialize;
use serde_json::Value;

pub use identity::WakeId;

/// One thing that was delivered. An SQS batch has many, everything else has few.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// The SQS message that brought it. The queue takes failures message by message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Which wake it is; unset where nothing tells. The same delivered again has the same.
    #[serde(skip)]
    pub wake: Option<WakeId>,
    /// What was delivered.
    #[serde(flatten)]
    pub payload: Payload,
}

/// What a delivery says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Payload {
    /// An alarm changed its state.
    Alarm(AlarmWake),
    /// Look at everything again: the schedule's wake, or a change of alarms that names no new state.
    Tick,
    /// Somebody gives a route back that was held for them.
    Release(Release),
    /// AWS Config tells of a resource, or asks how all of them stand.
    Config(ConfigWake),
    /// Somebody wrote to a mesh, or tried to.
    MeshWrite(MeshWrite),
    /// ACM or a private CA tells of a certificate.
    Certificate(CertificateWake),
    /// Somebody asks for a sweep of one mesh.
    Sweep {
        /// The mesh.
        mesh: MeshName,
    },
    /// Something well-formed that is for others.
    NotOurs {
        /// What it is, for people.
        what: String,
    },
    /// Something that should have been ours and can't be read.
    Unreadable {
        /// Why not.
        why: String,
        /// Where in the event, as a path of members.
        at: String,
    },
}

/// How an alarm's change of state arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmChannel {
    /// As an event of a bus. A rule forwards the changes of every alarm of an account, whatever their actions are.
    Bus,
    /// By an action of the alarm: directly, or through a topic.
    Action,
}

/// An alarm's change of state, as its event tells it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmWake {
    /// The alarm's name.
    pub name: AlarmName,
    /// The state that the event speaks of. By the time it is read, the alarm may be in another.
    pub state: AlarmState,
    /// The alarm's ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    /// The alarm's region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The alarm's account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// When the state changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The contributor whose state changed, of an alarm over many series; unset for the alarm as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contributor: Option<AlarmContributor>,
    /// How it arrived.
    #[serde(skip)]
    pub channel: AlarmChannel,
}

/// One series of an alarm over many, such as one group of a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmContributor {
    /// CloudWatch's id of the contributor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The labels that tell it from the others, such as `VirtualNode`.
    pub attributes: BTreeMap<String, String>,
}

/// Somebody gives a route back to Meshwarden.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// The route.
    pub route: RouteId,
    /// Who releases it.
    pub by: String,
    /// When it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// What AWS Config tells.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigWake {
    /// The invocation of a rule that waits for an answer; unset for what came by way of EventBridge or a topic.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub answers: Option<RuleInvocation>,
    /// When AWS Config sent it.
    pub notified: Timestamp,
    /// Whether the resource isn't among those that the rule is for any more.
    pub left_scope: bool,
    /// What it is about.
    #[serde(flatten)]
    pub subject: ConfigSubject,
}

/// An invocation of a custom rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleInvocation {
    /// The rule's name.
    pub rule: String,
    /// What ties the answer to the invocation.
    #[serde(skip)]
    pub token: ResultToken,
}

/// What AWS Config tells of.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "message", rename_all = "kebab-case")]
pub enum ConfigSubject {
    /// A resource changed.
    Item(ConfigItem),
    /// A resource changed, and its item was too large to be sent: AWS Config has the newest.
    OversizedItem(ConfigItem),
    /// It is time to look at everything.
    Scheduled,
    /// AWS Config has delivered a snapshot of all that it has recorded.
    SnapshotDelivered,
}

/// A call that writes to a mesh, as CloudTrail tells it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MeshWrite {
    /// The operation, as in `UpdateRoute`.
    pub operation: String,
    /// The resource; unset only where a refused call doesn't tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourcePath>,
    /// Why it was refused, if it was: then nothing has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Who called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// In which region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// In which account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// The owner of the mesh as the parameters or the answer name it: another account for a mesh that is shared.
    #[serde(skip)]
    pub named_owner: Option<AccountId>,
    /// The version of the resource after it, where the answer is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The event's id: the same when it comes again.
    #[serde(skip)]
    pub id: Option<String>,
    /// Who called, in full. A report has their name; their address and client are for those who ask.
    #[serde(skip)]
    pub caller: Caller,
}

/// What ACM or a private CA tells.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateWake {
    /// What happened.
    #[serde(flatten)]
    pub event: CertificateEvent,
    /// What it happened to, as the event names it: certificates in ACM, private CAs, what those issued, audit reports.
    pub resources: Vec<String>,
}

/// Every event of ACM and of ACM Private CA.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum CertificateEvent {
    /// Sent each day from 45 days before the end.
    ApproachingExpiration {
        /// Days until then.
        days: Option<i64>,
    },
    /// It has ended. Not sent for imported ones.
    Expired,
    /// A new one is there: issued, renewed or imported.
    Available {
        /// Which of these, as ACM calls it.
        action: Option<String>,
    },
    /// ACM can't renew it without a person.
    RenewalActionRequired {
        /// Why, as ACM calls it.
        reason: Option<String>,
    },
    /// It was withdrawn.
    Revoked,
    /// Its key and certificate were replaced.
    Rotated,
    /// Something that a private CA did, or could not do.
    Authority {
        /// What.
        did: AuthorityEvent,
        /// Why not; `None` where it did.
        failure: Option<String>,
    },
}

/// What a private CA tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthorityEvent {
    /// It was made.
    Creation,
    /// It issued.
    Issuance,
    /// It withdrew.
    Revocation,
    /// It wrote its list of withdrawn certificates.
    CrlGeneration,
    /// It wrote an audit report.
    AuditReportGeneration,
}

/// Reads an event: at least one delivery for each of its records, items or messages. A part that can't be read is a
/// delivery as well, so this never fails as a whole.
#[must_use]
pub fn parse(event: &Value) -> Vec<Delivery> {
    envelope::deliveries(event)
}

/// Whether the event holds messages of an SQS queue, which expects an answer for each message.
#[must_use]
pub fn is_batch(event: &Value) -> bool {
    envelope::is_batch(event)
}

/// Whether the event is a list without an envelope around it.
#[must_use]
pub(crate) fn is_bare_list(event: &Value) -> bool {
    envelope::is_bare_list(event)
}
