//! The services over real sockets, fed by core's lifecycle from real volumes.

mod agent;
mod callers;
mod decisions;
mod feed;
mod keys;
mod limits;
mod lost;
mod operators;
mod unattested;
mod untaken;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use evercert_api::v1;
use evercert_api::v1::agent_client::AgentClient;
use evercert_core::clock::Now;
use evercert_core::identity::IdentityId;
use evercert_core::keeper::Observer as _;
use evercert_core::lifecycle::{Event, Lifecycle};
use evercert_core::material::Material;
use evercert_core::mount;
use evercert_core::spec::{Expectations, FileSet, IdentitySpec};
use evercert_fixtures::wait::{DEADLINE, soon, until_so as until};
use evercert_fixtures::{Authority, Files, KubeletVolume, set_mode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::StdError;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};
use v1::watch_request::Message as Ask;
use v1::watch_response::Message as Answer;

use super::{Context, Control, DaemonInfo, DoorObserver, Limits, Order, ServingLimit, TurnedAway};
use crate::attest::{DecisionObserver, DecisionReason};
use crate::callers::tests::other::Other;
use crate::callers::{Cap, Processes};
use crate::config::Mode;
use crate::inventory::Wanted;
use crate::publication::{
    Disconnect, KeyClaims, KeyHolder, Neighbours, NewSubscriber, Refused, Report, Store, SubscriberLimit,
    SubscriberObserver, Subscribers,
};

const EPOCH: u64 = 0xfeed_0000_0000_0001;

/// A node: both sockets, served from a store.
struct Node {
    home: TempDir,
    store: Arc<Store>,
    subscribers: Arc<Subscribers>,
    seen: Arc<Seen>,
    context: Context,
    shutdown: CancellationToken,
    servers: JoinSet<()>,
    wanted: watch::Sender<Arc<Wanted>>,
    others: Mutex<Vec<Other>>,
    _requests: mpsc::Receiver<Order>,
    _info: watch::Sender<DaemonInfo>,
}

/// The events the metrics would be told.
#[derive(Default)]
struct Seen {
    acknowledged: Mutex<Vec<Duration>>,
    disconnected: Mutex<Vec<Disconnect>>,
    decided: Mutex<Vec<DecisionReason>>,
    keys_wanted: Mutex<Vec<bool>>,
    turned_away: Mutex<Vec<TurnedAway>>,
    limits_reached: Mutex<Vec<ServingLimit>>,
}

impl DoorObserver for Seen {
    fn turned_away(&self, reason: TurnedAway) {
        self.turned_away.lock().push(reason);
    }

    fn limit_reached(&self, limit: ServingLimit) {
        self.limits_reached.lock().push(limit);
    }
}

impl KeyHolder for Seen {
    fn want_keys(&self, _: &IdentityId, wanted: bool) {
        self.keys_wanted.lock().push(wanted);
    }
}

impl SubscriberObserver for Seen {
    fn acknowledged(&self, _: &IdentityId, took: Duration) {
        self.acknowledged.lock().push(took);
    }

    fn refused(&self, _: &IdentityId, _: &NewSubscriber, _: &Report, _: &Refused) {}

    fn lost(&self, _: &IdentityId, _: &NewSubscriber, _: Option<u64>) {}

    fn disconnected(&self, _: &IdentityId, reason: Disconnect) {
        self.disconnected.lock().push(reason);
    }

    fn limit_reached(&self, _: SubscriberLimit) {}
}

impl DecisionObserver for Seen {
    fn decided(&self, reason: DecisionReason, _: Duration) {
        self.decided.lock().push(reason);
    }

    fn line_left_out(&self) {}
}

impl Node {
    fn start() -> Self {
        Self::start_with(generous())
    }

    fn start_with(limits: Limits) -> Self {
        Self::start_as(Mode::Publisher, limits)
    }

