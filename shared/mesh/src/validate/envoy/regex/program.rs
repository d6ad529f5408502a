//! A parser of regular expressions by RE2's grammar, which counts the steps of their programs.

use super::class::{self, perl_class};
use super::reader::RegexReader;

/// The maximum number of repetitions in RE2. The numbers of nested repetitions are multiplied.
const MOST_REPETITIONS: u32 = 1000;
/// The steps of every program: its start, its end, and the loop that lets the expression begin anywhere.
const FRAME: u32 = 5;

/// A part of an expression that can be repeated: its number of steps, and the highest product of repetitions within it.
#[derive(Debug, Clone, Copy)]
struct Piece {
    steps: u32,
    repeated: u32,
}

impl Piece {
    const EMPTY: Self = Self { steps: 1, repeated: 1 };

    const fn steps(steps: u32) -> Self {
        Self { steps, repeated: 1 }
    }

    fn and(self, other: Self) -> Self {
        Self { steps: self.steps.saturating_add(other.steps), repeated: self.repeated.max(other.repeated) }
    }
}

type Read<T> = Result<T, String>;

/// The minimum and the maximum number of repetitions; `None` means unlimited.
type Times = (u32, Option<u32>);

impl<'t> RegexReader<'t> {
    /// The number of steps in an expression's program, or slightly more, because RE2 simplifies programs.
    pub(super) fn size(expression: &'t str) -> Read<u32> {
        if expression.is_empty() {
            return Err("it is empty".to_owned());
        }
        let mut reader = Self { text: expression.as_bytes(), folds: false };
        let whole = reader.alternatives()?;
        match reader.text {
            [] => Ok(whole.steps.saturating_add(FRAME)),
            _ => Err("a closing bracket has no opening one".to_owned()),
        }
    }

    /// Reads alternatives, up to a closing bracket or the end.
    fn alternatives(&mut self) -> Read<Piece> {
        let mut all = self.sequence()?;
        while self.pass(b"|") {
            all = all.and(self.sequence()?).and(Piece::steps(1));
        }
        Ok(all)
    }

    fn sequence(&mut self) -> Read<Piece> {
        let mut before: Option<Piece> = None;
        let mut last: Option<Piece> = None;
        while let Some(byte) = self.peek() {
            if byte == b'|' || byte == b')' {
                break;
            }
            if self.pass(b"\\Q") {
                // Up to \E or the end, each byte is a literal. A repetition after them applies to the last one.
                for literal in self.quoted() {
                    before = sum(before, last);
                    last = Some(literal);
                }
                continue;
            }
            match self.repetition() {
                Some(range) => {
                    let piece = last.ok_or("a repetition has nothing to repeat")?;
                    last = Some(self.repeated(piece, range?)?);
                }
                None => {
                    if let Some(piece) = self.piece()? {
                        before = sum(before, last);
                        last = Some(piece);
                    }
                }
            }
        }
        Ok(sum(before, last).unwrap_or(Piece::EMPTY))
    }

    fn quoted(&mut self) -> Vec<Piece> {
        let end = self.text.windows(2).position(|two| two == b"\\E");
        let length = end.unwrap_or(self.text.len());
        let rest = end.map_or(length, |end| end + 2);
        self.text = self.text.get(rest..).unwrap_or_default();
        vec![Piece::steps(1); length]
    }

    /// Reads one part that can be repeated; `None` at the end, or if the part only sets flags.
    fn piece(&mut self) -> Read<Option<Piece>> {
        let piece = match self.next() {
            None => return Ok(None),
            Some(b'(') => return self.group(),
            Some(b'[') => Piece::steps(class::brackets(self)?),
            // All characters except the line end are two ranges.
            Some(b'.') => Piece::steps(2),
            Some(b'\\') => self.escaped()?,
            Some(_) => Piece::steps(1),
        };
        Ok(Some(piece))
    }

    fn group(&mut self) -> Read<Option<Piece>> {
        let captures = if self.pass(b"?P<") || self.pass(b"?<") {
            self.group_name()?;
            true
        } else if self.pass(b"?") {
            if !self.flags()? {
                return Ok(None);
            }
            false
        } else {
            true
        };
        let inner = self.alternatives()?;
        if !self.pass(b")") {
            return Err("an opening bracket is not closed".to_owned());
        }
        Ok(Some(if captures { inner.and(Piece::steps(3)) } else { inner }))
    }

