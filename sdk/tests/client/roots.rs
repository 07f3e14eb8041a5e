//! Servers of public CAs, by the platform's roots and Mozilla's. The platform's are those of a file here, by a variable of the environment: so
//! these tests run in processes of their own.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use evercert::client::{ChannelError, ConnectFailure, Endpoint};
use evercert::tls::InvalidRoots;
use evercert::{Identity, OwnCertificate, Refusal, Roots, ServerVerification};
use evercert_fixtures::{Authority, Leaf};

use crate::peers::{Publisher, SERVER_ID, Server, call, server_leaf, stream, until_generation};

const ALONE: &str = "EVERCERT_TEST_ALONE";
const FILE: &str = "SSL_CERT_FILE";

/// Runs the test of this name in a process of its own; within that, the file in which its roots are.
fn alone(test: &str) -> Option<PathBuf> {
    if env::var_os(ALONE).is_some() {
        return env::var_os(FILE).map(PathBuf::from);
    }
    let directory = tempfile::tempdir().unwrap();
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("roots::{test}"), "--nocapture"])
        .env(ALONE, "1")
        .env(FILE, directory.path().join("roots.pem"))
        .env_remove("SSL_CERT_DIR")
        .status();
    assert!(status.unwrap().success(), "in a process of its own");
    None
}

/// The platform's roots, which are this one.
fn platform(file: &Path, public: &Authority) -> Roots {
    fs::write(file, public.ca_pem()).unwrap();
    Roots::platform().unwrap()
}

/// A server of either kind, which lets clients in that have no certificate.
struct Servers {
    internal: Server,
    public: Server,
}

impl Servers {
    async fn start(internal: &Authority, public: &Authority) -> Self {
        let leaf = || Leaf::for_dns("api.internal").ip([127, 0, 0, 1].into());
        Self {
            internal: Server::open(internal, &internal.issue(server_leaf())).await,
            public: Server::open(internal, &public.issue(leaf())).await,
        }
    }

    /// Which of them accept a call by an endpoint that is made so: the internal one, the public one.
    async fn accepted(&self, identity: &Identity, made: impl Fn(Endpoint) -> Endpoint) -> (bool, bool) {
        let accepts = async |server: &Server| match made(server.endpoint()).connect(identity).await {
            Ok(channel) => call(&channel).await.is_ok(),
            Err(ChannelError::NotConnected { cause, .. }) => {
                assert!(matches!(cause.failure, ConnectFailure::Tls(_)), "{cause}");
                false
            }
            Err(error) => panic!("{error}"),
        };
        (accepts(&self.internal).await, accepts(&self.public).await)
    }
}

#[test]
fn a_server_is_accepted_by_the_roots_that_its_channel_names_and_no_others() {
    let Some(file) = alone("a_server_is_accepted_by_the_roots_that_its_channel_names_and_no_others") else { return };
    runtime().block_on(async {
        let (internal, public) = (Authority::new("internal"), Authority::new("public"));
        let platform = platform(&file, &public);
        let identity = Publisher::of(&internal).identity().await;
        let servers = Servers::start(&internal, &public).await;
        let by = |roots: Roots| servers.accepted(&identity, move |endpoint| endpoint.roots(roots.clone()));
        assert_eq!(by(Roots::bundle()).await, (true, false));
        assert_eq!(by(platform.clone()).await, (false, true));
        assert_eq!(by(platform.clone().and_bundle()).await, (true, true));
        assert_eq!(by(Roots::mozilla()).await, (false, false));
        assert_eq!(by(Roots::mozilla().and_bundle()).await, (true, false));
    });
}

