//! The engine: one thread that writes the texts of all requests.
//!
//! A [`Batcher`] is at work on a thread of its own. Requests reach it through a channel,
//! and each hears of its texts through another. Whoever drops a [`TextStream`] has gone
//! away: the text is written no further.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use luge::batching::{Batcher, BatcherOptions, Prepared, Preparer, TextEvent, TextId, TextRequest};
use luge::{Error, LlamaError, Model};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

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
    /// The engine has broken down.
    #[error("the server's engine has broken down, its log says why: start the server again")]
    Broken,
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
    preparer: Preparer,
    /// No more texts are taken.
    closed: AtomicBool,
    /// Stops the computation at once.
    interrupt: Arc<AtomicBool>,
    /// The thread has panicked.
    is_broken: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread is told.
enum Job {
    Write {
        request: Box<Prepared>,
        text: Text,
    },
    /// No more jobs will come.
    Close,
    /// As a mistake of ours would.
    #[cfg(test)]
    Panic,
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
            preparer: batcher.preparer(),
            closed: AtomicBool::new(false),
            interrupt: batcher.interrupt(),
            is_broken: Arc::default(),
            thread: Mutex::new(None),
        });
        let is_broken = Arc::clone(&shared.is_broken);
        let thread = std::thread::spawn(move || {
            let mut worker = Worker::new(batcher, receiver, metrics);
            // What a panic said is in the log. The texts are told of it, and what watches
            // over the server is too: see `Engine::is_broken`.
            if catch_unwind(AssertUnwindSafe(|| worker.run())).is_err() {
                is_broken.store(true, Ordering::Release);
                worker.end_all(|| LlamaError::Compute(Busy::Broken.to_string()));
            }
        });
        *lock(&shared.thread) = Some(thread);
        Ok(Engine { shared })
    }

    /// Gets a request ready, on the caller's thread: reading a grammar may take seconds,
    /// in which the engine goes on with other texts.
    ///
    /// # Errors
    /// As [`Preparer::prepare`].
    pub fn prepare(&self, request: TextRequest) -> Result<Prepared, Error> {
        self.shared.preparer.prepare(request)
    }

    /// Has texts written, all of them or none.
    ///
    /// # Errors
    /// [`Busy`]. What else is in the way comes as a [`TextEvent::Failed`].
    pub fn submit(&self, requests: Vec<Prepared>) -> Result<Vec<TextStream>, Busy> {
        let shared = &self.shared;
        if self.is_broken() {
            return Err(Busy::Broken);
        }
        if shared.closed.load(Ordering::Acquire) {
            return Err(Busy::Ending);
        }
        let count = requests.len();
        let taken = shared.texts.fetch_update(Ordering::AcqRel, Ordering::Acquire, |texts| {
            (texts + count <= shared.most_texts).then_some(texts + count)
        });
        if taken.is_err() {
            return Err(Busy::Full { retry_after: Duration::from_secs(1) });
        }
        let places: Vec<Place> = (0..count).map(|_| Place(Arc::clone(shared))).collect();
        let account = account::current();
        let jobs = lock(&shared.jobs);
        let mut streams = Vec::with_capacity(count);
        for (request, place) in requests.into_iter().zip(places) {
            let (events, receiver) = unbounded_channel();
            if let Some(account) = &account {
                account.asked(&request);
            }
            let text = Text {
                events,
                asked: Instant::now(),
                has_begun: false,
                account: account.clone(),
                _place: place,
            };
            jobs.send(Job::Write { request: Box::new(request), text }).map_err(|_| Busy::Ending)?;
            streams.push(TextStream { events: receiver });
        }
        Ok(streams)
    }

    /// Takes no more texts; those that were taken are written to their ends.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        let _ = lock(&self.shared.jobs).send(Job::Close);
    }

    /// Room for one text, prompt included, in tokens.
    pub fn ctx_size(&self) -> usize {
        self.shared.ctx_size
    }

    /// Whether the engine has broken down, by a mistake in it: it takes no more texts.
    pub fn is_broken(&self) -> bool {
        self.shared.is_broken.load(Ordering::Acquire)
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
            // It catches its panics.
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
                    return;
                }
                match self.jobs.recv() {
                    Ok(job) => self.take(job),
                    Err(_) => return,
                }
            }
            while let Ok(job) = self.jobs.try_recv() {
                self.take(job);
            }
            self.drop_abandoned();
            if self.interrupt.load(Ordering::Relaxed) {
                self.end_all(|| LlamaError::Interrupted);
            } else {
                self.step();
            }
        }
    }

    /// Ends all texts, those that wait too.
    fn end_all(&mut self, error: impl Fn() -> LlamaError) {
        for (id, text) in std::mem::take(&mut self.texts) {
            self.batcher.cancel(id);
            let error = error().into();
            self.metrics.ended(Ending::Failed, text.asked.elapsed());
            let _ = text.events.send(TextEvent::Failed(error));
        }
    }

    fn take(&mut self, job: Job) {
        let (request, text) = match job {
            Job::Write { request, text } => (request, text),
            Job::Close => {
                self.closed = true;
                return;
            }
            #[cfg(test)]
            Job::Panic => panic!("a test of what comes of it"),
        };
        match self.batcher.submit_prepared(*request) {
            Ok(id) => {
                self.texts.insert(id, text);
            }
            Err(error) => {
                self.metrics.ended(Ending::Failed, text.asked.elapsed());
                let _ = text.events.send(TextEvent::Failed(error));
            }
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
        let mut said = Vec::new();
        let result = batcher.step(&mut |id, event| said.push((id, event)));
        // Counted before anyone hears of it: who asks for the metrics then finds it there.
        match result {
            Ok(Some(report)) => metrics.step(&report, batcher.running(), batcher.waiting()),
            Err(Error::Llama(LlamaError::Interrupted)) => {}
            Ok(None) => metrics.load(batcher.running(), batcher.waiting()),
            Err(error) => tracing::error!("{error}"),
        }
        for (id, event) in said {
            let Some(text) = texts.get_mut(&id) else { continue };
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
            if let Some(ending) = ending {
                metrics.ended(ending, text.asked.elapsed());
            }
            // Where no one listens any more, the next round drops the text.
            let _ = text.events.send(event);
            if ending.is_some() {
                texts.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use luge::{ModelParams, Pipeline};

    use super::*;

    /// A server whose engine is dead must not look like one that is shutting down, nor be
    /// taken for a healthy one.
    #[tokio::test]
    async fn an_engine_that_breaks_down_says_so() {
        let model = luge::builtin::load(&ModelParams::default()).unwrap();
        let mut options = EngineOptions { queue: 1, ..EngineOptions::default() };
        options.batcher.session.threads = Some(1);
        let engine = Engine::start(&model, &options, Arc::default()).unwrap();
        let greedy = "greedy".parse::<Pipeline>().unwrap().bind(&luge::shape_of(&model)).unwrap();
        let mut request = TextRequest::new(Arc::new(greedy), vec![1]);
        (request.options.max_tokens, request.options.ignore_eos) = (Some(4000), true);
        let ready = engine.prepare(request.clone()).unwrap();
        let mut text = engine.submit(vec![ready]).unwrap().remove(0);
        assert!(matches!(text.next().await, Some(TextEvent::Prompt(_))));
        assert!(!engine.is_broken());

        lock(&engine.shared.jobs).send(Job::Panic).unwrap();
        let end = loop {
            match text.next().await.expect("it hears of its end") {
                TextEvent::Failed(error) => break error.to_string(),
                TextEvent::Finished(_) => panic!("4000 tokens were faster than a panic"),
                _ => {}
            }
        };
        assert!(end.contains("broken down"), "{end}");
        let ready = engine.prepare(request).unwrap();
        assert_eq!(engine.submit(vec![ready]).unwrap_err(), Busy::Broken);
        assert!(engine.is_broken());
        engine.stop();
        assert_eq!(engine.texts(), 0);
    }
}
