//! Counts every request that a Kubernetes client makes. Owns the layer around the client; changes no request and no answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use hyper::{Request, Response};
use tower::{Layer, Service};

use super::Metrics;

/// For `kube::client::ClientBuilder::with_layer`.
#[derive(Clone)]
pub struct CountedRequests(Arc<Metrics>);

impl CountedRequests {
    /// Counted there.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        CountedRequests(metrics)
    }
}

impl<S> Layer<S> for CountedRequests {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, metrics: Arc::clone(&self.0) }
    }
}

/// A client whose requests are counted.
#[derive(Clone)]
pub struct Counted<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S, Asked, Answered> Service<Request<Asked>> for Counted<S>
where
    S: Service<Request<Asked>, Response = Response<Answered>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Asked>) -> Self::Future {
        let (method, begun) = (request.method().clone(), Instant::now());
        let (metrics, answer) = (Arc::clone(&self.metrics), self.inner.call(request));
        Box::pin(async move {
            let answer = answer.await;
            let code = answer.as_ref().ok().map(|answer| answer.status().as_u16());
            metrics.requested(method.as_str(), code, begun.elapsed());
            answer
        })
    }
}
