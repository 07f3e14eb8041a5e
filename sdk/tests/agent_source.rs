//! The agent source against a scripted daemon on a real socket: every message of the wire, and what goes wrong between.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use evercert::Refusal;
use evercert::source::{AgentSettings, AgentSource, Outcome, Report, Source, SourceState};
use evercert_api::v1::agent_server::{Agent, AgentServer};
use evercert_api::{update_from_snapshot, v1};
use evercert_core::bundle::{Bundle, Bundles};
use evercert_core::credential::{Credential, PrivateKey};
use evercert_core::snapshot::Snapshot;
use evercert_fixtures::wait::{DEADLINE, until_shown};
use evercert_fixtures::{Authority, become_user};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

#[tokio::test]
async fn a_generation_is_delivered_and_reported() {
    let sockets = SocketDirectory::new();
    let mut daemon = Daemon::start(&sockets.socket);
    let source = sockets.source();
    let mut stream = daemon.stream().await;
    assert_eq!(stream.open.identity, "web");
    assert_eq!(stream.open.deliver(), v1::Deliver::Full);
    assert_eq!(stream.open.held_digest, b"");
    assert!(stream.open.sdk_version.starts_with("evercert/"));

    let snapshot = snapshot(1);
    stream.update(7, &snapshot).await;
    let state = until(&source, |state| state.snapshot.is_some()).await;
    assert!(state.connected);
    assert_eq!(state.trouble, None);
    let taken = state.snapshot.unwrap();
    assert_eq!((taken.digest(), taken.generation()), (snapshot.digest(), 1));

    source.report(current(&snapshot));
    let report = stream.report().await;
    assert_eq!((report.epoch, report.generation), (7, 1));
    assert_eq!(report.digest, snapshot.digest().as_bytes());
    assert_eq!(report.outcome, Some(v1::report::Outcome::Stage(v1::Stage::Current.into())));
    assert_eq!(SystemTime::try_from(report.not_after.unwrap()).ok(), not_after(&snapshot));
}

#[tokio::test]
async fn trust_from_many_files_of_the_largest_size_arrives() {
    let sockets = SocketDirectory::new();
    let mut daemon = Daemon::start(&sockets.socket);
    let source = sockets.source();
    let stream = daemon.stream().await;
    let small = snapshot(1);
    let files = (0..12u8).map(|file| vec![file; 1 << 20].into()).collect();
    let own = small.bundles().own.as_ref().unwrap();
    let bundles = Bundles { own: Some(Arc::new(Bundle::new(own.anchors().to_vec(), files))), ..Bundles::default() };
    let large = Snapshot::new(1, small.credential().cloned(), bundles, None);
    stream.update(7, &large).await;
    let state = until(&source, |state| state.snapshot.is_some()).await;
    assert_eq!(state.snapshot.unwrap().digest(), large.digest());
}

#[tokio::test]
async fn a_generation_that_cannot_be_used_is_reported_with_the_reason() {
    let sockets = SocketDirectory::new();
    let mut daemon = Daemon::start(&sockets.socket);
    let source = sockets.source();
    let mut stream = daemon.stream().await;
    let snapshot = snapshot(1);
    stream.update(7, &snapshot).await;
    until(&source, |state| state.snapshot.is_some()).await;
    let refusal = Refusal::Incomplete("a bundle to verify clients by".into());
    source.report(Report::new(snapshot.generation(), snapshot.digest(), Outcome::Refused(refusal.clone())));
    let refused = v1::Refused { code: v1::RefusedCode::Incomplete.into(), detail: refusal.to_string() };
    assert_eq!(stream.report().await.outcome, Some(v1::report::Outcome::Refused(refused)));
}

#[tokio::test]
async fn an_update_that_cannot_be_read_is_refused_and_the_last_good_stays() {
    let sockets = SocketDirectory::new();
    let mut daemon = Daemon::start(&sockets.socket);
    let source = sockets.source();
    let mut stream = daemon.stream().await;
    let first = snapshot(1);
    stream.update(7, &first).await;
    until(&source, |state| state.snapshot.is_some()).await;
    source.report(current(&first));
    stream.report().await;

    let second = snapshot(2);
    let mut torn = update_from_snapshot(7, &second, &[], v1::Deliver::Full).unwrap();
    torn.chain[0].truncate(20);
    stream.send(v1::watch_response::Message::Update(torn)).await;
    let report = stream.report().await;
    assert_eq!((report.epoch, report.generation), (7, 2));
    assert_eq!(report.digest, second.digest().as_bytes());
    assert_eq!(SystemTime::try_from(report.not_after.unwrap()).ok(), not_after(&first));
    let Some(v1::report::Outcome::Refused(refused)) = report.outcome else { panic!("not refused: {report:?}") };
    assert_eq!(refused.code(), v1::RefusedCode::Malformed);
    assert!(refused.detail.contains("leaf"), "{refused:?}");
    let state = until(&source, |state| state.trouble.is_some()).await;
    assert_eq!(state.snapshot.unwrap().digest(), first.digest());
    assert!(state.trouble.unwrap().contains("last good is kept"));

    stream.update(7, &second).await;
    let state = until(&source, |state| state.trouble.is_none()).await;
    assert_eq!(state.snapshot.unwrap().digest(), second.digest());
}

