//! Alarm facts: what CloudWatch says of an alarm, in words of our own that keep "unknown" apart from "fine".

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of an alarm, unique in its account and region: 1 to 255 characters
/// (`PutMetricAlarm`, `AlarmName`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("minLength" = 1, "maxLength" = 255))]
pub struct AlarmName(String);

impl AlarmName {
    /// Reads a name; refuses an empty one and one of over 255 characters.
    pub fn parse(name: &str) -> Result<Self, AlarmNameError> {
        match name.chars().count() {
            0 => Err(AlarmNameError::Empty),
            1..=255 => Ok(Self(name.to_owned())),
            length => Err(AlarmNameError::TooLong { length }),
        }
    }

    /// The name as CloudWatch spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for AlarmName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for AlarmName {
    type Error = AlarmNameError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::parse(&name)
    }
}

impl From<AlarmName> for String {
    fn from(name: AlarmName) -> Self {
        name.0
    }
}

/// Why a text is not an alarm's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlarmNameError {
    /// Nothing there.
    #[error("an alarm's name is empty; give 1 to 255 characters")]
    Empty,
    /// Over the limit.
    #[error("an alarm's name has {length} characters; CloudWatch allows 255")]
    TooLong {
        /// How many characters it has.
        length: usize,
    },
}

/// What CloudWatch says of an alarm. `Ok` is a state, not a proof of health: an alarm that treats
/// missing data as not breaching is `Ok` on a node that gets no requests at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AlarmState {
    /// The condition does not hold.
    Ok,
    /// The condition holds.
    Alarm,
    /// CloudWatch has too little data to tell.
    InsufficientData,
    /// A value this version does not know; treated like missing data.
    #[serde(untagged)]
    Unrecognised(String),
}

/// One alarm as it was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alarm {
    /// Its name.
    pub name: AlarmName,
    /// Its ARN.
    pub arn: String,
    /// Its state.
    pub state: AlarmState,
    /// When it went into this state; absent when CloudWatch did not say.
    pub since: Option<Timestamp>,
    /// Whether somebody has switched its actions off. Such an alarm never triggers anything here.
    pub actions_enabled: bool,
    /// Why a composite alarm's actions are suppressed just now, if they are.
    pub suppressed: Option<String>,
    /// What it watches.
    pub source: AlarmSource,
}

/// What an alarm watches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AlarmSource {
    /// One metric, metric math, or an anomaly band.
    Metric(Vec<MetricQuery>),
    /// Other alarms, by the text of its rule.
    Composite(String),
    /// Something that could not be read; it never counts as healthy.
    Unreadable(String),
}

/// One line of an alarm's metric queries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricQuery {
    /// Its id within the alarm; `m1` for an alarm on a single metric.
    pub id: String,
    /// The metric or the expression.
    pub term: MetricTerm,
    /// Whether the alarm looks at this line's result.
    pub returns_data: bool,
}

/// A metric or an expression over others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MetricTerm {
    /// A metric with its statistic.
    #[serde(rename_all = "camelCase")]
    Stat {
        /// Namespace, as in `AppMesh`.
        namespace: String,
        /// Metric name.
        metric: String,
        /// Dimensions by name.
        dimensions: BTreeMap<String, String>,
        /// Period in seconds.
        period: u32,
        /// Statistic, as in `Sum` or `p99`.
        stat: String,
        /// Unit filter, if there is one.
        unit: Option<String>,
    },
    /// Metric math.
    #[serde(rename_all = "camelCase")]
    Expression {
        /// The expression.
        expression: String,
        /// Period in seconds, if it has its own.
        period: Option<u32>,
    },
}

impl Alarm {
    /// Every set of dimensions that the alarm's metrics carry.
    pub fn dimensions(&self) -> impl Iterator<Item = &BTreeMap<String, String>> {
        let queries = match &self.source {
            AlarmSource::Metric(queries) => queries.as_slice(),
            AlarmSource::Composite(_) | AlarmSource::Unreadable(_) => &[],
        };
        queries.iter().filter_map(|query| match &query.term {
            MetricTerm::Stat { dimensions, .. } => Some(dimensions),
            MetricTerm::Expression { .. } => None,
        })
    }

    /// Whether it may set anything off: in `ALARM`, its actions neither switched off nor suppressed.
    #[must_use]
    pub fn calls_for_action(&self) -> bool {
        self.state == AlarmState::Alarm && self.actions_enabled && self.suppressed.is_none()
    }
}

