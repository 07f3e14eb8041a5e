//! The table of a crate's rooms in ARCHITECTURE.md, and whether the sources agree.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Arrow, Rooms};

/// The rooms that each room may use, with the line on which that is said.
pub type Table = BTreeMap<String, (usize, BTreeSet<String>)>;

/// The table below the heading of a crate: names are in backticks, the first of a row is the room.
pub fn table(text: &str, krate: &str) -> Table {
    let heading = format!("### The rooms of `{krate}`");
    let lines = text.lines().zip(1..).skip_while(|(line, _)| *line != heading).skip(1);
    let section = lines.take_while(|(line, _)| !line.starts_with('#'));
    let rows = section.filter(|(line, _)| line.starts_with("| `"));
    rows.map(|(row, number)| {
        let mut names = row.split('`').skip(1).step_by(2).map(str::to_owned);
        (names.next().unwrap_or_default(), (number, names.collect()))
    })
    .collect()
}

/// The faults, a sentence each.
pub fn differences(table: &Table, rooms: &Rooms) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut needed = BTreeSet::new();
    for Arrow { from, to, at } in &rooms.arrows {
        match table.get(from) {
            Some((_, may)) if may.contains(to) => _ = needed.insert((from, to)),
            _ => wrong.push(format!("{at}: `{from}` uses `{to}`, which the table of ARCHITECTURE.md does not let it")),
        }
    }
    for (room, (line, may)) in table {
        if !rooms.names.contains(room) {
            wrong.push(format!("ARCHITECTURE.md:{line}: there is no room `{room}`"));
        }
        for other in may.iter().filter(|other| !needed.contains(&(room, *other))) {
            wrong.push(format!("ARCHITECTURE.md:{line}: nothing of `{room}` uses `{other}`"));
        }
    }
    let unlisted = rooms.names.iter().filter(|room| !table.contains_key(*room));
    wrong.extend(unlisted.map(|room| format!("the table of ARCHITECTURE.md does not know the room `{room}`")));
    wrong.extend(circle(rooms));
    wrong
}

/// Rooms that use each other, all of which are on or behind a circle, with a place for each arrow between them.
fn circle(rooms: &Rooms) -> Option<String> {
    // A room that uses nobody, or only those taken away, is taken away; what is left goes round.
    let mut left: Vec<&Arrow> = rooms.arrows.iter().collect();
    loop {
        let users: BTreeSet<_> = left.iter().map(|arrow| &arrow.from).collect();
        let used: BTreeSet<_> = left.iter().map(|arrow| &arrow.to).collect();
        let before = left.len();
        left.retain(|arrow| users.contains(&arrow.to) && used.contains(&arrow.from));
        if left.len() == before {
            break;
        }
    }
    left.dedup_by_key(|arrow| (&arrow.from, &arrow.to));
    let arrows = left.iter().map(|Arrow { from, to, at }| format!("\n  {at}: `{from}` uses `{to}`"));
    (!left.is_empty()).then(|| format!("these rooms use each other in a circle:{}", arrows.collect::<String>()))
}
