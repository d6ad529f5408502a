//! A server in this process, and a plain HTTP client for it.

use std::sync::Arc;

use control_plane::state::Region;
use control_plane::{QuotaPreset, QuotaSetting, Quotas, Server, Settings, Store};
use mesh::name::AccountId;
use reqwest::Method;
use serde_json::Value;
use tokio::sync::oneshot;

pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const ARN: &str = "arn:aws:appmesh:eu-west-1:123456789012:";

/// A server that ends with the test.
pub(crate) struct Plane {
    pub(crate) endpoint: String,
    pub(crate) store: Arc<Store>,
    http: reqwest::Client,
    _running: oneshot::Sender<()>,
}

/// A response.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Plane {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A server with these quotas.
    pub(crate) async fn with(quotas: &[&str]) -> Self {
        Self::with_preset(QuotaPreset::None, quotas).await
    }

    /// A server with a preset and these quotas.
    pub(crate) async fn with_preset(preset: QuotaPreset, quotas: &[&str]) -> Self {
        let settings = quotas.iter().map(|setting| setting.parse::<QuotaSetting>().unwrap());
        let quotas = settings.fold(Quotas::new(preset), Quotas::with);
        Self::with_store(Store::new(quotas)).await
    }

    /// A server for this store.
    pub(crate) async fn with_store(store: Store) -> Self {
        Self::serving(Server::bind_with_store(Self::settings(), store).await.unwrap())
    }

    pub(crate) fn settings() -> Settings {
        Settings::new(AccountId::parse(ACCOUNT).unwrap(), Region::parse("eu-west-1").unwrap())
    }

    /// Serves until the test ends.
    pub(crate) fn serving(server: Server) -> Self {
        let (endpoint, store) = (server.endpoint(), server.store());
        let (running, ended) = oneshot::channel::<()>();
        tokio::spawn(server.serve(async {
            let _ = ended.await;
        }));
        Self { endpoint, store, http: reqwest::Client::new(), _running: running }
    }

    /// Sends a request to a path under the API's base.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<String>,
    ) -> Reply {
        let mut request = self.http.request(method, format!("{}/v20190125{path}", self.endpoint));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        assert_eq!(headers["content-type"], "application/json");
        let body = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        Reply { status, headers, body }
    }

    /// The status and text of an endpoint outside the App Mesh API.
    pub(crate) async fn endpoint(&self, path: &str) -> (u16, String) {
        let response = self.http.get(format!("{}{path}", self.endpoint)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], None).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, &[], Some(body.to_string())).await
    }

    pub(crate) async fn put_if(&self, version: u64, path: &str, body: Value) -> Reply {
        let version = version.to_string();
        let headers = [("x-meshwarden-if-version", version.as_str())];
        self.send(Method::PUT, path, &headers, Some(body.to_string())).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, &[], None).await
    }
}

impl Reply {
    /// The body of a successful response.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }

    /// The message of an error of this type. Its status must be that of the API model.
    #[track_caller]
    pub(crate) fn error(&self, name: &str) -> String {
        let statuses = [
            ("BadRequestException", 400),
            ("LimitExceededException", 400),
            ("TooManyTagsException", 400),
            ("ForbiddenException", 403),
            ("NotFoundException", 404),
            ("ConflictException", 409),
            ("ResourceInUseException", 409),
            ("ServiceUnavailableException", 503),
        ];
        let given = self.header("x-amzn-errortype").unwrap_or("none");
        assert_eq!(given, name, "{}", self.body);
        let status = statuses.iter().find(|(known, _)| *known == name).expect("the error is known").1;
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.body.as_object().unwrap().len(), 1, "{}", self.body);
        self.body["message"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}
