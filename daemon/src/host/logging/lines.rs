//! Where lines are written: each is one line, whatever is in it, and of bounded length.
//!
//! A field may hold what a certificate, a process or a volume is called, so nothing that reaches this place can begin another line, act on
//! a terminal, or turn the direction in which a line is read.

use std::borrow::Cow;
use std::io::{self, Stderr, Write};

use evercert_core::text::{self, LINE_LIMIT};
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogFormat;

/// To how many bytes the strings of a JSON line that is too long are cut, one after the other until it fits.
const CUTS: [usize; 3] = [2048, 256, 16];

/// Makes a writer for every line.
#[derive(Debug, Clone)]
pub(super) struct LineWriters<M> {
    format: LogFormat,
    writers: M,
}

impl LineWriters<fn() -> Stderr> {
    /// To stderr.
    pub(super) fn to_stderr(format: LogFormat) -> Self {
        Self { format, writers: io::stderr }
    }
}

#[cfg(test)]
impl<M> LineWriters<M> {
    pub(super) fn to(writers: M, format: LogFormat) -> Self {
        Self { format, writers }
    }
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for LineWriters<M> {
    type Writer = Line<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { format: self.format, writer: self.writers.make_writer() }
    }
}

/// Writes what it is given at once as one line.
pub(super) struct Line<W> {
    format: LogFormat,
    writer: W,
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let given = String::from_utf8_lossy(bytes);
        let line = one_line(self.format, &given);
        // In one piece: other processes may write to the same pipe.
        self.writer.write_all(&[line.as_bytes(), b"\n"].concat())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// What `given` holds as one line, without its end.
pub(super) fn one_line(format: LogFormat, given: &str) -> Cow<'_, str> {
    let line = given.strip_suffix('\n').unwrap_or(given);
    match format {
        LogFormat::Text => text::line(line),
        LogFormat::Json => json(line),
    }
}

/// A line that is too long stays one that can be parsed: its strings are cut.
fn json(line: &str) -> Cow<'_, str> {
    let whole = text::json(line);
    if whole.len() < LINE_LIMIT {
        return whole;
    }
    let cut = |limit| {
        let mut value: Value = serde_json::from_str(line).ok()?;
        shorten(&mut value, limit);
        let line = value.to_string();
        let line = text::json(&line).into_owned();
        (line.len() < LINE_LIMIT).then_some(line)
    };
    let shortened = CUTS.into_iter().find_map(cut);
    shortened.unwrap_or_else(|| format!("{{\"message\":\"a line of {} bytes was left out\"}}", line.len())).into()
}

fn shorten(value: &mut Value, limit: usize) {
    match value {
        Value::String(string) => *string = text::bounded(std::mem::take(string).into(), limit),
        Value::Array(values) => values.iter_mut().for_each(|value| shorten(value, limit)),
        Value::Object(fields) => fields.values_mut().for_each(|value| shorten(value, limit)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use evercert_core::text::is_unseen;
    use parking_lot::Mutex;
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The log written when one event has `name` wherever an event can have it.
    fn written(format: LogFormat, name: &str) -> String {
        let written = Written::default();
        let writer = written.clone();
        let lines = LineWriters::to(move || writer.clone(), format);
        let layer = tracing_subscriber::fmt().with_writer(lines).with_ansi(false);
        let say = || tracing::warn!(text = name, shown = %name, debug = ?name, "of {name}");
        match format {
            LogFormat::Text => tracing::subscriber::with_default(layer.finish(), say),
            LogFormat::Json => tracing::subscriber::with_default(layer.json().flatten_event(true).finish(), say),
        }
        let bytes = written.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn is_one_line(text: &str) -> bool {
        text.strip_suffix('\n').is_some_and(|line| !line.contains(is_unseen)) && text.len() <= LINE_LIMIT
    }

    #[test]
    fn a_name_begins_no_line_of_its_own() {
        let forged =
            "x\n2026-11-28T23:30:00.000000Z  INFO evercertd::audit: a subscriber is given the key\n\u{1b}[2J\u{202e}";
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = written(format, forged);
            assert!(is_one_line(&text), "{text:?}");
        }
        let text = written(LogFormat::Json, forged);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["shown"], forged);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_as_json_can_still_be_parsed() {
        for length in [LINE_LIMIT / 4, LINE_LIMIT, 1 << 20] {
            let name = "\u{202e}".repeat(length);
            for format in [LogFormat::Text, LogFormat::Json] {
                let text = written(format, &name);
                assert!(is_one_line(&text), "{}", text.len());
                assert!(text.contains('…'));
            }
            let text = written(LogFormat::Json, &name);
            let line: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(line["level"], "WARN");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_name_holds_an_event_is_one_line(name in "\\PC*|[\\u{0}-\\u{2100}]*|(?s).{0,40}") {
            for format in [LogFormat::Text, LogFormat::Json] {
                let text = written(format, &name);
                prop_assert!(is_one_line(&text), "{text:?}");
            }
            prop_assert!(serde_json::from_str::<Value>(&written(LogFormat::Json, &name)).is_ok());
        }
    }
}
