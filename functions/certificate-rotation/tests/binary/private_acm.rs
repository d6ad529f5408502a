//! ACM in front of moto, with two features that moto lacks: renewal of certificates of a private CA, and requests to a
//! private CA outside ACM.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use meshwarden_tests::moto::Moto;
use meshwarden_tests::moto::PrivateRoot;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::stage::{HOST, Theatre};

/// The endpoint of this ACM. Its server stops when this is dropped.
pub(crate) struct PrivateAcm {
    pub(crate) endpoint: String,
    acm: Arc<Acm>,
    serving: JoinHandle<()>,
}

struct Acm {
    moto: String,
    client: reqwest::Client,
    /// The CA of new certificates.
    issuer: PrivateRoot,
    /// Whether ACM renews its certificates, as it does once a certificate was exported.
    eligible: bool,
    /// The certificates of private CAs, each with its CA.
    private: Mutex<Vec<(String, String)>>,
}

impl PrivateAcm {
    pub(crate) async fn start(theatre: &Theatre, eligible: bool) -> Self {
        let acm = Arc::new(Acm {
            moto: theatre.moto().endpoint.clone(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            issuer: theatre.other.clone(),
            eligible,
            private: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(Arc::clone(&acm));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { endpoint, acm, serving }
    }

    /// Makes a certificate one of this private CA.
    pub(crate) fn own(&self, arn: &str, authority: &str) {
        self.acm.private.lock().unwrap().push((arn.to_owned(), authority.to_owned()));
    }
}

impl Drop for PrivateAcm {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(State(acm): State<Arc<Acm>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default();
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let answer = match operation {
        "RenewCertificate" => json!({}),
        "ExportCertificate" => {
            let error = json!({ "__type": "RequestInProgressException", "message": "it is being issued" });
            return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
        }
        "RequestCertificate" => acm.issue(&request).await,
        _ => match acm.forward(&headers, body).await {
            Ok(answer) => acm.as_private(answer),
            Err(refusal) => return refusal,
        },
    };
    ([("content-type", "application/x-amz-json-1.1")], answer.to_string()).into_response()
}

impl Acm {
    /// Issues a certificate under the CA that is unrelated to the present one.
    async fn issue(&self, request: &Value) -> Value {
        let (now, day) =
            (Timestamp::from_second(Timestamp::now().as_second()).unwrap(), SignedDuration::from_hours(24));
        let issued = self.issuer.issue(HOST, now - SignedDuration::from_hours(1), now + day * 300).await;
        let tags = request["Tags"].as_array().cloned().unwrap_or_default();
        let text = |tag: &Value, member: &str| tag[member].as_str().unwrap_or_default().to_owned();
        let tags: Vec<(String, String)> = tags.iter().map(|tag| (text(tag, "Key"), text(tag, "Value"))).collect();
        let tags: Vec<(&str, &str)> = tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let arn = Moto::import_at(&self.moto, &issued, &self.issuer, &tags).await;
        self.private.lock().unwrap().push((arn.clone(), self.issuer.arn.to_string()));
        json!({ "CertificateArn": arn })
    }

    async fn forward(&self, headers: &HeaderMap, body: Bytes) -> Result<Value, Response> {
        let mut onward = self.client.post(&self.moto).body(body);
        for (name, value) in headers.iter().filter(|(name, _)| !["host", "content-length"].contains(&name.as_str())) {
            onward = onward.header(name, value);
        }
        let answer = onward.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        if !status.is_success() {
            return Err((status, [("content-type", "application/x-amz-json-1.1")], text).into_response());
        }
        Ok(serde_json::from_str(&text).unwrap_or_else(|_| json!({})))
    }

    /// Adds the data of private CAs to an answer about their certificates.
    fn as_private(&self, mut answer: Value) -> Value {
        let private = self.private.lock().unwrap().clone();
        let known = |value: &Value| private.iter().find(|(arn, _)| value["CertificateArn"] == *arn);
        if let Some((_, authority)) = known(&answer["Certificate"]) {
            let certificate = &mut answer["Certificate"];
            certificate["Type"] = json!("PRIVATE");
            certificate["CertificateAuthorityArn"] = json!(authority);
            certificate["RenewalEligibility"] = json!(if self.eligible { "ELIGIBLE" } else { "INELIGIBLE" });
        }
        for summary in answer["CertificateSummaryList"].as_array_mut().into_iter().flatten() {
            if known(summary).is_some() {
                summary["Type"] = json!("PRIVATE");
            }
        }
        answer
    }
}
