//! The rule of a composite alarm, as a tree that is evaluated with "unknown" as a third value.

use std::collections::BTreeSet;

use super::{AlarmName, AlarmNameError, AlarmState};

/// The maximum nesting of brackets and `NOT`. CloudWatch limits a rule to 10,240 characters, which would permit a depth
/// that overflows the stack.
const MAX_NESTING: usize = 64;

/// A composite alarm's rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompositeRule {
    /// `TRUE` or `FALSE`.
    Constant(bool),
    /// `ALARM(name)`, `OK(name)` or `INSUFFICIENT_DATA(name)`.
    Is(Atom),
    /// `NOT`.
    Not(Box<CompositeRule>),
    /// `AND`.
    All(Vec<CompositeRule>),
    /// `OR`.
    Any(Vec<CompositeRule>),
    /// `AT_LEAST(needed, test, (alarms))`, a percentage already turned into a number.
    AtLeast {
        /// The number of tests that must hold.
        needed: usize,
        /// One test for each alarm.
        atoms: Vec<Atom>,
    },
}

/// One test of one alarm's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Atom {
    /// The alarm.
    pub alarm: AlarmName,
    /// The state that it is tested for.
    pub test: StateTest,
    /// Whether the alarm has to be in any other state instead.
    pub negated: bool,
}

/// The states that a rule can test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateTest {
    /// `ALARM`.
    Alarm,
    /// `OK`.
    Ok,
    /// `INSUFFICIENT_DATA`.
    InsufficientData,
}

/// The value of a rule or of a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleValue {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It depends on an alarm with an unknown state.
    Unknown,
}

/// An alarm with a state that makes a rule true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The alarm.
    pub alarm: AlarmName,
    /// The state that it is in.
    pub state: StateTest,
}

/// Why a composite alarm's rule could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Brackets do not pair.
    #[error("unbalanced brackets")]
    Unbalanced,
    /// A quotation mark has no partner.
    #[error("unclosed quotation mark at character {at}")]
    OpenQuote {
        /// The position of the quotation mark, counted from 0.
        at: usize,
    },
    /// The rule nests too deep.
    #[error("nesting of more than {MAX_NESTING} levels")]
    TooDeep,
    /// A word stands where the grammar does not permit it.
    #[error("unexpected `{found}`: expected {expected}")]
    Unexpected {
        /// The word; `end of rule` at the end.
        found: String,
        /// The permitted words.
        expected: &'static str,
    },
    /// A text that is not a valid alarm name stands where an alarm is named.
    #[error("invalid alarm name")]
    Name(#[from] AlarmNameError),
}

