//! HTTP requests with JSON on loopback.

use std::time::Duration;

use serde_json::Value;

use crate::failure::{Failure, Result};

/// The response of a server.
#[derive(Debug)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// The header of a failed Lambda function.
    pub function_error: Option<String>,
    /// The body; a string if it is not JSON.
    pub body: Value,
}

impl HttpResponse {
    /// The body, if the status is 200.
    pub fn success(self, what: &str) -> Result<Value> {
        if self.status == 200 {
            Ok(self.body)
        } else {
            Err(Failure::Refused { what: what.to_owned(), answer: format!("{}: {}", self.status, self.body) })
        }
    }
}

/// A client that ignores the proxy settings of the environment, so that no request leaves this machine.
#[derive(Clone, Debug)]
pub struct Client {
    agent: ureq::Agent,
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// A client without a proxy.
    #[must_use]
    pub fn new() -> Self {
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

    /// Sends a GET request.
    ///
    /// # Errors
    ///
    /// No complete response comes in time.
    pub fn get(&self, url: &str) -> Result<HttpResponse> {
        read(url, self.agent.get(url).call())
    }

    /// Sends a GET request with a header.
    ///
    /// # Errors
    ///
    /// No complete response comes in time.
    pub fn get_with(&self, url: &str, name: &str, value: &str) -> Result<HttpResponse> {
        read(url, self.agent.get(url).header(name, value).call())
    }

    /// Sends a PUT request with a JSON body.
    ///
    /// # Errors
    ///
    /// No complete response comes in time.
    pub fn put(&self, url: &str, body: &Value) -> Result<HttpResponse> {
        read(url, self.agent.put(url).send_json(body))
    }

    /// Sends a DELETE request.
    ///
    /// # Errors
    ///
    /// No complete response comes in time.
    pub fn delete(&self, url: &str) -> Result<HttpResponse> {
        read(url, self.agent.delete(url).call())
    }

    /// Sends a POST request with a JSON body.
    ///
    /// # Errors
    ///
    /// No complete response comes in time.
    pub fn post(&self, url: &str, body: &Value) -> Result<HttpResponse> {
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
#[must_use]
pub fn segment(name: &str) -> String {
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
