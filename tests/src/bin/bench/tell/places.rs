//! The places at which a rejected set is told. What cannot be awaited there is asked for again and again, without a pause.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use evercert::source::SourceState;
use evercert_tests::daemon::Home;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::page::Page;
use crate::stage::IDENTITY;

/// How many rejections the log tells at once, before it tells one a second.
const BURST: usize = 50;

/// The check that a set with the key of another leaf fails.
const CHECK: &str = "key-mismatch";

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// The set on disk is rejected.
    Rejected,
    /// Nothing is wrong.
    Well,
}

/// One of the places.
pub(super) enum Place {
    /// The daemon's log.
    Log { file: File, read: u64 },
    /// A source of the SDK.
    Subscriber(watch::Receiver<SourceState>),
    /// `evercertd status --json`, run again and again.
    Status { socket: PathBuf },
    /// The gauge in `/metrics`.
    Metrics(SocketAddr),
    /// The first line of `/readyz`.
    Readyz(SocketAddr),
    /// The updates of the page at `/`.
    Page(Page),
}

impl Place {
    /// All of them, for the daemon in `home`. The log is the first, as it tells of many at once and of further ones less often.
    pub(super) async fn all(home: &Home, subscriber: watch::Receiver<SourceState>) -> [Self; 6] {
        let address = home.http().unwrap();
        [
            Self::Log { file: File::open(home.log_file()).unwrap(), read: 0 },
            Self::Subscriber(subscriber),
            Self::Status { socket: home.admin_socket() },
            Self::Metrics(address),
            Self::Readyz(address),
            Self::Page(Page::open(address).await),
        ]
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Log { .. } => "log",
            Self::Subscriber(_) => "subscriber",
            Self::Status { .. } => "status",
            Self::Metrics(_) => "metrics",
            Self::Readyz(_) => "readyz",
            Self::Page(_) => "page",
        }
    }

    /// Makes ready for the swap of this number: afterwards the place tells what happens as soon as it can.
    pub(super) async fn rest(&mut self, number: usize) {
        match self {
            Self::Log { file, read } => {
                if number >= BURST {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                *read = file.metadata().unwrap().len();
            }
            Self::Page(page) => page.rest().await,
            Self::Subscriber(_) | Self::Status { .. } | Self::Metrics(_) | Self::Readyz(_) => {}
        }
    }

    /// Waits until the place tells that.
    pub(super) async fn until(&mut self, wanted: Telling) {
        match self {
            Self::Log { file, read } => {
                // That nothing is wrong any more is waited for elsewhere.
                while wanted == Telling::Rejected && !has_line(file, *read) {
                    tokio::task::yield_now().await;
                }
            }
            Self::Subscriber(state) => {
                _ = state.wait_for(|state| telling(state.trouble.is_some()) == wanted).await.unwrap();
            }
            Self::Status { socket } => while telling(is_found(&status(socket).await)) != wanted {},
            Self::Metrics(address) => {
                let series = format!("evercert_identity_rejected{{identity=\"{IDENTITY}\"");
                let is_rejected =
                    |page: String| page.lines().any(|line| line.starts_with(&series) && line.ends_with(" 1"));
                while telling(is_rejected(get(*address, "/metrics").await)) != wanted {}
            }
            Self::Readyz(address) => {
                while telling(get(*address, "/readyz").await.contains(", 1 rejected")) != wanted {}
            }
            Self::Page(page) => {
                let tells = |update: Value| !update["identities"].is_null() && telling(is_found(&update)) == wanted;
                while !tells(page.next().await) {}
            }
        }
    }
}

fn telling(is_rejected: bool) -> Telling {
    if is_rejected { Telling::Rejected } else { Telling::Well }
}

/// Whether the log has the line of a rejection behind its first `read` bytes.
fn has_line(log: &File, read: u64) -> bool {
    let len = log.metadata().unwrap().len().saturating_sub(read);
    let mut new = vec![0; usize::try_from(len).unwrap()];
    log.read_exact_at(&mut new, read).unwrap();
    let whole = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    String::from_utf8_lossy(&new[..whole]).lines().any(|line| line.contains(" rejected: "))
}

/// Whether a status, or an update of the page, has the finding.
fn is_found(status: &Value) -> bool {
    let identities = status["identities"].as_array().into_iter().flatten();
    let mut findings = identities.flat_map(|identity| identity["findings"].as_array().into_iter().flatten());
    findings.any(|finding| finding["check"] == CHECK)
}

async fn status(socket: &Path) -> Value {
    let mut command = crate::daemon();
    command.args(["status", "--json", "--socket"]).arg(socket);
    // It ends with 1 where something is wrong.
    let output = tokio::process::Command::from(command).output().await.unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
