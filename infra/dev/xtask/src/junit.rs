//! The results of a test run, from the `JUnit` file that nextest writes.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use stack::console::say;
use stack::failure::{Failure, Result};

/// The number of output lines that are shown for a failing test: a screenful for three of them.
const SHOWN_LINES: usize = 12;

/// The number of failing tests with shown output. Only the names of the others are shown.
const SHOWN_TESTS: usize = 3;

/// The length limit of a shown line. One assertion can print a whole document as one line.
const SHOWN_WIDTH: usize = 160;

/// Tests by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TestCounts {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
}

/// A test that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FailedTest {
    /// The binary and the name.
    name: String,
    /// The whole output.
    output: String,
}

impl TestCounts {
    /// Reads the attributes of the outermost element.
    pub(crate) fn from_junit(xml: &str) -> Option<Self> {
        let (_, rest) = xml.split_once("<testsuites ")?;
        let (attributes, _) = rest.split_once('>')?;
        let number = |name: &str| -> Option<u32> { attribute(attributes, name)?.parse().ok() };
        let failed = number("failures")? + number("errors")?;
        Some(Self { passed: number("tests")?.checked_sub(failed)?, failed })
    }
}

/// Writes the output of each failing test to a file of `folder`, and prints its beginning.
pub(crate) fn report_failures(xml: &str, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(Failure::file("empty", folder))?;
    }
    let failed = failed_tests(xml);
    if failed.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(Failure::file("create", folder))?;
    for (number, test) in failed.iter().enumerate() {
        let path = folder.join(file_name(&test.name));
        fs::write(&path, &test.output).map_err(Failure::file("write", &path))?;
        say(summary(test, &path, number < SHOWN_TESTS));
    }
    Ok(())
}

fn file_name(test: &str) -> PathBuf {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    PathBuf::from(format!("{}.log", test.chars().map(plain).collect::<String>()))
}

/// A failing test in a few lines, with the path of its output.
fn summary(test: &FailedTest, path: &Path, with_output: bool) -> String {
    let mut shown = format!("\nFAILED {}\n  full output: {}", test.name, path.display());
    if !with_output {
        return shown;
    }
    // The panic is more important than earlier output.
    let lines: Vec<&str> = test.output.lines().collect();
    let panic = lines.iter().position(|line| line.contains(" panicked at ")).unwrap_or_default();
    for line in lines.iter().skip(panic).take(SHOWN_LINES) {
        shown.push_str("\n    ");
        shown.extend(line.chars().take(SHOWN_WIDTH));
    }
    let left = lines.len().saturating_sub(panic + SHOWN_LINES);
    if left > 0 {
        write!(shown, "\n    ... and {left} lines more").ok();
    }
    shown
}

fn failed_tests(xml: &str) -> Vec<FailedTest> {
    let cases = xml.split("<testcase ").skip(1);
    cases
        .filter_map(|case| {
            let (attributes, rest) = case.split_once('>')?;
            let body = rest.split("</testcase>").next().unwrap_or(rest);
            let failed = body.contains("<failure") || body.contains("<error");
            if attributes.ends_with('/') || !failed {
                return None;
            }
            let name = unescaped(attribute(attributes, "name")?);
            let binary = unescaped(attribute(attributes, "classname").unwrap_or_default());
            let parts = ["system-out", "system-err"].map(|part| element(body, part).unwrap_or_default());
            Some(FailedTest { name: format!("{binary} {name}"), output: parts.concat() })
        })
        .collect()
}

fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    // `classname` ends like `name`.
    let (_, rest) = attributes
        .split_once(&format!(" {name}=\""))
        .or_else(|| attributes.strip_prefix(&format!("{name}=\"")).map(|rest| ("", rest)))?;
    rest.split('"').next()
}

/// The text of the first element with a name.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(unescaped(text))
}

/// A text without XML escapes; of `CDATA` sections, their contents.
fn unescaped(text: &str) -> String {
    let text = text.replace("<![CDATA[", "").replace("]]>", "");
    let named = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#10;", "\n"), ("&#13;", "\r")];
    // Escaped ampersands are replaced last, since they may precede text that looks like another escape.
    named.iter().chain(&[("&amp;", "&")]).fold(text, |text, (escape, letter)| text.replace(escape, letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = r#"<?xml version="1.0"?><testsuites name="run" tests="3" failures="1" errors="0" uuid="x">
        <testsuite name="mesh::pure"><testcase name="good" classname="mesh::pure" timestamp="t" time="0.1"/>
        <testcase name="bad::one" classname="mesh::pure" timestamp="t" time="0.1">
            <failure message="m" type="test failure">x</failure>
            <system-out>noise
running 1 test
</system-out><system-err>
thread 'bad::one' panicked at a.rs:1:
left &lt;b&gt; &amp;amp; &quot;c&quot;
</system-err></testcase>
        <testcase name="fine" classname="mesh::pure" time="0.1"><system-out>error</system-out></testcase>
        </testsuite></testsuites>"#;

    #[test]
    fn run_is_counted() {
        assert_eq!(TestCounts::from_junit(RUN), Some(TestCounts { passed: 2, failed: 1 }));
        assert_eq!(TestCounts::from_junit("<html>"), None);
    }

    #[test]
    fn failing_test_is_found_with_its_output() {
        let failed = failed_tests(RUN);
        let [one] = failed.as_slice() else { panic!("{failed:?}") };
        assert_eq!(one.name, "mesh::pure bad::one");
        assert!(one.output.contains("left <b> &amp; \"c\"") && one.output.contains("running 1 test"), "{one:?}");
    }

    #[test]
    fn a_summary_is_short_for_any_output() {
        let noise = "log line\n".repeat(1000);
        let long = "x".repeat(100_000);
        let test = FailedTest {
            name: "a b".to_owned(),
            output: format!("{noise}thread 'b' panicked at b.rs:1:\n{long}\n{}", "more\n".repeat(112_000)),
        };
        let shown = summary(&test, Path::new("/logs/a_b.log"), true);
        assert!(
            shown.contains("panicked at") && shown.contains("/logs/a_b.log") && shown.contains("lines more"),
            "{shown}"
        );
        assert!(shown.lines().count() <= SHOWN_LINES + 5 && shown.len() < 3000, "{shown}");
        assert!(summary(&test, Path::new("/logs/a_b.log"), false).lines().count() <= 3);
        assert_eq!(file_name("a::b c/../d"), PathBuf::from("a__b_c____d.log"));
    }
}