    fn start_as(mode: Mode, limits: Limits) -> Self {
        let home = tempfile::tempdir().unwrap();
        set_mode(home.path(), 0o755);
        let store = Store::new(EPOCH);
        let seen = Arc::new(Seen::default());
        let key_claims = KeyClaims::new(Arc::clone(&seen) as _);
        let subscribers = Subscribers::new(Arc::clone(&store), Arc::clone(&seen) as _, key_claims);
        let started = SystemTime::UNIX_EPOCH;
        let (sender, info) = watch::channel(DaemonInfo {
            version: "0.0.0",
            started,
            ready: true,
            config_error: None,
            findings: Default::default(),
        });
        let (wanted, wanted_now) = watch::channel(Arc::<Wanted>::default());
        let (control, requests) = Control::new();
        let context = Context {
            store: Arc::clone(&store),
            subscribers: Arc::clone(&subscribers),
            decisions: Arc::clone(&seen) as _,
            door: Arc::clone(&seen) as _,
            neighbours: Neighbours::new(Arc::clone(&store)),
            wanted: wanted_now,
            info,
            control,
            processes: Arc::new(Processes::new(Vec::new())),
            mode,
        };
        let shutdown = CancellationToken::new();
        let mut servers = JoinSet::new();
        let listen = |name| {
            let path = home.path().join(name);
            let listener = UnixListener::bind(&path).unwrap();
            set_mode(&path, 0o666);
            listener
        };
        servers.spawn(super::workload(listen("agent.sock"), context.clone(), limits, shutdown.clone()));
        servers.spawn(super::admin(listen("admin.sock"), context.clone(), shutdown.clone()));
        Self {
            home,
            store,
            subscribers,
            seen,
            context,
            shutdown,
            servers,
            wanted,
            others: Mutex::default(),
            _requests: requests,
            _info: sender,
        }
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("agent.sock")
    }

    fn keep(&self, name: &str, files: &Files) -> Kept<'_> {
        Kept::new(self, IdentityId::node(name.parse().unwrap()), files)
    }

    /// An identity mounted in the pod with UID `pod`.
    fn keep_in(&self, pod: &str, name: &str, files: &Files) -> Kept<'_> {
        Kept::new(self, IdentityId::pod(pod, name.parse().unwrap()), files)
    }

    async fn agent(&self) -> AgentClient<Channel> {
        AgentClient::new(channel(UnixStream::connect(self.socket()).await.unwrap()).await)
    }

    /// A client of another user than the files' owner where this process may become one, else of this user; and its uid.
    async fn agent_of_another(&self) -> (AgentClient<Channel>, u32) {
        let own = rustix::process::getuid().as_raw();
        let other = if own == 0 { 1000 } else { own };
        let stream = self.stream_of((own == 0).then_some(other));
        (AgentClient::new(channel(stream).await), other)
    }

    /// The connection of another process, of this user where one is named.
    fn stream_of(&self, uid: Option<u32>) -> UnixStream {
        let (process, stream) = Other::connect(&self.socket(), uid);
        self.others.lock().push(process);
        stream.set_nonblocking(true).unwrap();
        UnixStream::from_std(stream).unwrap()
    }

    async fn watch(&self, identity: &str) -> Watched {
        Watched::open(self.agent().await, open(identity)).await.unwrap()
    }
}

