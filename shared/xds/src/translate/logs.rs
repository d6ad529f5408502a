//! The access logs of a proxy.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::accesslog::v3::{AccessLog, access_log};
use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::extensions::access_loggers::file::v3::FileAccessLog;
use envoy_types::pb::google::protobuf::{Any, Value, value};
use mesh::spec::{AccessLog as AccessLogSpec, Logging, LoggingFormat};
use mesh::validate::envoy::log_format_fault;
use prost::{Message as _, Name as _};

use super::draft::Draft;
use super::finding;
use super::proto::inline;

impl Draft<'_> {
    /// The access logs of a spec. A format that Envoy cannot parse would make it refuse the whole listener, so Envoy's
    /// default format replaces it.
    pub(super) fn access_logs(&mut self, logging: Option<&Logging>) -> Vec<AccessLog> {
        let file = match logging.and_then(|logging| logging.access_log.as_ref()) {
            None => return Vec::new(),
            Some(AccessLogSpec::File(file)) => file,
            Some(AccessLogSpec::Unrecognised(_)) => {
                let path = self.path();
                self.find(finding::UNRECOGNISED, path, "an access log of an unknown kind is left out");
                return Vec::new();
            }
        };
        let log_format = file.format.as_ref().and_then(|format| self.format(format));
        let log = FileLog { path: file.path.to_string(), log_format };
        vec![AccessLog {
            name: "envoy.access_loggers.file".to_owned(),
            config_type: Some(access_log::ConfigType::TypedConfig(log.packed())),
            ..AccessLog::default()
        }]
    }

    fn format(&mut self, format: &LoggingFormat) -> Option<LogFormat> {
        let (texts, format) = match format {
            LoggingFormat::Text(text) => {
                // Envoy ends a line only where the format contains a line end.
                let line = if text.as_str().ends_with('\n') { text.to_string() } else { format!("{text}\n") };
                (vec![text.to_string()], LogFormat { json: None, text: Some(inline(&line)) })
            }
            LoggingFormat::Json(members) => {
                let texts = members.iter().map(|member| member.value.to_string()).collect();
                let fields = members.iter().map(|member| {
                    let text = Value { kind: Some(value::Kind::StringValue(member.value.to_string())) };
                    (member.key.to_string(), text)
                });
                (texts, LogFormat { json: Some(Fields { fields: fields.collect() }), text: None })
            }
            LoggingFormat::Unrecognised(_) => {
                let path = self.path();
                let message = "the format of an access log has an unknown kind; Envoy's default format is used";
                self.find(finding::UNRECOGNISED, path, message);
                return None;
            }
        };
        if let Some(why) = texts.iter().find_map(|text| log_format_fault(text)) {
            let path = self.path();
            let message =
                format!("Envoy does not accept the format of the access log: {why}; Envoy's default format is used");
            self.find(finding::BAD_LOG_FORMAT, path, message);
            return None;
        }
        Some(format)
    }
}

/// `envoy.extensions.access_loggers.file.v3.FileAccessLog`, with the members that are used here.
///
/// The generated type stores the members of a format in an unordered map. Its encoding, and therefore its version,
/// would differ each time it is built. Every change of the mesh would then send the listeners to every proxy again.
#[derive(Clone, PartialEq, prost::Message)]
struct FileLog {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(message, optional, tag = "5")]
    log_format: Option<LogFormat>,
}

/// `envoy.config.core.v3.SubstitutionFormatString`: exactly one of the two members is set.
#[derive(Clone, PartialEq, prost::Message)]
struct LogFormat {
    #[prost(message, optional, tag = "2")]
    json: Option<Fields>,
    #[prost(message, optional, tag = "5")]
    text: Option<DataSource>,
}

/// `google.protobuf.Struct`, with ordered members.
#[derive(Clone, PartialEq, prost::Message)]
struct Fields {
    #[prost(btree_map = "string, message", tag = "1")]
    fields: BTreeMap<String, Value>,
}

impl FileLog {
    fn packed(&self) -> Any {
        Any { type_url: FileAccessLog::type_url(), value: self.encode_to_vec() }
    }
}
