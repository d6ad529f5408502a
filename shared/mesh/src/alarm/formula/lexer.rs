//! The words, numbers and symbols of an expression.

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum FormulaToken {
    /// A name, a keyword or a function.
    Word(String),
    /// A quoted text.
    Text(String),
    /// A number; without a value when it is a duration, as in `5m`.
    Number(Option<f64>),
    /// An operator or a bracket.
    Symbol(String),
}

impl FormulaToken {
    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self, Self::Symbol(text) if text == symbol)
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(text) if text.eq_ignore_ascii_case(word))
    }

    /// The operator, in lower case, if this is one of them.
    pub(super) fn operator_of(&self, operators: &[&str]) -> Option<String> {
        let text = match self {
            Self::Word(text) | Self::Symbol(text) => text.to_ascii_lowercase(),
            Self::Text(_) | Self::Number(_) => return None,
        };
        operators.contains(&text.as_str()).then_some(text)
    }
}

/// Splits an expression; `None` when a quotation mark has no partner.
pub(super) fn tokens(expression: &str) -> Option<Vec<FormulaToken>> {
    let mut tokens = Vec::new();
    let mut characters = expression.chars().peekable();
    while let Some(first) = characters.next() {
        match first {
            blank if blank.is_whitespace() => {}
            '"' | '\'' | '`' => {
                let mut text = String::new();
                loop {
                    match characters.next()? {
                        end if end == first => break,
                        '\\' if first != '`' => text.extend(characters.next()),
                        other => text.push(other),
                    }
                }
                tokens.push(FormulaToken::Text(text));
            }
            digit if digit.is_ascii_digit() || digit == '.' => {
                let mut text = String::from(digit);
                while let Some(next) = characters.next_if(|next| next.is_ascii_alphanumeric() || *next == '.') {
                    text.push(next);
                    // An exponent has a separate sign: `1e-3`.
                    if matches!(next, 'e' | 'E') {
                        text.extend(characters.next_if(|sign| matches!(sign, '-' | '+')));
                    }
                }
                tokens.push(FormulaToken::Number(text.parse().ok()));
            }
            letter if letter.is_alphabetic() || matches!(letter, '_' | ':') => {
                let mut text = String::from(letter);
                let is_part = |next: &char| next.is_alphanumeric() || matches!(next, '_' | ':' | '.');
                while let Some(next) = characters.next_if(is_part) {
                    text.push(next);
                }
                tokens.push(FormulaToken::Word(text));
            }
            symbol => {
                let mut text = String::from(symbol);
                if let Some(next) = characters.peek().copied() {
                    let pair = [symbol, next].iter().collect::<String>();
                    if matches!(pair.as_str(), ">=" | "<=" | "==" | "!=" | "=~" | "!~" | "&&" | "||") {
                        characters.next();
                        text = pair;
                    }
                }
                tokens.push(FormulaToken::Symbol(text));
            }
        }
    }
    Some(tokens)
}
