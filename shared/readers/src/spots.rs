//! The positions of values in a text: the structure of its documents, with lines and without values.

use std::collections::{BTreeMap, HashMap};

use granit_parser::{Event, Parser};

/// The most values with stored positions. Aliases are expanded, and each copy counts.
const MOST: usize = 300_000;

/// The most items of a list that is built from lines.
const MOST_ITEMS: usize = 10_000;

/// The position of a value, and the positions of its members and items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    /// The line, from 1; for a member, the line of its key.
    line: usize,
    within: Within,
}

/// A part of a path.
enum Part<'p> {
    Name(&'p str),
    Index(usize),
}

/// A step from a value to a contained value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Into a member.
    Member(String),
    /// Into a member that messages omit from a path, such as the `Properties` of a resource.
    Hidden(String),
    /// Into an item of a list.
    Index(usize),
    /// Into the only item of a Terraform block, which messages omit from a path.
    OnlyBlock,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Within {
    Nothing,
    Items(Vec<Spot>),
    Members(Vec<(String, Spot)>),
}

impl Spot {
    /// A document with a known first line and unknown contents.
    pub(super) const fn at(line: usize) -> Self {
        Self { line, within: Within::Nothing }
    }

    /// The line, from 1.
    pub(super) const fn line(&self) -> usize {
        self.line
    }

    /// The position of a member, by its name without case. A member that is not in the text has the position of
    /// its object.
    pub(super) fn member(&self, name: &str) -> &Self {
        self.child(name).unwrap_or(self)
    }

    /// The position of a member that is in the text, by its name without case.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        let Within::Members(members) = &self.within else { return None };
        let exact = members.iter().find(|(key, _)| key == name);
        let any_case = || members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        exact.or_else(any_case).map(|(_, spot)| spot)
    }

    /// Whether it is a list with this number of items.
    pub(super) const fn has_items(&self, count: usize) -> bool {
        matches!(&self.within, Within::Items(items) if items.len() == count)
    }

    /// Adds the lines of all members below a path.
    pub(super) fn flatten(&self, path: &str, lines: &mut BTreeMap<String, usize>) {
        let mut add = |path: String, spot: &Self| {
            spot.flatten(&path, lines);
            lines.insert(path, spot.line);
        };
        match &self.within {
            Within::Nothing => {}
            Within::Items(items) => {
                for (index, item) in items.iter().enumerate() {
                    add(format!("{path}[{index}]"), item);
                }
            }
            Within::Members(members) => {
                let dot = if path.is_empty() { "" } else { "." };
                for (name, member) in members {
                    add(format!("{path}{dot}{name}"), member);
                }
            }
        }
    }

    /// A position at a line, with members at other lines: the reverse of [`Self::flatten`].
    pub(super) fn with_lines(line: usize, lines: &BTreeMap<String, usize>) -> Self {
        let mut root = Self::at(line);
        for (path, line) in lines {
            let parts = path.split('.').flat_map(|part| {
                let (name, indexes) = part.split_once('[').unwrap_or((part, ""));
                let indexes = indexes.split('[').filter_map(|index| index.strip_suffix(']')?.parse().ok());
                std::iter::once(Part::Name(name)).chain(indexes.map(Part::Index))
            });
            root.insert(&parts.collect::<Vec<_>>(), *line);
        }
        root
    }

    /// Sets the line at the end of a path, and creates missing positions on the way.
    fn insert(&mut self, parts: &[Part<'_>], line: usize) {
        let Some((first, rest)) = parts.split_first() else {
            self.line = line;
            return;
        };
        match first {
            Part::Name(name) => {
                if !matches!(self.within, Within::Members(_)) {
                    self.within = Within::Members(Vec::new());
                }
                if let Within::Members(members) = &mut self.within {
                    if members.iter().all(|(key, _)| key != name) {
                        members.push(((*name).to_owned(), Self::at(line)));
                    }
                    if let Some((_, spot)) = members.iter_mut().find(|(key, _)| key == name) {
                        spot.insert(rest, line);
                    }
                }
            }
            Part::Index(index) => {
                if !matches!(self.within, Within::Items(_)) {
                    self.within = Within::Items(Vec::new());
                }
                if let Within::Items(items) = &mut self.within {
                    // Paths are sorted as text, so the tenth item comes before the second one.
                    while items.len() <= *index && items.len() < MOST_ITEMS {
                        items.push(Self::at(line));
                    }
                    if let Some(spot) = items.get_mut(*index) {
                        spot.insert(rest, line);
                    }
                }
            }
        }
    }

    /// The position of an item of a list. An item that is not in the text has the position of its list.
    pub(super) fn item(&self, index: usize) -> &Self {
        match &self.within {
            Within::Items(items) => items.get(index).unwrap_or(self),
            Within::Nothing | Within::Members(_) => self,
        }
    }

    /// The position at the end of the steps, or at the last step that exists.
    pub(super) fn follow(&self, steps: &[Step]) -> &Self {
        steps.iter().fold(self, |spot, step| match step {
            Step::Member(name) | Step::Hidden(name) => spot.member(name),
            Step::Index(index) => spot.item(*index),
            Step::OnlyBlock => spot.item(0),
        })
    }
}

