//! The instances of one process: how many there are, and how they change without losing a call.
//!
//! Instances of a process without stores stand beside each other: one more is ready before another
//! leaves. A process with stores stops before it starts anew, because a store has one owner; its
//! callers wait meanwhile, within their deadlines.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tokio::time::timeout;

use super::{
    instance::{Instance, NotReady, Starting},
    printer::Printer,
    steps::Steps,
};
use crate::{config::ProcessConfig, placement::Placement, run_folder::Addresses};

/// How long an instance that an order started may take to be ready. One that takes longer over its
/// stores is not stopped, but the order ends.
const READY_MAX: Duration = Duration::from_secs(60);

/// How long the clients of a front have to go to one that is there already: as long as an idle
/// connection is kept anyway.
const TIME_TO_LEAVE: Duration = modulith_edge::HEAD_TIMEOUT;

/// How long they have to leave one whose successor is not there yet. Those that have gone wait for
/// it, so this is short; a client that is busy makes a request in that time.
const TIME_TO_LEAVE_GAP: Duration = Duration::from_millis(500);

/// Why an order is not carried out to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum FleetError {
    #[error("{instance} is not ready: {reason}")]
    NotReady { instance: String, reason: NotReady },
    #[error("{instance} is not ready after {} s, and goes on starting", READY_MAX.as_secs())]
    Slow { instance: String },
}

impl FleetError {
    /// Whether another start would not mend it.
    pub(super) fn is_final(&self) -> bool {
        let Self::NotReady { reason, .. } = self else {
            return false;
        };
        *reason == NotReady::CannotStart
    }
}

/// All instances of one process.
pub(super) struct Fleet {
    starting: Starting,
    /// Whether instances may stand beside each other, whatever they are of.
    is_stateless: bool,
    /// Whether none has an address that another could not have at the same time.
    can_overlap: bool,
    /// How many there are to be.
    replicas: u16,
    /// The oldest first.
    instances: Vec<Instance>,
    /// For the log: the width of names, and the number of the colour.
    column: (usize, usize),
}

impl Fleet {
    /// Starts as many instances as the configuration says.
    pub(super) fn start(
        process: &ProcessConfig,
        has_stores: bool,
        starting: Starting,
        column: (usize, usize),
    ) -> Self {
        let mut fleet = Self {
            starting,
            is_stateless: !has_stores,
            can_overlap: !has_stores && process.only_address().is_none(),
            replicas: process.replicas,
            instances: Vec::new(),
            column,
        };
        fleet.start_all();
        fleet
    }

    pub(super) fn process(&self) -> &str {
        &self.starting.process
    }

    pub(super) fn is_front(&self) -> bool {
        self.starting.listener.is_some()
    }

    /// Waits until each has been ready, and gives the addresses of one.
    pub(super) async fn ready(&self) -> Result<Option<Addresses>, FleetError> {
        let each = self.instances.iter().map(|instance| async {
            let ready = instance.ready().await;
            ready.map_err(|reason| FleetError::NotReady {
                instance: instance.name.clone(),
                reason,
            })
        });
        Ok(try_join_all(each).await?.into_iter().next())
    }

    /// Brings the number of instances to `replicas`.
    pub(super) async fn scale(&mut self, replicas: u16, steps: &Steps) -> Result<(), FleetError> {
        if replicas == self.replicas {
            steps.say(format!("{} has {replicas} already", self.process()));
            return Ok(());
        }
        if !self.is_stateless {
            return self.start_anew(replicas, steps).await;
        }
        let before = std::mem::replace(&mut self.replicas, replicas);
        let had = self.instances.len();
        while self.instances.len() < usize::from(replicas) {
            let placement = self.next_placement();
            self.add(placement, 0, steps);
        }
        if let Err(error) = self.are_ready(had, steps).await {
            self.replicas = before;
            let failed = self.instances.split_off(had);
            steps.say("what was started is stopped, the others go on".to_string());
            join_all(failed.into_iter().map(|it| it.leave(Duration::ZERO))).await;
            return Err(error);
        }
        while self.instances.len() > usize::from(replicas) {
            let Some(newest) = self.instances.pop() else {
                break;
            };
            self.drain(newest, steps).await;
        }
        Ok(())
    }

    /// Starts each instance anew, one after the other.
    pub(super) async fn restart(&mut self, steps: &Steps) -> Result<(), FleetError> {
        for index in 0..self.instances.len() {
            if self.can_overlap {
                self.replace_oldest(steps).await?;
            } else {
                self.restart_one(index, steps).await?;
            }
        }
        Ok(())
    }

    /// Stops them all, together with everything else.
    pub(super) async fn stop(self) {
        join_all(self.instances.into_iter().map(Instance::stop)).await;
    }

