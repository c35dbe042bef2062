//! Where the launcher takes orders: to change how many instances a process has, or to start them
//! anew. One order is carried out at a time.

use modulith_edge::Desk;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::steps::{Progress, Steps};
use crate::config::REPLICAS;

/// What is sent to a launcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    Begin(Order),
    /// Asks for the steps of an order after the first `after`.
    Follow {
        order: u64,
        after: usize,
    },
}

/// What a launcher can be told to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    Scale {
        process: String,
        replicas: u16,
    },
    /// All processes, unless one is named.
    Restart {
        process: Option<String>,
    },
}

impl Order {
    fn process(&self) -> Option<&str> {
        match self {
            Self::Scale { process, .. } => Some(process),
            Self::Restart { process } => process.as_deref(),
        }
    }
}

/// Why an order is not begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Refused {
    #[error("there is no process {found}; processes are {}", known.join(", "))]
    UnknownProcess { found: String, known: Vec<String> },
    #[error(
        "found {found} instances of {process}, expected {} to {}",
        REPLICAS.start(),
        REPLICAS.end()
    )]
    OutOfRange { process: String, found: u16 },
    #[error(
        "process {process} has a fixed {key} port, which only one instance can have; take \
         process.{process}.{key} out of the configuration to have more"
    )]
    FixedPort { process: String, key: String },
    #[error("another order is being carried out; wait until it has ended")]
    Busy,
    #[error("the launcher is stopping, or has not started everything yet; see `status`")]
    NotNow,
    #[error("the order is not understood: {0}; are both programs of one version?")]
    NotUnderstood(String),
}

/// What the desk knows of a process.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) name: String,
    /// The key of an address that only one instance can have.
    pub(super) only_address: Option<&'static str>,
}

/// Takes orders and passes them on, one at a time.
#[derive(Clone)]
pub(super) struct Clerk {
    pub(super) processes: Vec<Known>,
    pub(super) steps: Steps,
    pub(super) orders: mpsc::Sender<Order>,
}

impl Clerk {
    /// The desk of the launcher's admin address.
    pub(super) fn desk(self, token: String) -> Desk {
        let obey = move |request: Vec<u8>| {
            let clerk = self.clone();
            Box::pin(async move {
                let done = clerk.answer(&request).await;
                serde_json::to_string(&done).expect("an answer is plain data")
            }) as modulith_edge::Obeyed
        };
        Desk {
            token,
            obey: Box::new(obey),
        }
    }

    async fn answer(&self, request: &[u8]) -> Result<Progress, Refused> {
        let request = serde_json::from_slice(request);
        match request.map_err(|error| Refused::NotUnderstood(error.to_string()))? {
            Request::Follow { order, after } => Ok(self.steps.follow(order, after).await),
            Request::Begin(order) => self.begin(order),
        }
    }

    fn begin(&self, order: Order) -> Result<Progress, Refused> {
        self.check(&order)?;
        let place = self.orders.try_reserve().map_err(|error| match error {
            mpsc::error::TrySendError::Full(()) => Refused::Busy,
            mpsc::error::TrySendError::Closed(()) => Refused::NotNow,
        })?;
        let number = self.steps.begin().ok_or(Refused::Busy)?;
        place.send(order);
        Ok(Progress {
            order: number,
            ..Progress::default()
        })
    }

    fn check(&self, order: &Order) -> Result<(), Refused> {
        let Some(name) = order.process() else {
            return Ok(());
        };
        let mut processes = self.processes.iter();
        let Some(process) = processes.find(|process| process.name == name) else {
            return Err(Refused::UnknownProcess {
                found: name.to_string(),
                known: self.processes.iter().map(|it| it.name.clone()).collect(),
            });
        };
        let Order::Scale { replicas, .. } = order else {
            return Ok(());
        };
        if !REPLICAS.contains(replicas) {
            return Err(Refused::OutOfRange {
                process: name.to_string(),
                found: *replicas,
            });
        }
        match process.only_address {
            Some(key) if *replicas > 1 => Err(Refused::FixedPort {
                process: name.to_string(),
                key: key.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clerk() -> (Clerk, mpsc::Receiver<Order>) {
        let (orders, taken) = mpsc::channel(1);
        let known = |name: &str, only_address| Known {
            name: name.to_string(),
            only_address,
        };
        let clerk = Clerk {
            processes: vec![known("shop", None), known("orders", Some("quic"))],
            steps: Steps::default(),
            orders,
        };
        (clerk, taken)
    }

    fn scale(process: &str, replicas: u16) -> Order {
        Order::Scale {
            process: process.to_string(),
            replicas,
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused_before_it_is_begun() {
        let (clerk, _taken) = clerk();
        let refused = |order| clerk.begin(order).unwrap_err().to_string();
        assert_eq!(
            refused(scale("shp", 2)),
            "there is no process shp; processes are shop, orders"
        );
        assert_eq!(
            refused(scale("shop", 65)),
            "found 65 instances of shop, expected 1 to 64"
        );
        assert!(refused(scale("shop", 0)).contains("found 0"));
        assert!(refused(scale("orders", 2)).contains("fixed quic port"));
        assert!(clerk.begin(scale("orders", 1)).is_ok());
    }

    #[test]
    fn a_second_order_waits_until_the_first_has_ended() {
        let (clerk, mut taken) = clerk();
        assert_eq!(clerk.begin(scale("shop", 2)).unwrap().order, 1);
        assert_eq!(clerk.begin(scale("shop", 3)), Err(Refused::Busy));
        assert_eq!(taken.try_recv().unwrap(), scale("shop", 2));
        assert_eq!(clerk.begin(scale("shop", 3)), Err(Refused::Busy));
        clerk.steps.end(Ok(()));
        assert_eq!(clerk.begin(scale("shop", 3)).unwrap().order, 2);
        drop(taken);
        clerk.steps.end(Ok(()));
        assert_eq!(clerk.begin(scale("shop", 3)), Err(Refused::NotNow));
    }
}
