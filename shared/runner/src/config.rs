//! A function's configuration: read once at start, from the environment variables that `Config` lists.

use ports::{LocationError, PolicyLocation, ReportsLocation};

const AUDIENCE: &str = "MESHWARDEN_CONTROL_PLANE_AUDIENCE";

/// The configuration of a function. An empty variable counts as unset, because a template can set a variable to an
/// empty value more easily than leave it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `MESHWARDEN_POLICY`: the location of the policy document; unset: the built-in policy.
    pub policy: PolicyLocation,
    /// `MESHWARDEN_TABLE`: the DynamoDB table that stores the state; unset: `meshwarden`.
    pub table: String,
    /// `MESHWARDEN_BUS`: name or ARN of the event bus for Meshwarden's own events; unset: they are only logged.
    pub bus: Option<String>,
    /// `MESHWARDEN_TOPIC`: ARN of the SNS topic for notices; unset: they are only logged.
    pub topic: Option<String>,
    /// `MESHWARDEN_ALARM_TOPICS`: ARNs of the SNS topics through which alarms reach the function, separated by commas;
    /// unset: none, or not known.
    pub alarm_topics: Vec<String>,
    /// `MESHWARDEN_REPORTS`: the location of reports; unset: they are not stored.
    pub reports: Option<ReportsLocation>,
    /// `MESHWARDEN_CONTROL_PLANE_AUDIENCE`: the audience of a control plane to which the function proves its role;
    /// unset: requests are only signed.
    pub audience: Option<String>,
    /// `MESHWARDEN_STACK`: the name of the stack, a dimension of every metric; unset: metrics lack the dimension.
    pub stack: Option<String>,
    /// `MESHWARDEN_LOG`: the log filter, in the directives of `tracing`; unset: `info`.
    pub log: String,
}

/// The variable that is invalid, and the expected value, in one line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {variable}{problem}")]
pub struct ConfigError {
    variable: String,
    problem: Problem,
}

/// The error in a variable.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error(": {0}")]
    Location(#[from] LocationError),
    #[error(" `{given}`: expected a table's name of 3 to 255 letters, digits, `_`, `.` or `-`")]
    Table { given: String },
    #[error(" `{given}`: expected the name or the ARN of an event bus")]
    Bus { given: String },
    #[error(" `{given}`: expected a topic's ARN, `arn:aws:sns:REGION:ACCOUNT:NAME`")]
    Topic { given: String },
    #[error(
        " `{given}`: expected the audience of a control plane, 1 to 128 letters, digits, `.`, `_`, `:`, `/`, `@` or `-`"
    )]
    Audience { given: String },
    #[error(" `{given}`: expected the name of a stack, 1 to 128 letters, digits or `-`")]
    Stack { given: String },
    #[error(" `{given}`: expected a level, as in `info`, or `target=level` ({why})")]
    Log { given: String, why: String },
    #[error(": expected text in UTF-8")]
    NotText,
}

impl ConfigError {
    pub(crate) fn not_text(variable: &str) -> Self {
        Self { variable: variable.to_owned(), problem: Problem::NotText }
    }
}

impl Config {
    /// Reads the configuration; `lookup` returns a variable's value.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let set = |variable: &str| lookup(variable).filter(|value| !value.is_empty());
        Ok(Self {
            policy: read(set("MESHWARDEN_POLICY"), "MESHWARDEN_POLICY", |text| Ok(PolicyLocation::parse(&text)?))?
                .unwrap_or(PolicyLocation::BuiltIn),
            table: read(set("MESHWARDEN_TABLE"), "MESHWARDEN_TABLE", table)?.unwrap_or_else(|| "meshwarden".to_owned()),
            bus: read(set("MESHWARDEN_BUS"), "MESHWARDEN_BUS", bus)?,
            topic: read(set("MESHWARDEN_TOPIC"), "MESHWARDEN_TOPIC", topic)?,
            alarm_topics: read(set("MESHWARDEN_ALARM_TOPICS"), "MESHWARDEN_ALARM_TOPICS", |text| topics(&text))?
                .unwrap_or_default(),
            reports: read(set("MESHWARDEN_REPORTS"), "MESHWARDEN_REPORTS", |text| Ok(ReportsLocation::parse(&text)?))?,
            audience: read(set(AUDIENCE), AUDIENCE, audience)?,
            stack: read(set("MESHWARDEN_STACK"), "MESHWARDEN_STACK", stack)?,
            log: read(set("MESHWARDEN_LOG"), "MESHWARDEN_LOG", log)?.unwrap_or_else(|| "info".to_owned()),
        })
    }
}

fn read<T>(
    value: Option<String>,
    variable: &'static str,
    parse: impl FnOnce(String) -> Result<T, Problem>,
) -> Result<Option<T>, ConfigError> {
    value.map(parse).transpose().map_err(|problem| ConfigError { variable: variable.to_owned(), problem })
}

/// Checks a table name by the rules of `CreateTable`.
fn table(given: String) -> Result<String, Problem> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if (3..=255).contains(&given.len()) && given.bytes().all(allowed) {
        Ok(given)
    } else {
        Err(Problem::Table { given })
    }
}

/// Checks a bus by the rules of `PutEvents`' `EventBusName`, which may also be an ARN.
fn bus(given: String) -> Result<String, Problem> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/' | b':');
    let shaped = given.starts_with("arn:") == given.contains(':');
    if given.len() <= 1600 && shaped && given.bytes().all(allowed) { Ok(given) } else { Err(Problem::Bus { given }) }
}

