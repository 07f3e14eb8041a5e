use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

use evercert_core::bundle::{Bundle, Bundles};
use evercert_core::credential::{Credential, PrivateKey};
use evercert_core::snapshot::Snapshot;
use evercert_fixtures::{Authority, Issued, Leaf};
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::identity::{Consumer as _, Tally};
use crate::server::DrainPolicy;
use crate::server::connections::Connections;
use crate::server::slot::Slot;
use crate::tls::apart::{PLACES, WAITING};
use crate::tls::settings::ALPN_HTTP_2;
use crate::tls::{Generation, ServerTls};

const NAME: &str = "peer.example.org";
const DEADLINE: Duration = Duration::from_secs(20);

/// More than a loop that rests comes to.
const ENOUGH: usize = 5000;

/// Fails each accept with one error, and counts.
struct Failing {
    error: Box<dyn Fn() -> io::Error + Send>,
    asked: Arc<AtomicUsize>,
}

impl Listener for Failing {
    type Io = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Option<IpAddr>)> {
        if self.asked.fetch_add(1, Ordering::Relaxed) >= ENOUGH {
            return std::future::pending().await;
        }
        Err((self.error)())
    }
}

fn only(slot: Arc<Slot>) -> Arc<Slots> {
    Arc::new(Slots::only(slot))
}

fn slot() -> Arc<Slot> {
    let tally = Arc::new(Tally::default());
    let connections = Arc::new(Connections::new("test".into(), DrainPolicy::default(), false, tally));
    Arc::new(Slot::new(ServerTls::default(), connections))
}

/// The number of times a listener that fails so is asked within ten pauses of a paused clock.
async fn asked(error: impl Fn() -> io::Error + Send + 'static) -> usize {
    let asked = Arc::new(AtomicUsize::new(0));
    let listener = Failing { error: Box::new(error), asked: Arc::clone(&asked) };
    let accepting = Accepting { listener, slots: only(slot()), limits: AcceptLimits::default(), recorder: None };
    let (sender, _finished) = mpsc::channel(1);
    let until = tokio::time::Instant::now() + EXHAUSTED_PAUSE * 10;
    tokio::select! {
        () = accepting.run(sender) => {}
        () = tokio::time::sleep_until(until) => {}
    }
    asked.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn accepting_rests_while_descriptors_are_exhausted() {
    for errno in [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE, rustix::io::Errno::NOBUFS] {
        let asked = asked(move || errno.into()).await;
        assert!((2..=11).contains(&asked), "{asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn accepting_rests_for_connections_that_are_gone_only_after_many_in_a_row() {
    let of_the_kernel = [io::ErrorKind::ConnectionAborted, io::ErrorKind::PermissionDenied];
    // And of a listener of the service's own, that reads what a stranger sends.
    let of_a_header = [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof, io::ErrorKind::Other];
    for kind in of_the_kernel.into_iter().chain(of_a_header) {
        let (asked, in_a_row) = (asked(move || kind.into()).await, PASSED_OVER as usize + 1);
        assert!((2 * in_a_row..=11 * in_a_row).contains(&asked), "{asked}");
    }
}

/// A server of this certificate that trusts its issuer; what it has accepted comes out.
async fn serve(issued: &Issued) -> (SocketAddr, mpsc::Receiver<TlsIo<TcpStream>>) {
    let key = PrivateKey::from_pkcs8(issued.key_der.clone().into()).unwrap();
    let credential = Credential::new(vec![issued.leaf_der.clone().into()], key).unwrap();
    let own = Some(Arc::new(Bundle::new(vec![issued.ca_der.clone().into()], Vec::new())));
    let bundles = Bundles { own, ..Bundles::default() };
    let snapshot = Arc::new(Snapshot::new(1, Some(Arc::new(credential)), bundles, None));
    let slot = slot();
    slot.prepare(&Arc::new(Generation::load(snapshot).unwrap())).unwrap()();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, finished) = mpsc::channel(64);
    tokio::spawn(
        Accepting { listener, slots: only(slot), limits: AcceptLimits::default(), recorder: None }.run(sender),
    );
    (address, finished)
}

/// Shakes hands with this leaf, and shows those beside it. With TLS 1.3 that is done before the server has verified anything.
async fn connect(
    address: SocketAddr,
    server: &Issued,
    issued: &Issued,
    shown: &[CertificateDer<'static>],
) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(server.ca_der.clone().into()).unwrap();
    let chain = [&[issued.leaf_der.clone().into()], shown].concat();
    let mut config = rustls::ClientConfig::builder_with_provider(evercert_core::crypto::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, PrivateKeyDer::Pkcs8(issued.key_der.clone().into()))
        .unwrap();
    config.alpn_protocols = vec![ALPN_HTTP_2.to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(NAME).unwrap(), stream).await.unwrap()
}

/// A chain that nobody trusted has issued, of more than a cheap one's certificates.
fn expensive() -> (Issued, Vec<CertificateDer<'static>>) {
    let forger = Authority::new("root");
    let forged: Vec<_> = (0..16).map(|_| forger.intermediate("sub")).collect();
    let own = |authority: &Authority| CertificateDer::from_pem_slice(authority.own_pem().as_bytes()).unwrap();
    (forged[0].issue(Leaf::for_dns(NAME)), forged.iter().map(own).collect())
}

async fn expensive_chains_wait_for_their_places_and_others_do_not() {
    let authority = Authority::new("root");
    let server = authority.issue(Leaf::for_dns(NAME));
    let (address, mut finished) = serve(&server).await;
    let places = u32::try_from(available_parallelism().unwrap().get()).unwrap();
    let taken = PLACES.acquire_many(places).await.unwrap();

    let (stranger, shown) = expensive();
    let mut strangers = Vec::new();
    // More than may wait for a place, and than may compute at a time.
    for _ in 0..AcceptLimits::default().computing + WAITING {
        strangers.push(connect(address, &server, &stranger, &shown).await);
    }
    for _ in 0..20 {
        let _neighbour = connect(address, &server, &authority.issue(Leaf::for_dns(NAME)), &[]).await;
        finished.recv().await.unwrap();
    }
    let waiting = strangers.iter_mut().filter_map(|stranger| stranger.read_u8().now_or_never().is_none().then_some(()));
    assert!(waiting.count() >= WAITING, "they are verified with a place alone");
    drop(taken);
    for stranger in &mut strangers {
        let refused = stranger.read_u8().await.unwrap_err();
        assert!(refused.to_string().contains("alert"), "{refused}");
    }
    assert!(finished.try_recv().is_err(), "no stranger is let in");
}

fn within_the_deadline(runtime: &Runtime) {
    // The places are the process's: of two scenarios each would hold those that the other one is to have.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock();
    let scenario = async { timeout(DEADLINE, expensive_chains_wait_for_their_places_and_others_do_not()).await };
    // On a worker, as the tasks of a service.
    runtime.block_on(async { tokio::spawn(scenario).await }).unwrap().expect("a neighbour is not kept waiting");
}

#[test]
fn a_chain_that_may_cost_much_keeps_no_task_waiting_in_a_runtime_of_one_worker() {
    within_the_deadline(&Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());
}

#[test]
fn a_chain_that_may_cost_much_keeps_no_task_waiting_in_a_runtime_of_one_thread() {
    within_the_deadline(&Builder::new_current_thread().enable_all().build().unwrap());
}
