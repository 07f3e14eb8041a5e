//! The journal of systemd: each event is one entry whose message is the line that it would be elsewhere, with its priority and its fields,
//! by journald's native protocol.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::os::linux::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use evercert_core::text;
use rustix::net::{SendFlags, SocketAddrUnix, sendto};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use super::lines::one_line;
use crate::config::LogFormat;

/// Where journald takes entries.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// The start of the names of an event's fields.
const PREFIX: &str = "EVERCERT_";

/// The field of the line itself.
const MESSAGE: &str = "MESSAGE=";

/// How long a line waits for a journald that takes nothing. Then lines are left out until it takes some again: a log that stands still is
/// to hold up no rotation.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether stderr is the journal's stream. `JOURNAL_STREAM` alone says too little: a child with its stderr elsewhere
/// inherits it.
pub(super) fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    stream == format!("{}:{}", stderr.st_dev(), stderr.st_ino())
}

/// Formats an event as an entry around the line that `inner` makes of it.
pub(super) struct Entry<F> {
    pub(super) format: LogFormat,
    pub(super) inner: F,
}

impl<S, N, F> FormatEvent<S, N> for Entry<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.inner.format_event(ctx, Writer::new(&mut line), event)?;
        let metadata = event.metadata();
        writeln!(writer, "PRIORITY={}", priority(metadata.level()))?;
        writeln!(writer, "{MESSAGE}{}", one_line(self.format, &line))?;
        writeln!(writer, "SYSLOG_IDENTIFIER=evercertd\n{PREFIX}TARGET={}", metadata.target())?;
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        writer.write_str(&fields.0)
    }
}