#[tokio::test]
async fn a_daemon_that_comes_back_with_the_same_digest_is_no_rotation() {
    let sockets = SocketDirectory::new();
    let mut daemon = Daemon::start(&sockets.socket);
    let source = sockets.source();
    let mut stream = daemon.stream().await;
    let snapshot = snapshot(9);
    stream.update(7, &snapshot).await;
    let held = until(&source, |state| state.snapshot.is_some()).await.snapshot.unwrap();
    source.report(current(&held));
    stream.report().await;

    drop((stream, daemon));
    let state = until(&source, |state| !state.connected).await;
    assert!(Arc::ptr_eq(&state.snapshot.unwrap(), &held));
    let trouble = state.trouble.unwrap();
    assert!(trouble.contains(&*sockets.socket.to_string_lossy()) && !trouble.contains("code:"), "{trouble}");

    let mut daemon = Daemon::start(&sockets.socket);
    let mut stream = daemon.stream().await;
    assert_eq!(stream.open.held_digest, held.digest().as_bytes());
    stream.send(v1::watch_response::Message::Unchanged(v1::Unchanged { epoch: 8, generation: 1 })).await;
    let report = stream.report().await;
    assert_eq!((report.epoch, report.generation), (8, 1), "the report is repeated, in the words of the new daemon");
    assert_eq!(report.outcome, Some(v1::report::Outcome::Stage(v1::Stage::Current.into())));
    let state = until(&source, |state| state.connected).await;
    assert!(Arc::ptr_eq(&state.snapshot.unwrap(), &held), "nothing rotated");
    assert_eq!(state.trouble, None);

    // And so with a daemon that sends the content again.
    let again = Snapshot::new(2, held.credential().cloned(), held.bundles().clone(), None);
    stream.update(8, &again).await;
    let report = stream.report().await;
    assert_eq!((report.epoch, report.generation), (8, 2));
    assert!(Arc::ptr_eq(source.state().borrow().snapshot.as_ref().unwrap(), &held), "nothing rotated");
}

#[tokio::test]
async fn a_rotation_while_the_daemon_was_away_is_taken_up() {
    let sockets = SocketDirectory::new();
    let mut daemon = Daemon::start(&sockets.socket);
    let source = sockets.source();
    let stream = daemon.stream().await;
    stream.update(7, &snapshot(1)).await;
    until(&source, |state| state.snapshot.is_some()).await;
    drop((stream, daemon));
    until(&source, |state| !state.connected).await;

    let mut daemon = Daemon::start(&sockets.socket);
    let mut stream = daemon.stream().await;
    let next = snapshot(1);
    stream.update(8, &next).await;
    until(&source, |state| state.snapshot.as_ref().is_some_and(|held| held.digest() == next.digest())).await;
    source.report(current(&next));
    assert_eq!(stream.report().await.epoch, 8);
}

#[tokio::test]
async fn what_the_daemon_has_not_published_is_explained_by_its_findings() {
    let sockets = SocketDirectory::new();
    let mut daemon = Daemon::start(&sockets.socket);
    let source = sockets.source();
    let stream = daemon.stream().await;
    let pending = v1::Pending { findings: vec![finding("tls.key is not there: mount it")] };
    stream.send(v1::watch_response::Message::Pending(pending)).await;
    let state = until(&source, |state| state.connected).await;
    let trouble = state.trouble.unwrap();
    assert!(
        trouble.contains("/etc/tls/web/tls.key: tls.key is not there: mount it") && trouble.contains("\"web\""),
        "{trouble}"
    );
    assert!(trouble.contains(&*sockets.socket.to_string_lossy()), "{trouble}");

    let findings = v1::Findings { findings: vec![finding("tls.crt has expired")] };
    stream.send(v1::watch_response::Message::Findings(findings)).await;
    until(&source, |state| state.trouble.as_ref().is_some_and(|trouble| trouble.contains("tls.crt has expired"))).await;
    stream.update(7, &snapshot(1)).await;
    until(&source, |state| state.trouble.is_none() && state.snapshot.is_some()).await;
}

