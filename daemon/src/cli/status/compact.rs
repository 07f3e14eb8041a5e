//! A line for each identity, those that end first at the top.

use std::time::SystemTime;

use evercert_core::finding::Severity;
use evercert_core::text;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::text::counts;
use crate::cli::moment::relative;
use crate::status::{Identity, StatusReport};

/// The space between two columns.
const GAP: usize = 2;

/// The least of a line that the names have, in hundredths, where the columns do not fit beside each other.
const NAMES: usize = 40;

/// The mark of what was left out.
const ELLIPSIS: char = '…';

const COLUMNS: [&str; 4] = ["IDENTITY", "EXPIRES", "FINDINGS", "SUBSCRIBERS"];

/// The identities of `report`. Lines are cut to `width` columns; absent, they are as long as they are.
pub(super) fn table(report: &StatusReport, now: SystemTime, width: Option<usize>) -> String {
    let mut identities: Vec<_> = report.identities.iter().collect();
    // What serves nothing cannot be later than what does, and what only trusts does not end.
    identities.sort_by_key(|identity| (identity.generation.is_some(), end(identity).is_none(), end(identity)));
    let rows = std::iter::once(COLUMNS.map(str::to_owned));
    let mut rows: Vec<_> = rows.chain(identities.into_iter().map(|identity| cells(identity, now))).collect();
    let mut widths = widths(&rows);
    if let Some(width) = width {
        let others: usize = widths[1..].iter().map(|width| width + GAP).sum();
        widths[0] = widths[0].min((width * NAMES / 100).max(width.saturating_sub(others)));
        rows.iter_mut().for_each(|[title, ..]| *title = shortened(title, widths[0]));
    }
    rows.iter().map(|row| line(row, &widths, width) + "\n").collect()
}

fn end(identity: &Identity) -> Option<SystemTime> {
    identity.leaf.as_ref().and_then(|leaf| leaf.not_after.0)
}

fn cells(identity: &Identity, now: SystemTime) -> [String; 4] {
    let expires = match (identity.generation, &identity.leaf, end(identity)) {
        (None, ..) => "not published".to_owned(),
        (_, None, _) => "trusts only".to_owned(),
        (_, _, Some(end)) if end < now => format!("expired {}", relative(end, now)),
        (_, _, end) => end.map_or_else(|| "not known".to_owned(), |end| relative(end, now)),
    };
    let cells = [identity.title(), expires, findings(identity), counts(&identity.subscribers)];
    cells.map(|cell| text::line(&cell).into_owned())
}

/// The worst that is wrong, and how much is wrong besides.
fn findings(identity: &Identity) -> String {
    let wrong = || identity.findings.iter().filter(|finding| finding.severity > Severity::Info);
    // The first of equally bad ones, in the order of the report.
    let Some(worst) = wrong().rev().max_by_key(|finding| finding.severity) else { return "-".to_owned() };
    let more = match wrong().count() - 1 {
        0 => String::new(),
        more => format!(" +{more}"),
    };
    format!("{} {}{more}", worst.severity, worst.check)
}

fn widths(rows: &[[String; 4]]) -> [usize; 4] {
    let mut widths = [0; 4];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    widths
}

fn line(row: &[String; 4], widths: &[usize; 4], width: Option<usize>) -> String {
    let mut line = String::new();
    for (cell, width) in row.iter().zip(widths) {
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', (width + GAP).saturating_sub(cell.width())));
    }
    let line = line.trim_end();
    match width {
        Some(width) if line.width() > width => beginning(line, width.saturating_sub(1)) + &ELLIPSIS.to_string(),
        _ => line.to_owned(),
    }
}

/// A name that takes no more than `width` columns. It is cut in its middle: pods of one set differ at the end of their names.
fn shortened(name: &str, width: usize) -> String {
    if name.width() <= width {
        return name.to_owned();
    }
    let kept = width.saturating_sub(1);
    let end: String = name.chars().rev().collect();
    let end: String = beginning(&end, kept / 2).chars().rev().collect();
    format!("{}{ELLIPSIS}{end}", beginning(name, kept - kept / 2))
}

/// As much of the beginning as takes no more than `width` columns.
fn beginning(text: &str, width: usize) -> String {
    let mut taken = 0;
    text.chars()
        .take_while(|char| {
            taken += char.width().unwrap_or_default();
            taken <= width
        })
        .collect()
}

#[cfg(test)]
mod tests;
