//! The pages themselves: which path is what, and what stands there. Knows no socket.

use std::fmt::Write;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Method, Response, StatusCode, Uri};

use super::{Check, Site};
use crate::metrics;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// What one address serves.
pub(super) struct Pages {
    pub(super) site: Site,
    /// Health?
    pub(super) health: bool,
    /// Metrics and configuration?
    pub(super) metrics: bool,
}

impl Pages {
    /// The answer to a request.
    pub(super) fn answer(&self, method: &Method, uri: &Uri) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            let mut refused = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD are understood\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        let now_ms = (self.site.now_ms)();
        match uri.path() {
            path @ ("/livez" | "/healthz") if self.health => checked(path, uri, &self.site.health.live(now_ms)),
            path @ "/readyz" if self.health => checked(path, uri, &self.site.health.ready(now_ms)),
            "/metrics" if self.metrics => match self.site.metrics.render() {
                Ok(text) => page(StatusCode::OK, metrics::CONTENT_TYPE, text),
                Err(error) => broken(&error),
            },
            "/configz" if self.metrics => {
                let configuration = self.site.configuration.borrow().clone();
                match serde_json::to_vec_pretty(&configuration) {
                    Ok(text) => page(StatusCode::OK, JSON, text),
                    Err(error) => broken(&error),
                }
            }
            _ => page(StatusCode::NOT_FOUND, TEXT, self.index()),
        }
    }

    /// Who is lost is told what there is.
    fn index(&self) -> String {
        let health: &[&str] = if self.health { &["/livez", "/readyz", "/healthz"] } else { &[] };
        let metrics: &[&str] = if self.metrics { &["/metrics", "/configz"] } else { &[] };
        format!("no such page; there are {}\n", [health, metrics].concat().join(", "))
    }
}

/// In the form of Kubernetes' own components.
fn checked(path: &str, uri: &Uri, checks: &[Check]) -> Response<Full<Bytes>> {
    let well = checks.iter().all(|check| check.fault.is_none());
    let query = uri.query().unwrap_or_default();
    let verbose = query.split('&').any(|part| part.split('=').next() == Some("verbose"));
    if well && !verbose {
        return page(StatusCode::OK, TEXT, "ok");
    }
    let mut text = String::new();
    for Check { name, fault } in checks.iter().filter(|check| verbose || check.fault.is_some()) {
        // Writing to a string cannot fail.
        let _ = match fault {
            None => writeln!(text, "[+]{name} ok"),
            Some(fault) => writeln!(text, "[-]{name} failed: {fault}"),
        };
    }
    let (status, end) = if well { (StatusCode::OK, "passed") } else { (StatusCode::SERVICE_UNAVAILABLE, "failed") };
    page(status, TEXT, format!("{text}{} check {end}\n", path.trim_start_matches('/')))
}

fn broken(error: &dyn std::error::Error) -> Response<Full<Bytes>> {
    tracing::error!(err = error.to_string(), "Cannot write a page");
    page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the page cannot be written; the log says why\n")
}

fn page(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