#[tokio::test]
async fn the_last_good_outlives_rejection_withdrawal_and_a_daemon_on_a_bad_set() {
    let sockets = SocketDirectory::new();
    let mut daemon = Daemon::start(&sockets.socket);
    let source = sockets.source();
    let stream = daemon.stream().await;
    stream.update(7, &snapshot(1)).await;
    let held = until(&source, |state| state.snapshot.is_some()).await.snapshot.unwrap();

    let rejected = v1::Findings { findings: vec![finding("the key is another's")] };
    let withdrawn = v1::Withdrawn { reason: "removed from the configuration".into() };
    let pending = v1::Pending { findings: vec![finding("tls.crt is not there")] };
    for (message, says) in [
        (v1::watch_response::Message::Findings(rejected), "the key is another's"),
        (v1::watch_response::Message::Withdrawn(withdrawn), "removed from the configuration"),
        (v1::watch_response::Message::Pending(pending), "tls.crt is not there"),
    ] {
        stream.send(message).await;
        let state = until(&source, |state| state.trouble.as_ref().is_some_and(|trouble| trouble.contains(says))).await;
        assert!(Arc::ptr_eq(&state.snapshot.unwrap(), &held), "{says}");
    }
}

#[tokio::test]
async fn a_daemon_that_says_no_is_quoted() {
    for status in
        [Status::permission_denied("uid 1000 may not read /etc/tls/web/tls.key"), Status::not_found("there are: api")]
    {
        let sockets = SocketDirectory::new();
        let mut daemon = Daemon::start(&sockets.socket);
        let source = sockets.source();
        let stream = daemon.stream().await;
        let message = status.message().to_owned();
        stream.responses.send(Err(status)).await.unwrap();
        let state =
            until(&source, |state| state.trouble.as_ref().is_some_and(|trouble| trouble.contains(&message))).await;
        assert!(!state.connected && state.snapshot.is_none());
    }
}

#[tokio::test]
async fn a_socket_that_is_not_there_yet_is_waited_for() {
    let sockets = SocketDirectory::new();
    let source = sockets.source();
    let missing = format!("there is no socket at {}", sockets.socket.display());
    until(&source, |state| state.trouble.as_ref().is_some_and(|trouble| trouble.contains(&missing))).await;
    let mut daemon = Daemon::start(&sockets.socket);
    daemon.stream().await.update(7, &snapshot(1)).await;
    until(&source, |state| state.snapshot.is_some()).await;
}

#[tokio::test]
async fn dropping_the_source_ends_its_stream() {
    let sockets = SocketDirectory::new();
    let mut daemon = Daemon::start(&sockets.socket);
    let source = sockets.source();
    let mut stream = daemon.stream().await;
    drop(source);
    let end = timeout(DEADLINE, stream.requests.message()).await.unwrap();
    assert!(!matches!(end, Ok(Some(_))), "{end:?}");
}

#[tokio::test]
#[ignore = "needs root, to be other users"]
async fn a_socket_that_somebody_else_serves_is_not_used_unless_they_are_named() {
    const SOMEBODY: u32 = 54321;
    let sockets = SocketDirectory::new();
    let own = rustix::process::geteuid().as_raw();
    let mut daemon = Daemon::start_as(&sockets.socket, Some(SOMEBODY));
    // Root may be served by root alone: this process's own uid is 0 too.
    let source = sockets.source();
    let state = until(&source, |state| state.trouble.as_ref().is_some_and(|t| t.contains("is served by"))).await;
    let trouble = state.trouble.unwrap();
    let wanted = format!(
        "{} is served by uid {SOMEBODY}, which is neither root nor this process's uid {own}: set \
         EVERCERT_SOCKET_OWNER={SOMEBODY} if that uid runs evercertd",
        sockets.socket.display()
    );
    assert!(trouble.contains(&wanted), "{trouble}");
    drop(source);

    let named = AgentSettings::new("web").socket(&sockets.socket).socket_owner(SOMEBODY);
    let source = AgentSource::start(named).unwrap();
    daemon.stream().await.update(7, &snapshot(1)).await;
    until(&source, |state| state.snapshot.is_some()).await;
}

#[tokio::test]
async fn settings_that_can_never_work_are_refused_at_once() {
    assert!(AgentSource::start(AgentSettings::new("no name")).is_err());
    let error = AgentSource::start(AgentSettings::new("web").socket("agent.sock")).unwrap_err();
    assert!(error.to_string().contains("\"agent.sock\" is not an absolute path"), "{error}");
}

struct SocketDirectory {
    _directory: TempDir,
    socket: PathBuf,
}

impl SocketDirectory {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("agent.sock");
        Self { _directory: directory, socket }
    }

    fn source(&self) -> Arc<AgentSource> {
        AgentSource::start(AgentSettings::new("web").socket(&self.socket)).unwrap()
    }
}

