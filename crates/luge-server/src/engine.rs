//! The engine: one thread that writes the texts of all requests.
//!
//! A [`Batcher`] is at work on a thread of its own. Requests reach it through a channel,
//! and each hears of its texts through another. Whoever drops a [`TextStream`] has gone
//! away: the text is written no further.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SendError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use luge::batching::{
    Batcher, BatcherOptions, Grammars, ReadRequest, TextEvent, TextId, TextRequest,
};
use luge::{Error, Model};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use crate::Metrics;
use crate::account::{self, Account};
use crate::metrics::Ending;

/// How to set up an engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineOptions {
    /// How texts are written.
    pub batcher: BatcherOptions,
    /// How many texts may wait until there is room to write them.
    pub queue: usize,
}

/// Why a request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// There are too many before it.
    #[error("the server has too many requests waiting: try again in {} s", .retry_after.as_secs())]
    Full {
        /// When to try again.
        retry_after: Duration,
    },
    /// The server is about to end.
    #[error("the server is shutting down: try another one, or again later")]
    Ending,
    /// The engine made a mistake, and will write no more.
    #[error("the server has broken down and will end, and its log says why: try again later")]
    Broken,
}

/// Why a request's texts are not written.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is no room for them.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// Its grammar cannot be used.
    #[error(transparent)]
    Wrong(#[from] Error),
}

/// Writes texts for whoever asks. Clones share one thread.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    jobs: Mutex<Sender<Job>>,
    /// Texts that were taken and have not ended.
    texts: AtomicUsize,
    most_texts: usize,
    ctx_size: usize,
    grammars: Grammars,
    metrics: Arc<Metrics>,
    /// No more texts are taken.
    closed: AtomicBool,
    /// The thread has died of a mistake.
    broken: Arc<watch::Sender<bool>>,
    /// Stops the computation at once.
    interrupt: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread is told.
enum Job {
    Write {
        request: Box<ReadRequest>,
        text: Text,
    },
    /// No more jobs will come.
    Close,
}

/// Whoever waits for a text.
struct Text {
    events: UnboundedSender<TextEvent>,
    asked: Instant,
    has_begun: bool,
    /// What the request comes to, where someone keeps account.
    account: Option<Arc<Account>>,
    _place: Place,
}

impl Text {
    /// Ends it, with an error as its last event if there is one.
    fn fail(self, error: Option<Error>, metrics: &Metrics) {
        metrics.ended(Ending::Failed, self.asked.elapsed());
        if let Some(error) = error {
            // Perhaps there is no one any more.
            let _ = self.events.send(TextEvent::Failed(error));
        }
    }
}

/// One of the texts that the engine has room for; given back when dropped.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.texts.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A text as it is written. Dropping it ends it.
#[derive(Debug)]
pub struct TextStream {
    events: UnboundedReceiver<TextEvent>,
}

impl TextStream {
    /// What comes next; `None` behind the end, or where the engine has ended.
    pub async fn next(&mut self) -> Option<TextEvent> {
        self.events.recv().await
    }
}

impl Engine {
    /// Starts the thread.
    ///
    /// # Errors
    /// As [`Batcher::new`].
    pub fn start(
        model: &Model,
        options: &EngineOptions,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Error> {
        let batcher = Batcher::new(model, &options.batcher)?;
        let (jobs, receiver) = channel();
        let shared = Arc::new(Shared {
            jobs: Mutex::new(jobs),
            texts: AtomicUsize::new(0),
            most_texts: options.batcher.parallel as usize + options.queue,
            ctx_size: batcher.ctx_size(),
            grammars: batcher.grammars(),
            metrics: Arc::clone(&metrics),
            closed: AtomicBool::new(false),
            broken: Arc::default(),
            interrupt: batcher.interrupt(),
            thread: Mutex::new(None),
        });
        // Of the engine no more: it is to end when the last clone is gone.
        let broken = Arc::clone(&shared.broken);
        let thread = std::thread::spawn(move || {
            let mut worker = Worker::new(batcher, receiver, metrics);
            // A mistake must not leave a server behind that takes requests and answers none.
            if catch_unwind(AssertUnwindSafe(|| worker.run())).is_err() {
                broken.send_replace(true);
                // Without a last event: nothing is wrong with them.
                worker.rest().into_iter().for_each(|text| text.fail(None, &worker.metrics));
            }
        });
        *lock(&shared.thread) = Some(thread);
        Ok(Engine { shared })
    }

    /// Has texts written, all of them or none. Their grammars are read on this thread, which
    /// may take seconds.
    ///
    /// # Errors
    /// [`Refused`]. What else is wrong with a text comes as its [`TextEvent::Failed`].
    pub fn submit(&self, requests: Vec<TextRequest>) -> Result<Vec<TextStream>, Refused> {
        let shared = &self.shared;
        if self.is_broken() {
            return Err(Busy::Broken.into());
        }
        if shared.closed.load(Ordering::Acquire) {
            return Err(Busy::Ending.into());
        }
        let count = requests.len();
        let taken = shared.texts.fetch_update(Ordering::AcqRel, Ordering::Acquire, |texts| {
            (texts + count <= shared.most_texts).then_some(texts + count)
        });
        if taken.is_err() {
            return Err(Busy::Full { retry_after: Duration::from_secs(1) }.into());
        }
        let places: Vec<Place> = (0..count).map(|_| Place(Arc::clone(shared))).collect();
        let account = account::current();
        if let Some(account) = &account {
            requests.iter().for_each(|request| account.asked(request));
        }
        // With places taken: no more grammars are read at a time than texts are written.
        let read = requests.into_iter().map(|request| shared.grammars.read(request));
        let read = read.collect::<Result<Vec<_>, _>>()?;
        let mut streams = Vec::with_capacity(count);
        for (request, place) in read.into_iter().zip(places) {
            let (events, receiver) = unbounded_channel();
            let text = Text {
                events,
                asked: Instant::now(),
                has_begun: false,
                account: account.clone(),
                _place: place,
            };
            shared.metrics.taken();
            let job = Job::Write { request: Box::new(request), text };
            if let Err(SendError(Job::Write { text, .. })) = lock(&shared.jobs).send(job) {
                text.fail(None, &shared.metrics);
                return Err(self.ended().into());
            }
            streams.push(TextStream { events: receiver });
        }
        Ok(streams)
    }

    /// Takes no more texts; those that were taken are written to their ends.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        let _ = lock(&self.shared.jobs).send(Job::Close);
    }

