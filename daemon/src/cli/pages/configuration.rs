//! evercertd.toml(5): the comments of the default configuration, by section and key.

use std::mem;

use roff::{Inline, Roff, bold, italic, roman};

use super::{MANUAL, SOURCE};
use crate::config::DEFAULT;

/// File name and text of the page.
pub(super) fn page() -> (String, Vec<u8>) {
    let mut roff = Roff::new();
    roff.control("TH", ["evercertd.toml", "5", "", SOURCE, MANUAL]);
    roff.control("SH", ["NAME"]).text([roman("evercertd.toml - configuration of evercertd")]);
    roff.control("SH", ["SYNOPSIS"]).text([roman("/etc/evercert/evercertd.toml")]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([roman(
        "TOML. Every key has a default, and without the file the defaults hold; a key that is not known is refused, with its line. \
         Another file is named by --config or EVERCERT_CONFIG.",
    )]);
    roff.control("PP", []);
    roff.text([
        bold("evercertd config"),
        roman(" prints a file with every key, its default and what is said here; "),
        bold("evercertd config --check"),
        roman(" checks one; "),
        bold("evercertd reload"),
        roman(" has the running daemon read it again, which keeps what it had if the file is refused."),
    ]);
    roff.control("PP", []);
    roff.text([
        roman("Below, a value in bold is the default of its key, and one in "),
        italic("italics"),
        roman(" is an example."),
    ]);
    let mut body = Body { roff, comment: Vec::new(), keys: Vec::new() };
    // The first paragraph is about the comments of the file.
    let (_, keys) = DEFAULT.split_once("\n\n").unwrap();
    body.roff.control("SH", ["BEFORE ANY SECTION"]);
    keys.lines().chain([""]).for_each(|line| body.line(line));
    let mut roff = body.roff;
    roff.control("SH", ["SEE ALSO"]).text([
        bold("evercertd"),
        roman("(1), "),
        bold("evercertd-run"),
        roman("(1), "),
        bold("evercertd-config"),
        roman("(1), "),
        bold("evercertd-reload"),
        roman("(1)"),
    ]);
    ("evercertd.toml.5".to_owned(), roff.to_roff().into_bytes())
}

struct Body {
    roff: Roff,
    /// The comment of what comes next.
    comment: Vec<String>,
    /// The keys below it.
    keys: Vec<[Inline; 3]>,
}

impl Body {
    fn line(&mut self, line: &str) {
        let comment = line.strip_prefix("# ");
        let (written, is_example) = line.strip_prefix('#').map_or((line, false), |line| (line, true));
        let key = written.split_once(" = ").filter(|_| comment.is_none());
        if let Some((key, value)) = key {
            let value = if is_example { italic(value) } else { bold(value) };
            return self.keys.push([bold(key), roman(" = "), value]);
        }
        self.item();
        if let Some(comment) = comment {
            self.comment.push(comment.to_owned());
        } else {
            if written.starts_with('[') {
                self.roff.control("SH", [written]);
            }
            // What no key follows is about the section.
            if !self.comment.is_empty() {
                self.roff.control("PP", []);
                self.comment();
            }
        }
    }

    fn item(&mut self) {
        let keys = mem::take(&mut self.keys);
        if keys.is_empty() {
            return;
        }
        for (number, key) in keys.into_iter().enumerate() {
            self.roff.control(if number == 0 { "TP" } else { "TQ" }, []).text(key);
        }
        self.comment();
    }

    /// Lines of a comment; those that are indented further stay as they are.
    fn comment(&mut self) {
        let lines = mem::take(&mut self.comment);
        let mut goes_on = false;
        for block in lines.chunk_by(|one, other| one.starts_with(' ') == other.starts_with(' ')) {
            if block[0].starts_with(' ') {
                self.roff.control("RS", []).control("nf", []);
                for line in block {
                    self.roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
                }
                self.roff.control("fi", []).control("RE", []);
                goes_on = true;
            } else {
                if goes_on {
                    self.roff.control("IP", []);
                }
                self.roff.text([roman(block.join(" "))]);
            }
        }
    }
}
