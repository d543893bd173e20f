//! How rates look: a line for the log, a table with a row for each shard, the sum of all first.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Row, Table, Widget};

use super::rates::{Rates, ShardRates, StoreRates};

/// Title and width of each column.
const COLUMNS: [(&str, u16); 11] = [
    ("SHARD", 5),
    ("CONN", 8),
    ("IN/S", 9),
    ("OUT/S", 9),
    ("TURNS/S", 9),
    ("COMPL/ENTRY", 11),
    ("FRAMES/SEND", 11),
    ("LANE/TURN", 9),
    ("LANE MAX", 8),
    ("CACHE HITS", 10),
    ("DELIVERY", 9),
];
/// Lines above the rows of shards: two of text, an empty one, titles, the sum.
const HEAD_LINES: u16 = 5;

/// A frame: rates, the first shard that is shown, and a line for what is wrong or can be done.
pub struct View<'a> {
    /// What is shown.
    pub rates: &'a Rates,
    /// Shards above the first one shown.
    pub scrolled: usize,
    /// The last line; empty: none.
    pub note: &'a str,
}

impl Widget for &View<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let lines = [Constraint::Length(2), Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)];
        let [head, _, table, note] = Layout::vertical(lines).areas(area);
        let Rates { over, shards, store, .. } = self.rates;
        let [first, second] = Layout::vertical([Constraint::Length(1); 2]).areas(head);
        let count = if shards.len() == 1 { "1 shard".to_owned() } else { format!("{} shards", shards.len()) };
        Line::from(format!("trunkline top: {count}, over {:.1} s", over.as_secs_f64())).render(first, buffer);
        Line::from(store.as_ref().map_or_else(String::new, of_store)).render(second, buffer);
        self.table().render(table, buffer);
        Line::from(self.note).render(note, buffer);
    }
}

impl View<'_> {
    fn table(&self) -> Table<'_> {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let title = |(title, width): &(&str, u16)| Cell::from(right(title, *width));
        let total = row("all", &self.rates.total).style(bold);
        let shards = self.rates.shards.iter().enumerate().skip(self.scrolled);
        let rows = shards.map(|(shard, rates)| row(&shard.to_string(), rates));
        let titles = Row::new(COLUMNS.iter().map(title)).style(Style::new().add_modifier(Modifier::REVERSED));
        Table::new(std::iter::once(total).chain(rows), COLUMNS.map(|(_, width)| Constraint::Length(width)))
            .header(titles)
    }
}

fn of_store(store: &StoreRates) -> String {
    let StoreRates { groups, writes_per_group, commit } = store;
    let commit = time(*commit);
    format!("log: {groups:.0} groups/s, {writes_per_group:.1} writes/group, {commit} to write and sync one")
}

fn row(name: &str, rates: &ShardRates) -> Row<'static> {
    let cells = [
        name.to_owned(),
        rates.connections.to_string(),
        format!("{:.0}", rates.messages_in),
        format!("{:.0}", rates.messages_out),
        format!("{:.0}", rates.turns),
        format!("{:.1}", rates.completions_per_entry),
        format!("{:.1}", rates.frames_per_send),
        format!("{:.1}", rates.lane_per_turn),
        rates.lane_depth_max.to_string(),
        rates.cache_hits.map_or_else(|| "-".to_owned(), |hits| format!("{:.0} %", hits * 100.0)),
        time(rates.delivery),
    ];
    Row::new(cells.iter().zip(COLUMNS).map(|(cell, (_, width))| Cell::from(right(cell, width))).collect::<Vec<_>>())
}

fn time(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.1} ms", time.as_secs_f64() * 1_000.0))
}

fn right(text: &str, width: u16) -> String {
    format!("{text:>width$}", width = usize::from(width))
}

/// The frame as lines of text, for scripts.
pub fn plain(rates: &Rates) -> String {
    let width = COLUMNS.iter().map(|(_, width)| width + 1).sum();
    let area = Rect::new(0, 0, width, HEAD_LINES + rates.shards.len() as u16 + 1);
    let mut buffer = Buffer::empty(area);
    (&View { rates, scrolled: 0, note: "" }).render(area, &mut buffer);
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    let text = (0..area.height).map(line).collect::<Vec<_>>().join("\n");
    text.trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    const FRAME: &str = "\
trunkline top: 2 shards, over 1.0 s
log: 120 groups/s, 2.5 writes/group, 1.5 ms to write and sync one

SHARD     CONN      IN/S     OUT/S   TURNS/S COMPL/ENTRY FRAMES/SEND LANE/TURN LANE MAX CACHE HITS  DELIVERY
  all       30       300       900      5000         3.2         1.8       0.4       17       75 %    2.3 ms
    0       10         0         0         0         0.0         0.0       0.0        0          -         -
    1       20       300       900      5000         3.2         1.8       0.4       17       75 %    2.3 ms
";

    fn rates() -> Rates {
        let busy = ShardRates {
            connections: 20,
            messages_in: 300.0,
            messages_out: 900.0,
            turns: 5_000.0,
            completions_per_entry: 3.21,
            frames_per_send: 1.8,
            lane_per_turn: 0.4,
            lane_depth_max: 17,
            cache_hits: Some(0.75),
            delivery: Some(Duration::from_micros(2_300)),
        };
        let idle = ShardRates { connections: 10, ..ShardRates::default() };
        let commit = Some(Duration::from_micros(1_500));
        Rates {
            over: Duration::from_secs(1),
            total: ShardRates { connections: 30, ..busy.clone() },
            shards: vec![idle, busy],
            store: Some(StoreRates { groups: 120.0, writes_per_group: 2.5, commit }),
        }
    }

    /// What a terminal of this size shows.
    fn shown(view: &View<'_>, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(112, height)).unwrap();
        terminal.draw(|frame| frame.render_widget(view, frame.area())).unwrap();
        let screen = terminal.backend().to_string();
        screen.lines().map(|line| line.trim_matches('"').trim_end().to_owned()).collect()
    }

    #[test]
    fn a_frame_has_the_sum_and_every_shard() {
        let rates = rates();
        assert_eq!(plain(&rates), FRAME);
        let screen = shown(&View { rates: &rates, scrolled: 0, note: "q quits" }, 9);
        assert_eq!(screen[..7].join("\n") + "\n", FRAME);
        assert_eq!(screen[8], "q quits");
    }

    #[test]
    fn a_small_terminal_keeps_the_sum_and_scrolls_the_shards() {
        let rates = rates();
        let screen = shown(&View { rates: &rates, scrolled: 1, note: "" }, 7);
        assert!(screen[4].starts_with("  all") && screen[5].starts_with("    1"), "{screen:?}");
        assert_eq!(shown(&View { rates: &rates, scrolled: 9, note: "" }, 1).len(), 1);
    }
}
