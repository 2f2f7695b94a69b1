//! The connections: how many there are, how long they may stand still, and how they end.
//!
//! axum's own `serve` has no bound on any of that. Only HTTP/1.1 is spoken: HTTP/2 without
//! encryption is spoken by no browser and hardly any client of this API.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use super::Shared;
use super::patient::Patient;
use super::record::Remote;
use super::routes;
use crate::Engine;

/// Room for a request's line and headers, in bytes: more than twice that is refused with
/// 431, and it depends on the pieces in which they come what of less is.
const HEAD: usize = 64 << 10;

/// How long to wait where the system has no more connections to give.
const NO_MORE: Duration = Duration::from_millis(100);

/// How long the ends of texts that are cut short may take to be sent.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// The connections that are open.
pub struct Connections {
    shared: Arc<Shared>,
    app: Router,
    places: Arc<Semaphore>,
    graceful: GracefulShutdown,
}

impl Connections {
    pub fn new(shared: Arc<Shared>) -> Self {
        let app = routes::of_server(&shared);
        let places = Arc::new(Semaphore::new(shared.options.max_connections));
        Connections { shared, app, places, graceful: GracefulShutdown::new() }
    }

    /// Takes connections, for ever.
    pub async fn accept(&self, listener: &TcpListener) {
        loop {
            // It is never closed.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, remote)) => self.begin(stream, remote, place),
                // That one connection failed, or there are too many open files: it passes.
                Err(error) => {
                    tracing::warn!("a connection was not taken: {error}");
                    sleep(NO_MORE).await;
                }
            }
        }
    }

    fn begin(&self, stream: TcpStream, remote: SocketAddr, place: OwnedSemaphorePermit) {
        // A token is sent when it is there. Where it cannot be asked for, so be it.
        let _ = stream.set_nodelay(true);
        let patience = self.shared.options.patience;
        let app = self.app.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Remote(remote));
            app.clone().oneshot(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // From the end of one request to that of the next one's headers.
            .header_read_timeout(patience)
            .max_buf_size(HEAD)
            .serve_connection(TokioIo::new(Patient::new(stream, patience)), service);
        let connection = self.graceful.watch(connection);
        let open = self.shared.metrics.connection();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("the connection from {remote} ended: {error}");
            }
            drop((open, place));
        });
    }

    /// Lets the requests that are there come to their ends, then ends the engine, and with
    /// it the texts that are still being written.
    pub async fn end(self, grace: Duration, engine: Option<Engine>) {
        let done = self.graceful.shutdown();
        tokio::pin!(done);
        let is_done = timeout(grace, &mut done).await.is_ok();
        let stopped = async {
            if let Some(engine) = engine {
                // It waits for its thread. What a panic there said is in the log.
                let _ = tokio::task::spawn_blocking(move || engine.stop()).await;
            }
            if !is_done {
                done.await;
            }
        };
        if timeout(LAST_WORDS, stopped).await.is_err() {
            tracing::warn!("some requests did not come to their ends in time");
        }
    }
}