#[test]
fn an_internal_certificate_is_presented_where_internal_servers_are_meant_or_it_is_asked_for() {
    let test = "an_internal_certificate_is_presented_where_internal_servers_are_meant_or_it_is_asked_for";
    let Some(file) = alone(test) else { return };
    runtime().block_on(async {
        let (internal, public) = (Authority::new("internal"), Authority::new("public"));
        let platform = platform(&file, &public);
        for (roots, certificate, is_presented) in [
            (platform.clone(), OwnCertificate::UnlessPublic, false),
            (platform.clone(), OwnCertificate::Presented, true),
            (platform.clone(), OwnCertificate::Withheld, false),
            (platform.clone().and_bundle(), OwnCertificate::UnlessPublic, true),
            (platform.clone().and_bundle(), OwnCertificate::Withheld, false),
        ] {
            let (publisher, issued) = (Publisher::new(), internal.issue_dns("client"));
            publisher.publish(&issued, Some(&internal));
            let identity = publisher.identity().await;
            let servers = Servers::start(&internal, &public).await;
            let made = |endpoint: Endpoint| endpoint.roots(roots.clone()).client_certificate(certificate);
            assert!(servers.accepted(&identity, made).await.1);
            assert_eq!(servers.public.has_seen(&issued), is_presented, "{roots:?} {certificate:?}");
        }
    });
}

#[test]
fn a_public_ca_vouches_for_names_alone() {
    let Some(file) = alone("a_public_ca_vouches_for_names_alone") else { return };
    runtime().block_on(async {
        let (internal, public) = (Authority::new("internal"), Authority::new("public"));
        let platform = platform(&file, &public);
        let identity = Publisher::of(&internal).identity().await;
        let tls = |error: ChannelError| match error {
            ChannelError::NotConnected { cause, .. } => cause,
            error => panic!("{error}"),
        };
        let other = Server::open(&internal, &public.issue(Leaf::for_dns("other.example.org"))).await;
        let with_id = Server::open(&internal, &public.issue(server_leaf())).await;
        for (server, told) in [(&other, "NotValidForName"), (&with_id, "UnknownIssuer")] {
            for roots in [platform.clone(), platform.clone().and_bundle()] {
                let error = tls(server.endpoint().roots(roots).connect(&identity).await.unwrap_err());
                let told = matches!(error.failure, ConnectFailure::Tls(_)) && format!("{error:?}").contains(told);
                assert!(told, "{error:?}");
            }
        }
        let ids = ServerVerification::SpiffeIds(vec![SERVER_ID.parse().unwrap()]);
        for roots in [platform.clone(), platform.clone().and_bundle()] {
            let endpoint = with_id.endpoint().roots(roots).server_verification(ids.clone());
            let error = tls(endpoint.connect(&identity).await.unwrap_err());
            assert!(matches!(error.failure, ConnectFailure::Refused(Refusal::Settings(_))), "{error}");
        }
    });
}

#[test]
fn an_identity_that_has_nothing_is_enough_for_public_servers_and_a_rotation_disturbs_none() {
    let test = "an_identity_that_has_nothing_is_enough_for_public_servers_and_a_rotation_disturbs_none";
    let Some(file) = alone(test) else { return };
    runtime().block_on(async {
        let (internal, public) = (Authority::new("internal"), Authority::new("public"));
        let platform = platform(&file, &public);
        let publisher = Publisher::new();
        publisher.publish_nothing();
        let identity = publisher.identity().await;
        let servers = Servers::start(&internal, &public).await;
        let endpoint = servers.public.endpoint().roots(platform).untrusted_timeout(Duration::ZERO);
        let channel = endpoint.rotation_spread(Duration::ZERO).connect(&identity).await.unwrap();
        let mut running = stream(&channel).await;
        for next in [&internal, &Authority::new("next")] {
            let generation = publisher.publish_trusting(&next.issue_dns("client"), &[next]);
            until_generation(&channel, generation).await;
            call(&channel).await.unwrap();
        }
        servers.public.health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
        assert_eq!(running.message().await.unwrap().unwrap().status, 2, "the first connection goes on");
    });
}

#[test]
fn a_platform_without_roots_is_an_error_that_says_what_to_do() {
    let Some(file) = alone("a_platform_without_roots_is_an_error_that_says_what_to_do") else { return };
    let error = Roots::platform().unwrap_err();
    let told = error.to_string();
    assert!(told.contains(file.to_str().unwrap()) && told.contains("ca-certificates"), "{told}");
    fs::write(&file, "no roots").unwrap();
    assert!(matches!(Roots::platform(), Err(InvalidRoots::None { .. })));
    let ca = Authority::new("public");
    fs::write(&file, ca.own_pem()).unwrap();
    assert!(Roots::platform().is_ok());
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
