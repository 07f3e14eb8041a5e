//! `evercertd probe`.

mod connecting;
mod credentials;
mod flags;
mod question;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use evercert_core::text::plain_lines;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use super::Status;
use super::output::printed;
use super::runtime::{NoRuntime, block_on};
use tonic_health::pb::health_client::HealthClient;

use connecting::{ConnectError, Connected};
use credentials::NoIdentity;
use question::{InvalidQuestion, Question};

pub(super) use flags::as_words;

#[derive(Debug, clap::Args)]
#[command(
    args_override_self = true,
    after_help = "\
Flags are those of grpc_health_probe, in its spelling (-addr=HOST:PORT) or with two dashes, and so is the exit status: put `evercertd probe` \
before what a probe has had so far.

Examples:
  evercertd probe -addr=:50051 -service=payments.v1.Payments
  evercertd probe -addr=payments.example.org:50051 -tls -tls-ca-cert=/etc/tls/ca.crt
  evercertd probe -addr=:50051 --identity-dir=/etc/tls -tls-server-name=payments.example.org
  evercertd probe -addr=:50051 --identity=payments --server-spiffe-id=spiffe://example.org/payments

In a pod, for a server that asks for client certificates, with what the server itself has mounted:
  readinessProbe:
    exec:
      command:
      - evercertd
      - probe
      - -addr=:50051
      - --identity-dir=/etc/tls
      - -tls-server-name=payments.example.org
    timeoutSeconds: 3

The certificate of the server is always verified: by -tls-server-name where it is not for the host that is called, as at localhost. Neither \
-tls-no-verify nor -alts is there, and --identity stands in for -spiffe. Without -tls-ca-cert the system's roots vouch for the server.

Exit status: 0 it is serving, 1 the flags or the certificates they name cannot be used, 2 there is no connection, 3 the call failed (an \
unknown service too), 4 it is not serving, 20 the daemon gives no identity."
)]
pub(crate) struct Args {
    /// HOST:PORT, :PORT for this host, or unix:PATH
    #[arg(long, value_name = "ADDRESS")]
    addr: Option<String>,
    /// The service to ask for; the server as a whole unless set
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// How long connecting may take, the TLS handshake included
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = flags::duration)]
    connect_timeout: Duration,
    /// How long the answer may take
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = flags::duration)]
    rpc_timeout: Duration,
    /// A header of the call; may be given several times. An authorization goes with TLS alone
    #[arg(long, value_name = "NAME: VALUE")]
    rpc_header: Vec<String>,
    /// What the call names as its sender
    #[arg(long, value_name = "TEXT", default_value = "evercertd-probe")]
    user_agent: String,
    /// Compress the call with gzip
    #[arg(long)]
    gzip: bool,
    /// Use TLS
    #[arg(long)]
    tls: bool,
    /// The certificates that vouch for the server (with -tls)
    #[arg(long, value_name = "FILE")]
    tls_ca_cert: Option<OsString>,
    /// The client's certificate (with -tls and -tls-client-key)
    #[arg(long, value_name = "FILE")]
    tls_client_cert: Option<OsString>,
    /// Its private key (with -tls and -tls-client-cert)
    #[arg(long, value_name = "FILE")]
    tls_client_key: Option<OsString>,
    /// The name that the server's certificate has to be for, instead of the host (with TLS)
    #[arg(long, value_name = "NAME")]
    tls_server_name: Option<String>,
    /// Not there: the server's certificate is always verified
    #[arg(long, hide = true)]
    tls_no_verify: bool,
    /// Not there
    #[arg(long, hide = true)]
    alts: bool,
    /// Not there: see --identity
    #[arg(long, hide = true)]
    spiffe: bool,
    /// TLS with the certificate, key and CA of this directory, as cert-manager names them
    #[arg(long, value_name = "DIRECTORY")]
    identity_dir: Option<OsString>,
    /// TLS with this identity of the daemon's
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// The daemon's workload socket (with --identity)
    #[arg(long, value_name = "PATH", default_value = evercert::settings::DEFAULT_SOCKET)]
    agent_socket: PathBuf,
    /// The SPIFFE ID that the server has to have, instead of a name; may be given several times (with TLS)
    #[arg(long, value_name = "ID")]
    server_spiffe_id: Vec<String>,
    /// Say what is done
    #[arg(long = "v", short = 'v')]
    verbose: bool,
    /// Print the version
    #[arg(long)]
    version: bool,
}