/// A daemon whose every word a test says. In a runtime of its own: dropping that is a kill.
struct Daemon {
    runtime: Option<Runtime>,
    streams: mpsc::Receiver<Call>,
    socket: PathBuf,
}

impl Daemon {
    fn start(socket: &Path) -> Self {
        Self::start_as(socket, None)
    }

    /// Listens in the name of `uid`, which takes root.
    fn start_as(socket: &Path, uid: Option<u32>) -> Self {
        let listener = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    if let Some(uid) = uid {
                        std::os::unix::fs::chown(socket.parent().unwrap(), Some(uid), None).unwrap();
                        become_user(uid);
                    }
                    std::os::unix::net::UnixListener::bind(socket).unwrap()
                })
                .join()
                .unwrap()
        });
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (calls, streams) = mpsc::channel(8);
        runtime.spawn(async move {
            let incoming = UnixListenerStream::new(UnixListener::from_std(listener).unwrap());
            tonic::transport::Server::builder()
                .add_service(AgentServer::new(Script { calls }))
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
        Self { runtime: Some(runtime), streams, socket: socket.to_owned() }
    }

    /// The next stream that a source opens.
    async fn stream(&mut self) -> Call {
        timeout(DEADLINE, self.streams.recv()).await.expect("no source opens a stream").unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
        self.runtime.take().unwrap().shutdown_background();
    }
}

struct Script {
    calls: mpsc::Sender<Call>,
}

#[tonic::async_trait]
impl Agent for Script {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn list(&self, _: Request<v1::ListRequest>) -> Result<Response<v1::ListResponse>, Status> {
        Err(Status::unimplemented("not in this script"))
    }

    async fn watch(
        &self,
        request: Request<Streaming<v1::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let mut requests = request.into_inner();
        let first = requests.message().await?.and_then(|request| request.message);
        let Some(v1::watch_request::Message::Open(open)) = first else { panic!("not Open first: {first:?}") };
        let (responses, answers) = mpsc::channel(8);
        self.calls.send(Call { open, requests, responses }).await.unwrap();
        Ok(Response::new(Box::pin(ReceiverStream::new(answers).fuse())))
    }
}

/// One stream, from the daemon's side.
struct Call {
    open: v1::Open,
    requests: Streaming<v1::WatchRequest>,
    responses: mpsc::Sender<Result<v1::WatchResponse, Status>>,
}

impl Call {
    async fn send(&self, message: v1::watch_response::Message) {
        self.responses.send(Ok(v1::WatchResponse { message: Some(message) })).await.unwrap();
    }

    async fn update(&self, epoch: u64, snapshot: &Snapshot) {
        let update = update_from_snapshot(epoch, snapshot, &[], v1::Deliver::Full).unwrap();
        self.send(v1::watch_response::Message::Update(update)).await;
    }

    async fn report(&mut self) -> v1::Report {
        let request = timeout(DEADLINE, self.requests.message()).await.expect("no report").unwrap().unwrap();
        match request.message.unwrap() {
            v1::watch_request::Message::Report(report) => report,
            v1::watch_request::Message::Open(open) => panic!("opened twice: {open:?}"),
        }
    }
}

async fn until(source: &AgentSource, wanted: impl Fn(&SourceState) -> bool) -> SourceState {
    until_shown(source.state(), wanted).await
}

/// A snapshot of a certificate of its own.
fn snapshot(generation: u64) -> Snapshot {
    let issued = Authority::new("Test CA").issue_dns("web.example.org");
    let key = PrivateKey::from_pkcs8(issued.key_der.into()).unwrap();
    let credential = Credential::new(vec![issued.leaf_der.into()], key).unwrap();
    let bundle = Bundle::new(vec![issued.ca_der.into()], Vec::new());
    let bundles = Bundles { own: Some(Arc::new(bundle)), ..Bundles::default() };
    Snapshot::new(generation, Some(Arc::new(credential)), bundles, None)
}

fn not_after(snapshot: &Snapshot) -> Option<SystemTime> {
    snapshot.credential().map(|credential| credential.leaf().not_after)
}

fn current(snapshot: &Snapshot) -> Report {
    let mut current = Report::new(snapshot.generation(), snapshot.digest(), Outcome::Current);
    current.not_after = not_after(snapshot);
    current
}

fn finding(sentence: &str) -> v1::Finding {
    v1::Finding {
        check: "key-mismatch".into(),
        severity: v1::Severity::Reject.into(),
        sentence: sentence.into(),
        file: "/etc/tls/web/tls.key".into(),
        ..v1::Finding::default()
    }
}
