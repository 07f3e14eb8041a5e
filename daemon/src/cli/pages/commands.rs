//! A manual page for each command: clap_mangen's, with what stands below the options in `--help` as sections.

use std::mem;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use roff::{Inline, Roff, bold, roman};

use super::{MANUAL, SOURCE};
use crate::cli::Cli;

/// What heads a section of a page where it stands on a line of its own in `--help`.
const HEADINGS: [&str; 5] = ["Examples", "Signals", "Files", "Environment", "Exit status"];

/// File name and text of each page.
pub(super) fn pages() -> Vec<(String, Vec<u8>)> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    collect(&command, &mut pages);
    let names: Vec<_> = pages.iter().map(|(file, _)| file.clone()).collect();
    pages.iter_mut().for_each(|(file, page)| page.extend(see_also(file, &names).to_roff().into_bytes()));
    pages
}

fn collect(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) {
    let man = Man::new(command.clone()).manual(MANUAL).source(SOURCE);
    pages.push((man.get_filename(), page(command, &man)));
    command.get_subcommands().filter(|command| !command.is_hide_set()).for_each(|command| collect(command, pages));
}

fn page(command: &Command, man: &Man) -> Vec<u8> {
    let mut page = Vec::new();
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    man.render_synopsis_section(&mut page).unwrap();
    man.render_description_section(&mut page).unwrap();
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (description, sections) = split(&help);
    page.extend(description.to_roff().into_bytes());
    man.render_options_section(&mut page).unwrap();
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page).unwrap();
    }
    page.extend(sections.to_roff().into_bytes());
    page
}

/// What goes with the description, and the sections.
fn split(help: &str) -> (Roff, Roff) {
    let (mut description, mut sections) = (Roff::new(), Roff::new());
    for paragraph in help.split("\n\n") {
        let (first, rest) = paragraph.split_once('\n').unwrap_or((paragraph, ""));
        let heading = HEADINGS.iter().find_map(|heading| {
            first.strip_prefix(heading).and_then(|text| text.strip_prefix(':')).map(|text| (heading, text))
        });
        match heading {
            Some((heading, text)) => {
                sections.control("SH", [heading.to_uppercase().as_str()]);
                match *heading {
                    "Exit status" => statuses(&mut sections, &format!("{text} {rest}")),
                    "Examples" => examples(&mut sections, rest),
                    _ => table(&mut sections, rest),
                }
            }
            None if !first.is_empty() => {
                description.control("PP", []);
                let (indented, lines): (Vec<_>, Vec<_>) = paragraph.lines().partition(|line| line.starts_with(' '));
                description.text([roman(lines.join(" "))]);
                if !indented.is_empty() {
                    examples(&mut description, &indented.join("\n"));
                }
            }
            None => {}
        }
    }
    (description, sections)
}

/// Lines as they are.
fn examples(roff: &mut Roff, lines: &str) {
    roff.control("PP", []).control("RS", ["4"]).control("nf", []);
    for line in lines.lines() {
        roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
    }
    roff.control("fi", []).control("RE", []);
}

/// Lines of a term and, two blanks or more behind it, what it means.
fn table(roff: &mut Roff, lines: &str) {
    for line in lines.lines() {
        let (term, meaning) = line.trim().split_once("  ").unwrap();
        item(roff, term, meaning.trim());
    }
}

/// `0 it went well, 1 it did not`.
fn statuses(roff: &mut Roff, text: &str) {
    let mut status = None;
    let mut meaning = Vec::new();
    let mut may_begin = true;
    for word in text.trim_end().trim_end_matches('.').split_whitespace() {
        if may_begin && word.bytes().all(|byte| byte.is_ascii_digit()) {
            if let Some(status) = status.replace(word) {
                item(roff, status, mem::take(&mut meaning).join(" ").trim_end_matches(','));
            }
        } else {
            meaning.push(word);
        }
        may_begin = word.ends_with(',');
    }
    item(roff, status.unwrap(), &meaning.join(" "));
}

fn item(roff: &mut Roff, term: &str, meaning: &str) {
    roff.control("TP", []).text([bold(term)]).text([roman(meaning)]);
}

/// Its commands, and what it belongs to.
fn see_also(file: &str, names: &[String]) -> Roff {
    let stem = |file: &str| file.trim_end_matches(".1").to_owned();
    let own = stem(file);
    let is_near = |other: &&String| {
        let other = stem(other);
        let is_below = |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('-'));
        is_below(&own, &other) || is_below(&other, &own)
    };
    let near = names.iter().filter(is_near).map(|name| (stem(name), "1"));
    let pages: Vec<_> = near.chain([("evercertd.toml".to_owned(), "5")]).collect();
    let mut text: Vec<Inline> = Vec::new();
    for (name, section) in pages {
        let separator = if text.is_empty() { "" } else { ", " };
        text.extend([roman(separator), bold(name), roman(format!("({section})"))]);
    }
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]).text(text);
    roff
}
