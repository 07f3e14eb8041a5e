//! The same attack on plain rustls, set up in every way that servers and clients are made to reload: it has to work where it is known
//! to, or it proves nothing where it fails.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use evercert_fixtures::{Authority, Issued};
use evercert_tests::side::leaf;
use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, Error, HandshakeKind, SignatureScheme};
use serde_json::{Value, json};

use super::raw::{
    Presented, RawServer, Seen, Version, all_exchange, client_verifier, clients, server, server_verifier,
};

/// By how much a server's clock jumps, in seconds: 3,000 years.
const JUMP: u64 = 3000 * 365 * 24 * 60 * 60;

/// The change to a setup, and whether the attack is known to work there.
#[derive(Debug, Clone, Copy)]
struct Setup {
    name: &'static str,
    kind: Kind,
    works: bool,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    ServerVerifierDelegates,
    ServerSharesStorage,
    ServerSharesTicketer,
    ServerHasFreshStore,
    ServerDelegatesWithoutSessions,
    ServerClockJumps,
    ClientIdentityRotates,
    ClientVerifierDelegates,
    ClientHasNewVerifier,
}

const SETUPS: [Setup; 9] = [
    Setup { name: "server: delegating verifier", kind: Kind::ServerVerifierDelegates, works: true },
    Setup { name: "server: new config, shared storage", kind: Kind::ServerSharesStorage, works: true },
    Setup { name: "server: new config, shared ticketer", kind: Kind::ServerSharesTicketer, works: true },
    Setup { name: "server: new config, fresh store", kind: Kind::ServerHasFreshStore, works: false },
    Setup {
        name: "server: delegating verifier, no sessions",
        kind: Kind::ServerDelegatesWithoutSessions,
        works: false,
    },
    Setup { name: "server: clock after all expiry", kind: Kind::ServerClockJumps, works: true },
    Setup { name: "server: client rotated, seen as before", kind: Kind::ClientIdentityRotates, works: true },
    Setup { name: "client: delegating verifier", kind: Kind::ClientVerifierDelegates, works: true },
    Setup { name: "client: new verifier, shared store", kind: Kind::ClientHasNewVerifier, works: false },
];

/// All controls, and whether each came out as it is known to.
pub(super) async fn run(attempts: usize) -> (Vec<Value>, bool) {
    let mut figures = Vec::new();
    let mut proven = true;
    for (label, version) in [("1.2", &TLS12 as Version), ("1.3", &TLS13)] {
        for setup in SETUPS {
            let (primed, accepted) = attack(setup.kind, version, attempts).await;
            let as_known = primed == attempts && (accepted > 0) == setup.works;
            proven &= as_known;
            figures.push(json!({
                "setup": setup.name, "tls": label, "sessions": primed, "accepted": accepted,
                "known_to_accept": setup.works, "as_known": as_known,
            }));
        }
    }
    (figures, proven)
}

/// How many sessions were begun, and how many peers were accepted that should not have been.
async fn attack(kind: Kind, version: Version, attempts: usize) -> (usize, usize) {
    let (kept, removed) = (Authority::new("kept"), Authority::new("removed"));
    let both = [&kept, &removed];
    let of_client = matches!(kind, Kind::ClientVerifierDelegates | Kind::ClientHasNewVerifier);
    let presents = |authority: &Authority| authority.issue(leaf());
    let (served, own): (Issued, Issued) =
        if of_client { (presents(&removed), presents(&kept)) } else { (presents(&kept), presents(&removed)) };
    let presented = Presented::new(&own);

    let trusting = Arc::new(Delegating(Mutex::new(client_verifier(&both))));
    let clock = Arc::new(Clock::default());
    let mut config = server(version, Arc::clone(&trusting) as _, &served);
    match kind {
        Kind::ServerSharesTicketer => config.ticketer = Ticketer::new().unwrap(),
        Kind::ServerDelegatesWithoutSessions => {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Kind::ServerClockJumps => config.time_provider = Arc::clone(&clock) as _,
        _ => {}
    }
    let (storage, ticketer) = (Arc::clone(&config.session_storage), Arc::clone(&config.ticketer));
    let raw = RawServer::start(config).await;
    let believing = Arc::new(Delegating(Mutex::new(server_verifier(&both))));
    let mut attackers = clients(attempts, version, &(Arc::clone(&believing) as _), &presented);
    let (primed, _) = all_exchange(&attackers, raw.address).await;
    raw.seen();

    let renewed = || server(version, client_verifier(&[&kept]), &served);
    match kind {
        Kind::ServerVerifierDelegates | Kind::ServerDelegatesWithoutSessions => trusting.set(client_verifier(&[&kept])),
        Kind::ServerSharesStorage => {
            let mut config = renewed();
            config.session_storage = storage;
            raw.swap(config);
        }
        Kind::ServerSharesTicketer => {
            let mut config = renewed();
            config.ticketer = ticketer;
            raw.swap(config);
        }
        Kind::ServerHasFreshStore => raw.swap(renewed()),
        Kind::ServerClockJumps => clock.0.store(JUMP, Ordering::Relaxed),
        Kind::ClientIdentityRotates => presented.replace(&presents(&removed)),
        Kind::ClientVerifierDelegates => believing.set(server_verifier(&[&kept])),
        Kind::ClientHasNewVerifier => {
            let verifier = server_verifier(&[&kept]);
            attackers.iter_mut().for_each(|config| {
                let mut renewed = ClientConfig::clone(config);
                renewed.dangerous().set_certificate_verifier(Arc::clone(&verifier));
                *config = Arc::new(renewed);
            });
        }
    }
    let (accepted, _) = all_exchange(&attackers, raw.address).await;
    if matches!(kind, Kind::ClientIdentityRotates) {
        let old = |seen: &&Seen| seen.kind == HandshakeKind::Resumed && seen.leaf == own.leaf_der;
        return (primed, raw.seen().iter().filter(old).count());
    }
    (primed, accepted)
}

/// A clock that jumps.
#[derive(Debug, Default)]
struct Clock(AtomicU64);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let jump = Duration::from_secs(self.0.load(Ordering::Relaxed));
        Some(UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) + jump))
    }
}

/// A verifier that is replaced behind the config.
#[derive(Debug)]
struct Delegating<V: ?Sized>(Mutex<Arc<V>>);

impl<V: ?Sized> Delegating<V> {
    fn set(&self, verifier: Arc<V>) {
        *self.0.lock() = verifier;
    }

    fn now(&self) -> Arc<V> {
        Arc::clone(&self.0.lock())
    }
}

impl<V: ClientCertVerifier + ?Sized> ClientCertVerifier for Delegating<V>
where
    Self: Debug,
{
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.now().verify_client_cert(leaf, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.now().verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.now().verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.now().supported_verify_schemes()
    }
}

impl<V: ServerCertVerifier + ?Sized> ServerCertVerifier for Delegating<V>
where
    Self: Debug,
{
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.now().verify_server_cert(leaf, intermediates, name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.now().verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.now().verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.now().supported_verify_schemes()
    }
}
