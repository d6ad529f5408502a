use async_trait::async_trait;
use serde_json::Value;

use crate::PortError;

/// Invokes other Lambda functions and waits for their answer.
#[async_trait]
pub trait FunctionInvoker: Send + Sync + std::fmt::Debug {
    /// Invokes a function by its name or ARN, for at most 20 seconds. The function may run even if the call fails, so
    /// an invocation must be harmless when it is repeated.
    async fn invoke(&self, function: &str, event: &Value) -> Result<FunctionAnswer, PortError>;
}

/// The answer of an invoked function.
#[derive(Clone, Debug, PartialEq)]
pub enum FunctionAnswer {
    /// The value that it returned.
    Returned(Value),
    /// It ended with an error.
    Failed {
        /// The error as the function reports it.
        message: String,
    },
}
