//! The memory of one flow: what its steps came to, what of that is on disk, and what is to be
//! taken back should it fail.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::{BoxFuture, pending};
use modulith_contract::{Fault, Refusal, Stop, Timestamp};
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{
    Path, Retry,
    flows::{Control, Halt},
    record::{FLOWS, Running, STEPS, State, StepKind, StepRecord},
};
use crate::{Tx, codec, home::Home, port::Meta};

/// A step back, ready to be taken.
pub(super) type Undo = Box<dyn FnOnce(Arc<Journal>, Path) -> BoxFuture<'static, UndoEnd> + Send>;

/// How a step back ended: it may turn out to be impossible, which a person has to look at.
pub(super) type UndoEnd = Result<(), String>;

/// One flow's journal.
pub(super) struct Journal {
    pub(super) home: Arc<Home>,
    pub(super) id: u128,
    pub(super) control: Arc<Control>,
    state: Mutex<Book>,
    /// One writes at a time, so that the start is on disk before any step.
    writing: tokio::sync::Mutex<()>,
}

struct Book {
    /// The flow itself, as it is or will be stored.
    running: Running,
    /// Whether it is.
    started: bool,
    steps: BTreeMap<Path, Step>,
    /// Steps not on disk yet, in the order they ended.
    unwritten: Vec<Path>,
    /// Whether one of those could end otherwise if it were taken again.
    undetermined: bool,
    undos: BTreeMap<Path, Undo>,
}

struct Step {
    record: StepRecord,
    /// Whether the code has asked for it in this run.
    taken: bool,
}

/// Whether a step taken again would come to the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    /// A command's answer is kept by whoever gave it.
    Determined,
    /// Anything else may change.
    Undetermined,
}

impl Journal {
    /// The journal of a new flow.
    pub(super) fn new(home: Arc<Home>, id: u128, control: Arc<Control>, running: Running) -> Self {
        Self::with(home, id, control, running, false, BTreeMap::new())
    }

    /// The journal of a flow that was begun before.
    pub(super) fn reopened(
        home: Arc<Home>,
        id: u128,
        control: Arc<Control>,
        running: Running,
        records: Vec<(Path, StepRecord)>,
    ) -> Self {
        let step = |record| Step {
            record,
            taken: false,
        };
        let steps = records.into_iter();
        let steps = steps.map(|(path, record)| (path, step(record)));
        Self::with(home, id, control, running, true, steps.collect())
    }

