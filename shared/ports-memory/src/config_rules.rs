use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::{Cell, Faults};
use ports::{ConfigItem, ConfigResource, ConfigRules, Evaluation, MOST_EVALUATIONS, PortError, PutAnswer, ResultToken};

/// AWS Config in memory: stores the answers to its rules, and items by resource.
#[derive(Clone, Debug)]
pub struct MemoryConfigRules(Cell<Config>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Config {
    answers: Vec<(String, Evaluation)>,
    items: BTreeMap<ConfigResource, Vec<ConfigItem>>,
    expired: BTreeSet<String>,
    /// The number of further failures for evaluations of each resource.
    refused: BTreeMap<ConfigResource, u32>,
    invalid: BTreeSet<ConfigResource>,
}

impl MemoryConfigRules {
    /// Creates a port without answers and items.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self(Cell::new(Config::default(), faults))
    }

    /// Records an item.
    pub fn record(&self, item: ConfigItem) {
        self.0.poke(|config| config.items.entry(item.resource.clone()).or_default().push(item));
    }

    /// Rejects further answers with this token.
    pub fn expire(&self, token: &str) {
        self.0.poke(|config| config.expired.insert(token.to_owned()));
    }

    /// Makes further evaluations of this resource fail.
    pub fn refuse(&self, resource: ConfigResource) {
        self.refuse_times(resource, u32::MAX);
    }

    /// Makes this many further evaluations of this resource fail.
    pub fn refuse_times(&self, resource: ConfigResource, times: u32) {
        self.0.poke(|config| config.refused.insert(resource, times));
    }

    /// Rejects every further request with an evaluation of this resource.
    pub fn invalidate(&self, resource: ConfigResource) {
        self.0.poke(|config| config.invalid.insert(resource));
    }

    /// Every answer with its token, oldest first; answers in test mode are not stored.
    #[must_use]
    pub fn answers(&self) -> Vec<(String, Evaluation)> {
        self.0.peek(|config| config.answers.clone())
    }

    /// The evaluation of each resource with the newest time; a later answer takes precedence over an earlier one
    /// with the same time.
    #[must_use]
    pub fn latest(&self) -> BTreeMap<ConfigResource, Evaluation> {
        let mut latest: BTreeMap<ConfigResource, Evaluation> = BTreeMap::new();
        for (_, evaluation) in self.answers() {
            if latest.get(&evaluation.resource).is_none_or(|known| known.at <= evaluation.at) {
                latest.insert(evaluation.resource.clone(), evaluation);
            }
        }
        latest
    }
}

#[async_trait]
impl ConfigRules for MemoryConfigRules {
    async fn put_evaluations(&self, token: &ResultToken, evaluations: &[Evaluation]) -> Result<PutAnswer, PortError> {
        self.0.write("put evaluations", evaluations.len(), |config| Ok(config.put(token, evaluations))).await
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

impl Config {
    fn put(&mut self, token: &ResultToken, evaluations: &[Evaluation]) -> PutAnswer {
        if self.expired.contains(token.as_str()) {
            return PutAnswer::InvalidToken { message: "the result token has run out".to_owned() };
        }
        let is_invalid = |evaluation: &Evaluation| self.invalid.contains(&evaluation.resource);
        if evaluations.len() > MOST_EVALUATIONS || evaluations.iter().any(is_invalid) {
            return PutAnswer::Invalid { message: "an evaluation is invalid".to_owned() };
        }
        let mut failed = Vec::new();
        for evaluation in evaluations {
            match self.refused.get_mut(&evaluation.resource).filter(|times| **times > 0) {
                Some(times) => {
                    *times -= 1;
                    failed.push(evaluation.clone());
                }
                None if token.is_test() => {}
                None => self.answers.push((token.as_str().to_owned(), evaluation.clone())),
            }
        }
        PutAnswer::Taken { failed }
    }
}
