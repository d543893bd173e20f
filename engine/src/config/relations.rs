//! Settings that fit one by one and not together: refused before anything is opened.

use std::path::Path;

use trunkline_edge::sign_in::Policy;
use trunkline_shards::limits::Limits;
use trunkline_storage::embedded::Options as StoreOptions;
use trunkline_wire::limits::BODY_BYTES_MAX;

use super::{Config, ConfigError, StoreKind};

/// Refuses what cannot work, or would silently not be done.
///
/// # Errors
/// [`ConfigError::Impossible`], whose sentence has the fix.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let found = memory_has_no_disk(config)
        .or_else(|| largest_body_fits(&config.limits))
        .or_else(|| ports_differ(config))
        .or_else(|| certificate_has_a_key(config))
        .or_else(|| devices_outlive_tokens(&config.accounts));
    found.map_or(Ok(()), |reason| Err(ConfigError::Impossible(reason)))
}

/// The options of the embedded store do nothing for the one in memory.
fn memory_has_no_disk(config: &Config) -> Option<String> {
    if config.store != StoreKind::Memory {
        return None;
    }
    let StoreOptions { reserve_bytes, cache_bytes, worker_threads, .. } = &config.store_options;
    let default = StoreOptions::default();
    let set = [
        ("store.reserve_bytes", *reserve_bytes != default.reserve_bytes),
        ("store.cache_bytes", *cache_bytes != default.cache_bytes),
        ("store.worker_threads", *worker_threads != default.worker_threads),
    ];
    let (key, _) = set.into_iter().find(|(_, is_set)| *is_set)?;
    Some(format!(
        "`{key}` is of the store on disk and does nothing with `store.kind` = `memory`: leave `{key}` out, or set \
         `store.kind` to `embedded`"
    ))
}

/// One port serves clients or administrators.
fn ports_differ(config: &Config) -> Option<String> {
    let Config { listen, admin_listen, .. } = config;
    (listen == admin_listen && !listen.ends_with(":0")).then(|| {
        format!(
            "`listen` and `admin.listen` are both `{listen}`: choose another port for `admin.listen`, or none with \
             `admin.listen=`"
        )
    })
}

/// A certificate is of no use without its key, nor the other way round.
fn certificate_has_a_key(config: &Config) -> Option<String> {
    let is_set = |path: &Path| path != Path::new("");
    let (set, missing) = match (is_set(&config.tls_certificate), is_set(&config.tls_key)) {
        (true, false) => ("tls.certificate", "tls.key"),
        (false, true) => ("tls.key", "tls.certificate"),
        _ => return None,
    };
    Some(format!("`{set}` is set and `{missing}` is not: TLS needs both, name the other file too or leave both out"))
}

/// A device whose refresh token ends first could never use it.
fn devices_outlive_tokens(policy: &Policy) -> Option<String> {
    let Policy { access_ttl_s, refresh_ttl_s, .. } = policy;
    (refresh_ttl_s <= access_ttl_s).then(|| {
        format!(
            "`accounts.refresh_ttl_s` is {refresh_ttl_s} and has to be more than `accounts.access_ttl_s`, {access_ttl_s}: \
             set it to the days that a device may be silent, such as 7_776_000"
        )
    })
}

/// Whoever sends what never fits is told to try again, for ever.
fn largest_body_fits(limits: &Limits) -> Option<String> {
    let room = limits.conversation_pending_bytes_max;
    (room < BODY_BYTES_MAX as u64).then(|| {
        format!(
            "`limits.conversation_pending_bytes_max` can't be `{room}`: a body may have {BODY_BYTES_MAX} bytes, and one \
             that is larger than this limit could never be sent: set it to {BODY_BYTES_MAX} or more"
        )
    })
}
