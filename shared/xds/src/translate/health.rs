//! How clients find the usable endpoints of a node: health checks and outlier detection.

use envoy_types::pb::envoy::config::cluster::v3::OutlierDetection;
use envoy_types::pb::envoy::config::core::v3::HealthCheck;
use envoy_types::pb::envoy::config::core::v3::health_check::{
    GrpcHealthCheck, HealthChecker, HttpHealthCheck, TcpHealthCheck, TlsOptions,
};
use envoy_types::pb::envoy::r#type::v3::CodecClientType;
use envoy_types::pb::google::protobuf::Duration;
use mesh::spec::Protocol;
use mesh::validate::envoy::control_character;

use super::backends::Destination;
use super::clusters::speaks_http2;
use super::draft::Draft;
use super::finding;
use super::proto::{millis, port, uint};
use super::tls::{Upstream, alpn};

/// The longest ejection of an endpoint, in seconds, unless the first ejection is longer. It is Envoy's own default.
const LONGEST_EJECTION: i64 = 300;

impl<'m> Draft<'m> {
    /// The health check of a called listener, to which a client sends this protocol. Each client checks each endpoint of the
    /// nodes that it calls. `None`, with a finding, if Envoy cannot execute the check.
    pub(super) fn health_check(
        &mut self,
        to: Destination<'m>,
        called_by: &Protocol,
        hostname: &str,
        upstream: &Upstream,
    ) -> Option<HealthCheck> {
        let check = to.listener.health_check.as_ref()?;
        let mapping = &to.listener.port_mapping;
        let path = self.node_path(to.node);
        let number = |number: i64| u32::try_from(number).ok();
        let checker = match &check.protocol {
            Protocol::Http | Protocol::Http2 => {
                let check_path = check.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
                if control_character(check_path).is_some() {
                    let message = format!(
                        "health check path {check_path:?} has a control character, which a request can't contain; the health check is left out"
                    );
                    self.find(finding::HEALTH_CHECK_PATH, path, message);
                    return None;
                }
                let codec = if speaks_http2(&check.protocol) { CodecClientType::Http2 } else { CodecClientType::Http1 };
                HealthChecker::HttpHealthCheck(HttpHealthCheck {
                    host: format!("{hostname}:{}", mapping.port),
                    path: check_path.to_owned(),
                    codec_client_type: codec.into(),
                    ..HttpHealthCheck::default()
                })
            }
            Protocol::Grpc => {
                if !speaks_http2(&mapping.protocol) {
                    let message = format!(
                        "the health check of port {} uses gRPC and its listener uses {}, which Envoy refuses; the health check is left out",
                        mapping.port, mapping.protocol
                    );
                    self.find(finding::GRPC_HEALTH_CHECK, path, message);
                    return None;
                }
                HealthChecker::GrpcHealthCheck(GrpcHealthCheck::default())
            }
            Protocol::Tcp => HealthChecker::TcpHealthCheck(TcpHealthCheck::default()),
            Protocol::Unrecognised(protocol) => {
                let message = format!("health check protocol {protocol} is unknown; the health check is left out");
                self.find(finding::UNRECOGNISED, path, message);
                return None;
            }
        };
        let elsewhere = check.port.filter(|at| *at != mapping.port && !self.is_explicit());
        // A check with another protocol than the requests must not negotiate the protocol of the requests within TLS.
        let own_alpn = alpn(&check.protocol);
        let differs = !own_alpn.is_empty() && own_alpn != alpn(called_by);
        let tls_options =
            (matches!(upstream, Upstream::Tls(_)) && differs).then_some(TlsOptions { alpn_protocols: own_alpn });
        Some(HealthCheck {
            timeout: millis(number(check.timeout_millis.get())?),
            interval: millis(number(check.interval_millis.get())?),
            unhealthy_threshold: uint(number(check.unhealthy_threshold.get())?),
            healthy_threshold: uint(number(check.healthy_threshold.get())?),
            alt_port: elsewhere.and_then(|at| uint(port(at))),
            tls_options,
            health_checker: Some(checker),
            ..HealthCheck::default()
        })
    }

    pub(super) fn outlier_detection(&mut self, to: Destination<'m>) -> Option<OutlierDetection> {
        let outlier = to.listener.outlier_detection.as_ref()?;
        let path = self.node_path(to.node);
        let interval = self.duration(Some(&outlier.interval), &path, "outlierDetection.interval");
        let ejection =
            self.duration(Some(&outlier.base_ejection_duration), &path, "outlierDetection.baseEjectionDuration");
        let is_some_time = |time: &Duration| time.seconds > 0 || time.nanos > 0;
        let (Some(interval), Some(ejection)) = (interval.filter(is_some_time), ejection.filter(is_some_time)) else {
            let message = "an outlier detection needs an interval and an ejection time above 0; it is left out";
            self.find(finding::ZERO_INTERVAL, path, message);
            return None;
        };
        let longest = Duration { seconds: ejection.seconds.max(LONGEST_EJECTION), ..ejection };
        Some(OutlierDetection {
            consecutive_5xx: uint(u32::try_from(outlier.max_server_errors.get()).unwrap_or(u32::MAX)),
            interval: Some(interval),
            // Without this Envoy's own limit would refuse a longer first ejection.
            max_ejection_time: Some(longest),
            base_ejection_time: Some(ejection),
            max_ejection_percent: uint(u32::try_from(outlier.max_ejection_percent.get()).unwrap_or(100)),
            // App Mesh ejects an endpoint for consecutive errors only.
            enforcing_success_rate: uint(0),
            ..OutlierDetection::default()
        })
    }
}
