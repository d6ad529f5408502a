//! The outputs of the deployed template.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::folder::{Folder, outputs_file};
use crate::failure::{Failure, Result};
use crate::http::Client;

/// The outputs of the template, and the address of the stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outputs {
    /// The address of the services.
    pub(super) aws: String,
    /// The address of the applications' control server.
    #[serde(default)]
    pub(super) shop: String,
    pub(super) values: BTreeMap<String, String>,
}

impl Outputs {
    /// An output by its name.
    pub fn named(&self, name: &str) -> Result<&str> {
        let found = self.values.get(name).map(String::as_str);
        found.ok_or_else(|| Failure::Refused { what: "the stack".to_owned(), answer: format!("without output {name}") })
    }

    /// Invokes a function by its name in this repository, and returns its response.
    pub fn invoke(&self, client: &Client, function: &str, event: &Value) -> Result<Value> {
        let arn = self.named(&format!("{}Function", camel_case(function)))?;
        let name = arn.rsplit(':').next().unwrap_or(arn);
        let answer = client.post(&format!("{}/2015-03-31/functions/{name}/invocations", self.aws), event)?;
        match answer.function_error {
            Some(kind) => {
                Err(Failure::Refused { what: function.to_owned(), answer: format!("{kind} error: {}", answer.body) })
            }
            None => answer.success(function),
        }
    }

    pub(super) fn write(&self, folder: &Folder) -> Result<()> {
        let path = outputs_file(folder.path());
        fs::write(&path, json!(self).to_string()).map_err(Failure::file("write", path))
    }

    pub(super) fn read(folder: &Path) -> Result<Self> {
        let text = fs::read_to_string(outputs_file(folder)).map_err(|_| Failure::NoStack)?;
        serde_json::from_str(&text).map_err(|_| Failure::NoStack)
    }
}

fn camel_case(name: &str) -> String {
    name.split('-')
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_in_the_template_as_resources_are() {
        assert_eq!(camel_case("route-failover"), "RouteFailover");
    }
}
