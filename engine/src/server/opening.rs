//! Opens the store that a server is to have, and reads what it has to know before anybody comes.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use trunkline_shards::store::{Load, Loaded, Revocation, StoreFault};
use trunkline_storage::embedded::{self, EmbeddedIndex};
use trunkline_storage::{Index, Log, MemoryStore};

use super::StartError;
use crate::config::{Config, StoreKind};
use crate::store::{self, StorePort, StoreWatch};
use crate::wake::Doorbell;

/// Revocations that are read at a time.
const REVOCATIONS_PAGE: u32 = 10_000;

/// A store that is open, and its threads.
pub(super) struct OpenedStore {
    pub ports: Vec<StorePort>,
    pub threads: Vec<JoinHandle<()>>,
    pub incarnation: u64,
    pub revocations: Arc<[Revocation]>,
    pub index: Weak<EmbeddedIndex>,
}

pub(super) fn open_store(
    config: &Config,
    doorbells: &Arc<[Arc<Doorbell>]>,
    watch: &StoreWatch,
) -> Result<OpenedStore, StartError> {
    match config.store {
        StoreKind::Embedded => {
            let (log, index) = embedded::open(&config.data, config.store_options.clone()).map_err(StartError::Store)?;
            let on_disk = Arc::downgrade(&index);
            start_store(log, (index, on_disk), config, doorbells, watch)
        }
        StoreKind::Memory => {
            let log = MemoryStore::new();
            start_store(log.clone(), (Arc::new(log), Weak::new()), config, doorbells, watch)
        }
    }
}

fn start_store(
    log: impl Log + 'static,
    (index, on_disk): (Arc<impl Index + 'static>, Weak<EmbeddedIndex>),
    config: &Config,
    doorbells: &Arc<[Arc<Doorbell>]>,
    watch: &StoreWatch,
) -> Result<OpenedStore, StartError> {
    let incarnation = log.incarnation();
    let revocations = read_revocations(&*index).map_err(|_| StartError::Revocations(config.data.clone()))?;
    let (ports, threads) = store::start(log, index, doorbells, &config.limits, watch);
    Ok(OpenedStore { ports, threads, incarnation, revocations, index: on_disk })
}

/// All revocations there are.
fn read_revocations(index: &impl Index) -> Result<Arc<[Revocation]>, StoreFault> {
    let mut all = Vec::new();
    loop {
        let load = Load::Revocations { after: all.last().copied(), revocations_max: REVOCATIONS_PAGE };
        let Loaded::Revocations(page, more) = index.load(&load)? else {
            unreachable!("the store answers what it was asked")
        };
        all.extend(page);
        if !more {
            return Ok(all.into());
        }
    }
}
