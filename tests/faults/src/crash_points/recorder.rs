//! A storage in memory that writes down, in order, whatever is done to it.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use modulith_kernel::storage::{
    Part, Storage,
    redb::{DatabaseError, StorageBackend},
};

use super::sabotage::Sabotage;
use crate::bytes::Bytes;

/// The files of a node: of each module its database and its journal.
pub(super) type Files = BTreeMap<String, [Bytes; 2]>;

/// One thing done to a file.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) module: Arc<str>,
    pub(super) part: Part,
    pub(super) what: What,
    /// When, in milliseconds of virtual time.
    pub(super) at_ms: u64,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Write(u64, Arc<[u8]>),
    Length(u64),
    Sync,
}

/// Records. Cheap to clone.
#[derive(Clone)]
pub(super) struct Recorder {
    state: Arc<Mutex<State>>,
    began: tokio::time::Instant,
    sabotage: Sabotage,
}

struct State {
    files: Files,
    /// None when nothing is to be recorded.
    steps: Option<Vec<Step>>,
}

impl Recorder {
    /// Records from files as they are.
    pub(super) fn recording(files: Files, sabotage: Sabotage) -> Self {
        Self::with(files, Some(Vec::new()), sabotage)
    }

    /// Only keeps files.
    pub(super) fn keeping(files: Files, sabotage: Sabotage) -> Self {
        Self::with(files, None, sabotage)
    }

    fn with(files: Files, steps: Option<Vec<Step>>, sabotage: Sabotage) -> Self {
        Self {
            state: Arc::new(Mutex::new(State { files, steps })),
            began: tokio::time::Instant::now(),
            sabotage,
        }
    }

    /// How much was done so far.
    pub(super) fn len(&self) -> usize {
        self.state().steps.as_ref().map_or(0, Vec::len)
    }

    /// Takes out what was done.
    pub(super) fn take(&self) -> Vec<Step> {
        self.state().steps.take().unwrap_or_default()
    }

    /// Lets go of everything. A node that has ended keeps its storage for good: its modules know
    /// each other.
    pub(super) fn clear(&self) {
        let mut state = self.state();
        state.files = Files::new();
        state.steps = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for Recorder {
    fn open(&self, module: &str, part: Part) -> Result<Box<dyn StorageBackend>, DatabaseError> {
        let mut state = self.state();
        let files = state.files.entry(module.to_string()).or_default();
        if self.sabotage.forgets(part) {
            files[part as usize] = Bytes::default();
        }
        Ok(Box::new(Handle {
            recorder: self.clone(),
            module: module.into(),
            part,
        }))
    }

    fn has(&self, store: &str) -> bool {
        self.state().files.contains_key(store)
    }

    fn probe(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn forget(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

struct Handle {
    recorder: Recorder,
    module: Arc<str>,
    part: Part,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:?}", self.module, self.part)
    }
}

impl Handle {
    fn change(&self, change: impl FnOnce(&mut Bytes), what: What) {
        let mut state = self.recorder.state();
        if let Some(files) = state.files.get_mut(&*self.module) {
            change(&mut files[self.part as usize]);
        }
        let at_ms = self.recorder.began.elapsed().as_millis();
        if let Some(steps) = &mut state.steps {
            steps.push(Step {
                module: self.module.clone(),
                part: self.part,
                what,
                at_ms: u64::try_from(at_ms).unwrap_or(u64::MAX),
            });
        }
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        let state = self.recorder.state();
        let files = state.files.get(&*self.module);
        Ok(files.map_or(0, |files| files[self.part as usize].len()))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.recorder.state();
        let files = state.files.get(&*self.module);
        let files = files.ok_or(io::ErrorKind::NotFound)?;
        files[self.part as usize].read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(|file| file.set_len(len), What::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if !self.recorder.sabotage.lies_about_syncs() {
            self.change(|_| {}, What::Sync);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let data = self.recorder.sabotage.of_record(self.part, data);
        let written: Arc<[u8]> = data.as_ref().into();
        self.change(
            |file| file.write(offset, &data),
            What::Write(offset, written),
        );
        Ok(())
    }
}
