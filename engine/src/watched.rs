//! The running server as the edge sees it: shards to ask, a store that counts, a life that ends.

use std::sync::Arc;
use std::time::Duration;

use trunkline_edge::http::Watched;
use trunkline_edge::{AskError, Shards};
use trunkline_engine::life::Life;
use trunkline_engine::store::StoreWatch;
use trunkline_engine::{Control, ControlError, Server};
use trunkline_shards::contract::{AdminAnswer, AdminRequest, ShardId};
use trunkline_shards::counters::StoreCounters;

/// The server in this process.
#[derive(Clone)]
pub struct Running {
    control: Control,
    store: StoreWatch,
    life: Arc<Life>,
}

impl Running {
    /// A server that has started.
    pub fn of(server: &Server) -> Running {
        Running {
            control: server.control().clone(),
            store: server.store_watch().clone(),
            life: Arc::clone(server.life()),
        }
    }
}

impl Shards for Running {
    fn count(&self) -> u16 {
        self.control.shards()
    }

    fn ask_within(&self, shard: ShardId, request: AdminRequest, within: Duration) -> Result<AdminAnswer, AskError> {
        self.control.ask(shard, request, within).map_err(|error| match error {
            ControlError::Full => AskError::Full,
            ControlError::Late => AskError::Late,
            ControlError::Ended => AskError::Ended,
            ControlError::NoShard => AskError::Failed(error.to_string()),
        })
    }

    fn store(&self) -> Option<StoreCounters> {
        Some(self.store.counters())
    }
}

impl Watched for Running {
    fn is_draining(&self) -> bool {
        self.life.is_draining() || self.life.has_ended()
    }
}
