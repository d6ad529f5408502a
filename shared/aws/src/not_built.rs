//! Stands in for the clients that a build leaves out.
//!
//! A client that a program never calls costs minutes to compile, so each of the large ones is a feature. A build
//! without a client must not look like a service with empty responses. Every call is refused, and the error names the
//! feature to build with.

use std::time::Duration;

use async_trait::async_trait;
use ports::{
    ConfigItem, ConfigResource, ConfigRules, Evaluation, FunctionAnswer, FunctionInvoker, InstanceAttributes,
    InstanceDirectory, PolicySource, PortError, PortErrorKind, PutAnswer, QueueMessage, Queues, RefusedFinding,
    ResultToken, SecurityHub,
};
use serde_json::Value;

/// The adapter of a client that this build leaves out. It contains the name of the crate feature that adds the client.
#[derive(Clone, Copy, Debug)]
pub struct NotBuilt(pub(crate) &'static str);

impl NotBuilt {
    /// The error of every call. It is permanent: a retry would meet the same build.
    fn refuse<T>(self, call: impl Into<String>) -> Result<T, PortError> {
        let message =
            format!("this build does not contain the client; build with the feature `{}` of the crate `aws`", self.0);
        Err(PortError::new(call, PortErrorKind::Other, message))
    }
}

#[async_trait]
impl PolicySource for NotBuilt {
    async fn read(&self) -> Result<String, PortError> {
        self.refuse("read the policy from Systems Manager")
    }
}

#[async_trait]
impl ConfigRules for NotBuilt {
    async fn put_evaluations(&self, _: &ResultToken, _: &[Evaluation]) -> Result<PutAnswer, PortError> {
        self.refuse("put evaluations into AWS Config")
    }

    async fn newest_item(&self, _: &ConfigResource) -> Result<Option<ConfigItem>, PortError> {
        self.refuse("read an item from AWS Config")
    }
}

#[async_trait]
impl InstanceDirectory for NotBuilt {
    async fn discover(&self, _: &str, _: &str) -> Result<Vec<InstanceAttributes>, PortError> {
        self.refuse("discover instances in Cloud Map")
    }
}

#[async_trait]
impl FunctionInvoker for NotBuilt {
    async fn invoke(&self, function: &str, _: &Value) -> Result<FunctionAnswer, PortError> {
        self.refuse(format!("invoke function {function}"))
    }
}

#[async_trait]
impl SecurityHub for NotBuilt {
    async fn import(&self, _: &[Value]) -> Result<Vec<RefusedFinding>, PortError> {
        self.refuse("import findings into Security Hub")
    }
}

#[async_trait]
impl Queues for NotBuilt {
    async fn address(&self, queue: &str) -> Result<String, PortError> {
        self.refuse(format!("find queue {queue}"))
    }

    async fn sources(&self, address: &str) -> Result<Vec<String>, PortError> {
        self.refuse(format!("list the source queues of dead-letter queue {address}"))
    }

    async fn receive(&self, address: &str, _: Duration) -> Result<Vec<QueueMessage>, PortError> {
        self.refuse(format!("receive messages of {address}"))
    }

    async fn release(&self, address: &str, _: &str) -> Result<(), PortError> {
        self.refuse(format!("release a message of {address}"))
    }

    async fn send(&self, address: &str, _: &QueueMessage) -> Result<(), PortError> {
        self.refuse(format!("send a message to {address}"))
    }

    async fn delete(&self, address: &str, _: &str) -> Result<(), PortError> {
        self.refuse(format!("delete a message of {address}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn refused_call_names_the_feature_and_is_permanent() {
        let error = PolicySource::read(&NotBuilt("ssm")).await.unwrap_err();
        assert!(!error.kind.may_heal());
        assert_eq!(
            error.to_string(),
            "failed to read the policy from Systems Manager: refused: this build has no client for it; build with the \
             feature `ssm` of the crate `aws`"
        );
    }
}
