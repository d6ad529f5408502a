//! The admission webhooks over TLS: `/mutate` and `/validate` for App Mesh objects, `/inject` for pods.
//!
//! A webhook answers from the copy of the cluster. Until every type was listed it answers 503, so that the failure policy of the
//! webhook configuration decides.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use imports::Held;
use jiff::Timestamp;
use kubernetes::admission::{AdmissionVerdict, HarmCheck, Review, mutate, validate};
use kubernetes::injection::{InjectionSettings, inject};
use kubernetes::{ClusterName, ClusterObjects};
use rules::pack::Severity;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::error::KubernetesError;
use super::mesh_api::{MeshApi, held};
use super::metrics::KubernetesMetrics;
use super::watch::ClusterCopy;
use crate::admission::{Admission, AdmissionMode, AdmissionSettings};
use crate::connections::{ConnectionLimits, ConnectionTable};
use crate::metrics::Metrics;
use crate::tls::{Tls, TlsEndpoint, TlsFiles};

/// The longest body of a review, with two objects of the largest size that etcd stores.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// The time for reading App Mesh: the API server waits 10 s for a webhook by default.
const READ_TIMEOUT: Duration = Duration::from_secs(4);

/// How long read resources serve further reviews, as of one `kubectl apply`.
const FRESH: Duration = Duration::from_secs(2);

/// The settings of the webhooks.
#[derive(Debug)]
pub struct WebhookSettings {
    /// The address.
    pub addr: SocketAddr,
    /// The certificate and its key.
    pub tls: TlsFiles,
    /// The policy file for the effects of a change. Default: the built-in policy.
    pub policy: Option<PathBuf>,
    /// The lowest severity of a finding that refuses a change. `None` only warns.
    pub refuses: Option<Severity>,
    /// The settings of injection. `None` injects into no pod.
    pub injection: Option<InjectionSettings>,
}

/// The bound webhooks.
#[derive(Debug)]
pub(super) struct Webhook {
    listener: TcpListener,
    addr: SocketAddr,
    tls: Tls,
    state: Arc<WebhookState>,
}

#[derive(Debug)]
struct WebhookState {
    api: Arc<dyn MeshApi>,
    copy: Arc<ClusterCopy>,
    name: ClusterName,
    policy: Option<Admission>,
    refuses: Option<Severity>,
    injection: Option<InjectionSettings>,
    held: Mutex<Option<(Instant, Arc<Held>)>>,
    metrics: KubernetesMetrics,
}

impl Webhook {
    pub(super) async fn bind(
        settings: WebhookSettings,
        api: Arc<dyn MeshApi>,
        copy: Arc<ClusterCopy>,
        name: ClusterName,
        metrics: KubernetesMetrics,
    ) -> Result<Self, KubernetesError> {
        let addr = settings.addr;
        let bind = |source| KubernetesError::Bind { addr, source };
        let tls = Tls::open(TlsEndpoint::Webhook, settings.tls, None)?;
        let policy = Admission::open(AdmissionSettings {
            mode: AdmissionMode::Warn,
            severity: Severity::High,
            policy: settings.policy,
        })?;
        let listener = TcpListener::bind(addr).await.map_err(bind)?;
        let addr = listener.local_addr().map_err(bind)?;
        let (refuses, injection) = (settings.refuses, settings.injection);
        let state = WebhookState { api, copy, name, policy, refuses, injection, held: Mutex::default(), metrics };
        Ok(Self { listener, addr, tls, state: Arc::new(state) })
    }

    pub(super) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) async fn serve(self, stop: watch::Receiver<bool>) {
        let router = Router::new()
            .route("/mutate", post(mutating))
            .route("/validate", post(validating))
            .route("/inject", post(injecting))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(self.state);
        let table = ConnectionTable::new(ConnectionLimits::default(), Metrics::new().connections());
        let sweep = table.sweep();
        crate::listen::serve(self.listener, Some(self.tls), router, table, stop).await;
        sweep.abort();
    }
}

async fn mutating(State(state): State<Arc<WebhookState>>, body: Bytes) -> Response {
    answer(&state, "mutate", &body, |review, cluster| std::future::ready(mutate(&review, &cluster))).await
}

async fn validating(State(state): State<Arc<WebhookState>>, body: Bytes) -> Response {
    let check = |review: Review, cluster: ClusterObjects| async {
        let (review, cluster) = (review, cluster);
        let held = state.held().await;
        let policy = state.policy.as_ref().map(Admission::policy);
        let Some(policy) = policy else { return AdmissionVerdict::refused("the policy is not available") };
        let check = HarmCheck {
            held: held.as_deref(),
            cluster_name: &state.name,
            policy: &policy,
            refuses: state.refuses,
            now: Timestamp::now(),
        };
        validate(&review, &cluster, &check)
    };
    answer(&state, "validate", &body, check).await
}

async fn injecting(State(state): State<Arc<WebhookState>>, body: Bytes) -> Response {
    let inject = |review: Review, cluster: ClusterObjects| {
        let verdict = match &state.injection {
            Some(settings) => inject(&review, &cluster, settings),
            None => {
                AdmissionVerdict::refused("injection has no settings; pass --inject-envoy-image and the other options")
            }
        };
        std::future::ready(verdict)
    };
    answer(&state, "inject", &body, inject).await
}

async fn answer<V: Future<Output = AdmissionVerdict>>(
    state: &WebhookState,
    webhook: &'static str,
    body: &[u8],
    judge: impl FnOnce(Review, ClusterObjects) -> V,
) -> Response {
    let review = match Review::parse(body) {
        Ok(review) => review,
        Err(error) => {
            state.metrics.admitted(webhook, "invalid");
            return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
        }
    };
    let Some(cluster) = state.copy.get() else {
        state.metrics.admitted(webhook, "unavailable");
        return (StatusCode::SERVICE_UNAVAILABLE, "the objects of the cluster are not listed yet").into_response();
    };
    let verdict = judge(review.clone(), cluster).await;
    match &verdict {
        AdmissionVerdict::Allowed { .. } => state.metrics.admitted(webhook, "allowed"),
        AdmissionVerdict::Refused { problems } => {
            state.metrics.admitted(webhook, "refused");
            let problems = problems.join("; ");
            let problems = crate::log::Truncated(&problems).to_string();
            tracing::info!(webhook, kind = review.kind, namespace = review.namespace, problems, "admission refused");
        }
    }
    axum::Json(review.response(&verdict)).into_response()
}

impl WebhookState {
    /// The resources of all meshes, at most some seconds old; `None` if App Mesh cannot be read.
    async fn held(&self) -> Option<Arc<Held>> {
        let mut cached = self.held.lock().await;
        if let Some((read, held)) = cached.as_ref()
            && read.elapsed() < FRESH
        {
            return Some(Arc::clone(held));
        }
        let read = tokio::time::timeout(READ_TIMEOUT, held(&*self.api, None)).await;
        match read {
            Ok(Ok(held)) => {
                let held = Arc::new(held);
                *cached = Some((Instant::now(), Arc::clone(&held)));
                Some(held)
            }
            Ok(Err(error)) => {
                let reason = super::client::chain(&error);
                tracing::warn!(reason, "failed to read meshes for admission");
                None
            }
            Err(_) => {
                tracing::warn!("failed to read meshes for admission in time");
                None
            }
        }
    }
}
