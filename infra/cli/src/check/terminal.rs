//! The properties of the output terminal: its width, and its support of colours.

use std::env;
use std::io::{self, IsTerminal as _};

use clap::ColorChoice;
use rules::pack::Severity;

/// The layout of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The width at which text is wrapped. `None` keeps each finding on one line for other programs.
    pub(crate) width: Option<u16>,
    /// Whether severities are coloured.
    pub(crate) color: bool,
    /// Whether every finding is shown, without folding.
    pub(crate) all: bool,
    /// Whether remarks and undecided findings are shown.
    pub(crate) remarks: bool,
}

/// The environment that determines colours and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Surface {
    /// Whether the output goes to a terminal.
    pub(crate) is_terminal: bool,
    /// `NO_COLOR` is set and not empty, or `TERM` is `dumb`.
    pub(crate) is_plain: bool,
    /// `CLICOLOR_FORCE` is set, and neither empty nor 0.
    pub(crate) force_color: bool,
}

impl Surface {
    /// Reads the properties of the standard output, or of an output file.
    pub(crate) fn read(to_file: bool) -> Self {
        let value = |name| env::var_os(name).unwrap_or_default();
        Self {
            is_terminal: !to_file && io::stdout().is_terminal(),
            is_plain: !value("NO_COLOR").is_empty() || value("TERM") == "dumb",
            force_color: !value("CLICOLOR_FORCE").is_empty() && value("CLICOLOR_FORCE") != "0",
        }
    }

    /// Whether to use colours. The option overrides `NO_COLOR` and `TERM`, and these override `CLICOLOR_FORCE`.
    pub(crate) const fn colors(self, choice: ColorChoice) -> bool {
        match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => !self.is_plain && (self.force_color || self.is_terminal),
        }
    }

    /// The width of the terminal in columns; `None` for a file or a pipe.
    pub(crate) fn width(self) -> Option<u16> {
        let size = || console::Term::stdout().size_checked().map(|(_, columns)| columns);
        self.is_terminal.then(size).flatten()
    }
}

/// A text in the colour of a severity.
pub(crate) fn colored(text: &str, severity: Severity, color: bool) -> String {
    let code = match severity {
        Severity::Critical => "1;31",
        Severity::High => "31",
        Severity::Medium => "33",
        Severity::Low => "36",
        Severity::Info => "2",
    };
    styled(text, code, color)
}

/// A text in bold.
pub(crate) fn bold(text: &str, color: bool) -> String {
    styled(text, "1", color)
}

fn styled(text: &str, code: &str, color: bool) -> String {
    if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_follow_option_environment_and_terminal_in_this_order() {
        let surface = |is_terminal, is_plain, force_color| Surface { is_terminal, is_plain, force_color };
        for (surface, choice, expected) in [
            (surface(true, false, false), ColorChoice::Auto, true),
            (surface(false, false, false), ColorChoice::Auto, false),
            (surface(true, true, false), ColorChoice::Auto, false),
            (surface(true, true, true), ColorChoice::Auto, false),
            (surface(false, false, true), ColorChoice::Auto, true),
            (surface(true, true, false), ColorChoice::Always, true),
            (surface(true, false, true), ColorChoice::Never, false),
        ] {
            assert_eq!(surface.colors(choice), expected, "{surface:?} {choice}");
        }
    }
}
