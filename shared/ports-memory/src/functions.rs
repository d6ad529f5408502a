use std::collections::{BTreeMap, VecDeque};

use async_trait::async_trait;
use serde_json::Value;

use super::{Cell, Faults};
use ports::{FunctionAnswer, FunctionInvoker, PortError, PortErrorKind};

/// Functions with answers that a test sets.
#[derive(Clone, Debug)]
pub struct MemoryFunctions(Cell<Functions>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Functions {
    answers: BTreeMap<String, VecDeque<FunctionAnswer>>,
    invocations: Vec<(String, Value)>,
}

impl MemoryFunctions {
    /// Creates a port without functions.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self(Cell::new(Functions::default(), faults))
    }

    /// Adds a function with these answers, in order; the last one is repeated.
    pub fn answer(&self, function: &str, answers: impl IntoIterator<Item = FunctionAnswer>) {
        self.0.poke(|functions| functions.answers.insert(function.to_owned(), answers.into_iter().collect()));
    }

    /// Every invocation: the function and its event, oldest first.
    #[must_use]
    pub fn invocations(&self) -> Vec<(String, Value)> {
        self.0.peek(|functions| functions.invocations.clone())
    }
}

#[async_trait]
impl FunctionInvoker for MemoryFunctions {
    async fn invoke(&self, function: &str, event: &Value) -> Result<FunctionAnswer, PortError> {
        self.0
            .write("invoke", function, |functions| {
                let missing =
                    || PortError::new(format!("invoke {function}"), PortErrorKind::NotFound, "no such function");
                let answers = functions.answers.get_mut(function).ok_or_else(missing)?;
                let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
                functions.invocations.push((function.to_owned(), event.clone()));
                next.ok_or_else(missing)
            })
            .await
    }
}
