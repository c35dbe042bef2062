//! Taking a flow from its start, or from what its journal has, to its end.

use std::{
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{Either, select},
};
use modulith_contract::{Command, Fault, Never, Outcome, Stop};
use tokio::{sync::watch, time::sleep};
use tracing::{error, warn};

use super::{
    Flow, Path,
    flows::{Control, Entry, FLOWS_RUNNING_MAX, Halt, Reply},
    journal::{Journal, hex},
    record::{About, ENDED, Ended, FLOWS, Running, STEPS, State, StepRecord},
};
use crate::{
    Conduct, MessageName, Tx, codec, expiry, faults, home::Home, inbox, instance::Instance,
    port::Meta, store::Store,
};

/// How many steps of a flow are read back at most.
const STEPS_MAX: usize = 100_000;

/// The pause before a store that failed is read again.
const READ_AGAIN: Duration = Duration::from_millis(200);

/// Goes on with a flow of one kind of command after a restart.
pub(crate) type Resume = Box<dyn Fn(u128, Running) + Send + Sync>;

/// Begins the flow of a command, or joins the one that was begun by it before. Gives what the
/// callers are told, once there is something.
pub(crate) fn begin<M: Conduct<C>, C: Command>(
    instance: &Arc<Instance<M>>,
    command: C,
    meta: &Meta,
) -> Result<watch::Receiver<Reply>, Fault> {
    let home = &instance.home;
    let kept = codec::encode_kept(&command).map_err(|e| faults::unencodable::<C>(&e))?;
    let digest = codec::digest(&[&kept]);
    let mut flows = home.flows.lock();
    if let Some(entry) = flows.get(&meta.id) {
        inbox::same::<C>(entry.name, entry.digest, digest)?;
        return Ok(entry.control.reply.subscribe());
    }
    if meta.repeatable
        && let Some(reply) = earlier::<C>(home, meta.id, digest)?
    {
        return Ok(watch::Sender::new(Some(reply)).subscribe());
    }
    if flows.len() >= meta.carried.priority.share_of(FLOWS_RUNNING_MAX) {
        return Err(faults::overloaded(home.module()));
    }
    let running = Running {
        about: About {
            name: C::NAME.to_string(),
            digest,
            version: M::VERSION,
            started_at: home.environment().clock.now(),
        },
        command: kept,
        reply: None,
        state: State::Running,
    };
    let control = Control::new();
    let reply = control.reply.subscribe();
    let entry = Entry {
        name: C::NAME,
        digest,
        control: control.clone(),
    };
    let journal = Arc::new(Journal::new(home.clone(), meta.id, control, running));
    flows.insert(meta.id, entry);
    drop(flows);
    home.counters.commands.fetch_add(1, Relaxed);
    spawn(instance.clone(), journal, command, meta.repeatable);
    Ok(reply)
}

/// What a flow that is not running has told its callers; none when there is no such flow.
fn earlier<C: Command>(home: &Home, id: u128, digest: u128) -> Result<Option<Arc<[u8]>>, Fault> {
    let snapshot = home.store()?.snapshot()?;
    if let Some(ended) = snapshot.get(&ENDED, &id)? {
        inbox::same::<C>(&ended.about.name, ended.about.digest, digest)?;
        return Ok(Some(ended.outcome.into()));
    }
    let Some(running) = snapshot.get(&FLOWS, &id)? else {
        return Ok(None);
    };
    inbox::same::<C>(&running.about.name, running.about.digest, digest)?;
    match (running.reply, running.state) {
        (Some(reply), _) => Ok(Some(reply.into())),
        (None, State::Parked { reason, .. }) => Err(parked(id, reason)),
        (None, _) => Err(faults::overloaded(home.module())),
    }
}

