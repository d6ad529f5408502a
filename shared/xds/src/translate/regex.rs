//! Regular expressions, as RE2 takes them.

use regex_syntax::ast::parse::ParserBuilder;

/// The longest repetition that RE2 takes.
const MOST_REPETITIONS: u32 = 1000;

/// What RE2 would not take in an expression, if anything. Its syntax is that of the parser here, which has no
/// look-around and no back-references either; what only one of the two takes is refused, since a refusal by Envoy costs
/// a whole listener.
pub(super) fn fault(expression: &str) -> Option<String> {
    if let Err(error) = ParserBuilder::new().build().parse(expression) {
        return Some(format!("{}", error.kind()));
    }
    if largest_repetition(expression) > MOST_REPETITIONS {
        return Some(format!("it repeats something more than {MOST_REPETITIONS} times"));
    }
    None
}

/// The largest number in braces.
fn largest_repetition(expression: &str) -> u32 {
    let braces = expression.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    braces.flat_map(|numbers| numbers.split(',')).filter_map(|number| number.trim().parse().ok()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::fault;

    #[test]
    fn expressions_are_judged() {
        for good in ["", "a+b", "session=.+", "^/v[0-9]{1,3}/.*$", "(?i)abc", "\\d+"] {
            assert_eq!(fault(good), None, "{good}");
        }
        for bad in ["(?=a)", "(?<!a)b", "(a)\\1", "a{2000}", "(", "[z-a]"] {
            assert!(fault(bad).is_some(), "{bad}");
        }
    }
}
