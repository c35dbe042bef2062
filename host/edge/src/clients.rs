//! The connections of clients: how many there are, and whether they are to go.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use actix_web::{dev::ResponseHead, http::ConnectionType};
use tokio::sync::watch;

/// Those connected to one server.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    connected: watch::Sender<usize>,
    is_leaving: AtomicBool,
}

impl Clients {
    /// Counts a connection until the guard is dropped.
    pub(crate) fn count(self: &Arc<Self>) -> Connected {
        self.connected.send_modify(|connected| *connected += 1);
        Connected(self.clone())
    }

    /// From now on every answer is the last on its connection.
    pub(crate) fn leave(&self) {
        self.is_leaving.store(true, Ordering::Release);
    }

    /// Makes an answer the last on its connection, if connections are to go.
    pub(crate) fn part(&self, answer: &mut ResponseHead) {
        if self.is_leaving.load(Ordering::Acquire) {
            answer.set_connection_type(ConnectionType::Close);
        }
    }

    /// Waits until nobody is connected.
    pub(crate) async fn gone(&self) {
        let mut connected = self.connected.subscribe();
        // Fails only if the sender is gone, which `self` holds.
        _ = connected.wait_for(|connected| *connected == 0).await;
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connected(Arc<Clients>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connected.send_modify(|connected| *connected -= 1);
    }
}
