//! What an invocation was woken for, all its deliveries together.

use jiff::Timestamp;
use lambda_kit::wake::{ConfigSubject, Delivery, MeshWrite, Payload, RuleInvocation};
use mesh::name::ResourcePath;
use ports::ConfigItem;

/// Questions of AWS Config, writes to meshes, or just the time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wake {
    /// Resources that AWS Config tells of.
    pub(crate) items: Vec<Asked>,
    /// Invocations that ask how everything stands, with the instant that the answers speak of.
    pub(crate) everything: Vec<(RuleInvocation, Timestamp)>,
    /// What somebody wrote to, and when.
    pub(crate) written: Vec<(ResourcePath, Option<Timestamp>)>,
    /// Whether everything should be looked at.
    pub(crate) tick: bool,
    /// Writes that were refused, so that nothing has changed.
    pub(crate) refused: Vec<MeshWrite>,
    /// What is for others.
    pub(crate) foreign: usize,
}

/// A resource that AWS Config tells of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    /// The invocation that waits for an answer; unset for what only tells.
    pub(crate) invocation: Option<RuleInvocation>,
    /// The resource.
    pub(crate) item: ConfigItem,
    /// Whether AWS Config has more of it than it could send.
    pub(crate) oversized: bool,
    /// Whether the rule isn't for it any more.
    pub(crate) left_scope: bool,
    /// When AWS Config sent it.
    pub(crate) notified: Timestamp,
}

impl Wake {
    pub(crate) fn of(deliveries: Vec<Delivery>) -> Self {
        let mut wake = Self::default();
        for delivery in deliveries {
            match delivery.payload {
                Payload::Config(config) => {
                    let (invocation, notified, left_scope) = (config.answers, config.notified, config.left_scope);
                    let mut ask = |item, oversized| {
                        let invocation = invocation.clone();
                        wake.items.push(Asked { invocation, item, oversized, left_scope, notified });
                    };
                    match config.subject {
                        ConfigSubject::Item(item) => ask(item, false),
                        ConfigSubject::OversizedItem(item) => ask(item, true),
                        ConfigSubject::Scheduled | ConfigSubject::SnapshotDelivered => match invocation {
                            Some(invocation) => wake.everything.push((invocation, notified)),
                            None => wake.tick = true,
                        },
                    }
                }
                Payload::MeshWrite(write) => match (&write.error, write.resource.clone()) {
                    (None, Some(resource)) => wake.written.push((resource, write.at)),
                    (Some(_), _) | (None, None) => wake.refused.push(write),
                },
                Payload::Tick => wake.tick = true,
                Payload::Alarm(_) | Payload::Release(_) | Payload::Certificate(_) | Payload::Sweep { .. } => {
                    wake.foreign += 1;
                }
                // Reported before the handler is called.
                Payload::NotOurs { .. } | Payload::Unreadable { .. } => {}
            }
        }
        wake
    }

    /// Whether every mesh is looked at.
    pub(crate) fn is_for_everything(&self) -> bool {
        self.tick || !self.everything.is_empty()
    }
}
