//! What was there when this device first listened: the last seq of each conversation of the list of that time. The server
//! keeps how far a device is in what it confirmed; where it confirmed nothing, only this tells old messages from new ones.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use trunkline_wire::ids::ConversationId;

use crate::identity;

/// Where a device began.
pub(crate) type Places = BTreeMap<ConversationId, u64>;

fn path(folder: &Path) -> PathBuf {
    folder.join("began")
}

/// What was kept in a device's folder; `None`: nothing, or something else.
pub(crate) fn read(folder: &Path) -> Option<Places> {
    decode(&fs::read_to_string(path(folder)).ok()?)
}

/// Keeps it.
///
/// # Errors
/// Those of the file system.
pub(crate) fn write(folder: &Path, places: &Places) -> io::Result<()> {
    identity::replace(folder, &path(folder), &encode(places))
}

fn encode(places: &Places) -> String {
    places.iter().map(|(conversation, seq)| format!("{conversation} {seq}\n")).collect()
}

fn decode(text: &str) -> Option<Places> {
    let place = |line: &str| {
        let (conversation, seq) = line.split_once(' ')?;
        Some((ConversationId::parse(conversation)?, seq.parse().ok()?))
    };
    text.lines().filter(|line| !line.is_empty()).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_whole_or_not_at_all() {
        let places: Places = [(ConversationId([1; 16]), 7), (ConversationId([2; 16]), 0)].into();
        assert_eq!(decode(&encode(&places)), Some(places));
        assert_eq!(decode(""), Some(Places::new()));
        assert_eq!(decode("something else\n"), None);
    }
}
