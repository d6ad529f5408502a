//! Regular expressions, as Envoy accepts them. Envoy compiles an expression with RE2, over bytes, and refuses one with
//! a program that is too large. It refuses the whole route configuration for one expression.

mod class;
mod program;
mod reader;

use reader::RegexReader;

/// The largest accepted program of an expression, as Envoy counts it. The App Mesh images raise Envoy's own limit of
/// 100 to this value (`re2.max_program_size.error_level`). The bootstrap of any other Envoy must do the same.
pub const LARGEST_EXPRESSION: u32 = 1000;

/// Why Envoy refuses an expression; `None` for an expression that it accepts.
pub(super) fn fault(expression: &str) -> Option<String> {
    match RegexReader::size(expression) {
        Ok(size) if size > LARGEST_EXPRESSION => Some(format!(
            "it is too large: its program has about {size} steps, and Envoys are configured to accept {LARGEST_EXPRESSION}"
        )),
        Ok(_) => None,
        Err(why) => Some(why),
    }
}

#[cfg(test)]
mod tests {
    use super::fault;

    /// Each expression was verified with Envoy 1.40.
    #[test]
    fn expressions_that_envoy_accepts_are_accepted() {
        for good in [
            "a+b",
            "session=.+",
            "^/v[0-9]{1,3}/.*$",
            "(?i)abc",
            "(?is-U:a)",
            "\\d+\\_\\/\\-\\@",
            "(?P<n>a)(?<m>b)(?P<n>c)",
            "(?)a(?i-s)b",
            "[[:^alpha:]]\\p{^Lu}",
            "a*\\Q\\E*",
            "a(?i)*",
            "[a&&b]",
            "[[a]]",
            "[]a]",
            "[\\w-z]",
            "[z\\-a]",
            "[^]]",
            "[[:alpha:]_-]",
            "\\p{Greek}\\pL\\P{Lu}",
            "\\Qa.b\\E*",
            "\\Qa.b",
            "\\C\\z\\A\\b\\B",
            "\\0\\07\\x41\\x{41}\\v",
            "a{,5}",
            "a{",
            "a}",
            "/users/{id}",
            "]",
            "x{0}",
            "^*",
            "()|",
            "(?:a|b)*?",
            "(?:a{10}){10}",
            "caf\u{e9}",
        ] {
            assert_eq!(fault(good), None, "{good}");
        }
    }

    #[test]
    fn expressions_that_envoy_refuses_are_refused() {
        for bad in [
            "",
            "(?=a)",
            "(?<!a)b",
            "(?x)a b",
            "(?u)a",
            "(?-)a",
            "(?i-)a",
            "(?i-s-m)a",
            "(?i)*",
            "|*",
            "\\Q\\E*",
            "\\400",
            "[a-\\d]",
            "(?P=n)",
            "(?P<>a)",
            "(?P<a-b>a)",
            "(a)\\1",
            "\\8",
            "\\Z",
            "\\h",
            "\\e",
            "\\u{61}",
            "\\x{100}",
            "\\x{}",
            "\\x4",
            "\\",
            "\\\u{e9}",
            "a**",
            "a+*",
            "a{2}{3}",
            "*",
            "(*a)",
            "a|+",
            "{2}",
            "a{1001}",
            "a{2,1}",
            "(a{100}){100}",
            "(",
            ")",
            "(a",
            "a)",
            "[",
            "[]",
            "[z-a]",
            "[a--b]",
            "[[:nonsense:]]",
            "[a\\h]",
            "\\p{Alphabetic}",
            "\\p{",
            "\\p",
        ] {
            assert!(fault(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn too_large_expressions_are_refused() {
        for large in ["a{1000}", "(abc){300}", "[^a-z0-9]{1,300}", "(?:[a-z0-9]{1,30}\\.){20}"] {
            assert!(fault(large).is_some_and(|why| why.contains("too large")), "{large}");
        }
        for fine in ["a{900}", "(abc){100}", "[^a-z0-9]{1,200}", &"a".repeat(255)] {
            assert_eq!(fault(fine), None, "{fine}");
        }
    }
}
