//! A document of what a function has paged, which its processes share through the state table.
//!
//! ```text
//! finish: load -> merge with what this process knows -> add the run -> is a page due?
//!           no:   store, if the document changed
//!           yes:  store without the page -> send -> store with the page
//! ```
//!
//! A page is sent only after the table has accepted a write of the document that remembers it. Without that rule, each
//! new process of a function with an unavailable table sends the same page, for as long as the fault lasts. Such a page
//! is withheld: its text is logged as an error, and the caller counts it in the metric `PagesWithheld`. The alarm on that
//! metric is the page, and it needs no table. A stored document that cannot be read is never overwritten; it counts as a
//! separate withheld page, and the text of that page names the remedy.
//!
//! A page is not sent shortly before the deadline: a run that ends between sending and storing would send it again. Once
//! it is sent, the document may be stored a little after the deadline.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use records::{DocumentRecord, read_record, write_record};

use ports::{
    BudgetWindow, Deadline, DocumentError, Note, Notice, Notifier, PortError, StateKey, StateStore, StoreOutcome,
    Urgency,
};

/// How often the document is stored again after another invocation has stored it.
const ATTEMPTS: usize = 3;

/// SNS's limit for a subject.
const LONGEST_SUBJECT: usize = 100;

/// The minimum time until the deadline for sending a page.
const SHORTEST_SEND: Duration = Duration::from_millis(300);

/// The time for storing that a page was sent, also after the deadline. The deadline is before the end of the invocation
/// by twice this time ([`crate::runtime::RESERVE`]).
const AFTER_PAGE: Duration = Duration::from_millis(250);

/// The memory of one function about one topic.
#[derive(Debug)]
pub(crate) struct PagedMemory<D> {
    function: &'static str,
    key: StateKey,
    state: Arc<dyn StateStore>,
    notifier: Arc<dyn Notifier>,
    /// What this process remembers: all there is while the state table cannot be reached.
    warm: Mutex<D>,
}

/// What one run adds to a document.
pub(crate) trait PagedRun<D> {
    /// Whether a due page is sent although the table cannot remember it.
    fn sends_unstored(&self) -> bool {
        false
    }

    /// Adds what another process has stored.
    fn merge(&self, own: &mut D, stored: &D);

    /// Adds what this run has seen, and returns the page that is due. Adding the same run again changes nothing.
    fn apply(&self, document: &mut D) -> Option<DuePage<D>>;
}

/// A page that is due.
#[derive(Debug)]
pub(crate) struct DuePage<D> {
    /// The subject, without the name of the function.
    pub(crate) subject: String,
    /// The body.
    pub(crate) body: String,
    /// The document once the page is sent.
    pub(crate) paged: D,
}

/// Why the stored document is not known.
#[derive(Debug)]
enum Unread {
    /// The state table could not be read; the log has the error.
    Unreachable,
    /// The document is malformed or has a newer format.
    Unreadable(DocumentError),
}

/// Logs a page instead of sending it.
fn withhold_page(subject: &str, body: &str) {
    tracing::error!(subject, body, "withheld a page that cannot be remembered; the alarm on PagesWithheld reports it");
}

impl<D: DocumentRecord + Clone + Default + PartialEq> PagedMemory<D> {
    /// The memory that is stored at this key.
    pub(crate) fn new(
        function: &'static str,
        key: StateKey,
        state: Arc<dyn StateStore>,
        notifier: Arc<dyn Notifier>,
    ) -> Self {
        Self { function, key, state, notifier, warm: Mutex::default() }
    }

    /// Whether this process has nothing to remember.
    pub(crate) fn is_empty(&self) -> bool {
        *self.warm() == D::default()
    }

    /// Ends the run that began at `now`, within the deadline of the invocation. `None` if the time ran out.
    pub(crate) async fn finish_by(&self, deadline: Deadline, run: &impl PagedRun<D>, now: Timestamp) -> Option<usize> {
        let finished = deadline.cover(self.finish(run, now));
        tokio::time::timeout(deadline.left() + AFTER_PAGE, finished).await.ok()
    }

