//! Parses the trigger of an invocation: every event shape that AWS sends, reduced to the few members that matter.
//!
//! ```text
//! list ─▶ item ─┐
//! SQS message ──┼─▶ body or message (JSON text) ─▶ EventBridge event │ direct alarm action │ alarm notice ─▶ Payload
//! SNS record ───┤                                  │ invocation of an AWS Config rule
//! plain event ──┘                                  │ detail of an alarm's event or of a call, alone
//! ```
//!
//! An event is only a trigger: its state is a hint for operators, and every decision reads the alarm again. So only a
//! name and a state are required. Every other member may be missing, and unknown members are ignored.
//!
//! The envelopes have the types of `aws_lambda_events`; their contents have types of this module.

mod alarm;
mod bus_event;
mod certificate;
mod config;
mod drill;
mod envelope;
mod eventbridge;
mod identity;
mod mesh_write;
mod reading;

use std::collections::BTreeMap;

use jiff::Timestamp;
use mesh::alarm::{AlarmName, AlarmState};
use mesh::name::{AccountId, MeshName, ResourcePath, RouteId};
use policy::RolloutRequest;
use ports::{ConfigItem, ResultToken};
use rules::audit::ApiCaller as Caller;
use serde::Serialize;

pub use drill::{DrillAction, DrillCommand};
pub(crate) use envelope::is_bare_list;
pub use envelope::{is_batch, parse};
pub use records::EventId;

/// One item that was delivered. An SQS batch has many; every other event has few.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// The SQS message of the delivery. The queue accepts failures per message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The id of the event; unset if the event has none. A repeated delivery has the same id.
    #[serde(skip)]
    pub event_id: Option<EventId>,
    /// The content of the delivery.
    #[serde(flatten)]
    pub payload: Payload,
}

/// The content of a delivery.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Payload {
    /// An alarm changed its state.
    Alarm(AlarmEvent),
    /// Read everything again: a scheduled run, or a change of alarms that names no new state.
    Tick,
    /// An operator releases a held route.
    Release(Release),
    /// AWS Config reports a resource, or requests an evaluation of all resources.
    Config(ConfigMessage),
    /// A client wrote to a mesh, or tried to.
    MeshWrite(MeshWrite),
    /// ACM or a private CA reports on a certificate.
    Certificate(CertificateMessage),
    /// An operator or a program requests a rollout.
    Rollout(RolloutMessage),
    /// A function or an operator requests a sweep of one mesh.
    Sweep {
        /// The name of the mesh.
        mesh: MeshName,
    },
    /// An operator or a service starts or stops a drill, or requests its result.
    Drill(DrillCommand),
    /// A well-formed event for another recipient.
    NotOurs {
        /// A description of the event for the log.
        what: String,
    },
    /// An event for this function that cannot be read.
    Unreadable {
        /// The error in the event.
        why: String,
        /// The path of members to the unreadable part.
        at: String,
    },
}

/// The channel through which an alarm's change of state arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmChannel {
    /// An event bus. A rule forwards the changes of every alarm of an account, regardless of the alarms' actions.
    Bus,
    /// An action of the alarm: directly, or through a topic.
    Action,
}

/// An alarm's change of state, as its event reports it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmEvent {
    /// The alarm's name.
    pub name: AlarmName,
    /// The state in the event. The alarm may have another state by the time the event is read.
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
    /// The time of the change of state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The contributor with the changed state, for an alarm on many series; unset for the alarm as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contributor: Option<AlarmContributor>,
    /// The channel of the event.
    #[serde(skip)]
    pub channel: AlarmChannel,
}

/// One series of an alarm on many, such as one group of a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmContributor {
    /// CloudWatch's id of the contributor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The labels that identify the series, such as `VirtualNode`.
    pub attributes: BTreeMap<String, String>,
}

/// An operator's request to release a route, so that Meshwarden manages it again.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// The route to release.
    pub route: RouteId,
    /// The name of the operator.
    pub by: String,
    /// The time of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// A request of a rollout.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutMessage {
    /// The request, without contradictions.
    pub request: Box<RolloutRequest>,
    /// The operator or program that requests it; unset if the event does not name one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The time of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// A message of AWS Config.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMessage {
    /// The invocation of a rule that waits for an answer; unset for a message through EventBridge or a topic.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub answers: Option<RuleInvocation>,
    /// The time at which AWS Config sent the message.
    pub notified: Timestamp,
    /// Whether the resource has left the scope of the rule.
    pub left_scope: bool,
    /// The subject of the message.
    #[serde(flatten)]
    pub subject: ConfigSubject,
}

/// An invocation of a custom rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleInvocation {
    /// The name of the rule.
    pub rule: String,
    /// The token that links the answer to the invocation.
    #[serde(skip)]
    pub token: ResultToken,
}

/// The subject of a message of AWS Config.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "message", rename_all = "kebab-case")]
pub enum ConfigSubject {
    /// A resource changed.
    Item(ConfigItem),
    /// A resource changed, and its item was too large to send: AWS Config stores the newest item.
    OversizedItem(ConfigItem),
    /// A periodic evaluation of everything is due.
    Scheduled,
    /// AWS Config has delivered a snapshot of all recorded resources.
    SnapshotDelivered,
}

/// A call that writes to a mesh, as CloudTrail reports it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MeshWrite {
    /// The operation, as in `UpdateRoute`.
    pub operation: String,
    /// The resource; unset only for a refused call that does not name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourcePath>,
    /// The error of a refused call, which changed nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The identity that called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The time of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The region of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The account of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// The owner of the mesh as the parameters or the response name it: another account for a shared mesh.
    #[serde(skip)]
    pub named_owner: Option<AccountId>,
    /// The version of the resource after the call, if the event contains the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The event's id. A repeated delivery has the same id.
    #[serde(skip)]
    pub id: Option<String>,
    /// The caller with all details. A report contains only the caller's name, not the address or the client.
    #[serde(skip)]
    pub caller: Caller,
}

/// An event of ACM or a private CA.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateMessage {
    /// The kind of the event.
    #[serde(flatten)]
    pub event: CertificateEvent,
    /// The ARNs or ids of the affected resources, as the event names them: certificates in ACM, private CAs, issued
    /// certificates, audit reports.
    pub resources: Vec<String>,
}

/// Every event of ACM and of ACM Private CA.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum CertificateEvent {
    /// The certificate expires soon; sent each day from 45 days before the expiry.
    ApproachingExpiration {
        /// The number of days until the expiry.
        days: Option<i64>,
    },
    /// The certificate has expired. Not sent for imported certificates.
    Expired,
    /// A new certificate is available: issued, renewed or imported.
    Available {
        /// ACM's name of the action.
        action: Option<String>,
    },
    /// ACM cannot renew the certificate without an operator.
    RenewalActionRequired {
        /// ACM's name of the reason.
        reason: Option<String>,
    },
    /// The certificate was revoked.
    Revoked,
    /// The key and the certificate were replaced.
    Rotated,
    /// A private CA completed an operation, or failed to.
    Authority {
        /// The operation.
        did: AuthorityEvent,
        /// The cause of a failure; `None` for a success.
        failure: Option<String>,
    },
}

/// The operation of a private CA that an event reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthorityEvent {
    /// The CA was created.
    Creation,
    /// The CA issued a certificate.
    Issuance,
    /// The CA revoked a certificate.
    Revocation,
    /// The CA wrote its certificate revocation list.
    CrlGeneration,
    /// The CA wrote an audit report.
    AuditReportGeneration,
}
