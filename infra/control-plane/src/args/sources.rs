//! Settings from the environment and from a file, as additional arguments of the command line.
//!
//! A flag overrides the environment, and the environment overrides the file. Each source names a setting as the command
//! line does: `--api-auth keys`, `MESHWARDEN_API_AUTH=keys`, `{"api-auth": "keys"}`. So every option of the command line
//! has the two other forms, with the same values and the same checks.

use std::ffi::OsString;
use std::fs;

use clap::{Arg, ArgAction, Command};
use serde_json::{Map, Value};

/// Options that are no settings.
const NO_SETTINGS: [&str; 3] = ["help", "version", "config"];

/// The variables with another name than `MESHWARDEN_` and the option: the functions read `MESHWARDEN_POLICY`.
const OTHER_NAMES: [(&str, &str); 1] = [("policy", "MESHWARDEN_ADMISSION_POLICY")];

/// The arguments of a command line with those of the other sources.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    /// The arguments, those of the command line first.
    pub(crate) args: Vec<OsString>,
    /// The origin of each setting that is not from the command line, such as `--account is set by MESHWARDEN_ACCOUNT`.
    pub(crate) origins: Vec<String>,
}

/// The settings cannot be collected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// The file cannot be read.
    #[error("failed to read settings file {file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// The I/O error.
        source: std::io::Error,
    },
    /// The file is not a JSON object.
    #[error("invalid settings file {file}: expected a JSON object: {reason}")]
    Syntax {
        /// The file.
        file: String,
        /// The error of the parser.
        reason: String,
    },
    /// No option has the name of a member of the file.
    #[error("invalid settings file {file}: unknown member `{member}`; `control-plane --help` lists the options")]
    Unknown {
        /// The file.
        file: String,
        /// The member.
        member: String,
    },
    /// A value has the wrong type.
    #[error("invalid value of {setting}: expected {expected}")]
    Value {
        /// The member of the file, or the variable.
        setting: String,
        /// The types that are accepted.
        expected: &'static str,
    },
}

impl Sources {
    /// Adds the settings of the environment, and of the file that `--config` or `MESHWARDEN_CONFIG` names, to the
    /// command line. Options that the command line has are left as they are.
    pub(crate) fn collect(
        command: &Command,
        line: Vec<OsString>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, SourceError> {
        let config = given(&line, "config").or_else(|| variable("MESHWARDEN_CONFIG").filter(|file| !file.is_empty()));
        let file = config.map(|file| read(&file.to_string_lossy())).transpose()?;
        let options: Vec<&Arg> = command.get_arguments().filter(|arg| is_setting(arg)).collect();
        if let Some(SettingsFile { name, members }) = &file {
            let is_known = |member: &str| options.iter().any(|option| option.get_long() == Some(member));
            if let Some(member) = members.keys().find(|member| !is_known(member)) {
                return Err(SourceError::Unknown { file: name.clone(), member: member.clone() });
            }
        }
        let mut sources = Self { args: line, origins: Vec::new() };
        for option in options {
            let Some(long) = option.get_long() else { continue };
            if is_given(&sources.args, long) {
                continue;
            }
            let name = variable_name(long);
            if let Some(value) = variable(&name).filter(|value| !value.is_empty()) {
                let values = from_variable(option, &name, &value)?;
                sources.add(long, values, &name);
            } else if let Some(SettingsFile { name, members }) = &file
                && let Some(value) = members.get(long)
            {
                let values = from_member(option, long, value)?;
                sources.add(long, values, name);
            }
        }
        Ok(sources)
    }

    fn add(&mut self, long: &str, values: Vec<Option<String>>, origin: &str) {
        if !values.is_empty() {
            self.origins.push(format!("--{long} is set by {origin}"));
        }
        for value in values {
            self.args.push(value.map_or_else(|| format!("--{long}"), |value| format!("--{long}={value}")).into());
        }
    }
}

/// The environment variable of an option.
pub(crate) fn variable_name(long: &str) -> String {
    let other = OTHER_NAMES.iter().find(|(option, _)| *option == long);
    other.map_or_else(
        || format!("MESHWARDEN_{}", long.to_uppercase().replace('-', "_")),
        |(_, variable)| (*variable).to_owned(),
    )
}

#[derive(Debug)]
struct SettingsFile {
    name: String,
    members: Map<String, Value>,
}

fn read(file: &str) -> Result<SettingsFile, SourceError> {
    let text = fs::read(file).map_err(|source| SourceError::Read { file: file.to_owned(), source })?;
    match serde_json::from_slice(&text) {
        Ok(members) => Ok(SettingsFile { name: file.to_owned(), members }),
        Err(error) => Err(SourceError::Syntax { file: file.to_owned(), reason: error.to_string() }),
    }
}

fn is_setting(arg: &Arg) -> bool {
    arg.get_long().is_some_and(|long| !NO_SETTINGS.contains(&long))
}

/// The arguments before `--`.
fn options(line: &[OsString]) -> impl Iterator<Item = &OsString> {
    line.iter().take_while(|arg| *arg != "--")
}

fn is_given(line: &[OsString], long: &str) -> bool {
    let flag = format!("--{long}");
    options(line).any(|arg| {
        let arg = arg.to_string_lossy();
        arg.strip_prefix(flag.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })
}

/// The value of an option of the command line.
fn given(line: &[OsString], long: &str) -> Option<OsString> {
    let flag = format!("--{long}");
    let mut args = options(line);
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        match text.strip_prefix(flag.as_str()) {
            Some("") => return args.next().cloned(),
            Some(rest) if rest.starts_with('=') => return rest.strip_prefix('=').map(OsString::from),
            Some(_) | None => {}
        }
    }
    None
}

/// The values of a variable: those of an option that can be repeated are separated by spaces.
fn from_variable(option: &Arg, name: &str, value: &OsString) -> Result<Vec<Option<String>>, SourceError> {
    let invalid = |expected| SourceError::Value { setting: name.to_owned(), expected };
    let text = value.to_str().ok_or_else(|| invalid("UTF-8 text"))?;
    match option.get_action() {
        ArgAction::SetTrue => match text {
            "true" | "1" => Ok(vec![None]),
            "false" | "0" => Ok(Vec::new()),
            _ => Err(invalid("true or false")),
        },
        ArgAction::Append => Ok(text.split_whitespace().map(|value| Some(value.to_owned())).collect()),
        _ => Ok(vec![Some(text.to_owned())]),
    }
}

/// The values of a member of the file.
fn from_member(option: &Arg, name: &str, value: &Value) -> Result<Vec<Option<String>>, SourceError> {
    let invalid = |expected| SourceError::Value { setting: format!("`{name}`"), expected };
    match (option.get_action(), value) {
        (ArgAction::SetTrue, Value::Bool(is_set)) => Ok(if *is_set { vec![None] } else { Vec::new() }),
        (ArgAction::SetTrue, _) => Err(invalid("true or false")),
        (ArgAction::Append, Value::Array(values)) => {
            values.iter().map(|value| scalar(value).map(Some).ok_or_else(|| invalid("a list of texts"))).collect()
        }
        (ArgAction::Append, value) => {
            Ok(vec![Some(scalar(value).ok_or_else(|| invalid("a text or a list of texts"))?)])
        }
        (_, value) => Ok(vec![Some(scalar(value).ok_or_else(|| invalid("a text or a number"))?)]),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
#[path = "sources_tests.rs"]
mod tests;
