//! How many shards a test runs with.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Does it once with each number of shards, and says with which it failed.
pub fn for_shards<const N: usize>(numbers: [u16; N], work: impl Fn(&str)) {
    for number in numbers {
        let done = catch_unwind(AssertUnwindSafe(|| work(&number.to_string())));
        if let Err(panic) = done {
            eprintln!("this was with --shards {number}");
            resume_unwind(panic);
        }
    }
}