/// The exit status where the flags cannot be used.
pub(super) const BAD_FLAGS: u8 = 1;

pub(crate) fn run(args: Args) -> ExitCode {
    if args.version {
        return printed(concat!("evercertd ", env!("CARGO_PKG_VERSION"), "\n").as_bytes(), Status::Ok);
    }
    let question = match Question::new(args) {
        Ok(question) => question,
        Err(error) => return NotServing::Flags(error).reported(),
    };
    match block_on(ask(&question)) {
        Ok(()) => printed(b"status: SERVING\n", Status::Ok),
        Err(error) => error.reported(),
    }
}

async fn ask(question: &Question) -> Result<(), NotServing> {
    let identity = question.credentials.identity(question.connect_timeout).await?;
    question.say(|| format!("connecting to {}", question.address));
    let began = Instant::now();
    let connected = connecting::connect(question, identity.as_ref()).await?;
    question.say(|| format!("connected after {:?}", began.elapsed()));
    let began = Instant::now();
    let answer = match connected {
        Connected::Plain(channel) => check(question, HealthClient::new(channel)).await,
        Connected::Tls(channel) => check(question, HealthClient::new(channel)).await,
    }?;
    question.say(|| format!("answered after {:?}", began.elapsed()));
    match answer {
        ServingStatus::Serving => Ok(()),
        other => Err(NotServing::Unhealthy(other)),
    }
}

async fn check<T>(question: &Question, client: HealthClient<T>) -> Result<ServingStatus, NotServing>
where
    T: tonic::client::GrpcService<tonic::body::Body>,
    T::Error: Into<tonic::codegen::StdError>,
    T::ResponseBody: tonic::codegen::Body<Data = bytes::Bytes> + Send + 'static,
    <T::ResponseBody as tonic::codegen::Body>::Error: Into<tonic::codegen::StdError> + Send,
{
    let mut client = client;
    if question.compresses {
        client = client.send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip);
    }
    let mut request = tonic::Request::new(HealthCheckRequest { service: question.service.clone() });
    *request.metadata_mut() = question.headers.clone();
    request.set_timeout(question.rpc_timeout);
    let late = || NotServing::Late(question.rpc_timeout);
    match tokio::time::timeout(question.rpc_timeout, client.check(request)).await {
        Ok(Ok(answer)) => Ok(answer.into_inner().status()),
        // tonic's client says CANCELLED when the time is up.
        Ok(Err(status)) if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) => Err(late()),
        Ok(Err(status)) => Err(NotServing::Call(Box::new(status))),
        Err(_) => Err(late()),
    }
}

/// Why it is not known to be serving.
#[derive(Debug, thiserror::Error)]
enum NotServing {
    #[error(transparent)]
    Flags(#[from] InvalidQuestion),
    #[error(transparent)]
    Identity(#[from] NoIdentity),
    #[error(transparent)]
    Runtime(#[from] NoRuntime),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("it did not answer within {0:?}; the flag is -rpc-timeout")]
    Late(Duration),
    #[error("{}", call(.0))]
    Call(Box<tonic::Status>),
    #[error("it is not serving: it says {}", .0.as_str_name())]
    Unhealthy(ServingStatus),
}

impl NotServing {
    fn status(&self) -> u8 {
        match self {
            Self::Flags(InvalidQuestion::Address(_)) | Self::Runtime(_) | Self::Connect(_) => 2,
            Self::Identity(NoIdentity::OfDaemon { .. }) => 20,
            Self::Flags(_) | Self::Identity(NoIdentity::OfFiles(_)) => BAD_FLAGS,
            Self::Late(_) | Self::Call(_) => 3,
            Self::Unhealthy(_) => 4,
        }
    }

    fn reported(&self) -> ExitCode {
        eprintln!("evercertd: {}", plain_lines(&self.to_string()));
        self.status().into()
    }
}

fn call(status: &tonic::Status) -> String {
    let (code, message) = (status.code(), status.message());
    match code {
        Code::Unimplemented => {
            format!("the server has no grpc.health.v1.Health, or not the compression that is asked for: {message}")
        }
        Code::NotFound => format!("the server does not know the service that -service names: {message}"),
        _ => format!("the call failed: {message} ({code})"),
    }
}