    /// Ends the run that began at `now`. Returns how many pages were due and were withheld.
    pub(crate) async fn finish(&self, run: &impl PagedRun<D>, now: Timestamp) -> usize {
        for _ in 0..ATTEMPTS {
            let stored = self.load(now).await;
            let mut document = self.warm().clone();
            if let Ok((_, known)) = &stored {
                run.merge(&mut document, known);
            }
            let due = run.apply(&mut document);
            let (revision, known) = match stored {
                Ok(stored) => stored,
                Err(Unread::Unreachable) => return self.end_unstored(run, document, due).await,
                Err(Unread::Unreadable(error)) => {
                    withhold_page(&format!("hold: {}", error.reason()), &format!("{error}; {}", error.remedy()));
                    return 1 + self.end_unstored(run, document, due).await;
                }
            };
            if due.is_some() || document != known {
                match self.store(revision, &document, now).await {
                    Ok(StoreOutcome::Stored) => {}
                    // Another invocation has stored what it saw, and may have sent the same page.
                    Ok(StoreOutcome::Overtaken) => continue,
                    Err(error) => {
                        tracing::warn!(%error, key = self.key.as_str(), "failed to store a memory; this process keeps it");
                        return self.end_unstored(run, document, due).await;
                    }
                }
            }
            let Some(due) = due else {
                *self.warm() = document;
                return 0;
            };
            if Deadline::remaining().is_some_and(|left| left < SHORTEST_SEND) {
                *self.warm() = document;
                withhold_page(&due.subject, &due.body);
                return 1;
            }
            if self.send(&due).await {
                let remembered = self.remember(revision.saturating_add(1), due.paged, run, now);
                document = match Deadline::remaining() {
                    Some(left) => Deadline::after(left.max(AFTER_PAGE)).cover(remembered).await,
                    None => remembered.await,
                };
            }
            *self.warm() = document;
            return 0;
        }
        tracing::warn!(
            key = self.key.as_str(),
            "other invocations store this memory all the time; the next run adds to it"
        );
        0
    }

    /// Keeps the document in this process only. A due page is logged, or sent if the run requires it. Returns the number
    /// of pages that were not sent.
    async fn end_unstored(&self, run: &impl PagedRun<D>, document: D, due: Option<DuePage<D>>) -> usize {
        let Some(due) = due else {
            *self.warm() = document;
            return 0;
        };
        if run.sends_unstored() && self.send(&due).await {
            *self.warm() = due.paged;
            return 0;
        }
        *self.warm() = document;
        withhold_page(&due.subject, &due.body);
        1
    }

    /// Stores that a page was sent, and gives the document as it is then. Where that fails, this process remembers it.
    async fn remember(&self, mut revision: u64, mut document: D, run: &impl PagedRun<D>, now: Timestamp) -> D {
        for _ in 0..ATTEMPTS {
            match self.store(revision, &document, now).await {
                Ok(StoreOutcome::Stored) => break,
                Ok(StoreOutcome::Overtaken) => {
                    let Ok((newer, known)) = self.load(now).await else { break };
                    run.merge(&mut document, &known);
                    revision = newer;
                }
                Err(error) => {
                    tracing::warn!(%error, key = self.key.as_str(), "failed to store that a page was sent; it may be sent again");
                    break;
                }
            }
        }
        document
    }

    /// The stored document with its revision.
    async fn load(&self, now: Timestamp) -> Result<(u64, D), Unread> {
        // Nothing is spent here; the window is what every load has to name.
        let window = BudgetWindow { class: self.function.to_owned(), start: now, end: now };
        let stored = match self.state.load(std::slice::from_ref(&self.key), &window).await {
            Ok(mut view) => view.documents.remove(&self.key),
            Err(error) => {
                tracing::warn!(%error, key = self.key.as_str(), "failed to load a memory; this process keeps its own");
                return Err(Unread::Unreachable);
            }
        };
        let Some(stored) = stored else { return Ok((0, D::default())) };
        let document = read_record(&self.key, &stored.document).map_err(Unread::Unreadable)?;
        Ok((stored.revision, document))
    }

    async fn store(&self, revision: u64, document: &D, now: Timestamp) -> Result<StoreOutcome, PortError> {
        let document = write_record(document);
        self.state.note(&Note { key: self.key.clone(), revision, now, document, journal: None }).await
    }

    async fn send(&self, due: &DuePage<D>) -> bool {
        let subject = format!("{}: {}", self.function, due.subject);
        let subject = subject.chars().map(|character| if character.is_ascii_graphic() { character } else { ' ' });
        let notice =
            Notice { urgency: Urgency::Page, subject: subject.take(LONGEST_SUBJECT).collect(), body: due.body.clone() };
        match self.notifier.notify(&notice).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, subject = notice.subject, "failed to send a page; the next run sends it");
                false
            }
        }
    }

    fn warm(&self) -> MutexGuard<'_, D> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