async fn channel(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Channel {
    try_channel(stream).await.unwrap()
}

async fn try_channel(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<Channel, tonic::transport::Error> {
    connect(Endpoint::from_static("http://localhost"), stream).await
}

async fn connect(
    endpoint: Endpoint,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<Channel, tonic::transport::Error> {
    let mut stream = Some(stream);
    let connector = tower::service_fn(move |_: http::Uri| {
        let stream = stream.take().map(TokioIo::new);
        async { stream.ok_or_else(|| std::io::Error::other("connected once already")) }
    });
    endpoint.connect_with_connector(connector).await
}

/// One identity of a node, and the volume it is read from.
struct Kept<'a> {
    node: &'a Node,
    volume: KubeletVolume,
    lifecycle: Lifecycle,
}

impl<'a> Kept<'a> {
    fn new(node: &'a Node, id: IdentityId, files: &Files) -> Self {
        let path = node.home.path().join(id.to_string().replace('/', "-"));
        let spec = IdentitySpec {
            id,
            files: FileSet::cert_manager(&path),
            expectations: Expectations::default(),
            overlap: IdentitySpec::OVERLAP,
        };
        let volume = KubeletVolume::at(&path, files);
        let mut kept = Self { node, volume, lifecycle: Lifecycle::new(Arc::new(spec)) };
        kept.read();
        kept
    }

    fn id(&self) -> IdentityId {
        self.lifecycle.state().spec.id.clone()
    }

    fn key(&self) -> PathBuf {
        self.volume.path().join("..data/tls.key")
    }

    fn swap(&mut self, files: &Files) {
        self.volume.swap(files);
        self.read();
    }

    /// Acts as the keeper does when a key is wanted from now on, or no longer.
    fn want_key(&mut self, wanted: bool) {
        let changed = self.lifecycle.keep_keys(wanted);
        if changed {
            self.node.store.state(&self.id(), Arc::clone(self.lifecycle.state()));
        }
        if wanted {
            self.read();
        }
    }

    /// Acts as the keeper does after a hint.
    fn read(&mut self) {
        let spec = Arc::clone(&self.lifecycle.state().spec);
        let material = Material::parse(&spec, mount::read(&spec.files));
        let now = Now { wall: SystemTime::now(), monotonic: Instant::now() };
        if self.lifecycle.handle(Event::Read { material, final_try: true }, now).changed {
            self.node.store.state(&spec.id, Arc::clone(self.lifecycle.state()));
        }
    }
}

fn open(identity: &str) -> v1::Open {
    v1::Open {
        identity: identity.to_owned(),
        deliver: v1::Deliver::Full.into(),
        held_digest: Vec::new(),
        sdk_version: "test".to_owned(),
        pod_uid: String::new(),
    }
}

fn request(message: Ask) -> v1::WatchRequest {
    v1::WatchRequest { message: Some(message) }
}

/// One Watch stream, as a workload has it.
struct Watched {
    requests: mpsc::Sender<v1::WatchRequest>,
    answers: Streaming<v1::WatchResponse>,
}

impl Watched {
    async fn open<T>(mut agent: AgentClient<T>, open: v1::Open) -> Result<Self, Status>
    where
        T: GrpcService<Body, Error: Into<StdError>>,
        T::ResponseBody: http_body::Body<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
    {
        let (requests, stream) = mpsc::channel(8);
        requests.send(request(Ask::Open(open))).await.unwrap();
        let answers = soon("the stream", agent.watch(ReceiverStream::new(stream))).await?.into_inner();
        Ok(Self { requests, answers })
    }

    async fn next(&mut self) -> Answer {
        soon("an answer", self.answers.message()).await.unwrap().unwrap().message.unwrap()
    }

    async fn update(&mut self) -> v1::Update {
        match self.next().await {
            Answer::Update(update) => update,
            other => panic!("no update: {other:?}"),
        }
    }

    async fn error(&mut self) -> Status {
        soon("an error", self.answers.message()).await.unwrap_err()
    }

    async fn report(&self, epoch: u64, generation: u64, digest: &[u8], outcome: v1::report::Outcome) {
        let report = v1::Report {
            epoch,
            generation,
            digest: digest.to_vec(),
            outcome: Some(outcome),
            connections_on_older: 0,
            not_after: None,
        };
        self.requests.send(request(Ask::Report(report))).await.unwrap();
    }
}

/// More than a test needs.
fn generous() -> Limits {
    let (cap, rate) = (Cap { in_all: 100, per_caller: 100 }, NonZeroU32::new(100_000).unwrap());
    Limits::new(cap, cap, Cap { in_all: rate, per_caller: rate })
}

fn files() -> Files {
    Authority::new("Test CA").issue_dns("x.example.org").files()
}
