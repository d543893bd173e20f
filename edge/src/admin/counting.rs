//! The counters, as an operator reads them: of each shard, in sum, and of the store.

use serde_json::{Map, Value};
use trunkline_shards::contract::{AdminAnswer, AdminRequest};
use trunkline_shards::counters::{Counters, StoreCounters};

use super::Refusal;
use crate::ask::{Shards, ask_patiently};

/// What all shards have counted.
pub(super) fn counters(of: &impl Shards) -> Result<Value, Refusal> {
    let mut total = Counters::default();
    let mut shards = Vec::new();
    for shard in 0..of.count() {
        match ask_patiently(of, shard, &AdminRequest::Counters)? {
            AdminAnswer::Counters(counters) => {
                total.add(&counters);
                shards.push(named(&counters));
            }
            answer => unreachable!("no answer to Counters: {answer:?}"),
        }
    }
    let mut answer = Map::new();
    answer.insert("total".to_owned(), named(&total));
    answer.insert("shards".to_owned(), Value::Array(shards));
    if let Some(store) = of.store() {
        answer.insert("store".to_owned(), of_store(&store));
    }
    Ok(Value::Object(answer))
}

fn named(counters: &Counters) -> Value {
    let mut names = Map::new();
    counters.each(|prefix, name, value| {
        names.insert(format!("{prefix}{name}"), value.into());
    });
    Value::Object(names)
}

fn of_store(store: &StoreCounters) -> Value {
    let StoreCounters { group_writes, group_bytes, commit_us } = store;
    let numbers = [
        ("groups", group_writes.count()),
        ("writes", group_writes.sum()),
        ("bytes", group_bytes.sum()),
        ("commit_us", commit_us.sum()),
    ];
    numbers.into_iter().map(|(name, number)| (name.to_owned(), number.into())).collect::<Map<_, _>>().into()
}