/// The names of the alarms that a composite alarm's rule refers to, in the order of the text, each once.
///
/// Reads `ALARM("name")`, `OK(name)`, `INSUFFICIENT_DATA(arn)` and the lists of `AT_LEAST(2, ALARM, (a, b))`
/// within `AND`, `OR`, `NOT`, `TRUE`, `FALSE`; an ARN gives the name that follows `:alarm:`.
pub fn rule_children(rule: &str) -> Result<Vec<AlarmName>, RuleError> {
    let mut children = Vec::new();
    let mut tokens = tokens(rule)?.into_iter().peekable();
    let mut lists = Vec::new();
    let mut depth = 0_usize;
    let mut expects_names = false;
    while let Some(token) = tokens.next() {
        match token {
            Token::Open => {
                depth += 1;
                if expects_names {
                    lists.push(depth);
                    expects_names = false;
                }
            }
            Token::Close => {
                if lists.last() == Some(&depth) {
                    lists.pop();
                }
                depth = depth.checked_sub(1).ok_or(RuleError::Unbalanced)?;
            }
            Token::Comma => {}
            Token::Word { text, quoted } => {
                let calls = !quoted && tokens.peek() == Some(&Token::Open);
                if calls && matches!(text.as_str(), "ALARM" | "OK" | "INSUFFICIENT_DATA" | "AT_LEAST") {
                    expects_names = true;
                } else if !lists.is_empty() {
                    push_child(&mut children, &text, quoted)?;
                }
            }
        }
    }
    if depth == 0 { Ok(children) } else { Err(RuleError::Unbalanced) }
}

/// Why a composite alarm's rule could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Brackets do not pair.
    #[error("its brackets do not pair")]
    Unbalanced,
    /// A quotation mark has no partner.
    #[error("a quotation mark at character {at} is never closed")]
    OpenQuote {
        /// Where it stands, counted from 0.
        at: usize,
    },
    /// Something stands where an alarm's name should.
    #[error("it names an alarm that can't be one")]
    Name(#[from] AlarmNameError),
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    Comma,
    Word { text: String, quoted: bool },
}

fn tokens(rule: &str) -> Result<Vec<Token>, RuleError> {
    let mut tokens = Vec::new();
    let mut characters = rule.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '(' => tokens.push(Token::Open),
            ')' => tokens.push(Token::Close),
            ',' => tokens.push(Token::Comma),
            '"' | '\'' => {
                let mut text = String::new();
                loop {
                    match characters.next() {
                        Some((_, next)) if next == character => break,
                        Some((_, next)) => text.push(next),
                        None => return Err(RuleError::OpenQuote { at }),
                    }
                }
                tokens.push(Token::Word { text, quoted: true });
            }
            blank if blank.is_whitespace() => {}
            first => {
                let mut text = String::from(first);
                while let Some((_, next)) = characters
                    .next_if(|(_, next)| !matches!(next, '(' | ')' | ',' | '"' | '\'') && !next.is_whitespace())
                {
                    text.push(next);
                }
                tokens.push(Token::Word { text, quoted: false });
            }
        }
    }
    Ok(tokens)
}

fn push_child(children: &mut Vec<AlarmName>, text: &str, quoted: bool) -> Result<(), RuleError> {
    // AT_LEAST's count ("2", "50%") and its state word stand beside the list, unquoted.
    let is_argument = !quoted
        && (matches!(text, "ALARM" | "OK" | "INSUFFICIENT_DATA" | "NOT")
            || text.trim_end_matches('%').chars().all(|digit| digit.is_ascii_digit()));
    if is_argument {
        return Ok(());
    }
    let name = AlarmName::parse(text.split_once(":alarm:").map_or(text, |(_, name)| name))?;
    if !children.contains(&name) {
        children.push(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_of_a_composite_rule() {
        for (rule, expected) in [
            ("ALARM(recs-5xx)", vec!["recs-5xx"]),
            ("ALARM(\"recs 5xx\") OR ALARM('cart-5xx')", vec!["recs 5xx", "cart-5xx"]),
            ("(ALARM(a) AND NOT OK(b)) OR INSUFFICIENT_DATA(a)", vec!["a", "b"]),
            ("ALARM(arn:aws:cloudwatch:us-east-1:123456789012:alarm:recs-5xx)", vec!["recs-5xx"]),
            ("AT_LEAST(2, ALARM, (a, b, \"c\"))", vec!["a", "b", "c"]),
            ("AT_LEAST(50%, NOT ALARM, (a, \"2\"))", vec!["a", "2"]),
            ("TRUE AND NOT FALSE", vec![]),
        ] {
            let names: Vec<_> = rule_children(rule).unwrap().iter().map(ToString::to_string).collect();
            assert_eq!(names, expected, "{rule}");
        }
    }

    #[test]
    fn broken_rules_are_refused() {
        assert_eq!(rule_children("ALARM(a"), Err(RuleError::Unbalanced));
        assert_eq!(rule_children("ALARM(a))"), Err(RuleError::Unbalanced));
        assert_eq!(rule_children("ALARM(\"a)"), Err(RuleError::OpenQuote { at: 6 }));
        assert_eq!(rule_children("ALARM(\"\")"), Err(RuleError::Name(AlarmNameError::Empty)));
    }

    #[test]
    fn an_unknown_state_is_kept() {
        let state: AlarmState = serde_json::from_str("\"PAUSED\"").unwrap();
        assert_eq!(state, AlarmState::Unrecognised("PAUSED".to_owned()));
        assert_eq!(serde_json::to_string(&state).unwrap(), "\"PAUSED\"");
    }
}
