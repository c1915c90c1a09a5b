//! What the scheduler serves over HTTP: health, metrics, configuration. Owns the sockets, the pages and the bounds that keep a
//! slow or greedy client from costing more than it should; knows nothing of scheduling.
//!
//! `/livez` (also `/healthz`) asks whether a restart would help, `/readyz` whether the scheduler can do its work; both answer
//! 200 or 503, and with `?verbose` list what they looked at. `/metrics` is for Prometheus, `/configz` the configuration in
//! effect as JSON.

mod health;
mod pages;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use berth_config::SchedulerConfiguration;
use berth_config::scheduler::Server;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::metrics::Metrics;
pub use health::{Check, Health, SILENCE_MS_MAX};
use pages::Pages;

/// Connections of one address at a time; more wait in the system's queue. Probes and a few Prometheus servers need less than ten;
/// at most so many rendered pages (some 100 KiB each) are in memory.
const CONNECTIONS_MAX: usize = 64;

/// For so long a client may take to say what it wants.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// For so long a connection lives: one request, and the time to take the answer. Prometheus gives up after 10 s by default.
const CONNECTION_TIME: Duration = Duration::from_secs(15);

/// For so long answers under way are waited for at the end.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// The head of a request may have so many bytes; the least hyper takes.
const HEAD_BYTES: usize = 8192;

/// What is served; each part is shared with who fills it.
#[derive(Clone)]
pub struct Site {
    /// Answers `/livez`, `/readyz`, `/healthz`.
    pub health: Arc<Health>,
    /// Answers `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Answers `/configz`: what is in effect now.
    pub configuration: watch::Receiver<SchedulerConfiguration>,
    /// The time, on the clock that [`Health::beat`] is told.
    pub now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// Why nothing is served.
#[derive(Debug, Error)]
pub enum CannotServe {
    /// Not an address; the check of the configuration finds this, too.
    #[error("`server.{field}` is `{text}`, expected an address and a port such as 0.0.0.0:8080")]
    Address {
        /// The field.
        field: &'static str,
        /// What stands there.
        text: String,
    },
    /// The system does not let us listen there.
    #[error("cannot listen on {address} (`server.{field}`, --bind-address): is another process there?")]
    Listen {
        /// The field.
        field: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system says.
        #[source]
        error: io::Error,
    },
}

/// The servers that run. They end when this is dropped; better is [`Serving::stop`].
pub struct Serving {
    /// Where health is served, with the port that was taken if it was to be a free one.
    pub health: SocketAddr,
    /// Where metrics and configuration are served.
    pub metrics: SocketAddr,
    stop: watch::Sender<()>,
    servers: JoinSet<()>,
}

/// Listens where `settings` say: on one socket if both addresses are the same, else on two.
///
/// # Errors
/// Where an address is none, or cannot be listened on. Nothing is served then.
pub async fn start(settings: &Server, site: &Site) -> Result<Serving, CannotServe> {
    let health = Wanted::of("healthBindAddress", &settings.health_bind_address)?;
    let metrics = Wanted::of("metricsBindAddress", &settings.metrics_bind_address)?;
    let (stop, stopped) = watch::channel(());
    let mut servers = JoinSet::new();
    let pages = |health, metrics| Pages { site: site.clone(), health, metrics };
    let both = health.address == metrics.address;
    let (listener, health) = health.listen().await?;
    let metrics = if both {
        info!(address = %health, "Serving health, metrics and configuration");
        health
    } else {
        let (listener, metrics) = metrics.listen().await?;
        info!(address = %health, "Serving health");
        info!(address = %metrics, "Serving metrics and configuration");
        servers.spawn(serve(listener, pages(false, true), stopped.clone()));
        metrics
    };
    servers.spawn(serve(listener, pages(true, both), stopped));
    Ok(Serving { health, metrics, stop, servers })
}

impl Serving {
    /// Takes no more connections, and waits a moment for the answers under way.
    pub async fn stop(self) {
        let Serving { stop, mut servers, .. } = self;
        drop(stop);
        while servers.join_next().await.is_some() {}
    }
}

/// Where a field says to listen.
struct Wanted {
    field: &'static str,
    address: SocketAddr,
}

impl Wanted {
    fn of(field: &'static str, text: &str) -> Result<Wanted, CannotServe> {
        let wrong = || CannotServe::Address { field, text: text.to_owned() };
        Ok(Wanted { field, address: berth_config::bind_address(text).ok_or_else(wrong)? })
    }

    async fn listen(self) -> Result<(TcpListener, SocketAddr), CannotServe> {
        let Wanted { field, address } = self;
        let refused = |error| CannotServe::Listen { field, address, error };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let taken = listener.local_addr().map_err(refused)?;
        Ok((listener, taken))
    }
}

/// Until the sender of `stopped` is gone.
async fn serve(listener: TcpListener, pages: Pages, mut stopped: watch::Receiver<()>) {
    let (pages, room) = (Arc::new(pages), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            // Room first: who waits for it waits in the system's queue, not in our memory.
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.accept().await)
        };
        tokio::select! {
            (place, accepted) = accepted => match accepted {
                Ok((stream, _)) => {
                    let answered = answer(stream, Arc::clone(&pages));
                    connections.spawn(async move {
                        answered.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    // Too many open files, mostly: at once again would only heat the processor.
                    warn!(err = &error as &dyn std::error::Error, "Cannot take a connection");
                    sleep(Duration::from_millis(100)).await;
                }
            },
            _ = stopped.changed() => break,
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let _ = timeout(DRAIN_TIME, async { while connections.join_next().await.is_some() {} }).await;
}

/// One request, one answer. That a client went away or was too slow is its own affair.
async fn answer(stream: TcpStream, pages: Arc<Pages>) {
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let response = pages.answer(request.method(), request.uri());
        async move { Ok::<_, std::convert::Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let _ = timeout(CONNECTION_TIME, connection).await;
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
