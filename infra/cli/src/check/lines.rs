//! Where in a file a resource is declared.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// The lines of a file, by what they say. Numbers here are from 0.
pub(super) struct Lines<'t> {
    all: Vec<&'t str>,
    /// The lines on which a word is a key.
    keys: HashMap<&'t str, Vec<usize>>,
    /// The lines that say that something is called so: `name: web`, `"virtualNodeName": "web"`.
    names: HashMap<&'t str, Vec<usize>>,
    documents: Vec<Document<'t>>,
}

/// A YAML document, or the whole of another file.
struct Document<'t> {
    lines: Range<usize>,
    /// What it says of its kind, and that of what is in it.
    kinds: HashSet<&'t str>,
}

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let mut read = Self { all: Vec::new(), keys: HashMap::new(), names: HashMap::new(), documents: Vec::new() };
        let mut document = Document { lines: 0..0, kinds: HashSet::new() };
        for (at, line) in text.lines().enumerate() {
            read.all.push(line);
            if line.starts_with("---") {
                document.lines.end = at;
                let next = Document { lines: at + 1..at + 1, kinds: HashSet::new() };
                read.documents.push(std::mem::replace(&mut document, next));
            }
            let Some((key, rest)) = key_and_rest(line) else { continue };
            read.keys.entry(key).or_default().push(at);
            if key.to_lowercase().ends_with("name") {
                read.names.entry(unquoted(rest)).or_default().push(at);
            }
            if key == "kind" {
                document.kinds.insert(unquoted(rest));
            }
        }
        document.lines.end = read.all.len();
        read.documents.push(document);
        read
    }

    /// The line that declares a resource, as far as its id tells, from 1: where the id's last word is a key, as a logical
    /// id is; else where it is a name, of a manifest's documents in the one of its kind; else where it first stands.
    pub(super) fn of_id(&self, id: &str) -> usize {
        let mut words = id.split([' ', '/']).filter(|word| !word.starts_with("routes["));
        let kind = words.clone().next().filter(|kind| id.contains(' ') && !kind.is_empty());
        let word = words.next_back().unwrap_or(id);
        let within = kind.and_then(|kind| self.document_of(kind, word)).unwrap_or(0..self.all.len());
        let first = |lines: Option<&Vec<usize>>| lines?.iter().copied().find(|at| within.contains(at));
        first(self.keys.get(word))
            .or_else(|| first(self.names.get(word)))
            .or_else(|| self.first_with(word, &within))
            .unwrap_or(0)
            + 1
    }

    /// The lines of the document of a kind that names a resource so.
    fn document_of(&self, kind: &str, word: &str) -> Option<Range<usize>> {
        let named = self.names.get(word)?.iter().filter_map(|at| {
            let after = self.documents.partition_point(|document| document.lines.end <= *at);
            self.documents.get(after).filter(|document| document.lines.contains(at))
        });
        named.filter(|document| document.kinds.contains(kind)).map(|document| document.lines.clone()).next()
    }

    fn first_with(&self, word: &str, within: &Range<usize>) -> Option<usize> {
        let mut lines = self.all.iter().enumerate().skip(within.start).take(within.len());
        lines.find(|(_, line)| has_word(line, word)).map(|(at, _)| at)
    }
}

/// A member of a YAML or JSON object on a line of its own.
fn key_and_rest(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start().trim_start_matches("- ");
    let (key, rest) = match line.strip_prefix('"') {
        Some(quoted) => {
            quoted.split_once('"').and_then(|(key, rest)| Some((key, rest.trim_start().strip_prefix(':')?)))?
        }
        None => line.split_once(':')?,
    };
    Some((key.trim_matches('\''), rest))
}

fn unquoted(value: &str) -> &str {
    value.trim().trim_end_matches(',').trim_matches(['"', '\''])
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let is_within = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
        let after = line.get(at + word.len()..).and_then(|rest| rest.chars().next());
        let before = line.get(..at).and_then(|rest| rest.chars().next_back());
        !is_within(before) && !is_within(after)
    })
}

#[cfg(test)]
mod tests {
    use super::Lines;

    fn line_of(text: &str, id: &str) -> usize {
        Lines::of(text).of_id(id)
    }

    #[test]
    fn a_resource_is_found_by_its_id() {
        let template =
            "Parameters:\n  P: {Default: Orders}\nResources:\n  OrdersV2:\n    x: !Ref Orders\n  Orders:\n    y: 1";
        assert_eq!(line_of(template, "OrdersV2"), 4);
        assert_eq!(line_of(template, "Orders"), 6, "not where it is referred to");
        assert_eq!(line_of(template, "nowhere"), 1);
        let json = "{\n \"Resources\": {\n  \"Web\": {\"DependsOn\": \"Mesh\"},\n  \"Mesh\": {}}}";
        assert_eq!((line_of(json, "Mesh"), line_of(json, "Web")), (4, 3));
        let api = "{\n \"meshName\": \"shop\",\n \"virtualNodeName\": \"web\"\n}";
        assert_eq!(line_of(api, "web"), 3);
    }

    #[test]
    fn of_the_documents_of_a_manifest_the_one_of_the_kind_is_meant() {
        let document =
            |kind: &str, name: &str| format!("kind: {kind}\nmetadata:\n  name: {name}\nspec:\n  about: web\n");
        let all = [("VirtualService", "web"), ("VirtualNode", "api"), ("VirtualNode", "web"), ("VirtualRouter", "web")];
        let text = all.map(|(kind, name)| document(kind, name)).join("---\n");
        assert_eq!(line_of(&text, "VirtualService shop/web"), 3);
        assert_eq!(line_of(&text, "VirtualNode shop/api"), 9);
        assert_eq!(line_of(&text, "VirtualNode shop/web"), 15);
        assert_eq!(line_of(&text, "VirtualRouter shop/web routes[0]"), 21);
    }
}
