//! Access logs.

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
    /// The logs that a spec asks for. A format that Envoy can't read would cost the whole listener, so Envoy's own
    /// format stands in for it.
    pub(super) fn access_logs(&mut self, logging: Option<&Logging>) -> Vec<AccessLog> {
        let file = match logging.and_then(|logging| logging.access_log.as_ref()) {
            None => return Vec::new(),
            Some(AccessLogSpec::File(file)) => file,
            Some(AccessLogSpec::Unrecognised(_)) => {
                let path = self.path();
                self.find(finding::UNRECOGNISED, path, "an access log of a kind that isn't known is left out");
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
                // Envoy writes lines only where the format has their ends.
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
                let message = "an access log's format is of a kind that isn't known; Envoy's own format is used";
                self.find(finding::UNRECOGNISED, path, message);
                return None;
            }
        };
        if let Some(why) = texts.iter().find_map(|text| log_format_fault(text)) {
            let path = self.path();
            let message =
                format!("Envoy does not accept the format of the access log: {why}; Envoy's own format is used");
            self.find(finding::BAD_LOG_FORMAT, path, message);
            return None;
        }
        Some(format)
    }
}

/// `envoy.extensions.access_loggers.file.v3.FileAccessLog`, as far as it is used here.
///
/// The generated type holds a format's members in a map without order, and so would have another encoding, and another
/// version, each time it is made: every proxy would be sent its listeners anew with every change of the mesh.
#[derive(Clone, PartialEq, prost::Message)]
struct FileLog {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(message, optional, tag = "5")]
    log_format: Option<LogFormat>,
}

/// `envoy.config.core.v3.SubstitutionFormatString`: one of the two.
#[derive(Clone, PartialEq, prost::Message)]
struct LogFormat {
    #[prost(message, optional, tag = "2")]
    json: Option<Fields>,
    #[prost(message, optional, tag = "5")]
    text: Option<DataSource>,
}

/// `google.protobuf.Struct`.
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