/// The positions of all documents of a text, which starts at the line `begin` of its file. JSON is parsed as YAML.
/// `None` if the text cannot be parsed to its end.
pub(super) fn documents(text: &str, begin: usize) -> Option<Vec<Spot>> {
    let mut builder = Builder::default();
    for next in Parser::new_from_str(text) {
        let (event, span) = next.ok()?;
        builder.event(&event, begin + span.start.line().saturating_sub(1))?;
    }
    Some(builder.documents)
}

#[derive(Debug, Default)]
struct Builder {
    documents: Vec<Spot>,
    open: Vec<Open>,
    anchors: HashMap<usize, (Spot, usize)>,
    count: usize,
}

/// An open collection.
#[derive(Debug)]
struct Open {
    spot: Spot,
    anchor: usize,
    count_before: usize,
    /// The key of the next value, in an object.
    key: Option<(String, usize)>,
}

impl Builder {
    fn event(&mut self, event: &Event<'_>, line: usize) -> Option<()> {
        match event {
            Event::Scalar(text, _, anchor, _) => {
                if let Some(Open { spot: Spot { within: Within::Members(_), .. }, key: key @ None, .. }) =
                    self.open.last_mut()
                {
                    *key = Some((text.to_string(), line));
                    return Some(());
                }
                self.take(Spot::at(line), *anchor, 1)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.begin(Within::Items(Vec::new()), *anchor, line);
                Some(())
            }
            Event::MappingStart(_, anchor, _) => {
                self.begin(Within::Members(Vec::new()), *anchor, line);
                Some(())
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Open { spot, anchor, count_before, .. } = self.open.pop()?;
                let size = self.count.saturating_sub(count_before);
                self.take(spot, anchor, size)
            }
            Event::Alias(anchor) => {
                let (spot, size) = self.anchors.get(anchor).cloned()?;
                self.take(Spot { line, ..spot }, 0, size)
            }
            Event::DocumentStart(..) => {
                self.anchors.clear();
                Some(())
            }
            _ => Some(()),
        }
    }

    fn begin(&mut self, within: Within, anchor: usize, line: usize) {
        self.open.push(Open { spot: Spot { line, within }, anchor, count_before: self.count, key: None });
    }

    fn take(&mut self, mut spot: Spot, anchor: usize, size: usize) -> Option<()> {
        self.count += size;
        if self.count > MOST {
            return None;
        }
        if anchor != 0 {
            self.anchors.insert(anchor, (spot.clone(), size));
        }
        match self.open.last_mut() {
            None => self.documents.push(spot),
            Some(Open { spot: Spot { within: Within::Items(items), .. }, .. }) => items.push(spot),
            Some(Open { spot: Spot { within: Within::Members(members), .. }, key, .. }) => {
                let (key, line) = key.take()?;
                spot.line = line;
                members.push((key, spot));
            }
            Some(Open { spot: Spot { within: Within::Nothing, .. }, .. }) => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_line() {
        let yaml = "# a comment\nResources:\n  Web: &web\n    Type: x\n    List:\n      - a\n      -\n        b: 1\n  Api: *web\n---\nkind: K\n";
        let all = documents(yaml, 1).unwrap();
        let resources = all[0].member("Resources");
        assert_eq!((all.len(), resources.line(), resources.member("Web").line()), (2, 2, 3));
        let list = resources.member("Web").member("list");
        assert_eq!(
            (list.line(), list.item(0).line(), list.item(1).line(), list.item(1).member("b").line()),
            (5, 6, 8, 8)
        );
        // An alias has its own line, and its contents have the lines of the anchor.
        assert_eq!((resources.member("Api").line(), resources.member("Api").member("Type").line()), (9, 4));
        assert_eq!((all[1].line(), all[1].member("kind").line()), (11, 11));
        // A missing value has the line of its parent.
        assert_eq!((resources.member("None").line(), resources.item(3).line()), (2, 2));
        let json = "{\n \"a\": [\n  {\"b\": \"\\ud83d\\ude00\\/\"},\n\t{\"b\": null}]}";
        let all = documents(json, 10).unwrap();
        assert_eq!((all[0].line(), all[0].member("a").line(), all[0].member("a").item(1).line()), (10, 11, 13));
    }

    #[test]
    fn places_are_made_of_lines() {
        let lines =
            BTreeMap::from([("name", 2), ("spec[0]", 3), ("spec[0].listener[0]", 4), ("spec[0].listener[1].port", 9)]);
        let lines = lines.into_iter().map(|(path, line)| (path.to_owned(), line)).collect();
        let spot = Spot::with_lines(1, &lines);
        let listeners = spot.member("spec").item(0).member("listener");
        assert_eq!((spot.line(), spot.member("name").line(), listeners.item(0).line()), (1, 2, 4));
        assert!(listeners.has_items(2));
        assert_eq!(listeners.item(1).member("port").line(), 9);
    }

    #[test]
    fn unparsable_text_has_no_positions() {
        for text in ["a: [", "a: *b", "? [a]\n: b"] {
            assert_eq!(documents(text, 1), None, "{text}");
        }
        let bomb: Vec<_> = (1..30).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}]", n - 1)).collect();
        assert_eq!(documents(&format!("a0: &a0 [x]\n{}", bomb.join("\n")), 1), None);
    }
}
