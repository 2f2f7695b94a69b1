//! What a request came to: kept beside it from its arrival to the end of its answer, for
//! the access log.
//!
//! The account of the request that is being handled is known to its task, so that handlers
//! need not pass it on: [`Engine::submit`](crate::Engine::submit) finds it there, and
//! counts the texts' tokens in it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use luge::batching::{PromptReport, TextRequest};

/// What a request came to so far.
#[derive(Debug, Default)]
pub struct Account {
    route: OnceLock<String>,
    method: OnceLock<String>,
    texts: AtomicU64,
    prompt: AtomicU64,
    cached: AtomicU64,
    written: AtomicU64,
}

tokio::task_local! {
    static CURRENT: Arc<Account>;
}

/// The account of the request that this task handles; `None` in any other task.
pub fn current() -> Option<Arc<Account>> {
    CURRENT.try_with(Arc::clone).ok()
}

/// Handles a request with this account.
pub async fn with<F: Future>(account: Arc<Account>, handling: F) -> F::Output {
    CURRENT.scope(account, handling).await
}

/// The same on a thread that is no task's, where there is an account.
pub fn within<T>(account: Option<Arc<Account>>, work: impl FnOnce() -> T) -> T {
    match account {
        Some(account) => CURRENT.sync_scope(account, work),
        None => work(),
    }
}

impl Account {
    /// The request is one for this route, as in `/v1/models/{id}`.
    pub fn routed(&self, route: &str) {
        let _ = self.route.set(route.to_owned());
    }

    /// A text is asked for.
    pub fn asked(&self, request: &TextRequest) {
        // All texts of a request have the same.
        self.method.get_or_init(|| request.decoder.to_string());
        self.texts.fetch_add(1, Ordering::Relaxed);
    }

    /// A text's prompt was computed.
    pub fn prompt(&self, report: &PromptReport) {
        self.prompt.fetch_add(report.tokens as u64, Ordering::Relaxed);
        self.cached.fetch_add(report.cached as u64, Ordering::Relaxed);
    }

    /// A token was written.
    pub fn token(&self) {
        self.written.fetch_add(1, Ordering::Relaxed);
    }

    /// The route, if there is one for the request.
    pub fn route(&self) -> Option<&str> {
        self.route.get().map(String::as_str)
    }

    /// The texts so far; `None` for a request that asked for none.
    pub fn tokens(&self) -> Option<Tokens> {
        let method = self.method.get()?;
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Some(Tokens {
            decoding: method.clone(),
            texts: count(&self.texts),
            prompt_tokens: count(&self.prompt),
            cached_tokens: count(&self.cached),
            completion_tokens: count(&self.written),
        })
    }
}

/// What was written for a request.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Tokens {
    /// The method, as in `sled+dola`.
    pub decoding: String,
    /// How many texts.
    pub texts: u64,
    /// Tokens of their prompts.
    pub prompt_tokens: u64,
    /// Of these, the ones that the cache had.
    pub cached_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
}