/// Goes on with a flow that its journal knows.
pub(crate) fn resume<M: Conduct<C>, C: Command>(
    instance: &Arc<Instance<M>>,
    id: u128,
    running: Running,
) {
    let home = &instance.home;
    let control = Control::new();
    if let Some(reply) = &running.reply {
        control.tell(reply);
    }
    let entry = Entry {
        name: C::NAME,
        digest: running.about.digest,
        control: control.clone(),
    };
    home.flows.lock().insert(id, entry);
    let instance = instance.clone();
    let begun = home.spawn(move || async move {
        let home = instance.home.clone();
        let records = read_steps(&home, id).await;
        let command = codec::decode::<C>(&running.command);
        let version = running.about.version;
        let journal = Journal::reopened(home, id, control, running, records);
        let journal = Arc::new(journal);
        let reason = match command {
            Ok(command) if (M::OLDEST..=M::VERSION).contains(&version) => {
                return conduct(instance, journal, command, true).await;
            }
            Ok(_) => format!(
                "it was started by version {version} of the code, and this is version {} which \
                 goes on with {} and later",
                M::VERSION,
                M::OLDEST
            ),
            Err(error) => format!("its command can no longer be read: {error}"),
        };
        park(&journal, reason).await;
    });
    if !begun {
        warn!(module = home.module(), flow = %hex(id), "flow not resumed: the module is stopping");
    }
}

async fn read_steps(home: &Home, id: u128) -> Vec<(Path, StepRecord)> {
    let steps = (id, Path::default())..=(id, Path::last());
    loop {
        let read = home
            .store()
            .and_then(Store::snapshot)
            .and_then(|snapshot| snapshot.range(&STEPS, steps.clone(), STEPS_MAX));
        match read {
            Ok(rows) => {
                let records = rows.into_iter();
                return records.map(|((_, path), record)| (path, record)).collect();
            }
            Err(_) => sleep(READ_AGAIN).await,
        }
    }
}

fn spawn<M: Conduct<C>, C: Command>(
    instance: Arc<Instance<M>>,
    journal: Arc<Journal>,
    command: C,
    repeatable: bool,
) {
    let home = instance.home.clone();
    let id = journal.id;
    if !home.spawn(move || conduct(instance, journal, command, repeatable)) {
        // Dropping its entry tells the callers that the module has stopped.
        home.flows.lock().remove(&id);
    }
}

/// Runs a flow's code to its end, and its undo if that is needed.
async fn conduct<M: Conduct<C>, C: Command>(
    instance: Arc<Instance<M>>,
    journal: Arc<Journal>,
    command: C,
    repeatable: bool,
) {
    let given = match journal.running().state {
        State::Undoing(fault) => Some(fault),
        _ => None,
    };
    let flow = Flow::new(journal.clone());
    let ran = {
        let module = instance.held();
        // Inside the guard, because the code may panic before it is a future.
        let code = async { module.conduct(command, &flow).await };
        let code = pin!(AssertUnwindSafe(code).catch_unwind());
        let mut halt = journal.control.halt.subscribe();
        let halted = pin!(halt.wait_for(Option::is_some));
        match select(code, halted).await {
            Either::Left((ran, _)) => Some(ran),
            Either::Right(_) => None,
        }
    };
    let halt = journal.control.halt.borrow().clone();
    let left_over = || journal.left_over().map(Halt::Mismatch);
    let outcome: Outcome<C> = match (halt.or_else(left_over), given, ran) {
        (Some(Halt::Mismatch(reason)), ..) => return park(&journal, reason).await,
        // What was being undone is undone to the end, whatever its code says now.
        (_, Some(fault), _) if journal.has_undone() => Err(fault.into()),
        (None, _, Some(Ok(outcome))) => outcome,
        (Some(Halt::Cancelled), fault, _) => {
            let flow = hex(journal.id);
            fail::<C>(&journal, fault.unwrap_or(Fault::Cancelled { flow })).await
        }
        (None, fault, _) => {
            let module = journal.home.module();
            journal.home.counters.panics.fetch_add(1, Relaxed);
            error!(module, flow = %hex(journal.id), "flow panicked; undoing what it did");
            let module = module.to_string();
            fail::<C>(&journal, fault.unwrap_or(Fault::Panicked { module })).await
        }
    };
    if outcome.is_err()
        && let Err(reason) = undo(&journal).await
    {
        return park(&journal, reason).await;
    }
    finish::<C>(&journal, outcome, repeatable).await;
}

/// Turns a flow back for a reason that its code does not know of.
async fn fail<C: Command>(journal: &Arc<Journal>, fault: Fault) -> Outcome<C> {
    if journal.is_started() {
        journal.set_state(State::Undoing(fault.clone())).await;
    }
    Err(fault.into())
}

