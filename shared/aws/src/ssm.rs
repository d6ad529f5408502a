//! Reads the policy from a parameter of Systems Manager.

use async_trait::async_trait;
use aws_sdk_ssm::Client;
use ports::{PolicySource, PortError, PortErrorKind};

use crate::call::call;
use crate::lazy::Lazy;

/// A parameter that contains the policy; a secure string is decrypted.
#[derive(Clone, Debug)]
pub struct PolicyParameter {
    client: Lazy<Client>,
    name: String,
}

impl PolicyParameter {
    pub(crate) fn new(client: Lazy<Client>, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }
}

#[async_trait]
impl PolicySource for PolicyParameter {
    async fn read(&self) -> Result<String, PortError> {
        let what = || format!("read the policy ssm:{}", self.name);
        let request = self.client.client().get_parameter().name(&self.name).with_decryption(true);
        let answer = call(what, request.send()).await?;
        let value = answer.parameter.and_then(|parameter| parameter.value);
        value.ok_or_else(|| PortError::new(what(), PortErrorKind::Other, "the parameter has no value"))
    }
}
