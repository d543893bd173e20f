//! What a preparation leaves for the measurement, in a file, so that the server may be started anew between the two.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use trunkline_wire::ids::ConversationId;

use crate::failure::Failure;

/// Where clients were, and what changed since.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Prepared {
    /// The scenario it is for.
    pub scenario: String,
    /// By user.
    pub positions: Vec<u64>,
    /// All conversations, with their last seqs.
    pub conversations: Vec<(ConversationId, u64)>,
    /// By index: those of them that changed since the positions.
    pub changed: Vec<usize>,
    /// Members of each conversation.
    pub members: u32,
    /// Conversations of each user.
    pub conversations_each: u32,
}

impl Prepared {
    /// Writes it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, file: &Path) -> Result<(), Failure> {
        let conversations: Vec<Value> =
            self.conversations.iter().map(|(id, seq)| json!([id.to_string(), seq])).collect();
        let all = json!({
            "scenario": self.scenario,
            "positions": self.positions,
            "conversations": conversations,
            "changed": self.changed,
            "members": self.members,
            "conversations_each": self.conversations_each,
        });
        fs::write(file, all.to_string()).map_err(|error| Failure::system(&format!("write {}", file.display()), error))
    }

    /// Reads what the preparation of a scenario wrote.
    ///
    /// # Errors
    /// The operator's: no such file, or one of another scenario.
    pub fn read(file: &Path, scenario: &str) -> Result<Prepared, Failure> {
        let name = file.display();
        let wrong = |why: &str| Failure::Operator(format!("{name} {why}: run `{scenario} prepare` with it first"));
        let text = fs::read_to_string(file).map_err(|error| wrong(&format!("cannot be read ({error})")))?;
        let all: Value = serde_json::from_str(&text).unwrap_or_default();
        let prepared = Prepared::from_json(&all).filter(|prepared| prepared.scenario == scenario);
        prepared.ok_or_else(|| wrong(&format!("is of no preparation of `{scenario}`")))
    }

    fn from_json(all: &Value) -> Option<Prepared> {
        let number = |key: &str| all[key].as_u64()?.try_into().ok();
        let conversation = |pair: &Value| Some((ConversationId::parse(pair[0].as_str()?)?, pair[1].as_u64()?));
        let prepared = Prepared {
            scenario: all["scenario"].as_str()?.to_owned(),
            positions: all["positions"].as_array()?.iter().map(Value::as_u64).collect::<Option<_>>()?,
            conversations: all["conversations"].as_array()?.iter().map(conversation).collect::<Option<_>>()?,
            changed: all["changed"]
                .as_array()?
                .iter()
                .map(|index| Some(index.as_u64()? as usize))
                .collect::<Option<_>>()?,
            members: number("members")?,
            conversations_each: number("conversations_each")?,
        };
        let is_there = |index: &usize| *index < prepared.conversations.len();
        let is_whole = prepared.changed.iter().all(is_there) && !prepared.positions.is_empty();
        is_whole.then_some(prepared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let file = std::env::temp_dir().join(format!("trunkline-bench-{}.prepared", std::process::id()));
        let mut prepared = Prepared {
            scenario: "account".to_owned(),
            positions: vec![7, u64::MAX],
            conversations: vec![(ConversationId([1; 16]), 3), (ConversationId([2; 16]), 4)],
            changed: vec![1],
            members: 2,
            conversations_each: 2,
        };
        prepared.write(&file).unwrap();
        assert_eq!(Prepared::read(&file, "account"), Ok(prepared.clone()));
        assert!(matches!(Prepared::read(&file, "resume"), Err(Failure::Operator(text)) if text.contains("no prep")));
        prepared.changed = vec![2];
        prepared.write(&file).unwrap();
        assert!(Prepared::read(&file, "account").is_err());
        fs::remove_file(&file).unwrap();
        assert!(matches!(Prepared::read(&file, "account"), Err(Failure::Operator(text)) if text.contains("prepare")));
    }
}
