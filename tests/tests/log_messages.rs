//! Each log message is a literal without inserted values, and is used in one place. A search for a line of the log
//! finds the code that wrote it. A filter or alarm on a message matches one cause.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The macros of `tracing` that write a message.
const MACROS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "event"];

/// The messages of all log calls in a file; `None` for a message that is built from values, and for a missing one.
fn messages(source: TokenStream) -> Vec<Option<String>> {
    let tokens: Vec<TokenTree> = source.into_iter().collect();
    let mut found = Vec::new();
    for window in tokens.windows(3) {
        let [TokenTree::Ident(name), TokenTree::Punct(mark), TokenTree::Group(arguments)] = window else { continue };
        if mark.as_char() == '!' && arguments.delimiter() != Delimiter::None && MACROS.iter().any(|known| name == known)
        {
            found.push(message(arguments.stream()));
        }
    }
    for token in tokens {
        if let TokenTree::Group(group) = token {
            found.extend(messages(group.stream()));
        }
    }
    found
}

/// The message among the arguments of a log call: the argument that is a string literal and nothing else.
fn message(arguments: TokenStream) -> Option<String> {
    let arguments: Vec<TokenTree> = arguments.into_iter().collect();
    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(mark) if mark.as_char() == ',');
    let text = arguments.split(is_comma).find_map(|argument| match argument {
        [TokenTree::Literal(literal)] => Some(literal.to_string()).filter(|text| text.ends_with(['"', '#'])),
        _ => None,
    })?;
    let inserts_values = text.replace("{{", "").contains('{');
    (!inserts_values).then_some(text)
}

/// The violations of each file: messages that are built from values, missing, or used in several places.
fn violations(sources: &[(String, String)]) -> BTreeMap<String, Vec<String>> {
    let mut calls = Vec::new();
    for (file, text) in sources {
        let tokens = text.parse().unwrap_or_else(|error| panic!("{file}: {error}"));
        calls.extend(messages(tokens).into_iter().map(|message| (file, message)));
    }
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    for message in calls.iter().filter_map(|(_, message)| message.as_deref()) {
        *uses.entry(message).or_default() += 1;
    }
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, message) in &calls {
        let violation = match message.as_deref() {
            None => "a message is missing or interpolated; put the values into fields".to_owned(),
            Some(text) if uses.get(text).is_some_and(|uses| *uses > 1) => format!("{text} is used in several places"),
            Some(_) => continue,
        };
        found.entry((*file).clone()).or_default().push(violation);
    }
    found
}

/// The Rust files below the `src` folders of the workspace, with paths relative to its root.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for folder in ["functions", "shared", "infra", "tests"] {
        collect(&root.join(folder), &mut files);
    }
    let mut all = Vec::new();
    for path in files {
        let relative = path.strip_prefix(root).unwrap();
        if relative.components().any(|part| part.as_os_str() == "src") {
            all.push((relative.to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    all.sort();
    all
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn log_messages_are_constant_and_unique() {
    let found = violations(&sources());
    let failures: Vec<String> =
        found.iter().map(|(file, violations)| format!("{file}:\n  {}", violations.join("\n  "))).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_form_of_log_call_is_found() {
    let source = r##"
        /// tracing::error!("in a comment {}");
        fn log(value: u8) {
            tracing::info!("plain");
            tracing::warn!(target: "t", %value, field = "a field", r#"raw"#);
            select! { _ = wait() => { debug!(?value, "nested, with {{braces}}") } }
            tracing::event!(Level::INFO, "of an event");
            let _ = info != (value);
            println!("{value}");
        }
    "##;
    let texts: Vec<_> = messages(source.parse().unwrap()).into_iter().map(Option::unwrap).collect();
    let expected = [r#""plain""#, r##"r#"raw"#"##, r#""of an event""#, r#""nested, with {{braces}}""#];
    assert_eq!(texts, expected);

    for built in
        [r#"error!("failed: {error}")"#, r#"error!("failed: {}", error)"#, "error!(text)", r#"error!(text = "t")"#]
    {
        assert_eq!(messages(built.parse().unwrap()), [None], "{built}");
    }
}

#[test]
fn shared_message_is_a_violation_in_both_places() {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let found = violations(&[
        file("a.rs", r#"fn a() { info!("same"); info!("own") }"#),
        file("b.rs", r#"fn b() { warn!(count, "same"); warn!("{count}") }"#),
    ]);
    let counts: Vec<_> = found.iter().map(|(file, violations)| (file.as_str(), violations.len())).collect();
    assert_eq!(counts, [("a.rs", 1), ("b.rs", 2)]);
}