    /// Has one more take the place of the oldest.
    async fn replace_oldest(&mut self, steps: &Steps) -> Result<(), FleetError> {
        let placement = self.next_placement();
        let restarts = self.instances.first().map_or(0, Instance::restarts);
        let new = self.instances.len();
        self.add(placement, restarts, steps);
        if let Err(error) = self.are_ready(new, steps).await {
            if let Some(failed) = self.instances.pop() {
                steps.say(format!("{} is stopped, the others go on", failed.name));
                failed.leave(Duration::ZERO).await;
            }
            return Err(error);
        }
        let oldest = self.instances.remove(0);
        self.drain(oldest, steps).await;
        Ok(())
    }

    /// Has one stop and start again.
    async fn restart_one(&mut self, index: usize, steps: &Steps) -> Result<(), FleetError> {
        let time = self.time_to_leave(TIME_TO_LEAVE_GAP);
        let instance = &mut self.instances[index];
        steps.say(format!("{} stops", instance.name));
        instance.make_room(time).await;
        let (placement, restarts) = (instance.placement, instance.restarts());
        let started = self.started(placement, restarts);
        steps.say(format!("{} starts", started.name));
        self.instances[index] = started;
        self.is_ready(&self.instances[index], steps).await
    }

    /// Stops all and starts this many, each of which knows how many there are.
    async fn start_anew(&mut self, replicas: u16, steps: &Steps) -> Result<(), FleetError> {
        let time = self.time_to_leave(TIME_TO_LEAVE_GAP);
        let names: Vec<_> = self.instances.iter().map(|it| it.name.clone()).collect();
        steps.say(format!("{} stops: {}", self.process(), names.join(", ")));
        if self.is_front() {
            // What clients ask needs the stores until they have left, and those of modules that are
            // not divided are in the first. Known gap: partitions in the others are missed sooner.
            for instance in self.instances.iter_mut().rev() {
                instance.make_room(time).await;
            }
        } else {
            join_all(self.instances.iter_mut().map(|it| it.make_room(time))).await;
        }
        self.replicas = replicas;
        self.instances.clear();
        self.start_all();
        for name in names {
            if self.instances.iter().all(|instance| instance.name != name) {
                self.starting.board.remove(&name);
            }
        }
        steps.say(format!("{} starts {replicas}", self.process()));
        self.are_ready(0, steps).await
    }

    fn start_all(&mut self) {
        for replica in 0..self.replicas {
            let placement = Placement {
                replica,
                replicas: self.replicas,
            };
            self.instances.push(self.started(placement, 0));
        }
    }

    fn add(&mut self, placement: Placement, restarts: u32, steps: &Steps) {
        let instance = self.started(placement, restarts);
        steps.say(format!("{} starts", instance.name));
        self.instances.push(instance);
    }

    fn started(&self, placement: Placement, restarts: u32) -> Instance {
        let (width, colour) = self.column;
        let printer = Printer::new(&placement.name(self.process()), width, colour);
        Instance::start(self.starting.clone(), placement, restarts, printer)
    }

    /// A place whose number no other has.
    fn next_placement(&self) -> Placement {
        let is_free = |replica: &u16| {
            let mut taken = self.instances.iter().map(|it| it.placement.replica);
            taken.all(|taken| taken != *replica)
        };
        Placement {
            replica: (0..=u16::MAX)
                .find(is_free)
                .expect("there are far fewer instances than numbers"),
            replicas: self.replicas,
        }
    }

    async fn drain(&self, instance: Instance, steps: &Steps) {
        let name = instance.name.clone();
        steps.say(format!("{name} drains"));
        instance.leave(self.time_to_leave(TIME_TO_LEAVE)).await;
        steps.say(format!("{name} has stopped"));
    }

    /// None where there are no clients: other processes are told by their connections.
    fn time_to_leave(&self, of_clients: Duration) -> Duration {
        match self.is_front() {
            true => of_clients,
            false => Duration::ZERO,
        }
    }

    /// Waits for those from a number on.
    async fn are_ready(&self, from: usize, steps: &Steps) -> Result<(), FleetError> {
        let each = self.instances[from..].iter();
        try_join_all(each.map(|instance| self.is_ready(instance, steps))).await?;
        Ok(())
    }

    async fn is_ready(&self, instance: &Instance, steps: &Steps) -> Result<(), FleetError> {
        let name = || instance.name.clone();
        match timeout(READY_MAX, instance.ready()).await {
            Ok(Ok(_)) => {
                steps.say(format!("{} is ready", instance.name));
                Ok(())
            }
            Ok(Err(reason)) => Err(FleetError::NotReady {
                instance: name(),
                reason,
            }),
            Err(_) => Err(FleetError::Slow { instance: name() }),
        }
    }
}
