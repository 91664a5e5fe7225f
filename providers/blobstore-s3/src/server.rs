//! Asking a server: so many at a time, so long, and again when that can help.

use std::{error::Error as _, sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode, header};
use reqwest::{Client, Response, redirect::Policy};
use rusty_s3::Method;
use tokio::{sync::Semaphore, time::timeout};
use trellis_provider::config::SettingsError;

use crate::{
    answer,
    config::Settings,
    failure::{Failure, skew},
    request::{Again, Request},
};

/// The longest answer that is read whole: a page of a thousand keys, each as long as it can be, and every byte encoded.
const MAX_ANSWER_BYTES: usize = 8 << 20;
/// The first and the longest wait before a request is made again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(3);

/// A server, as one link's settings have it.
pub struct Server {
    client: Client,
    settings: Settings,
    waiting: Semaphore,
}

/// An answer that was read whole.
pub struct Answer {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its text.
    pub text: String,
}

impl Server {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// Names the file of authorities that can't be used.
    pub fn new(settings: Settings) -> Result<Arc<Self>, SettingsError> {
        let tls = settings.roots.client_config()?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(settings.connect_timeout)
            .pool_max_idle_per_host(settings.max_requests)
            .tcp_nodelay(true)
            // What is signed for one server is no other's, and the settings say where it is.
            .redirect(Policy::none())
            .no_proxy()
            .build();
        let client = client.map_err(|error| SettingsError {
            field: "endpoint",
            problem: because(&error),
        })?;
        Ok(Arc::new(Self {
            client,
            waiting: Semaphore::new(settings.max_requests),
            settings,
        }))
    }

    /// What it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Asks, and gives the answer as soon as it begins; again when that can help.
    ///
    /// # Errors
    /// The last failure.
    pub async fn send(&self, request: &Request) -> Result<Response, Failure> {
        self.again(request, || self.once(request)).await
    }

    /// Asks, and reads the whole answer; again when that can help.
    ///
    /// # Errors
    /// The last failure.
    pub async fn ask(&self, request: &Request) -> Result<Answer, Failure> {
        self.again(request, || self.ask_once(request)).await
    }

    /// Asks once, for no longer than that.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn ask_within(&self, request: &Request, limit: Duration) -> Result<Answer, Failure> {
        match timeout(limit, self.ask_once(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::Timeout(limit)),
        }
    }

    async fn again<T, F>(&self, request: &Request, mut ask: impl FnMut() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut attempt = 1;
        loop {
            let failure = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let may = request.again == Again::Always || !failure.is_ambiguous();
            if !may || !failure.may_pass() || attempt >= self.settings.max_attempts {
                return Err(failure);
            }
            tracing::debug!(method = request.method.to_str(), bucket = request.bucket, attempt, %failure, "asking again");
            tokio::time::sleep(pause(attempt)).await;
            attempt += 1;
        }
    }

    async fn ask_once(&self, request: &Request) -> Result<Answer, Failure> {
        let mut response = self.once(request).await?;
        let headers = std::mem::take(response.headers_mut());
        let text = self.text(response, MAX_ANSWER_BYTES).await?;
        // Copies and completed uploads begin their answer before they know how it ends.
        if let Some(refusal) = answer::refusal(&text) {
            let status = match refusal.code.as_str() {
                "NoSuchKey" | "NoSuchBucket" | "NoSuchUpload" => StatusCode::NOT_FOUND,
                "InternalError" | "SlowDown" => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::BAD_REQUEST,
            };
            return Err(Failure::Refused {
                status,
                refusal,
                skew: None,
            });
        }
        Ok(Answer { headers, text })
    }

    /// One attempt, up to the answer's beginning.
    async fn once(&self, request: &Request) -> Result<Response, Failure> {
        // It is never closed.
        let _permit = self.waiting.acquire().await;
        let url = request
            .url(&self.settings)
            .map_err(|error| Failure::NoUrl(error.to_string()))?;
        let method = match request.method {
            Method::Head => reqwest::Method::HEAD,
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Delete => reqwest::Method::DELETE,
        };
        let takes_body = matches!(request.method, Method::Post | Method::Put);
        let mut building = self.client.request(method, url);
        for (name, value) in &request.headers {
            building = building.header(*name, value);
        }
        if takes_body {
            // Said also of nothing: some servers ask for it.
            building = building.header(header::CONTENT_LENGTH, request.body.len());
            building = building.body(request.body.clone());
        }
        let limit = self.settings.request_timeout;
        let response = timeout(limit, building.send())
            .await
            .map_err(|_| Failure::Timeout(limit))?
            .map_err(|error| broken(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }

    async fn refused(&self, response: Response) -> Failure {
        let status = response.status();
        let date = response.headers().get(header::DATE);
        let date = date.and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        let region = response.headers().get("x-amz-bucket-region");
        let region = region.and_then(|region| Some(region.to_str().ok()?.to_owned()));
        // What the status says stands, also where the rest can't be read.
        let text = self.text(response, MAX_ANSWER_BYTES).await;
        let text = text.unwrap_or_default();
        let mut refusal = answer::refusal(&text).unwrap_or_default();
        if status.is_redirection() || refusal.code.contains("Redirect") {
            refusal.region = refusal.region.or(region);
        }
        Failure::Refused {
            status,
            refusal,
            skew: skew(date),
        }
    }

    async fn text(&self, mut response: Response, most: usize) -> Result<String, Failure> {
        let mut text = Vec::new();
        while let Some(chunk) = self.chunk(&mut response).await? {
            if text.len() + chunk.len() > most {
                return Err(Failure::TooLong(most));
            }
            text.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// The next piece of an answer.
    ///
    /// # Errors
    /// The connection broke, or nothing comes.
    pub async fn chunk(&self, response: &mut Response) -> Result<Option<bytes::Bytes>, Failure> {
        let limit = self.settings.request_timeout;
        match timeout(limit, response.chunk()).await {
            Ok(chunk) => chunk.map_err(|error| broken(&error)),
            Err(_) => Err(Failure::Timeout(limit)),
        }
    }
}

/// How long to wait after an attempt: twice as long each time, and not all at the same moment.
pub fn pause(attempt: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << (attempt - 1).min(10));
    doubled
        .min(LAST_PAUSE)
        .mul_f64(rand::random_range(0.5..=1.0))
}

fn broken(error: &reqwest::Error) -> Failure {
    Failure::Connection {
        problem: because(error),
        sent: !error.is_connect(),
    }
}

/// An error's causes, the innermost last. The outermost holds the URL, and that its signature: it is left out.
fn because(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    causes.dedup();
    match causes.is_empty() {
        true => "the connection broke".to_owned(),
        false => causes.join(": "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        assert!(pause(1) <= FIRST_PAUSE && pause(1) >= FIRST_PAUSE / 2);
        assert!(pause(4) > pause(1));
        assert!(pause(60) <= LAST_PAUSE);
    }
}
