//! What people and tools ask of a node: how its modules stand, and their flows.

use std::sync::Arc;

use modulith_contract::Fault;

use crate::{
    FlowLine, FlowPart, ModuleStatus, Partition, expiry,
    flow::{self, Order},
    home::Home,
    partition, status,
};

use super::{Node, Resident, start::Tools};

impl Node {
    /// How every hosted module stands, each partition of it by itself.
    pub fn status(&self) -> Vec<ModuleStatus> {
        let of = |resident: &Resident| {
            let subscriptions = &resident.tools.subscriptions;
            status::of_module(&resident.home, subscriptions, &self.unheard)
        };
        self.residents.iter().map(of).collect()
    }

    /// The flows of a module: those that have not ended, then the latest of the others, up to
    /// `limit`. None when it is not hosted here.
    ///
    /// # Errors
    /// [`Fault::Store`] when its store cannot be read.
    pub fn flows(&self, module: &str, limit: usize) -> Result<Option<Vec<FlowLine>>, Fault> {
        let home = self.home(module)?;
        home.map(|home| flow::list(&home.store()?.snapshot()?, limit))
            .transpose()
    }

    /// Removes what has expired of a module's kept replies and ended flows, without waiting for
    /// the next time it would be done by itself. Returns how many there were.
    ///
    /// # Errors
    /// [`Fault::Unreachable`] when the module is not hosted here, [`Fault::Store`] when its store
    /// cannot be changed.
    pub async fn sweep(&self, module: &str) -> Result<usize, Fault> {
        expiry::sweep(self.hosted(module)?).await
    }

    /// One flow and its steps so far. None when the module or the flow is not here.
    ///
    /// # Errors
    /// [`Fault::Store`] when the store cannot be read.
    pub fn flow(&self, module: &str, id: u128) -> Result<Option<(FlowLine, Vec<FlowPart>)>, Fault> {
        match self.home(module)? {
            Some(home) => flow::show(&home.store()?.snapshot()?, id),
            None => Ok(None),
        }
    }

    /// Goes on with a parked flow: its code is run again from the start, with its journal.
    ///
    /// # Errors
    /// [`Fault::Denied`] when there is no such flow, or it is not parked.
    pub async fn retry_flow(&self, module: &str, id: u128) -> Result<(), Fault> {
        self.order_flow(module, id, Order::Retry).await
    }

    /// Takes back what a running or parked flow did, and ends it.
    ///
    /// # Errors
    /// [`Fault::Denied`] when there is no such flow, or it has ended.
    pub async fn cancel_flow(&self, module: &str, id: u128) -> Result<(), Fault> {
        self.order_flow(module, id, Order::Cancel).await
    }

    async fn order_flow(&self, module: &str, id: u128, order: Order) -> Result<(), Fault> {
        let home = self.hosted(module)?;
        if let Some(running) = flow::order(home, id, order).await? {
            let Some(resumes) = home.resumes.load_full() else {
                // At rest: it goes on when its module runs again.
                return Ok(());
            };
            match resumes.get(&*running.about.name) {
                Some(resume) => resume(id, running),
                None => flow::orphan(home, id, &running),
            }
        }
        Ok(())
    }

    /// A hosted module, or one of its partitions (`cart/2`), for tools.
    pub(crate) fn tools(&self, name: &str) -> Result<(&Arc<Home>, &Arc<Tools>), Fault> {
        let resident = self.resident(name)?.ok_or_else(|| Fault::Unreachable {
            module: name.to_string(),
            reason: "this process does not host it".to_string(),
        })?;
        Ok((&resident.home, &resident.tools))
    }

    fn hosted(&self, name: &str) -> Result<&Arc<Home>, Fault> {
        Ok(self.tools(name)?.0)
    }

    fn home(&self, name: &str) -> Result<Option<&Arc<Home>>, Fault> {
        Ok(self.resident(name)?.map(|resident| &resident.home))
    }

    /// Finds it by name; none when it is not hosted here.
    fn resident(&self, name: &str) -> Result<Option<&Resident>, Fault> {
        let (module, index) = partition::named(name);
        let mut of_module = self.residents.iter().filter(|r| r.home.module() == module);
        if let Some(index) = index {
            return Ok(of_module.find(|resident| resident.home.partition.index() == index));
        }
        match of_module.next() {
            Some(one) if one.home.partition.is_divided() => Err(unnamed(one.home.partition, name)),
            found => Ok(found),
        }
    }
}

fn unnamed(any: Partition, module: &str) -> Fault {
    let (count, last) = (any.count(), any.count() - 1);
    Fault::Denied {
        caller: module.to_string(),
        message: format!(
            "one store but {count}, one for each of its partitions: name {module}/0 to \
             {module}/{last}"
        ),
    }
}
