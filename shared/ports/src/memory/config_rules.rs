use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::{Cell, Faults};
use crate::{ConfigItem, ConfigResource, ConfigRules, Evaluation, PortError, PortErrorKind, ResultToken};

/// AWS Config in memory: keeps the answers to its rules, and items by resource.
#[derive(Clone, Debug)]
pub struct MemoryConfigRules(Cell<Config>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Config {
    answers: Vec<(String, Evaluation)>,
    items: BTreeMap<ConfigResource, Vec<ConfigItem>>,
    expired: BTreeSet<String>,
    refused: BTreeSet<ConfigResource>,
}

impl MemoryConfigRules {
    /// Nothing answered and nothing recorded yet.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self(Cell::new(Config::default(), faults))
    }

    /// Records an item.
    pub fn record(&self, item: ConfigItem) {
        self.0.poke(|config| config.items.entry(item.resource.clone()).or_default().push(item));
    }

    /// From now on answers with this token are refused.
    pub fn expire(&self, token: &str) {
        self.0.poke(|config| config.expired.insert(token.to_owned()));
    }

    /// From now on evaluations of this resource are not taken.
    pub fn refuse(&self, resource: ConfigResource) {
        self.0.poke(|config| config.refused.insert(resource));
    }

    /// Every answer with its token, oldest first; those of a test are not kept.
    #[must_use]
    pub fn answers(&self) -> Vec<(String, Evaluation)> {
        self.0.peek(|config| config.answers.clone())
    }

    /// How each resource stands: the newest evaluation by its own instant, a later answer going before an earlier one
    /// of the same.
    #[must_use]
    pub fn standing(&self) -> BTreeMap<ConfigResource, Evaluation> {
        let mut standing: BTreeMap<ConfigResource, Evaluation> = BTreeMap::new();
        for (_, evaluation) in self.answers() {
            if standing.get(&evaluation.resource).is_none_or(|known| known.at <= evaluation.at) {
                standing.insert(evaluation.resource.clone(), evaluation);
            }
        }
        standing
    }
}

#[async_trait]
impl ConfigRules for MemoryConfigRules {
    async fn put_evaluations(
        &self,
        token: &ResultToken,
        evaluations: &[Evaluation],
    ) -> Result<Vec<Evaluation>, PortError> {
        self.0
            .write("put evaluations", evaluations.len(), |config| {
                if config.expired.contains(token.as_str()) {
                    let call = format!("put {} evaluations", evaluations.len());
                    return Err(PortError::new(call, PortErrorKind::Other, "the result token has run out"));
                }
                let (refused, accepted): (Vec<_>, Vec<_>) =
                    evaluations.iter().cloned().partition(|evaluation| config.refused.contains(&evaluation.resource));
                if !token.is_test() {
                    config.answers.extend(accepted.into_iter().map(|answer| (token.as_str().to_owned(), answer)));
                }
                Ok(refused)
            })
            .await
    }

    async fn newest_item(&self, resource: &ConfigResource) -> Result<Option<ConfigItem>, PortError> {
        self.0
            .read("read newest item of", &resource.resource_id, |config| {
                let items = config.items.get(resource).into_iter().flatten();
                Ok(items.max_by_key(|item| item.captured_at).cloned())
            })
            .await
    }
}