/// The severities of syslog.
fn priority(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// The fields of an event, one a line: none of their values has a line break.
struct Fields(String);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        // The message is in the line, with all the rest.
        if field.name() == "message" {
            return;
        }
        let name = field.name().bytes().map(|byte| match byte.to_ascii_uppercase() {
            byte if byte.is_ascii_alphanumeric() => char::from(byte),
            _ => '_',
        });
        self.0.push_str(PREFIX);
        self.0.extend(name);
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "={}", text::sentence(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Whoever is told of each line that journald did not take, from the moment that there is one to be told.
#[derive(Clone, Default)]
pub(crate) struct LostLines(Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>);

impl LostLines {
    /// Has `observer` told of each from now on; the first observer is the only one. It must neither block nor log.
    pub(crate) fn tell(&self, observer: impl Fn() + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(observer));
    }

    fn another(&self) {
        if let Some(observer) = self.0.get() {
            observer();
        }
    }
}

/// Makes writers that send what they are given at once as one entry.
pub(super) struct Entries {
    /// Absent where there can be no socket.
    socket: Option<UnixDatagram>,
    path: &'static Path,
    format: LogFormat,
    /// How many lines journald did not take since it last took one.
    left_out: AtomicU64,
    lost: LostLines,
}

impl Entries {
    /// To journald at `path`; `lost` is told of each that it does not take.
    pub(super) fn to(path: &'static Path, format: LogFormat, lost: LostLines) -> Self {
        Self::patient(path, format, lost, PATIENCE)
    }

    /// The same, by lines that wait for so long.
    fn patient(path: &'static Path, format: LogFormat, lost: LostLines, patience: Duration) -> Self {
        let socket = UnixDatagram::unbound().and_then(|socket| {
            socket.set_write_timeout(Some(patience))?;
            Ok(socket)
        });
        Self { socket: socket.ok(), path, format, left_out: AtomicU64::new(0), lost }
    }

    fn send(&self, socket: &UnixDatagram, entry: &[u8]) -> io::Result<()> {
        // What one line waited for in vain no other waits for.
        let flags = match self.left_out.load(Ordering::Relaxed) {
            0 => SendFlags::NOSIGNAL,
            _ => SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
        };
        sendto(socket, entry, flags, &SocketAddrUnix::new(self.path)?)?;
        match self.left_out.swap(0, Ordering::Relaxed) {
            0 => {}
            count => {
                let told = sendto(
                    socket,
                    left_out(self.format, count).as_bytes(),
                    SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
                    &SocketAddrUnix::new(self.path)?,
                );
                if told.is_err() {
                    self.left_out.fetch_add(count, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }
}

/// The entry that tells of lines that journald did not take.
fn left_out(format: LogFormat, count: u64) -> String {
    let message = format!("journald took no entries for a while, and {count} lines were left out");
    let target = module_path!();
    let line = match format {
        LogFormat::Text => format!(" WARN {target}: {message} count={count}"),
        LogFormat::Json => {
            serde_json::json!({ "level": "WARN", "message": message, "count": count, "target": target }).to_string()
        }
    };
    let priority = priority(&Level::WARN);
    format!(
        "PRIORITY={priority}\n{MESSAGE}{line}\nSYSLOG_IDENTIFIER=evercertd\n{PREFIX}TARGET={target}\n{PREFIX}COUNT={count}\n"
    )
}

impl<'a> MakeWriter<'a> for Entries {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Entries {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        match self.socket.as_ref().map(|socket| self.send(socket, entry)) {
            Some(Ok(())) => {}
            // Stderr is read by journald too, and a line there would wait without end.
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                self.lost.another();
            }
            Some(Err(_)) | None => io::stderr().write_all(&as_line(entry))?,
        }
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An entry as the journal takes it from stderr: the line, behind its priority.
fn as_line(entry: &[u8]) -> Vec<u8> {
    let mut fields = entry.split(|byte| *byte == b'\n');
    let mut value =
        |name: &str| fields.next().and_then(|field| field.strip_prefix(name.as_bytes())).unwrap_or_default();
    let (priority, line) = (value("PRIORITY="), value(MESSAGE));
    [b"<", priority, b">", line, b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// What journald is sent when `say` logs.
    fn sent(format: LogFormat, say: impl FnOnce()) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let path: &'static Path = Box::leak::<'static>(Box::<PathBuf>::new(directory.path().join("socket")));
        let journald = UnixDatagram::bind(path).unwrap();
        let entries = Entries::to(path, format, LostLines::default());
        let layer = tracing_subscriber::fmt().with_writer(entries).with_ansi(false).without_time();
        match format {
            LogFormat::Text => {
                let layer = layer.map_event_format(|inner| Entry { format, inner });
                tracing::subscriber::with_default(layer.finish(), say);
            }
            LogFormat::Json => {
                let layer = layer.json().flatten_event(true).map_event_format(|inner| Entry { format, inner });
                tracing::subscriber::with_default(layer.finish(), say);
            }
        }
        journald.set_nonblocking(true).unwrap();
        let mut buffer = vec![0; 1 << 20];
        std::iter::from_fn(|| {
            journald.recv(&mut buffer).ok().map(|len| String::from_utf8(buffer[..len].to_vec()).unwrap())
        })
        .collect()
    }

    #[test]
    fn an_event_is_one_entry_with_its_priority_and_its_fields() {
        let entries = sent(LogFormat::Text, || {
            tracing::info!(target: "evercertd", identity = "shop/cart-0/tls", generation = 7_u64, "published");
            tracing::warn!(target: "evercertd", pod_uid = "1", absent = None::<&str>, "odd");
            tracing::error!(target: "evercertd", "bad");
        });
        assert_eq!(
            entries,
            [
                "PRIORITY=6\nMESSAGE= INFO evercertd: published identity=\"shop/cart-0/tls\" generation=7\nSYSLOG_IDENTIFIER=evercertd\n\
                 EVERCERT_TARGET=evercertd\nEVERCERT_IDENTITY=shop/cart-0/tls\nEVERCERT_GENERATION=7\n",
                "PRIORITY=4\nMESSAGE= WARN evercertd: odd pod_uid=\"1\"\nSYSLOG_IDENTIFIER=evercertd\nEVERCERT_TARGET=evercertd\n\
                 EVERCERT_POD_UID=1\n",
                "PRIORITY=3\nMESSAGE=ERROR evercertd: bad\nSYSLOG_IDENTIFIER=evercertd\nEVERCERT_TARGET=evercertd\n",
            ]
        );
        let json = sent(LogFormat::Json, || tracing::info!(target: "evercertd", identity = "x", "published"));
        let line = json[0].lines().nth(1).unwrap().strip_prefix(MESSAGE).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(line).unwrap()["identity"], "x");
    }

    #[test]
    fn a_name_makes_no_field_and_no_entry_of_its_own() {
        let forged = "x\nPRIORITY=0\nMESSAGE=forged\n\n\u{1b}[2J";
        for format in [LogFormat::Text, LogFormat::Json] {
            let entries = sent(format, || tracing::info!(name = forged, shown = %forged, "of {forged}"));
            assert_eq!(entries.len(), 1);
            let lines: Vec<_> = entries[0].lines().collect();
            assert_eq!(lines.len(), 6, "{lines:#?}");
            assert!(!lines.contains(&"PRIORITY=0") && !lines.contains(&"MESSAGE=forged"));
        }
    }

    #[test]
    fn where_journald_takes_nothing_the_line_goes_to_stderr_behind_its_priority() {
        let entry = b"PRIORITY=4\nMESSAGE= WARN odd\nSYSLOG_IDENTIFIER=evercertd\n";
        assert_eq!(as_line(entry), b"<4> WARN odd\n");
        let gone = Entries::to(Path::new("/nonexistent/journal/socket"), LogFormat::Text, LostLines::default());
        assert_eq!((&gone).write(entry).unwrap(), entry.len());
    }

    #[test]
    fn a_journald_that_takes_nothing_holds_no_line_up_for_long_and_is_told_how_many_were_left_out() {
        const LINES: usize = 5000;
        let directory = tempfile::tempdir().unwrap();
        let path: &'static Path = Box::leak::<'static>(Box::<PathBuf>::new(directory.path().join("socket")));
        let journald = UnixDatagram::bind(path).unwrap();
        journald.set_nonblocking(true).unwrap();
        let taken = || {
            let mut buffer = vec![0; 1 << 16];
            let one = || journald.recv(&mut buffer).ok().map(|len| String::from_utf8(buffer[..len].to_vec()).unwrap());
            std::iter::from_fn(one).collect::<Vec<_>>()
        };
        for format in [LogFormat::Text, LogFormat::Json] {
            let (lost, told) = (LostLines::default(), Arc::new(AtomicU64::new(0)));
            let count = Arc::clone(&told);
            lost.tell(move || _ = count.fetch_add(1, Ordering::Relaxed));
            let entries = Entries::patient(path, format, lost, Duration::from_millis(1));
            let write = |entry: &str| assert_eq!((&entries).write(entry.as_bytes()).unwrap(), entry.len());
            (0..LINES).for_each(|_| write("PRIORITY=6\nMESSAGE=one\n"));
            let left = LINES - taken().len();
            assert!(left > 0, "the queue of a socket is shorter");
            assert_eq!(told.load(Ordering::Relaxed), left as u64, "each is told once");
            write("PRIORITY=6\nMESSAGE=two\n");
            write("PRIORITY=6\nMESSAGE=three\n");
            let now = taken();
            assert_eq!((now.len(), &*now[0]), (3, "PRIORITY=6\nMESSAGE=two\n"), "{now:?}");
            assert!(now[1].contains(&format!("{left} lines were left out")), "{left}: {}", now[1]);
            let line = now[1].lines().nth(1).unwrap().strip_prefix(MESSAGE).unwrap();
            assert_eq!(serde_json::from_str::<serde_json::Value>(line).is_ok(), format == LogFormat::Json);
        }
    }
}
