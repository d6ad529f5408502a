//! Which metrics an alarm's expression depends on, and on which side each of them breaches.
//!
//! One grammar covers metric math, PromQL and Metrics Insights as far as it matters here: names, label matchers,
//! arithmetic, comparisons and calls. The direction follows from the arithmetic: in `errors / requests > 5` the alarm
//! goes off when `errors` rises or `requests` falls.

use super::contributor::is_insights;
use lexer::{FormulaToken, tokens};

mod lexer;

/// The maximum nesting of an expression. CloudWatch's limits on the length would permit a depth that overflows the stack.
const MAX_NESTING: usize = 64;

/// The side on which a value breaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The value is too high.
    Above,
    /// The value is too low, or missing.
    Below,
    /// The value is outside a band, or the side is not known.
    Either,
}

impl Direction {
    /// The other side.
    #[must_use]
    pub fn flipped(self) -> Self {
        match self {
            Self::Above => Self::Below,
            Self::Below => Self::Above,
            Self::Either => Self::Either,
        }
    }
}

/// One use of a metric, or of another line, in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionOperand {
    /// The metric's name, or the id of a line of metric math; `METRICS()` stands for all metrics of the alarm.
    pub name: String,
    /// The label matchers of the selector.
    pub labels: Vec<LabelMatcher>,
    /// The side on which the metric makes the alarm breach.
    pub direction: Direction,
    /// Whether the metric is measured itself, not only subtracted or divided by.
    pub is_measured: bool,
}

/// A label matcher, as in `code=~"5.."`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMatcher {
    /// The label.
    pub label: String,
    /// The operator: `=`, `!=`, `=~` or `!~`.
    pub operator: String,
    /// The value or the pattern.
    pub value: String,
}

/// An expression that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Formula {
    /// The metrics that the value depends on, in the order of the text.
    pub uses: Vec<ExpressionOperand>,
    /// The labels that series are grouped by; absent when the expression does not aggregate.
    pub grouping: Option<Vec<String>>,
    /// The namespace of a Metrics Insights query.
    pub namespace: Option<String>,
    /// The function of a Metrics Insights query, as in `SUM`.
    pub function: Option<String>,
    /// The dimensions that the schema of a Metrics Insights query names, which are all dimensions of its metrics;
    /// absent if the query has no schema.
    pub schema: Option<Vec<String>>,
}

impl Formula {
    /// Parses an expression with a value that breaches on this side. `None` if this version cannot parse it.
    #[must_use]
    pub fn read(expression: &str, direction: Direction) -> Option<Self> {
        let tokens = tokens(expression)?;
        if is_insights(expression) {
            return insights(&tokens, direction);
        }
        let mut parser = FormulaParser { tokens: &tokens, at: 0, depth: 0 };
        let expression = parser.binary(0)?;
        if parser.at < tokens.len() {
            return None;
        }
        let mut formula = Self::default();
        formula.collect(&expression, direction, true);
        Some(formula)
    }

    fn collect(&mut self, expression: &Expression, direction: Direction, is_measured: bool) {
        match expression {
            Expression::Constant(_) => {}
            Expression::Metric { name, labels } => {
                self.uses.push(ExpressionOperand {
                    name: name.clone(),
                    labels: labels.clone(),
                    direction,
                    is_measured,
                });
            }
            Expression::Negated(inner) => self.collect(inner, direction.flipped(), is_measured),
            Expression::Call { name, arguments, grouping } => {
                if self.grouping.is_none() {
                    self.grouping.clone_from(grouping);
                }
                self.collect_call(&name.to_ascii_lowercase(), arguments, direction, is_measured);
            }
            Expression::Binary { operator, left, right } => match operator.as_str() {
                "-" | "/" => {
                    self.collect(left, direction, is_measured);
                    self.collect(right, direction.flipped(), false);
                }
                ">" | ">=" => {
                    self.collect(left, direction, is_measured);
                    self.collect(right, direction.flipped(), is_measured);
                }
                "<" | "<=" => {
                    self.collect(left, direction.flipped(), is_measured);
                    self.collect(right, direction, is_measured);
                }
                "==" if matches!(**right, Expression::Constant(Some(0.0))) => {
                    self.collect(left, direction.flipped(), is_measured);
                }
                "==" | "!=" => {
                    self.collect(left, Direction::Either, is_measured);
                    self.collect(right, Direction::Either, is_measured);
                }
                // An excluded series does not make the alarm breach.
                "unless" | "%" | "^" => self.collect(left, direction, is_measured),
                _ => {
                    self.collect(left, direction, is_measured);
                    self.collect(right, direction, is_measured);
                }
            },
        }
    }

