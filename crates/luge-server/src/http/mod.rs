//! The server around the API: who may ask, how much, and what is written down of it.
//!
//! A request passes, from the outside in:
//!
//! * `connections`: so many connections at most, and none that stands still for long.
//! * `record`: the request gets an id, a line in the access log, and is counted.
//! * `guard`: the host that it names, the page that it comes from, and its key.
//! * `routes`: `/health`, `/metrics`, and behind them the model's routes, which answer
//!   503 until there is a model. Bodies are read here, whole, before any handler runs.
//!
//! The port is bound before the model is loaded, and [`Door::open`] lets requests to it.

mod connections;
mod guard;
mod options;
mod patient;
mod record;
mod routes;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::{AppState, Engine, Metrics};
use connections::Connections;
use guard::Guard;
pub use options::{ServerError, ServerOptions};
pub use record::{Access, AccessLog};

/// A server whose port is bound.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What all requests share.
struct Shared {
    options: ServerOptions,
    guard: Guard,
    metrics: Arc<Metrics>,
    model: OnceLock<Loaded>,
    /// Tells the server that there is a model.
    opened: Notify,
    /// The server is about to end.
    is_ending: AtomicBool,
}

/// A model at work, and its routes.
struct Loaded {
    routes: Router,
    engine: Engine,
}

/// Where the model goes in, once it is loaded.
#[derive(Clone)]
pub struct Door {
    shared: Arc<Shared>,
}

impl Door {
    /// From now on requests are answered by this model, through these routes. A second
    /// one is passed over.
    pub fn open(&self, state: AppState, routes: Router<Arc<AppState>>) {
        let engine = state.engine.clone();
        let loaded = Loaded { routes: routes::of_model(routes, Arc::new(state)), engine };
        let _ = self.shared.model.set(loaded);
        self.shared.opened.notify_one();
    }
}

impl Shared {
    /// Returns once the engine has broken down.
    async fn broken(&self) {
        loop {
            if let Some(model) = self.model.get() {
                return model.engine.broken().await;
            }
            self.opened.notified().await;
        }
    }
}

impl Server {
    /// Binds the port. Requests wait until [`Server::run`].
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn bind(options: ServerOptions, metrics: Arc<Metrics>) -> Result<Self, ServerError> {
        let keys = options.checked_keys()?;
        let origins = options.checked_origins()?;
        options.check_hosts()?;
        let listener = options.listener().await?;
        let address = listener.local_addr().map_err(|error| options.unbound(&error))?;
        if !address.ip().is_loopback() && keys.is_empty() && !options.insecure {
            return Err(ServerError::Public { address });
        }
        let guard = Guard::new(&options, address.ip(), keys, origins);
        let (model, opened) = (OnceLock::new(), Notify::new());
        let is_ending = AtomicBool::new(false);
        let shared = Arc::new(Shared { options, guard, metrics, model, opened, is_ending });
        Ok(Server { listener, address, shared })
    }

    /// Where it listens: with the port that was chosen, where any would do.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the model goes in.
    pub fn door(&self) -> Door {
        Door { shared: Arc::clone(&self.shared) }
    }

    /// Answers requests until `shutdown` comes. Then no more connections are taken, and
    /// the requests that are there have the grace time to come to their ends; texts that
    /// are still being written then end with an error. Returns when all is over, at the
    /// latest a few seconds after the grace time.
    ///
    /// # Errors
    /// [`ServerError::Broken`], as soon as the engine has broken down.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
        let Server { listener, shared, .. } = self;
        let connections = Connections::new(Arc::clone(&shared));
        let mut shutdown = pin!(shutdown);
        tokio::select! {
            biased;
            () = &mut shutdown => {}
            () = shared.broken() => {}
            () = connections.accept(&listener) => {}
        }
        drop(listener);
        shared.is_ending.store(true, Ordering::Release);
        let engine = shared.model.get().map(|model| model.engine.clone());
        if let Some(engine) = &engine {
            engine.close();
        }
        let is_broken = || engine.as_ref().is_some_and(Engine::is_broken);
        let grace = if is_broken() { Duration::ZERO } else { shared.options.grace };
        connections.end(grace, engine.clone()).await;
        if is_broken() { Err(ServerError::Broken) } else { Ok(()) }
    }
}
