//! A greeter behind a security of tokens, for browsers to call. It listens twice: for pages, by gRPC-Web, and for a proxy that speaks gRPC
//! for them and has a certificate. Its first line says where, and has what its callers need. Then it answers each line that it reads: `calls`
//! by the number of calls that have reached a handler, `token` by a token that expires soon.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a scenario that cannot go on has failed, and whoever started it reads what it says"
)]

use std::convert::Infallible;
use std::io::{BufRead as _, stdin};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use clap::Parser;
use evercert::auth::policy::{Caller, Rule};
use evercert::auth::{MethodPolicy, Security, Tokens, Web};
use evercert::{ClientCertificates, Identity, Server};
use evercert_examples::v1::FILE_DESCRIPTOR_SET;
use evercert_examples::v1::greeter_server::GreeterServer;
use evercert_fixtures::{Authority, Leaf, TokenIssuer, claims, wait};
use evercert_tests::service::{DELAY, Patient};
use evercert_tests::side::{Side, leaf};
use http::{Request, Response};
use serde_json::json;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tower::Service;

/// The issuer, and whom its tokens are for.
const ISSUER: &str = "https://issuer.example.org";
const AUDIENCE: &str = "greeter";
/// The time in which the token is good that expires under a stream.
const SHORT: Duration = Duration::from_secs(2);

#[derive(Parser)]
struct Args {
    /// The directory that keys and certificates are written to
    work: PathBuf,
    /// The origin of the pages that may call
    origin: String,
}

#[tokio::main]
async fn main() {
    let Args { work, origin } = Args::parse();
    let authority = Authority::new("web");
    let side = Side::new(&authority);
    let identity = Identity::from_directory(side.path()).await.unwrap();
    side.until_served_by(&identity).await;
    let page = authority.issue(leaf());
    let proxy = authority.issue(Leaf::for_dns("proxy.example.org"));
    for (name, content) in [
        ("ca.crt", authority.ca_pem()),
        ("page.crt", &page.chain_pem),
        ("page.key", &page.key_pem),
        ("proxy.crt", &proxy.chain_pem),
        ("proxy.key", &proxy.key_pem),
        ("server.crt", &side.issued().chain_pem),
    ] {
        std::fs::write(work.join(name), content).unwrap();
    }

    let issuer = TokenIssuer::es256("web");
    let keys = work.join("jwks.json");
    std::fs::write(&keys, issuer.jwks()).unwrap();
    let tokens = || Tokens::jwks_file(&keys).issuer(ISSUER).audience(AUDIENCE).leeway(Duration::ZERO);
    let security = |caller| {
        let rule = Rule::named("pages").methods(["/greeter.v1.Greeter/*"]).caller(caller);
        let policy = MethodPolicy::builder().allow(rule).checked_against(FILE_DESCRIPTOR_SET);
        Security::builder().tokens(tokens()).policy(policy)
    };
    let calls = Arc::<AtomicUsize>::default();
    let web = Web::origins([origin]).allow_headers([DELAY]);
    let of_pages = security(Caller::authenticated().token()).web(web).build().unwrap();
    let pages = serve(&identity, of_pages, ClientCertificates::Optional, &calls).await;
    let of_proxies = security(Caller::authenticated().certificate().token()).build().unwrap();
    let proxied = serve(&identity, of_proxies, ClientCertificates::Required, &calls).await;

    let now = SystemTime::now();
    let hour = Duration::from_secs(3600);
    let token = move |issued: SystemTime, lifetime| issuer.sign(&claims(ISSUER, AUDIENCE, "page", issued, lifetime));
    println!(
        "{}",
        json!({
            "web": pages.port(),
            "grpc": proxied.port(),
            "token": token(now, hour),
            "expired": token(now - 2 * hour, hour),
            "foreign": TokenIssuer::es256("web").sign(&claims(ISSUER, AUDIENCE, "page", now, hour)),
        })
    );
    let answering = tokio::task::spawn_blocking(move || {
        for asked in stdin().lock().lines() {
            match asked.unwrap().as_str() {
                "calls" => println!("{}", calls.load(SeqCst)),
                "token" => println!("{}", token(SystemTime::now(), SHORT)),
                other => panic!("{other} is none of the questions"),
            }
        }
    });
    answering.await.unwrap();
}

async fn serve(
    identity: &Identity,
    security: Security,
    certificates: ClientCertificates,
    calls: &Arc<AtomicUsize>,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Routes::new(Counting { inner: GreeterServer::new(Patient::default()), calls: Arc::clone(calls) });
    let server = Server::new(identity).client_certificates(certificates).security(security);
    tokio::spawn(async move { server.serve(routes, listener, std::future::pending()).await.unwrap() });
    wait::until("the server listens", || async { tokio::net::TcpStream::connect(address).await.ok() }).await;
    address
}

/// Counts the calls that get as far as this.
#[derive(Clone)]
struct Counting<S> {
    inner: S,
    calls: Arc<AtomicUsize>,
}

impl<S: NamedService> NamedService for Counting<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Counting<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        self.calls.fetch_add(1, SeqCst);
        self.inner.call(request)
    }
}