impl CompositeRule {
    /// Reads a rule. An ARN gives the name that follows `:alarm:`. `NOT` binds tighter than `AND`, and `AND` tighter
    /// than `OR`.
    ///
    /// # Errors
    ///
    /// Refuses a rule that the grammar of `PutCompositeAlarm` does not permit.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let tokens = tokens(text)?;
        let mut parser = RuleParser { tokens: &tokens, at: 0, depth: 0 };
        let rule = parser.any()?;
        match parser.next() {
            None => Ok(rule),
            Some(RuleToken::Close) => Err(RuleError::Unbalanced),
            Some(token) => Err(unexpected(Some(token), "AND, OR or the end of the rule")),
        }
    }

    /// The alarms that the rule names, in the order of the text, each once.
    #[must_use]
    pub fn alarms(&self) -> Vec<&AlarmName> {
        let mut seen = BTreeSet::new();
        self.atoms().into_iter().map(|atom| &atom.alarm).filter(|alarm| seen.insert(*alarm)).collect()
    }

    fn atoms(&self) -> Vec<&Atom> {
        match self {
            Self::Constant(_) => Vec::new(),
            Self::Is(atom) => vec![atom],
            Self::Not(rule) => rule.atoms(),
            Self::All(rules) | Self::Any(rules) => rules.iter().flat_map(Self::atoms).collect(),
            Self::AtLeast { atoms, .. } => atoms.iter().collect(),
        }
    }

    /// The value of the rule. `state` gives the state of an alarm, if it is known.
    pub fn evaluate(&self, state: &impl Fn(&AlarmName) -> Option<AlarmState>) -> RuleValue {
        match self {
            Self::Constant(value) => RuleValue::from(*value),
            Self::Is(atom) => atom.evaluate(state),
            Self::Not(rule) => rule.evaluate(state).not(),
            Self::All(rules) => {
                let values = rules.iter().map(|rule| rule.evaluate(state));
                values.fold(RuleValue::True, RuleValue::and)
            }
            Self::Any(rules) => {
                let values = rules.iter().map(|rule| rule.evaluate(state).not());
                values.fold(RuleValue::True, RuleValue::and).not()
            }
            Self::AtLeast { needed, atoms } => {
                let values: Vec<RuleValue> = atoms.iter().map(|atom| atom.evaluate(state)).collect();
                let count = |value| values.iter().filter(|found| **found == value).count();
                if count(RuleValue::True) >= *needed {
                    RuleValue::True
                } else if count(RuleValue::True) + count(RuleValue::Unknown) < *needed {
                    RuleValue::False
                } else {
                    RuleValue::Unknown
                }
            }
        }
    }

    /// The alarms with states that make the rule true; empty if it is not known to be true.
    pub fn causes(&self, state: &impl Fn(&AlarmName) -> Option<AlarmState>) -> Vec<Cause> {
        let mut causes = Vec::new();
        if self.evaluate(state) == RuleValue::True {
            self.collect_causes(RuleValue::True, state, &mut causes);
        }
        causes
    }

    /// The alarms that are known to contribute to a rule of which CloudWatch reports that it is true, although the
    /// states of some of its alarms are not known.
    pub fn known_causes(&self, state: &impl Fn(&AlarmName) -> Option<AlarmState>) -> Vec<Cause> {
        let mut causes = Vec::new();
        match self {
            Self::All(rules) | Self::Any(rules) if self.evaluate(state) == RuleValue::Unknown => {
                for rule in rules {
                    for cause in rule.known_causes(state) {
                        if !causes.contains(&cause) {
                            causes.push(cause);
                        }
                    }
                }
            }
            Self::AtLeast { atoms, .. } => {
                for atom in atoms {
                    Self::Is(atom.clone()).collect_causes(RuleValue::True, state, &mut causes);
                }
            }
            Self::All(_) | Self::Any(_) | Self::Constant(_) | Self::Is(_) | Self::Not(_) => {
                causes = self.causes(state);
            }
        }
        causes
    }

    /// Collects the alarms that give this part of the rule the value that it has.
    fn collect_causes(
        &self,
        value: RuleValue,
        state: &impl Fn(&AlarmName) -> Option<AlarmState>,
        causes: &mut Vec<Cause>,
    ) {
        let mut of_atom = |atom: &Atom| {
            let known = state(&atom.alarm).as_ref().and_then(StateTest::from_state);
            if atom.evaluate(state) == value
                && let Some(state) = known
            {
                let cause = Cause { alarm: atom.alarm.clone(), state };
                if !causes.contains(&cause) {
                    causes.push(cause);
                }
            }
        };
        match self {
            Self::Constant(_) => {}
            Self::Is(atom) => of_atom(atom),
            Self::AtLeast { atoms, .. } => atoms.iter().for_each(of_atom),
            Self::Not(rule) => rule.collect_causes(value.not(), state, causes),
            Self::All(rules) | Self::Any(rules) => {
                for rule in rules.iter().filter(|rule| rule.evaluate(state) == value) {
                    rule.collect_causes(value, state, causes);
                }
            }
        }
    }
}

impl Atom {
    fn evaluate(&self, state: &impl Fn(&AlarmName) -> Option<AlarmState>) -> RuleValue {
        match state(&self.alarm).as_ref().and_then(StateTest::from_state) {
            None => RuleValue::Unknown,
            Some(state) => RuleValue::from((state == self.test) != self.negated),
        }
    }
}

impl StateTest {
    /// The state as a rule tests it; `None` for one that this version does not know.
    #[must_use]
    pub fn from_state(state: &AlarmState) -> Option<Self> {
        match state {
            AlarmState::Alarm => Some(Self::Alarm),
            AlarmState::Ok => Some(Self::Ok),
            AlarmState::InsufficientData => Some(Self::InsufficientData),
            AlarmState::Unrecognised(_) => None,
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        match word {
            "ALARM" => Some(Self::Alarm),
            "OK" => Some(Self::Ok),
            "INSUFFICIENT_DATA" => Some(Self::InsufficientData),
            _ => None,
        }
    }
}

impl RuleValue {
    fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::True, Self::True) => Self::True,
        }
    }
}

impl From<bool> for RuleValue {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum RuleToken {
    Open,
    Close,
    Comma,
    Word { text: String, quoted: bool },
}

impl RuleToken {
    fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word { text, quoted: false } if text == word)
    }
}

struct RuleParser<'a> {
    tokens: &'a [RuleToken],
    at: usize,
    depth: usize,
}

impl<'a> RuleParser<'a> {
    fn peek(&self) -> Option<&'a RuleToken> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<&'a RuleToken> {
        let token = self.peek();
        self.at += usize::from(token.is_some());
        token
    }