    fn collect_call(&mut self, name: &str, arguments: &[Expression], direction: Direction, is_measured: bool) {
        if name == "if" && !arguments.iter().skip(1).any(Expression::has_metric) {
            return self.collect_condition(arguments, direction, is_measured);
        }
        let relevant: &[Expression] = match name {
            "metrics" => {
                let name = "METRICS()".to_owned();
                self.uses.push(ExpressionOperand { name, labels: Vec::new(), direction, is_measured });
                &[]
            }
            // A band is computed from the past of a metric that is a separate line of the alarm.
            "anomaly_detection_band" => &[],
            // The condition only chooses between values that are measured.
            "if" => arguments.get(1..).unwrap_or_default(),
            // The second argument replaces missing values.
            "fill" => arguments.get(..1).unwrap_or_default(),
            _ => arguments,
        };
        let direction = match name {
            "absent" | "absent_over_time" => direction.flipped(),
            _ => direction,
        };
        for argument in relevant {
            self.collect(argument, direction, is_measured);
        }
    }
}

impl Formula {
    /// `IF(m1 > 5, 1, 0)`: the values are constants, so the condition is measured.
    fn collect_condition(&mut self, arguments: &[Expression], direction: Direction, is_measured: bool) {
        let Some(condition) = arguments.first() else { return };
        let value = |at: usize| arguments.get(at).and_then(Expression::constant);
        let direction = match (value(1), value(2)) {
            (Some(met), Some(unmet)) if met > unmet => direction,
            (Some(met), Some(unmet)) if met < unmet => direction.flipped(),
            // Without a second value there is data only while the condition holds.
            (Some(_), None) if arguments.len() == 2 => direction,
            _ => Direction::Either,
        };
        self.collect(condition, direction, is_measured);
    }
}

impl Expression {
    fn has_metric(&self) -> bool {
        match self {
            Self::Constant(_) => false,
            Self::Metric { .. } => true,
            Self::Call { name, arguments, .. } => {
                name.eq_ignore_ascii_case("METRICS") || arguments.iter().any(Self::has_metric)
            }
            Self::Negated(inner) => inner.has_metric(),
            Self::Binary { left, right, .. } => left.has_metric() || right.has_metric(),
        }
    }

    fn constant(&self) -> Option<f64> {
        match self {
            Self::Constant(value) => *value,
            Self::Negated(inner) => inner.constant().map(|value| -value),
            Self::Metric { .. } | Self::Call { .. } | Self::Binary { .. } => None,
        }
    }
}

#[derive(Debug)]
enum Expression {
    /// A number, or a text without a value.
    Constant(Option<f64>),
    Metric {
        name: String,
        labels: Vec<LabelMatcher>,
    },
    Call {
        name: String,
        arguments: Vec<Expression>,
        grouping: Option<Vec<String>>,
    },
    Negated(Box<Expression>),
    Binary {
        operator: String,
        left: Box<Expression>,
        right: Box<Expression>,
    },
}

/// The operators of each level, the loosest first.
const LEVELS: [&[&str]; 6] = [
    &["or", "||"],
    &["and", "unless", "&&"],
    &["==", "!=", ">", ">=", "<", "<="],
    &["+", "-"],
    &["*", "/", "%"],
    &["^"],
];

