//! HTTP requests with JSON on loopback.

use std::time::Duration;

use serde_json::Value;

use crate::failure::{Failure, Result};

/// The response of a server.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    /// The header of a failed Lambda function.
    pub(crate) function_error: Option<String>,
    pub(crate) body: Value,
}

impl HttpResponse {
    /// The body, if the status is 200.
    pub(crate) fn success(self, what: &str) -> Result<Value> {
        if self.status == 200 {
            Ok(self.body)
        } else {
            Err(Failure::Refused { what: what.to_owned(), answer: format!("{}: {}", self.status, self.body) })
        }
    }
}

/// A client that ignores the proxy settings of the environment, so that no request leaves this machine.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    agent: ureq::Agent,
}

impl Client {
    pub(crate) fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            // A server may close an idle connection at the moment of its next use.
            .max_idle_connections(0)
            // A function's timeout is a minute; no other request takes longer.
            .timeout_global(Some(Duration::from_secs(90)))
            .build();
        Self { agent: config.into() }
    }

    pub(crate) fn get(&self, url: &str) -> Result<HttpResponse> {
        read(url, self.agent.get(url).call())
    }

    /// The same with a header.
    pub(crate) fn get_with(&self, url: &str, name: &str, value: &str) -> Result<HttpResponse> {
        read(url, self.agent.get(url).header(name, value).call())
    }

    pub(crate) fn put(&self, url: &str, body: &Value) -> Result<HttpResponse> {
        read(url, self.agent.put(url).send_json(body))
    }

    pub(crate) fn delete(&self, url: &str) -> Result<HttpResponse> {
        read(url, self.agent.delete(url).call())
    }

    pub(crate) fn post(&self, url: &str, body: &Value) -> Result<HttpResponse> {
        read(url, self.agent.post(url).send_json(body))
    }
}

fn read(
    url: &str,
    response: std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<HttpResponse> {
    let refused = |why: ureq::Error| Failure::Refused { what: url.to_owned(), answer: why.to_string() };
    let mut response = response.map_err(refused)?;
    let function_error =
        response.headers().get("x-amz-function-error").and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let text = response.body_mut().read_to_string().map_err(refused)?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(HttpResponse { status: response.status().as_u16(), function_error, body })
}

/// One path segment, percent-encoded: names of virtual services may contain any character.
pub(crate) fn segment(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::segment;

    #[test]
    fn segments_are_encoded() {
        for (name, encoded) in [("catalog.shop.local", "catalog.shop.local"), ("a b/c", "a%20b%2Fc"), ("ü", "%C3%BC")]
        {
            assert_eq!(segment(name), encoded);
        }
    }
}