    fn group_name(&mut self) -> Read<()> {
        let name = self.until(b'>').ok_or("the name of a group is not closed")?;
        let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        if name.is_empty() || !name.iter().all(in_name) {
            return Err(
                "look-behind, or a group name with other characters than letters, digits and `_`, is not supported"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Reads flags up to a colon or a closing bracket; returns whether a group follows.
    fn flags(&mut self) -> Read<bool> {
        let (mut negated, mut some) = (false, false);
        loop {
            match self.next() {
                Some(flag @ (b'i' | b'm' | b's' | b'U')) => {
                    some = true;
                    self.folds |= flag == b'i';
                }
                Some(b'-') if !negated => (negated, some) = (true, false),
                Some(end @ (b':' | b')')) if !negated || some => return Ok(end == b':'),
                _ => {
                    return Err(
                        "look-ahead, look-behind and other flags than i, m, s and U are not supported".to_owned()
                    );
                }
            }
        }
    }

    fn escaped(&mut self) -> Read<Piece> {
        let byte = self.peek().ok_or("it ends with a backslash")?;
        if let Some(steps) = perl_class(byte) {
            self.next();
            return Ok(Piece::steps(steps));
        }
        match byte {
            b'A' | b'z' | b'b' | b'B' | b'C' => {
                self.next();
                Ok(Piece::steps(1))
            }
            b'p' | b'P' => {
                self.next();
                class::property(self).map(Piece::steps)
            }
            _ => class::escaped_byte(self).map(|_| Piece::steps(1)),
        }
    }

    /// Reads the repetition of the previous part, if there is one here.
    fn repetition(&mut self) -> Option<Read<Times>> {
        let range = match self.peek()? {
            b'*' => (0, None),
            b'+' => (1, None),
            b'?' => (0, Some(1)),
            b'{' => {
                // Braces without numbers are literals.
                let (range, rest) = braces(self.text)?;
                self.text = rest;
                return Some(self.not_stacked(range));
            }
            _ => return None,
        };
        self.next();
        Some(self.not_stacked(range))
    }

    /// Skips the mark of a lazy repetition. A repetition directly after another one is an error.
    fn not_stacked(&mut self, range: Times) -> Read<Times> {
        self.pass(b"?");
        let stacked = match self.peek() {
            Some(b'*' | b'+' | b'?') => true,
            Some(b'{') => braces(self.text).is_some(),
            _ => false,
        };
        if stacked { Err("a repetition is repeated".to_owned()) } else { Ok(range) }
    }

    #[expect(clippy::unused_self, reason = "reads as a step of the walk")]
    fn repeated(&self, piece: Piece, (least, most): Times) -> Read<Piece> {
        let largest = most.unwrap_or(least);
        let repeated = piece.repeated.saturating_mul(largest.max(1));
        if largest < least || repeated > MOST_REPETITIONS {
            return Err(format!("a repetition is above {MOST_REPETITIONS}, or its end is below its start"));
        }
        // Each repetition is a copy, and each optional copy adds a step that can skip it.
        let copies = largest.max(1).max(least);
        let choices = most.map_or(2, |most| most - least);
        Ok(Piece { steps: piece.steps.saturating_mul(copies).saturating_add(choices), repeated })
    }
}

fn sum(one: Option<Piece>, other: Option<Piece>) -> Option<Piece> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.and(other)),
        (one, other) => one.or(other),
    }
}

/// Reads `{n}`, `{n,}` or `{n,m}`; returns the numbers and the text after the braces.
fn braces(text: &[u8]) -> Option<(Times, &[u8])> {
    let inner = text.strip_prefix(b"{")?;
    let end = inner.iter().position(|byte| *byte == b'}')?;
    let (numbers, rest) = inner.split_at_checked(end)?;
    let number = |digits: &[u8]| -> Option<u32> {
        let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        // A number that is too large to parse is too large in any case.
        all_digits.then(|| str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX))
    };
    let range = match numbers.iter().position(|byte| *byte == b',') {
        None => {
            let times = number(numbers)?;
            (times, Some(times))
        }
        Some(comma) => {
            let (least, most) = numbers.split_at_checked(comma)?;
            let most = most.get(1..)?;
            (number(least)?, if most.is_empty() { None } else { Some(number(most)?) })
        }
    };
    Some((range, rest.get(1..)?))
}