struct FormulaParser<'a> {
    tokens: &'a [FormulaToken],
    at: usize,
    depth: usize,
}

impl<'a> FormulaParser<'a> {
    fn peek(&self) -> Option<&'a FormulaToken> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<&'a FormulaToken> {
        let token = self.peek();
        self.at += usize::from(token.is_some());
        token
    }

    fn skip(&mut self, symbol: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.is_symbol(symbol));
        self.at += usize::from(found);
        found
    }

    fn skip_word(&mut self, words: &[&str]) -> bool {
        let found = self.peek().is_some_and(|token| words.iter().any(|word| token.is_word(word)));
        self.at += usize::from(found);
        found
    }

    fn binary(&mut self, level: usize) -> Option<Expression> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = self.peek().and_then(|token| token.operator_of(operators)) {
            self.at += 1;
            self.skip_matching()?;
            let right = self.binary(level + 1)?;
            left = Expression::Binary { operator, left: Box::new(left), right: Box::new(right) };
        }
        Some(left)
    }

    /// `bool`, `on (...)`, `ignoring (...)`, `group_left (...)` after an operator.
    fn skip_matching(&mut self) -> Option<()> {
        self.skip_word(&["bool"]);
        while self.skip_word(&["on", "ignoring", "group_left", "group_right"]) {
            if self.skip("(") {
                self.names(")")?;
            }
        }
        Some(())
    }

    fn unary(&mut self) -> Option<Expression> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return None;
        }
        let expression = if self.skip("-") || self.skip("!") || self.skip_word(&["not"]) {
            Expression::Negated(Box::new(self.unary()?))
        } else if self.skip("+") {
            self.unary()?
        } else {
            self.primary()?
        };
        self.depth -= 1;
        Some(expression)
    }

    fn primary(&mut self) -> Option<Expression> {
        let expression = match self.next()? {
            FormulaToken::Number(value) => Expression::Constant(*value),
            FormulaToken::Text(_) => Expression::Constant(None),
            FormulaToken::Symbol(symbol) if symbol == "(" => {
                let inner = self.binary(0)?;
                self.skip(")").then_some(inner)?
            }
            FormulaToken::Symbol(symbol) if symbol == "[" => {
                // A list of lines, as in `SUM([m1, m2])`.
                let arguments = self.arguments("]")?;
                Expression::Call { name: "list".to_owned(), arguments, grouping: None }
            }
            FormulaToken::Symbol(symbol) if symbol == "{" => self.selector(None)?,
            FormulaToken::Symbol(_) => return None,
            FormulaToken::Word(name) => self.word(name)?,
        };
        self.skip_modifiers()?;
        Some(expression)
    }

    fn word(&mut self, name: &str) -> Option<Expression> {
        let mut grouping = self.grouping()?;
        if self.skip("(") {
            let arguments = self.arguments(")")?;
            grouping.extend(self.grouping()?);
            let grouping = grouping.into_iter().next();
            return Some(Expression::Call { name: name.to_owned(), arguments, grouping });
        }
        if self.skip("{") {
            return self.selector(Some(name));
        }
        Some(Expression::Metric { name: name.to_owned(), labels: Vec::new() })
    }

    /// The labels of `by (a, b)`, if it stands here; `without (...)` keeps labels that are not known here.
    fn grouping(&mut self) -> Option<Vec<Vec<String>>> {
        if self.skip_word(&["by"]) {
            self.skip("(").then_some(())?;
            return Some(vec![self.names(")")?]);
        }
        if self.skip_word(&["without"]) {
            self.skip("(").then_some(())?;
            self.names(")")?;
        }
        Some(Vec::new())
    }

    fn names(&mut self, end: &str) -> Option<Vec<String>> {
        let mut names = Vec::new();
        loop {
            match self.next()? {
                FormulaToken::Symbol(symbol) if symbol == end => return Some(names),
                FormulaToken::Symbol(symbol) if symbol == "," => {}
                FormulaToken::Word(name) | FormulaToken::Text(name) => names.push(name.clone()),
                FormulaToken::Symbol(_) | FormulaToken::Number(_) => return None,
            }
        }
    }

    fn arguments(&mut self, end: &str) -> Option<Vec<Expression>> {
        let mut arguments = Vec::new();
        if self.skip(end) {
            return Some(arguments);
        }
        loop {
            arguments.push(self.binary(0)?);
            if self.skip(end) {
                return Some(arguments);
            }
            self.skip(",").then_some(())?;
        }
    }

    /// The matchers after `{`. A name with dots stands among them: `{"http.server.request.duration", code="500"}`.
    fn selector(&mut self, name: Option<&str>) -> Option<Expression> {
        let mut name = name.map(str::to_owned);
        let mut labels = Vec::new();
        loop {
            let (FormulaToken::Word(label) | FormulaToken::Text(label)) = (match self.next()? {
                FormulaToken::Symbol(symbol) if symbol == "}" => break,
                FormulaToken::Symbol(symbol) if symbol == "," => continue,
                token => token,
            }) else {
                return None;
            };
            let operator = self.peek().and_then(|token| token.operator_of(&["=", "!=", "=~", "!~"]));
            let Some(operator) = operator else {
                name = Some(label.clone());
                continue;
            };
            self.at += 1;
            let FormulaToken::Text(value) = self.next()? else { return None };
            if label == "__name__" && operator == "=" {
                name = Some(value.clone());
            } else {
                labels.push(LabelMatcher { label: label.clone(), operator, value: value.clone() });
            }
        }
        Some(Expression::Metric { name: name?, labels })
    }

    /// A range, an offset and a time after a selector.
    fn skip_modifiers(&mut self) -> Option<()> {
        loop {
            if self.skip("[") {
                while !self.next()?.is_symbol("]") {}
            } else if self.skip_word(&["offset"]) {
                self.skip("-");
                self.next()?;
            } else if self.skip("@") {
                self.next()?;
            } else {
                return Some(());
            }
        }
    }
}