    fn skip(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.is_word(word));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: &RuleToken, expected: &'static str) -> Result<(), RuleError> {
        match self.next() {
            Some(token) if token == wanted => Ok(()),
            None => Err(RuleError::Unbalanced),
            token => Err(unexpected(token, expected)),
        }
    }

    fn any(&mut self) -> Result<CompositeRule, RuleError> {
        self.sequence("OR", Self::all, CompositeRule::Any)
    }

    fn all(&mut self) -> Result<CompositeRule, RuleError> {
        self.sequence("AND", Self::term, CompositeRule::All)
    }

    fn sequence(
        &mut self,
        separator: &str,
        part: fn(&mut Self) -> Result<CompositeRule, RuleError>,
        join: fn(Vec<CompositeRule>) -> CompositeRule,
    ) -> Result<CompositeRule, RuleError> {
        let first = part(self)?;
        let mut rules = vec![first];
        while self.skip(separator) {
            rules.push(part(self)?);
        }
        Ok(match <[CompositeRule; 1]>::try_from(rules) {
            Ok([only]) => only,
            Err(rules) => join(rules),
        })
    }

    fn term(&mut self) -> Result<CompositeRule, RuleError> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(RuleError::TooDeep);
        }
        let term = match self.next() {
            Some(RuleToken::Open) => {
                let rule = self.any()?;
                self.expect(&RuleToken::Close, "`)`")?;
                rule
            }
            Some(token) if token.is_word("NOT") => CompositeRule::Not(Box::new(self.term()?)),
            Some(token) if token.is_word("TRUE") => CompositeRule::Constant(true),
            Some(token) if token.is_word("FALSE") => CompositeRule::Constant(false),
            Some(token) if token.is_word("AT_LEAST") => self.at_least()?,
            Some(RuleToken::Word { text, quoted: false }) if StateTest::from_word(text).is_some() => {
                let test = StateTest::from_word(text).unwrap_or(StateTest::Alarm);
                self.expect(&RuleToken::Open, "`(`")?;
                let alarm = self.alarm()?;
                self.expect(&RuleToken::Close, "`)`")?;
                CompositeRule::Is(Atom { alarm, test, negated: false })
            }
            token => return Err(unexpected(token, "a test of an alarm, NOT, TRUE, FALSE or `(`")),
        };
        self.depth -= 1;
        Ok(term)
    }

    /// The arguments of `AT_LEAST(2, NOT ALARM, (a, b))` and `AT_LEAST(50%, OK, (a, b))`.
    fn at_least(&mut self) -> Result<CompositeRule, RuleError> {
        self.expect(&RuleToken::Open, "`(`")?;
        let (count, is_share) = match self.next() {
            Some(RuleToken::Word { text, quoted: false }) => {
                let digits = text.strip_suffix('%').unwrap_or(text);
                let count = digits.parse::<usize>();
                (count.map_err(|_| not_a_count(text))?, digits.len() < text.len())
            }
            token => return Err(unexpected(token, "a number or a percentage")),
        };
        self.expect(&RuleToken::Comma, "`,`")?;
        let negated = self.skip("NOT");
        let test = match self.next() {
            Some(RuleToken::Word { text, quoted: false }) => StateTest::from_word(text),
            _ => None,
        };
        let test = test.ok_or(RuleError::Unexpected {
            found: "another word".to_owned(),
            expected: "ALARM, OK or INSUFFICIENT_DATA",
        })?;
        self.expect(&RuleToken::Comma, "`,`")?;
        self.expect(&RuleToken::Open, "`(`")?;
        let mut atoms = vec![Atom { alarm: self.alarm()?, test, negated }];
        while self.peek() == Some(&RuleToken::Comma) {
            self.at += 1;
            atoms.push(Atom { alarm: self.alarm()?, test, negated });
        }
        self.expect(&RuleToken::Close, "`)`")?;
        self.expect(&RuleToken::Close, "`)`")?;
        let needed = if is_share { count.saturating_mul(atoms.len()).div_ceil(100) } else { count };
        Ok(CompositeRule::AtLeast { needed, atoms })
    }

    fn alarm(&mut self) -> Result<AlarmName, RuleError> {
        match self.next() {
            Some(RuleToken::Word { text, .. }) => Ok(AlarmName::from_name_or_arn(text)?),
            None => Err(RuleError::Unbalanced),
            token => Err(unexpected(token, "the name of an alarm")),
        }
    }
}

fn not_a_count(text: &str) -> RuleError {
    RuleError::Unexpected { found: text.to_owned(), expected: "a number or a percentage" }
}

fn unexpected(token: Option<&RuleToken>, expected: &'static str) -> RuleError {
    let found = match token {
        None => "end of rule".to_owned(),
        Some(RuleToken::Open) => "(".to_owned(),
        Some(RuleToken::Close) => ")".to_owned(),
        Some(RuleToken::Comma) => ",".to_owned(),
        Some(RuleToken::Word { text, .. }) => text.clone(),
    };
    RuleError::Unexpected { found, expected }
}

fn tokens(rule: &str) -> Result<Vec<RuleToken>, RuleError> {
    let mut tokens = Vec::new();
    let mut characters = rule.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '(' => tokens.push(RuleToken::Open),
            ')' => tokens.push(RuleToken::Close),
            ',' => tokens.push(RuleToken::Comma),
            '"' | '\'' => {
                let mut text = String::new();
                loop {
                    match characters.next() {
                        Some((_, next)) if next == character => break,
                        Some((_, next)) => text.push(next),
                        None => return Err(RuleError::OpenQuote { at }),
                    }
                }
                tokens.push(RuleToken::Word { text, quoted: true });
            }
            blank if blank.is_whitespace() => {}
            first => {
                let mut text = String::from(first);
                while let Some((_, next)) = characters
                    .next_if(|(_, next)| !matches!(next, '(' | ')' | ',' | '"' | '\'') && !next.is_whitespace())
                {
                    text.push(next);
                }
                tokens.push(RuleToken::Word { text, quoted: false });
            }
        }
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests;
