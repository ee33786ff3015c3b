//! Talks to a node's admin HTTP.

use std::time::Duration;

use reqwest::{RequestBuilder, Response};

use crate::error::Failure;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A client of one node.
pub struct AdminClient {
    http: reqwest::Client,
    base: String,
}

impl AdminClient {
    /// `url` as given with `--admin`; `http://` may be left out.
    pub fn new(url: &str) -> Result<AdminClient, Failure> {
        let base = url.trim_end_matches('/');
        let base = if base.contains("://") { base.to_owned() } else { format!("http://{base}") };
        if !base.starts_with("http://") {
            return Err(Failure::Usage(format!(
                "--admin {url} is not a http:// address; write http://host:port"
            )));
        }
        // Admin addresses are local: a proxy of the environment has no business there.
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build();
        let http = http.map_err(|error| Failure::Failed(format!("no HTTP client: {error}")))?;
        Ok(AdminClient { http, base })
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base))
    }

    /// Sends the request; an answer of any status is `Ok`.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        request.send().await.map_err(|error| {
            if error.is_builder() {
                return Failure::Usage(format!(
                    "--admin {} is not an address; write http://host:port",
                    self.base
                ));
            }
            let cause = root_cause(&error);
            Failure::Failed(format!(
                "no node answers at {}: {cause}; start it, or name its admin address with --admin",
                self.base
            ))
        })
    }

    pub fn base(&self) -> &str {
        &self.base
    }
}

/// reqwest's own text repeats the address; the innermost cause says what happened.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