    /// Whether the thread has died of a mistake, and no text is written any more.
    pub fn is_broken(&self) -> bool {
        *self.shared.broken.borrow()
    }

    /// Returns once [`Engine::is_broken`].
    pub async fn broken(&self) {
        // It is closed only with the engine, which is here.
        let _ = self.shared.broken.subscribe().wait_for(|&broken| broken).await;
    }

    /// Why texts end without a last event, and no more are taken.
    pub fn ended(&self) -> Busy {
        if self.is_broken() { Busy::Broken } else { Busy::Ending }
    }

    /// Room for one text, prompt included, in tokens.
    pub fn ctx_size(&self) -> usize {
        self.shared.ctx_size
    }

    /// How many texts were taken and have not ended.
    pub fn texts(&self) -> usize {
        self.shared.texts.load(Ordering::Acquire)
    }

    /// Takes no more texts, and ends those that are being written. Returns when the thread
    /// has ended.
    pub fn stop(&self) {
        self.close();
        self.shared.interrupt.store(true, Ordering::Relaxed);
        if let Some(thread) = lock(&self.shared.thread).take() {
            // A panic there has been reported by the thread itself.
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread.
struct Worker {
    batcher: Batcher,
    jobs: Receiver<Job>,
    metrics: Arc<Metrics>,
    texts: BTreeMap<TextId, Text>,
    closed: bool,
    interrupt: Arc<AtomicBool>,
}

impl Worker {
    fn new(batcher: Batcher, jobs: Receiver<Job>, metrics: Arc<Metrics>) -> Self {
        let interrupt = batcher.interrupt();
        Worker { batcher, jobs, metrics, texts: BTreeMap::new(), closed: false, interrupt }
    }

    fn run(&mut self) {
        loop {
            if self.texts.is_empty() {
                if self.closed {
                    break;
                }
                match self.jobs.recv() {
                    Ok(job) => self.take(job),
                    Err(_) => break,
                }
            }
            while let Ok(job) = self.jobs.try_recv() {
                self.take(job);
            }
            self.drop_abandoned();
            if self.interrupt.load(Ordering::Relaxed) {
                self.end_all();
            } else {
                self.step();
            }
        }
        // Some may have come while the engine was being closed.
        self.end_all();
    }

    /// Ends all texts, those that wait too.
    fn end_all(&mut self) {
        for &id in self.texts.keys() {
            self.batcher.cancel(id);
        }
        for text in self.rest() {
            text.fail(Some(luge::LlamaError::Interrupted.into()), &self.metrics);
        }
    }

    /// All texts, those that have not been looked at too.
    fn rest(&mut self) -> Vec<Text> {
        let mut texts: Vec<_> = std::mem::take(&mut self.texts).into_values().collect();
        while let Ok(job) = self.jobs.try_recv() {
            match job {
                Job::Write { text, .. } => texts.push(text),
                Job::Close => self.closed = true,
            }
        }
        self.metrics.load(0, 0);
        texts
    }

    fn take(&mut self, job: Job) {
        let Job::Write { request, text } = job else {
            self.closed = true;
            return;
        };
        match self.batcher.submit_read(*request) {
            Ok(id) => {
                self.texts.insert(id, text);
            }
            Err(error) => text.fail(Some(error), &self.metrics),
        }
    }

    /// Ends the texts that no one waits for any more.
    fn drop_abandoned(&mut self) {
        let Worker { batcher, texts, metrics, .. } = self;
        texts.retain(|&id, text| {
            let is_wanted = !text.events.is_closed();
            if !is_wanted {
                batcher.cancel(id);
                metrics.ended(Ending::Cancelled, text.asked.elapsed());
            }
            is_wanted
        });
    }

    fn step(&mut self) {
        let Worker { batcher, texts, metrics, .. } = self;
        let result = batcher.step(&mut |id, event| {
            let Some(text) = texts.get_mut(&id) else { return };
            let ending = match &event {
                TextEvent::Prompt(report) => {
                    metrics.prompt(report.cached);
                    if let Some(account) = &text.account {
                        account.prompt(report);
                    }
                    None
                }
                TextEvent::Token(_) => {
                    if !std::mem::replace(&mut text.has_begun, true) {
                        metrics.first_token(text.asked.elapsed());
                    }
                    if let Some(account) = &text.account {
                        account.token();
                    }
                    None
                }
                TextEvent::Finished(_) => Some(Ending::Finished),
                TextEvent::Failed(_) => Some(Ending::Failed),
            };
            // Where no one listens any more, the next round drops the text.
            let _ = text.events.send(event);
            if let Some(ending) = ending {
                metrics.ended(ending, text.asked.elapsed());
                texts.remove(&id);
            }
        });
        match result {
            Ok(Some(report)) => metrics.step(&report, batcher.running(), batcher.waiting()),
            Err(Error::Llama(luge::LlamaError::Interrupted)) => {}
            Ok(None) => metrics.load(batcher.running(), batcher.waiting()),
            Err(error) => tracing::error!("{error}"),
        }
    }
}