fn topic(given: String) -> Result<String, Problem> {
    let parts: Vec<_> = given.split(':').collect();
    let well_formed = match parts.as_slice() {
        ["arn", partition, "sns", region, account, name] => {
            [partition, region, name].iter().all(|part| !part.is_empty())
                && account.len() == 12
                && account.bytes().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    };
    if well_formed { Ok(given) } else { Err(Problem::Topic { given }) }
}

/// Parses one topic or several, separated by commas.
fn topics(given: &str) -> Result<Vec<String>, Problem> {
    given.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|part| topic(part.to_owned())).collect()
}

/// Checks an audience by the rules of the control plane's `--auth-audience`.
fn audience(given: String) -> Result<String, Problem> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/@-".contains(&byte);
    if given.len() <= 128 && given.bytes().all(allowed) { Ok(given) } else { Err(Problem::Audience { given }) }
}

/// Checks the name of a stack by the rules of `CreateStack`.
fn stack(given: String) -> Result<String, Problem> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if given.len() <= 128 && given.bytes().all(allowed) { Ok(given) } else { Err(Problem::Stack { given }) }
}

fn log(given: String) -> Result<String, Problem> {
    match tracing_subscriber::EnvFilter::try_new(&given) {
        Ok(_) => Ok(given),
        Err(error) => Err(Problem::Log { given, why: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let found =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Config::from_env(found)
    }

    #[test]
    fn unset_and_empty_mean_the_defaults() {
        let expected = Config {
            policy: PolicyLocation::BuiltIn,
            table: "meshwarden".into(),
            bus: None,
            topic: None,
            alarm_topics: Vec::new(),
            reports: None,
            audience: None,
            stack: None,
            log: "info".into(),
        };
        assert_eq!(config(&[]), Ok(expected.clone()));
        let variables =
            ["POLICY", "TABLE", "BUS", "TOPIC", "ALARM_TOPICS", "REPORTS", "CONTROL_PLANE_AUDIENCE", "STACK", "LOG"]
                .map(|name| format!("MESHWARDEN_{name}"));
        let empty: Vec<_> = variables.iter().map(|name| (name.as_str(), "")).collect();
        assert_eq!(config(&empty), Ok(expected));
    }

    #[test]
    fn everything_set() {
        let read = config(&[
            ("MESHWARDEN_POLICY", "ssm:/meshwarden/policy"),
            ("MESHWARDEN_TABLE", "meshwarden-prod"),
            ("MESHWARDEN_BUS", "arn:aws:events:eu-west-1:123456789012:event-bus/mesh"),
            ("MESHWARDEN_TOPIC", "arn:aws:sns:eu-west-1:123456789012:mesh-alarms"),
            ("MESHWARDEN_ALARM_TOPICS", "arn:aws:sns:eu-west-1:123456789012:a, arn:aws:sns:eu-west-1:123456789012:b"),
            ("MESHWARDEN_REPORTS", "s3://reports/mesh"),
            ("MESHWARDEN_CONTROL_PLANE_AUDIENCE", "mesh.internal"),
            ("MESHWARDEN_STACK", "mesh-prod"),
            ("MESHWARDEN_LOG", "warn,route_failover=debug"),
        ]);
        let expected = Config {
            policy: PolicyLocation::Ssm { parameter: "/meshwarden/policy".into() },
            table: "meshwarden-prod".into(),
            bus: Some("arn:aws:events:eu-west-1:123456789012:event-bus/mesh".into()),
            topic: Some("arn:aws:sns:eu-west-1:123456789012:mesh-alarms".into()),
            alarm_topics: ["a", "b"].map(|name| format!("arn:aws:sns:eu-west-1:123456789012:{name}")).into(),
            reports: Some(ReportsLocation::S3 { bucket: "reports".into(), prefix: "mesh/".into() }),
            audience: Some("mesh.internal".into()),
            stack: Some("mesh-prod".into()),
            log: "warn,route_failover=debug".into(),
        };
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn an_invalid_variable_is_one_line_with_what_is_expected() {
        for (variable, value, expected) in [
            ("MESHWARDEN_POLICY", "s3://rules", "names no object; write `s3://bucket/key`"),
            ("MESHWARDEN_POLICY", "http://x/y", "unknown scheme; give a path, `s3://bucket/key` or `ssm:/parameter`"),
            ("MESHWARDEN_TABLE", "mw", "expected a table's name of 3 to 255 letters, digits, `_`, `.` or `-`"),
            ("MESHWARDEN_TABLE", "mesh warden", "3 to 255 letters"),
            ("MESHWARDEN_BUS", "my bus", "expected the name or the ARN"),
            ("MESHWARDEN_BUS", "a:b", "expected the name or the ARN"),
            ("MESHWARDEN_TOPIC", "mesh-alarms", "`arn:aws:sns:REGION:ACCOUNT:NAME`"),
            ("MESHWARDEN_TOPIC", "arn:aws:sqs:eu-west-1:123456789012:q", "`arn:aws:sns:REGION:ACCOUNT:NAME`"),
            ("MESHWARDEN_ALARM_TOPICS", "mesh-alarms", "`arn:aws:sns:REGION:ACCOUNT:NAME`"),
            ("MESHWARDEN_REPORTS", "s3://", "names no bucket"),
            ("MESHWARDEN_CONTROL_PLANE_AUDIENCE", "my mesh", "expected the audience of a control plane"),
            ("MESHWARDEN_STACK", "mesh prod", "expected the name of a stack"),
            ("MESHWARDEN_LOG", "route=chatty", "expected a level, as in `info`, or `target=level`"),
        ] {
            let line = config(&[(variable, value)]).unwrap_err().to_string();
            assert!(line.starts_with(&format!("invalid {variable}")) && line.contains(value), "{line}");
            assert!(line.contains(expected), "{line}");
            assert!(!line.contains('\n'), "{line}");
        }
    }
}
