//! The tasks of `control-plane kubernetes`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use kubernetes::ClusterName;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::client::{KubeClient, KubernetesServer};
use super::error::KubernetesError;
use super::lease::{self, Leadership, LeaseSettings};
use super::mesh_api::MeshApi;
use super::metrics::KubernetesMetrics;
use super::pass::{PassContext, PassOutcome, pass};
use super::watch::{ClusterCopy, Watched, follow};
use super::webhook::{Webhook, WebhookSettings};
use crate::operations::OperationsListener;

/// The pause after an event, so that a pass covers all objects of one `kubectl apply`.
const QUIET: Duration = Duration::from_millis(100);

/// The pauses after failed passes.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The settings of the reconciliation with a cluster.
#[derive(Debug)]
pub struct KubernetesSettings {
    /// The Kubernetes API.
    pub server: KubernetesServer,
    /// The App Mesh API.
    pub api: Arc<dyn MeshApi>,
    /// The name of the cluster in the tags of its resources.
    pub cluster: ClusterName,
    /// The lease. `None` lets this process always write.
    pub lease: Option<LeaseSettings>,
    /// The interval of passes without an event. They restore resources that another client changed.
    pub resync: Duration,
    /// The longest duration of one watch.
    pub longest_watch: Duration,
    /// The address of metrics and health checks.
    pub metrics: Option<SocketAddr>,
    /// The admission webhooks.
    pub webhook: Option<WebhookSettings>,
}

/// The reconciliation with one cluster.
#[derive(Debug)]
pub struct KubernetesSync {
    context: PassContext,
    copy: Arc<ClusterCopy>,
    lease: Option<LeaseSettings>,
    resync: Duration,
    longest_watch: Duration,
    operations: Option<OperationsListener>,
    webhook: Option<Webhook>,
}

impl KubernetesSync {
    /// Binds the addresses and reads the files.
    pub async fn bind(settings: KubernetesSettings) -> Result<Self, KubernetesError> {
        let metrics = KubernetesMetrics::new();
        let kube = Arc::new(KubeClient::new(&settings.server)?);
        let copy = Arc::new(ClusterCopy::default());
        let bind = |addr| move |source| KubernetesError::Bind { addr, source };
        let operations = match settings.metrics {
            Some(addr) => Some(OperationsListener::bind(addr).await.map_err(bind(addr))?),
            None => None,
        };
        let webhook = match settings.webhook {
            Some(webhook) => {
                let (api, copy) = (Arc::clone(&settings.api), Arc::clone(&copy));
                Some(Webhook::bind(webhook, api, copy, settings.cluster.clone(), metrics.clone()).await?)
            }
            None => None,
        };
        let leadership = if settings.lease.is_some() { Leadership::by_lease() } else { Leadership::default() };
        metrics.leads(leadership.is_held());
        let context = PassContext { api: settings.api, kube, name: settings.cluster, leadership, metrics };
        let (lease, resync, longest_watch) = (settings.lease, settings.resync, settings.longest_watch);
        Ok(Self { context, copy, lease, resync, longest_watch, operations, webhook })
    }

    /// The address of metrics and health checks.
    #[must_use]
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.operations.as_ref().map(OperationsListener::addr)
    }

    /// The address of the webhooks.
    #[must_use]
    pub fn webhook_addr(&self) -> Option<SocketAddr> {
        self.webhook.as_ref().map(Webhook::addr)
    }

    /// Reconciles until `stop` completes.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        let (stopping, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for watched in Watched::all() {
            let (kube, copy) = (Arc::clone(&self.context.kube), Arc::clone(&self.copy));
            tasks.spawn(follow(kube, copy, watched, self.longest_watch, self.context.metrics.clone()));
        }
        if let Some(lease) = self.lease.clone() {
            let (kube, context) = (Arc::clone(&self.context.kube), &self.context);
            tasks.spawn(lease::keep(kube, lease, context.leadership.clone(), context.metrics.clone()));
        }
        let mut servers = JoinSet::new();
        if let Some(operations) = self.operations {
            let router = operations_router(&self.context.metrics, &self.copy);
            servers.spawn(operations.serve(router, stopped.clone()));
        }
        if let Some(webhook) = self.webhook {
            servers.spawn(webhook.serve(stopped));
        }
        tokio::select! {
            () = stop => {}
            () = passes(&self.context, &self.copy, self.resync) => {}
        }
        tasks.shutdown().await;
        // No receiver is left if no server runs.
        let _ = stopping.send(true);
        while servers.join_next().await.is_some() {}
        if let Some(lease) = self.lease.filter(|_| self.context.leadership.is_held()) {
            lease::release(&self.context.kube, &lease).await;
        }
    }
}

/// Runs a pass after each event, and at the interval.
async fn passes(context: &PassContext, copy: &ClusterCopy, resync: Duration) {
    let mut changes = copy.changes();
    let mut pause = FIRST_PAUSE;
    let mut next = Instant::now();
    loop {
        let has_event = tokio::select! {
            result = changes.changed() => {
                if result.is_err() {
                    return;
                }
                true
            }
            () = sleep_until(next) => false,
        };
        if has_event && pause == FIRST_PAUSE {
            // More events of the same change follow.
            tokio::time::sleep(QUIET).await;
            changes.mark_unchanged();
        } else if has_event {
            // After a failure the pause holds: events must not make the calls more frequent.
            sleep_until(next).await;
            changes.mark_unchanged();
        }
        if !context.leadership.is_held() {
            next = Instant::now() + FIRST_PAUSE;
            continue;
        }
        let Some(cluster) = copy.get() else {
            next = Instant::now() + FIRST_PAUSE;
            continue;
        };
        let outcome = pass(context, cluster).await;
        context.metrics.passed(outcome == PassOutcome::Complete);
        match outcome {
            PassOutcome::Complete => {
                pause = FIRST_PAUSE;
                next = Instant::now() + resync;
            }
            PassOutcome::Failed => {
                next = Instant::now() + pause;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Metrics, liveness, and readiness: every type was listed.
fn operations_router(metrics: &KubernetesMetrics, copy: &Arc<ClusterCopy>) -> Router {
    let (metrics, copy) = (metrics.clone(), Arc::clone(copy));
    let text = move || {
        let text = metrics.text();
        async move { ([(header::CONTENT_TYPE, crate::metrics::CONTENT_TYPE)], text) }
    };
    let ready = move || {
        let is_ready = copy.get().is_some();
        async move { if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE } }
    };
    Router::new()
        .route("/metrics", get(text))
        .route("/readyz", get(ready))
        .route("/healthz", get(|| async { StatusCode::OK }))
}
