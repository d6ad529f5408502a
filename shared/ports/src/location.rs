use std::path::PathBuf;

/// The location of the policy document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyLocation {
    /// The built-in policy.
    BuiltIn,
    /// A file.
    File(PathBuf),
    /// An object in S3.
    S3 {
        /// The bucket.
        bucket: String,
        /// The object's key.
        key: String,
    },
    /// A parameter of Systems Manager, which may be a secure string.
    Ssm {
        /// The parameter's name, with its leading slash where it has one.
        parameter: String,
    },
}

/// The location of reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportsLocation {
    /// A folder, created with the first report.
    Folder(PathBuf),
    /// A bucket in S3.
    S3 {
        /// The bucket.
        bucket: String,
        /// The prefix of every key: empty, or ending in a slash.
        prefix: String,
    },
}

/// The reason why a text is not a location.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// The text is empty.
    #[error("it is empty; give a path, `s3://bucket/key` or leave it unset")]
    Empty,
    /// The bucket's name is invalid.
    #[error("`{given}` names no bucket that S3 would allow; write `s3://bucket/key`")]
    Bucket {
        /// The text as given.
        given: String,
    },
    /// The key of the object is missing.
    #[error("`{given}` names no object; write `s3://bucket/key`")]
    Key {
        /// The text as given.
        given: String,
    },
    /// The parameter's name is missing.
    #[error("`{given}` names no parameter; write `ssm:/path/of/parameter`")]
    Parameter {
        /// The text as given.
        given: String,
    },
    /// The scheme is unknown.
    #[error("`{given}` has an unknown scheme; give a path{known}")]
    Scheme {
        /// The text as given.
        given: String,
        /// The known schemes, as words.
        known: &'static str,
    },
}

impl PolicyLocation {
    /// Parses a path, `s3://bucket/key` or `ssm:/parameter`.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        let given = || text.to_owned();
        if text.is_empty() {
            Err(LocationError::Empty)
        } else if let Some(rest) = text.strip_prefix("s3://") {
            match bucket_and_key(rest).ok_or_else(|| LocationError::Bucket { given: given() })? {
                (_, "") => Err(LocationError::Key { given: given() }),
                (bucket, key) => Ok(Self::S3 { bucket: bucket.to_owned(), key: key.to_owned() }),
            }
        } else if let Some(parameter) = text.strip_prefix("ssm:") {
            // `ssm://name` is a common mistake; a parameter's name does not begin with two slashes.
            if parameter.is_empty() || parameter == "/" || parameter.starts_with("//") {
                return Err(LocationError::Parameter { given: given() });
            }
            Ok(Self::Ssm { parameter: parameter.to_owned() })
        } else if text.contains("://") {
            Err(LocationError::Scheme { given: given(), known: ", `s3://bucket/key` or `ssm:/parameter`" })
        } else {
            Ok(Self::File(PathBuf::from(text)))
        }
    }
}

impl ReportsLocation {
    /// Parses a folder's path or `s3://bucket/prefix`.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        let given = || text.to_owned();
        if text.is_empty() {
            Err(LocationError::Empty)
        } else if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = bucket_and_key(rest).ok_or_else(|| LocationError::Bucket { given: given() })?;
            let mut prefix = prefix.to_owned();
            if !prefix.is_empty() && !prefix.ends_with('/') {
                prefix.push('/');
            }
            Ok(Self::S3 { bucket: bucket.to_owned(), prefix })
        } else if text.contains("://") {
            Err(LocationError::Scheme { given: given(), known: " or `s3://bucket/prefix`" })
        } else {
            Ok(Self::Folder(PathBuf::from(text)))
        }
    }
}

/// The S3 naming rules: 3 to 63 lower-case letters, digits, dots and hyphens.
fn bucket_and_key(rest: &str) -> Option<(&str, &str)> {
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    ((3..=63).contains(&bucket.len()) && bucket.bytes().all(allowed)).then_some((bucket, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_locations() {
        let s3 = |bucket: &str, key: &str| PolicyLocation::S3 { bucket: bucket.into(), key: key.into() };
        let ssm = |parameter: &str| PolicyLocation::Ssm { parameter: parameter.into() };
        for (text, expected) in [
            ("policy.yaml", PolicyLocation::File("policy.yaml".into())),
            ("/var/task/policy.yaml", PolicyLocation::File("/var/task/policy.yaml".into())),
            ("s3://rules/mesh/policy.yaml", s3("rules", "mesh/policy.yaml")),
            ("ssm:/meshwarden/policy", ssm("/meshwarden/policy")),
            ("ssm:policy", ssm("policy")),
        ] {
            assert_eq!(PolicyLocation::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn invalid_policy_location_names_the_expected_form() {
        for (text, expected) in [
            ("", "it is empty; give a path, `s3://bucket/key` or leave it unset"),
            ("s3://rules", "`s3://rules` names no object; write `s3://bucket/key`"),
            ("s3://rules/", "`s3://rules/` names no object; write `s3://bucket/key`"),
            ("s3:///policy", "`s3:///policy` names no bucket that S3 would allow; write `s3://bucket/key`"),
            ("s3://My_Bucket/p", "`s3://My_Bucket/p` names no bucket that S3 would allow; write `s3://bucket/key`"),
            ("ssm:", "`ssm:` names no parameter; write `ssm:/path/of/parameter`"),
            ("ssm://policy", "`ssm://policy` names no parameter; write `ssm:/path/of/parameter`"),
            (
                "https://example.org/p",
                "`https://example.org/p` has an unknown scheme; give a path, `s3://bucket/key` or `ssm:/parameter`",
            ),
        ] {
            assert_eq!(PolicyLocation::parse(text).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn report_locations() {
        let s3 = |prefix: &str| ReportsLocation::S3 { bucket: "reports".into(), prefix: prefix.into() };
        for (text, expected) in [
            ("out/reports", ReportsLocation::Folder("out/reports".into())),
            ("s3://reports", s3("")),
            ("s3://reports/", s3("")),
            ("s3://reports/mesh", s3("mesh/")),
            ("s3://reports/mesh/", s3("mesh/")),
        ] {
            assert_eq!(ReportsLocation::parse(text), Ok(expected), "{text}");
        }
        assert!(ReportsLocation::parse("s3://").is_err());
        assert!(ReportsLocation::parse("gs://reports").is_err());
        assert!(ReportsLocation::parse("").is_err());
    }
}
