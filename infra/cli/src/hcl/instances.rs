//! The number of copies of each block, and the module instances with their values.
//!
//! ```text
//!   root module ──▶ each module call with a local source ──▶ its copies (`count`, `for_each`) ──▶ their calls ...
//! ```

use std::path::PathBuf;

use serde_json::Value;

use super::file::normal;
use super::instance::{BlockCopy, Called, CalledFrom, Copies, Instance};
use super::scope::Scope;
use super::source::{Call, Written};
use super::values::text_of;

/// The most copies of one block that are evaluated. Larger blocks count as undecided.
const MOST_COPIES: usize = 256;

/// The deepest nesting of module calls, and the most module instances of one run.
const DEEPEST_CALLS: usize = 16;
const MOST_CALLS: usize = 2_000;

impl<'m> Scope<'m> {
    /// The copies of a block with these meta-arguments.
    pub(super) fn copies(&mut self, meta: impl Fn(&str) -> Option<Written>) -> Copies {
        if let Some(count) = meta("count") {
            let count = self.written(&count);
            let whole = count.as_f64().or_else(|| text_of(&count).and_then(|text| text.parse().ok()));
            let known = (0..=MOST_COPIES)
                .find(|number| u32::try_from(*number).is_ok_and(|number| whole == Some(f64::from(number))));
            return match known {
                Some(number) => Copies::Known((0..number).map(BlockCopy::Counted).collect()),
                None => Copies::Undecided("count"),
            };
        }
        let Some(each) = meta("for_each") else { return Copies::Plain };
        let each = self.written(&each);
        let copies: Option<Vec<BlockCopy>> = match &each {
            // The keys of a set equal its values.
            Value::Array(items) if !self.is_unknown(&each) => items
                .iter()
                .map(|item| text_of(item).map(|key| BlockCopy::Keyed { key, value: item.clone() }))
                .collect(),
            Value::Object(members) if members.keys().all(|key| !self.is_unknown(&Value::from(key.as_str()))) => {
                let copies =
                    members.iter().map(|(key, value)| BlockCopy::Keyed { key: key.clone(), value: value.clone() });
                Some(copies.collect())
            }
            _ => None,
        };
        match copies {
            Some(copies) if copies.len() <= MOST_COPIES => Copies::Known(copies),
            _ => Copies::Undecided("for_each"),
        }
    }

    /// The instances that a call of the current module creates.
    pub(super) fn called(&mut self, call: &'m Call) -> Called {
        let key = (self.at, call.name.clone());
        match self.calls.get(&key) {
            Some(Some(called)) => return called.clone(),
            // The call depends on its own result.
            Some(None) => return Called::Elsewhere,
            None => {}
        }
        self.calls.insert(key.clone(), None);
        let called = self.call_now(call);
        self.calls.insert(key, Some(called.clone()));
        called
    }

    fn call_now(&mut self, call: &'m Call) -> Called {
        let depth = self.instances.get(self.at).map_or(0, |instance| instance.depth);
        let module = self.folder_of(call).and_then(|folder| self.modules.get(&folder));
        let Some(module) = module.filter(|_| depth < DEEPEST_CALLS && self.instances.len() < MOST_CALLS) else {
            return Called::Elsewhere;
        };
        let address = format!("module.{}", call.name);
        let copies = self.within(&address, None, |scope| scope.copies(|meta| call.argument(meta).cloned()));
        let mut made = Vec::new();
        for copy in copies.to_read() {
            let Some(caller) = self.instances.get(self.at) else { break };
            let (prefix, mut undecided) = (caller.address.clone(), caller.undecided.clone());
            let via = Some(caller.via.clone().unwrap_or_else(|| call.file.clone()));
            let index = copy.as_ref().map(BlockCopy::index).unwrap_or_default();
            let address = format!("{prefix}{address}{index}.");
            if let Copies::Undecided(meta) = copies {
                undecided.push(format!("{meta} of {prefix}module.{}", call.name));
            }
            let from = Some(CalledFrom { instance: self.at, call, copy: copy.clone() });
            made.push((copy, self.instances.len()));
            self.instances.push(Instance { module, address, from, via, undecided, depth: depth + 1 });
        }
        match (&copies, made.as_slice()) {
            (Copies::Undecided(_), [(_, instance)]) => Called::Undecided(*instance),
            _ => Called::Instances(made),
        }
    }

    /// The folder of a called module with a local source.
    pub(super) fn folder_of(&self, call: &Call) -> Option<PathBuf> {
        let source = call.source.as_deref().filter(|source| source.starts_with("./") || source.starts_with("../"))?;
        Some(normal(&self.module.folder.join(source)))
    }

    /// The value of `module.NAME...`, with the number of consumed steps. `None` if the value is unknown.
    pub(super) fn output_of_call(&mut self, steps: &[String]) -> Option<(Value, usize)> {
        let (name, rest) = steps.split_first()?;
        let module = self.module;
        let call = module.calls.iter().find(|call| call.name == *name)?;
        match (self.called(call), rest) {
            (Called::Instances(made), [output, ..]) if !output.starts_with('[') && output != "*" => {
                let [(None, instance)] = made.as_slice() else { return None };
                Some((self.output(*instance, output)?, 2))
            }
            (Called::Instances(made), [step, output, ..]) if step == "*" => {
                let outputs = made.iter().map(|(_, instance)| self.output(*instance, output)).collect::<Option<_>>()?;
                Some((Value::Array(outputs), 3))
            }
            (Called::Instances(made), [step, output, ..]) => {
                let selected = |(copy, _): &&(Option<BlockCopy>, usize)| {
                    copy.as_ref().is_some_and(|copy| copy.is_selected_by(step))
                };
                let (_, instance) = made.iter().find(selected)?;
                Some((self.output(*instance, output)?, 3))
            }
            // One instance represents all copies.
            (Called::Undecided(instance), [step, output, ..]) if step.starts_with('[') => {
                Some((self.output(instance, output)?, 3))
            }
            _ => None,
        }
    }
}