/// Takes back what a flow did, the last first.
async fn undo(journal: &Arc<Journal>) -> Result<(), String> {
    for (path, undo) in journal.take_undos() {
        let path = path.undo();
        if !journal.is_undone(&path) {
            journal.settle().await;
            undo(journal.clone(), path).await?;
        }
    }
    Ok(())
}

/// Writes a flow's end down and tells its callers.
async fn finish<C: Command>(journal: &Arc<Journal>, outcome: Outcome<C>, repeatable: bool) {
    let home = &journal.home;
    let bytes = match codec::encode_kept(&outcome) {
        Ok(bytes) => bytes,
        Err(error) => {
            let outcome: Outcome<C> = Err(faults::unencodable::<C>(&error).into());
            codec::encode_kept(&outcome).expect("a fault is a few short texts")
        }
    };
    let end = match &outcome {
        Ok(_) => "done".to_string(),
        Err(Stop::Refused(refusal)) => format!("refused: {refusal}"),
        Err(Stop::Fault(fault)) => format!("fault: {fault}"),
    };
    // What has done nothing yet can be begun again, unless it was told no.
    let is_fault = matches!(outcome, Err(Stop::Fault(_)));
    let leaves_nothing = !journal.is_started() && (!repeatable || is_fault);
    if !leaves_nothing {
        // The code would come to the same end after a crash: nobody needs to wait for the disk.
        if journal.is_determined() {
            journal.control.tell(&bytes);
        }
        write_end(journal, end, bytes.clone()).await;
    }
    journal.control.tell(&bytes);
    home.flows.lock().remove(&journal.id);
}

async fn write_end(journal: &Arc<Journal>, end: String, outcome: Vec<u8>) {
    let running = journal.running();
    let ended = Ended {
        about: running.about,
        ended_at: journal.now(),
        end,
        outcome: running.reply.unwrap_or(outcome),
    };
    let (id, kept) = (journal.id, journal.home.options.replies_kept());
    let change = move |tx: &mut Tx<'_>| {
        tx.put(&ENDED, &id, &ended)?;
        expiry::after(tx, kept, id, expiry::Kind::Flow)?;
        Ok::<_, Stop<Never>>(())
    };
    match journal.write_last(Arc::new(change)).await {
        Ok(()) => {}
        Err(never) => match never {},
    }
}

/// Puts a flow aside until an operator has looked at it.
async fn park(journal: &Arc<Journal>, reason: String) {
    let id = journal.id;
    let module = journal.home.module();
    error!(module, flow = %hex(id), reason, "flow parked");
    let undoing = match journal.running().state {
        State::Undoing(fault) => Some(fault),
        _ => None,
    };
    let state = State::Parked {
        reason: reason.clone(),
        at: journal.now(),
        undoing,
    };
    journal.set_state(state).await;
    let outcome: Result<(), Stop<()>> = Err(Stop::Fault(parked(id, reason)));
    let bytes = codec::encode(&outcome).expect("a fault is a few short texts");
    journal.control.tell(&bytes);
    journal.home.flows.lock().remove(&id);
}

fn parked(id: u128, reason: String) -> Fault {
    Fault::Parked {
        flow: hex(id),
        reason,
    }
}

/// Which flows a module goes on with when it starts, by the name of their command.
pub(crate) fn unfinished(home: &Home) -> Result<Vec<(u128, Running)>, Fault> {
    let Ok(store) = home.store() else {
        return Ok(Vec::new());
    };
    let all = store.snapshot()?.range(&FLOWS, .., usize::MAX)?;
    let goes_on = |(_, running): &(u128, Running)| !matches!(running.state, State::Parked { .. });
    Ok(all.into_iter().filter(goes_on).collect())
}

/// The fault of a flow whose command the module no longer conducts.
pub(crate) fn orphan(home: &Home, id: u128, running: &Running) {
    let message = MessageName {
        module: home.module(),
        name: "",
    };
    error!(
        module = message.module,
        flow = %hex(id),
        command = running.about.name,
        "flow left alone: the module conducts no such command any more"
    );
}
