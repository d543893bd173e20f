//! What a person can order with a line that begins with a slash.

use trunkline_wire::limits::TITLE_BYTES_MAX;

use crate::args::{Target, Who, target, who};

/// A line that was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Order {
    /// To be sent as it is.
    Say(String),
    Open(Target),
    Group {
        title: String,
        members: Vec<Who>,
    },
    Help,
    Quit,
}

/// Reads a line. Two slashes begin a text with one.
///
/// # Errors
/// What is wrong with the order.
pub(super) fn read(line: &str) -> Result<Order, String> {
    let Some(order) = line.strip_prefix('/') else { return Ok(Order::Say(line.to_owned())) };
    if order.starts_with('/') {
        return Ok(Order::Say(order.to_owned()));
    }
    let words = words(order)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["open", named] => target(named).map(Order::Open).map_err(|error| format!("{named}: {error}")),
        ["open", ..] => Err("usage: /open HANDLE".to_owned()),
        ["group", title, ref members @ ..] => group(title, members),
        ["group"] => Err("usage: /group \"TITLE\" HANDLE...".to_owned()),
        ["help"] => Ok(Order::Help),
        ["quit"] => Ok(Order::Quit),
        [] => Err("orders: /open /group /help /quit; // sends a text that begins with /".to_owned()),
        [order, ..] => Err(format!("/{order} is no order; /help tells all; // sends a text that begins with /")),
    }
}

fn group(title: &str, members: &[&str]) -> Result<Order, String> {
    let title = title.trim();
    if title.is_empty() || title.len() > TITLE_BYTES_MAX {
        return Err(format!("a title has 1 to {TITLE_BYTES_MAX} bytes"));
    }
    let read = |named: &&str| who(named).map_err(|error| format!("{named}: {error}"));
    Ok(Order::Group { title: title.to_owned(), members: members.iter().map(read).collect::<Result<_, _>>()? })
}

/// Words between spaces; quotes hold a word together.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    for c in line.chars() {
        match c {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && !is_quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if is_quoted { Err("a quote is not closed".to_owned()) } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_wire::handle::Handle;

    fn named(name: &str) -> Handle {
        Handle::parse(name).unwrap()
    }

    #[test]
    fn orders_are_read() {
        assert_eq!(read("hello /open"), Ok(Order::Say("hello /open".to_owned())));
        assert_eq!(read("//quit"), Ok(Order::Say("/quit".to_owned())));
        assert_eq!(read("/open bob"), Ok(Order::Open(Target::Peer(named("bob")))));
        assert_eq!(read("/quit  "), Ok(Order::Quit));
        let members = vec![Who::Named(named("bob")), Who::Named(named("carol"))];
        assert_eq!(read("/group \"Our team\" bob  carol"), Ok(Order::Group { title: "Our team".to_owned(), members }));
        assert_eq!(read("/group Alone"), Ok(Order::Group { title: "Alone".to_owned(), members: Vec::new() }));
    }

    #[test]
    fn what_is_no_order_is_said_to_be_none() {
        for (wrong, told) in [
            ("/", "orders"),
            ("/opn bob", "/opn is no order"),
            ("/open", "usage"),
            ("/open a b", "usage"),
            ("/open \"a b\"", "a b:"),
            ("/group", "usage"),
            ("/group \"\" bob", "a title has"),
            ("/group \"Our team bob", "not closed"),
        ] {
            let error = read(wrong).unwrap_err();
            assert!(error.contains(told), "{wrong}: {error}");
        }
    }
}