    fn with(
        home: Arc<Home>,
        id: u128,
        control: Arc<Control>,
        running: Running,
        started: bool,
        steps: BTreeMap<Path, Step>,
    ) -> Self {
        let book = Book {
            running,
            started,
            steps,
            unwritten: Vec::new(),
            undetermined: false,
            undos: BTreeMap::new(),
        };
        Self {
            home,
            id,
            control,
            state: Mutex::new(book),
            writing: tokio::sync::Mutex::new(()),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn running(&self) -> Running {
        self.book().running.clone()
    }

    pub(super) fn version(&self) -> u32 {
        self.book().running.about.version
    }

    /// Whether anything of the flow is on disk.
    pub(super) fn is_started(&self) -> bool {
        self.book().started
    }

    /// Whether the flow's end can be told before it is on disk: the code would come to it again.
    pub(super) fn is_determined(&self) -> bool {
        let book = self.book();
        book.started && !book.undetermined
    }

    pub(super) fn now(&self) -> Timestamp {
        self.home.environment().clock.now()
    }

    /// What a step came to when it was taken before; none when it is new.
    ///
    /// Does not return when the journal has another step in this place, or when the flow is to
    /// take no new step: the code is then stopped where it stands.
    pub(super) async fn recall(
        &self,
        path: &Path,
        kind: StepKind,
        label: &str,
        digest: u128,
    ) -> Option<StepRecord> {
        match self.find(path, kind, label, digest) {
            Ok(Some(record)) => Some(record),
            Ok(None) if self.control.halt.borrow().is_none() => None,
            Ok(None) => pending().await,
            Err(halt) => {
                self.control.halt(halt);
                pending().await
            }
        }
    }

    /// As [`Journal::recall`], without stopping the code.
    pub(super) fn find(
        &self,
        path: &Path,
        kind: StepKind,
        label: &str,
        digest: u128,
    ) -> Result<Option<StepRecord>, Halt> {
        let mut book = self.book();
        let undoing = matches!(book.running.state, State::Undoing(_));
        let Some(step) = book.steps.get_mut(path) else {
            return match undoing && !path.is_undo() {
                true => Err(Halt::Cancelled),
                false => Ok(None),
            };
        };
        step.taken = true;
        let record = &step.record;
        let differs = if record.kind != kind || record.label != label {
            format!("takes {kind} {label}")
        } else if record.digest != digest {
            format!("takes {kind} {label} with other contents")
        } else {
            return Ok(Some(record.clone()));
        };
        Err(Halt::Mismatch(format!(
            "step {path} of the journal is {} {}, where the code {differs}",
            record.kind, record.label,
        )))
    }

    /// Whether the flow takes back what it did.
    pub(super) fn is_undoing(&self) -> bool {
        matches!(self.book().running.state, State::Undoing(_))
    }

    /// A step of the journal that the code did not take, although it came to its end.
    pub(super) fn left_over(&self) -> Option<String> {
        let book = self.book();
        let mut steps = book.steps.iter();
        let (path, step) = steps.find(|(path, step)| !step.taken && !path.is_undo())?;
        let StepRecord { kind, label, .. } = &step.record;
        Some(format!(
            "step {path} of the journal is {kind} {label}, which the code does not take"
        ))
    }

    /// Whether a step back was taken before.
    pub(super) fn has_undone(&self) -> bool {
        self.book().steps.keys().any(Path::is_undo)
    }

    /// Whether a step back was taken.
    pub(super) fn is_undone(&self, path: &Path) -> bool {
        let book = self.book();
        let step = book.steps.get(path);
        step.is_some_and(|step| step.record.result.is_empty())
    }

    /// How often a step back was refused.
    pub(super) fn refusals(&self, path: &Path) -> u32 {
        let book = self.book();
        let result = book.steps.get(path).map(|step| &step.record.result);
        result
            .and_then(|count| codec::decode(count).ok())
            .unwrap_or(0)
    }

    /// Notes what a step came to. It is on disk after the next [`Journal::flush`].
    pub(super) fn note(&self, path: Path, record: StepRecord, certainty: Certainty) {
        let mut book = self.book();
        book.undetermined |= certainty == Certainty::Undetermined;
        book.insert(path.clone(), record);
        book.unwritten.push(path);
    }

    /// Notes that a step is on disk already.
    pub(super) fn note_written(&self, path: Path, record: StepRecord) {
        self.book().insert(path, record);
    }

    pub(super) fn may_undo(&self, path: &Path, undo: Undo) {
        self.book().undos.insert(path.clone(), undo);
    }

    pub(super) fn need_not_undo(&self, path: &Path) {
        self.book().undos.remove(path);
    }

    /// Lets stand what was done so far.
    pub(super) fn stand(&self) {
        self.book().undos.clear();
    }

    /// The steps back to be taken, the last step's first.
    pub(super) fn take_undos(&self) -> Vec<(Path, Undo)> {
        let undos = std::mem::take(&mut self.book().undos);
        undos.into_iter().rev().collect()
    }

    /// Writes down what could turn out otherwise, before a step that others will notice.
    pub(super) async fn settle(&self) {
        if !self.is_determined() {
            self.flush().await;
        }
    }

    /// Writes down everything so far.
    pub(super) async fn flush(&self) {
        let nothing = |_: &mut Tx<'_>| Ok::<_, Stop<modulith_contract::Never>>(());
        match self.write(Arc::new(nothing)).await {
            Ok(()) => {}
            Err(never) => match never {},
        }
    }

    /// Changes the state the flow is stored in, and writes that down with everything so far.
    pub(super) async fn set_state(&self, state: State) {
        self.book().running.state = state;
        self.restart().await;
    }

    /// Keeps what callers are told before the end. On disk after the next flush, or at once when
    /// the flow itself is.
    pub(super) async fn set_reply(&self, reply: Vec<u8>) {
        self.book().running.reply = Some(reply);
        self.restart().await;
    }

    /// Writes the flow's own row (again) with everything so far.
    async fn restart(&self) {
        self.book().started = false;
        self.flush().await;
    }

    /// Makes a change to the module's store, in one commit with everything so far. Tried until
    /// the store takes it; a refusal leaves nothing changed.
    pub(super) async fn write<T, R, F>(&self, change: Arc<F>) -> Result<T, R>
    where
        T: Send + 'static,
        R: Refusal,
        F: Fn(&mut Tx<'_>) -> Result<T, Stop<R>> + Send + Sync + 'static,
    {
        self.write_and(change, Pages::write).await
    }

    /// As [`Journal::write`], for the last time: what is left is the flow's steps.
    pub(super) async fn write_last<T, R, F>(&self, change: Arc<F>) -> Result<T, R>
    where
        T: Send + 'static,
        R: Refusal,
        F: Fn(&mut Tx<'_>) -> Result<T, Stop<R>> + Send + Sync + 'static,
    {
        self.write_and(change, |pages, id, tx| {
            tx.remove(&FLOWS, &id);
            pages.write_steps(id, tx)
        })
        .await
    }

    async fn write_and<T, R, F>(
        &self,
        change: Arc<F>,
        write: fn(&Pages, u128, &mut Tx<'_>) -> Result<(), Fault>,
    ) -> Result<T, R>
    where
        T: Send + 'static,
        R: Refusal,
        F: Fn(&mut Tx<'_>) -> Result<T, Stop<R>> + Send + Sync + 'static,
    {
        let _one_at_a_time = self.writing.lock().await;
        let begun = Instant::now();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let pages = Arc::new(self.pages());
            let (id, written, change) = (self.id, pages.clone(), change.clone());
            let ended = self
                .transact(move |tx| {
                    let done = change(tx)?;
                    write(&written, id, tx)?;
                    Ok(done)
                })
                .await;
            match ended {
                Ok(done) => {
                    self.written(&pages);
                    return Ok(done);
                }
                Err(Stop::Refused(refusal)) => return Err(refusal),
                // The flow goes on when the module starts again.
                Err(Stop::Fault(_)) if self.home.stopped().is_some() => pending().await,
                Err(Stop::Fault(fault)) => {
                    let pause = Retry::forever().pause(attempts, begun, &fault);
                    if attempts.is_power_of_two() {
                        let module = self.home.name();
                        warn!(module, flow = %hex(self.id), attempts, %fault, "flow waits for its store");
                    }
                    sleep(pause.unwrap_or(Retry::PAUSE_MAX)).await;
                }
            }
        }
    }

    async fn transact<T, R, F>(&self, change: F) -> Result<T, Stop<R>>
    where
        T: Send + 'static,
        R: Refusal,
        F: FnOnce(&mut Tx<'_>) -> Result<T, Stop<R>> + Send + 'static,
    {
        let meta = Meta::unhurried(self.id);
        self.home.mailbox()?.transact_waiting(meta, change).await
    }

    fn pages(&self) -> Pages {
        let book = self.book();
        let step = |path: &Path| Some((path.clone(), book.steps.get(path)?.record.clone()));
        Pages {
            start: (!book.started).then(|| book.running.clone()),
            steps: book.unwritten.iter().filter_map(step).collect(),
        }
    }

    fn written(&self, pages: &Pages) {
        let mut book = self.book();
        book.started = true;
        // What was noted meanwhile stands behind what was written.
        book.unwritten.drain(..pages.steps.len());
        book.undetermined &= !book.unwritten.is_empty();
    }
}

impl Book {
    fn insert(&mut self, path: Path, record: StepRecord) {
        let taken = true;
        self.steps.insert(path, Step { record, taken });
    }
}

/// What is to be written.
pub(super) struct Pages {
    start: Option<Running>,
    steps: Vec<(Path, StepRecord)>,
}

impl Pages {
    fn write(&self, id: u128, tx: &mut Tx<'_>) -> Result<(), Fault> {
        if let Some(running) = &self.start {
            tx.put(&FLOWS, &id, running)?;
        }
        self.write_steps(id, tx)
    }

    fn write_steps(&self, id: u128, tx: &mut Tx<'_>) -> Result<(), Fault> {
        self.steps
            .iter()
            .try_for_each(|(path, record)| tx.put(&STEPS, &(id, path.clone()), record))
    }
}

/// A flow's id as people read it.
pub(super) fn hex(id: u128) -> String {
    format!("{id:032x}")
}
