//! How the instances stand, written down at each change: for `status`, and for neighbours that
//! wait for one.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use tracing::warn;

use crate::{
    run_folder::RunFolder,
    status::{LAUNCHER, LauncherStatus, ProcessState, ProcessStatus},
};

pub(super) struct Board {
    pub(super) run: RunFolder,
    admin: SocketAddr,
    token: String,
    instances: Mutex<BTreeMap<String, ProcessStatus>>,
    changed: watch::Sender<()>,
}

impl Board {
    pub(super) fn new(run: RunFolder, admin: SocketAddr, token: String) -> Self {
        Self {
            run,
            admin,
            token,
            instances: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    /// Lists an instance that is being started. Known already, it is being replaced by itself and
    /// stays what it was.
    pub(super) fn add(&self, process: &str, instance: &str, restarts: u32) {
        let starting = || ProcessStatus {
            restarts,
            ..ProcessStatus::starting(process, instance)
        };
        self.lock()
            .entry(instance.to_string())
            .or_insert_with(starting);
        self.write();
    }

    pub(super) fn set(&self, instance: &str, change: impl FnOnce(&mut ProcessStatus)) {
        if let Some(status) = self.lock().get_mut(instance) {
            change(status);
        }
        self.write();
    }

    /// Strikes an instance off that is there no more.
    pub(super) fn remove(&self, instance: &str) {
        self.lock().remove(instance);
        self.write();
    }

    /// How often an instance was started again after it had ended by itself.
    pub(super) fn restarts(&self, instance: &str) -> u32 {
        self.lock()
            .get(instance)
            .map_or(0, |status| status.restarts)
    }

    /// Waits until every instance was given up.
    pub(super) async fn nothing_goes_on(&self) {
        self.until(|instances| {
            let mut instances = instances.values();
            instances.all(|status| status.state == ProcessState::GivenUp)
        })
        .await;
    }

    async fn until(&self, holds: impl Fn(&BTreeMap<String, ProcessStatus>) -> bool) {
        let mut changed = self.changed.subscribe();
        while !holds(&self.lock()) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    fn write(&self) {
        let instances = self.lock();
        let written = LauncherStatus {
            pid: std::process::id(),
            admin: self.admin,
            token: self.token.clone(),
            processes: instances.values().cloned().collect(),
        };
        // Under the lock, so that what is written last is what is so.
        if let Err(error) = self.run.write(LAUNCHER, &written) {
            warn!(%error, "cannot write down how the processes stand");
        }
        drop(instances);
        self.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ProcessStatus>> {
        self.instances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