/// `SELECT AVG(metric) FROM SCHEMA(namespace, d1, d2) WHERE d1 = 'x' GROUP BY d2`.
fn insights(tokens: &[FormulaToken], direction: Direction) -> Option<Formula> {
    let mut parser = FormulaParser { tokens, at: 1, depth: 0 };
    let text = |token: &FormulaToken| match token {
        FormulaToken::Word(text) | FormulaToken::Text(text) => Some(text.clone()),
        FormulaToken::Symbol(_) | FormulaToken::Number(_) => None,
    };
    let function = text(parser.next()?);
    parser.skip("(").then_some(())?;
    let name = text(parser.next()?)?;
    parser.skip(")").then_some(())?;
    parser.skip_word(&["from"]).then_some(())?;
    let mut schema = None;
    let namespace = if parser.skip_word(&["schema"]) {
        parser.skip("(").then_some(())?;
        let mut names = parser.names(")")?.into_iter();
        let namespace = names.next();
        schema = Some(names.collect());
        namespace
    } else {
        text(parser.next()?)
    };
    let mut labels = Vec::new();
    let mut grouping = None;
    if parser.skip_word(&["where"]) {
        loop {
            let label = text(parser.next()?)?;
            let operator = parser.peek().and_then(|token| token.operator_of(&["=", "!="]))?;
            parser.at += 1;
            labels.push(LabelMatcher { label, operator, value: text(parser.next()?)? });
            if !parser.skip_word(&["and"]) {
                break;
            }
        }
    }
    if parser.skip_word(&["group"]) {
        parser.skip_word(&["by"]).then_some(())?;
        let mut names = vec![text(parser.next()?)?];
        while parser.skip(",") {
            names.push(text(parser.next()?)?);
        }
        grouping = Some(names);
    }
    let uses = vec![ExpressionOperand { name, labels, direction, is_measured: true }];
    Some(Formula { uses, grouping, namespace, function, schema })
}

#[cfg(test)]
mod tests;
