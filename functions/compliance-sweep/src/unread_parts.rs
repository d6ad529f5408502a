//! Resources with a spec or tags that could not be read, and the findings that depend on them.
//!
//! The mesh is still judged. For unknown resources, no finding is created or resolved. Findings that hold for any state
//! of the unknown resources are reported as usual.

use std::collections::BTreeMap;

use mesh::graph::{InsertError, Mesh};
use mesh::name::ResourcePath;
use mesh::spec::{Extra, Spec, VirtualServiceSpec};
use ports::PortError;
use reports::Dated;
use rules::pack::{Certainty, Finding, Group, Rule, rules};
use serde_json::{Map, Value, json};

/// Rules, in addition to the rules of [`Certainty`], that report something missing.
const OF_WHAT_IS_MISSING: [&str; 1] = ["egress-allowed-in-vain"];

/// Rules that read the tags of resources other than the resource of the finding.
const OF_OTHERS_TAGS: [&str; 5] =
    ["call-across-environments", "environments-mixed", "route-single-zone", "tag-conflict", "tag-differs-from-parent"];

/// Resources with a spec or tags that could not be read.
#[derive(Debug, Default)]
pub(crate) struct UnreadParts {
    /// The resources that could not be described: only their names are known.
    resources: BTreeMap<ResourcePath, PortError>,
    /// The resources with tags that could not be listed.
    tags: BTreeMap<ResourcePath, PortError>,
}

impl UnreadParts {
    pub(crate) fn new(resources: Vec<(ResourcePath, PortError)>, tags: Vec<(ResourcePath, PortError)>) -> Self {
        Self { resources: resources.into_iter().collect(), tags: tags.into_iter().collect() }
    }

    /// Whether everything was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.tags.is_empty()
    }

    /// The number of resources that are partly or wholly unknown.
    pub(crate) fn len(&self) -> usize {
        self.resources.len() + self.tags.len()
    }

    /// The first error; a permanent error takes precedence over transient ones.
    pub(crate) fn error(&self) -> Option<&PortError> {
        let all = || self.resources.values().chain(self.tags.values());
        all().find(|error| !error.kind.may_heal()).or_else(|| all().next())
    }

    /// Whether a retry may read some of them.
    pub(crate) fn may_heal(&self) -> bool {
        self.resources.values().chain(self.tags.values()).any(|error| error.kind.may_heal())
    }

    /// Inserts virtual services that could not be described: a backend that names one is not dangling.
    pub(crate) fn stand_in(&self, mesh: &mut Mesh) -> Result<(), InsertError> {
        for path in self.resources.keys().filter(|path| matches!(path, ResourcePath::VirtualService(..))) {
            let spec = VirtualServiceSpec { provider: None, extra: Extra::default() };
            mesh.insert(path.clone(), Spec::VirtualService(spec))?;
        }
        Ok(())
    }

    /// Whether a finding holds for any state of the unread parts.
    pub(crate) fn allow(&self, finding: &Finding) -> bool {
        let rule = finding.rule.as_str();
        let certainty = Certainty { is_whole: self.resources.is_empty(), stand_ins: Vec::new() };
        let is_missing = !self.resources.is_empty() && OF_WHAT_IS_MISSING.contains(&rule);
        let names =
            |path: &ResourcePath| finding.resource == *path || finding.facts.values().any(|fact| has(fact, path));
        let of_unread = self.resources.keys().any(names);
        let of_tags = OF_OTHERS_TAGS.contains(&rule) && self.tags.keys().any(names);
        certainty.is_sure_of(finding) && !is_missing && !of_unread && !of_tags
    }

    /// Whether an earlier finding could still exist without being found.
    pub(crate) fn hide(&self, dated: &Dated) -> bool {
        if !self.resources.is_empty() {
            // The judgement of any other resource may depend on an unknown one.
            return true;
        }
        if self.tags.is_empty() {
            return false;
        }
        let group = rules().find(|rule: &&Rule| rule.id == dated.rule).map(|rule| rule.group);
        let of_its_tags = matches!(group, Some(Group::Tags | Group::Quotas)) && self.tags.contains_key(&dated.resource);
        of_its_tags || OF_OTHERS_TAGS.contains(&dated.rule.as_str())
    }

    /// Descriptions of the unread parts, for operators.
    pub(crate) fn described(&self) -> impl Iterator<Item = String> + '_ {
        let resources = self.resources.iter().map(|(path, error)| format!("{path}: {error}"));
        resources.chain(self.tags.iter().map(|(path, error)| format!("tags of {path}: {error}")))
    }

    /// The first `most` unread parts, for the report.
    pub(crate) fn facts(&self, most: usize) -> Value {
        let part = |part: &'static str| {
            move |(path, error): (&ResourcePath, &PortError)| {
                let said = json!({ "part": part, "error": error.to_string(), "transient": error.kind.may_heal() });
                (path.to_string(), said)
            }
        };
        let parts = self.resources.iter().map(part("resource")).chain(self.tags.iter().map(part("tags")));
        json!({ "unread": parts.take(most).collect::<Map<String, Value>>(), "count": self.len() })
    }
}

/// Whether a fact of a finding names a resource, by its path or by its own name.
fn has(fact: &Value, path: &ResourcePath) -> bool {
    match fact {
        Value::String(text) => *text == path.to_string() || text == path.name(),
        Value::Array(items) => items.iter().any(|item| has(item, path)),
        Value::Object(members) => members.iter().any(|(name, value)| name == path.name() || has(value, path)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
