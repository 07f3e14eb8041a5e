//! A server in a process of its own, so that its memory and CPU time are.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use evercert::{ClientCertificates, Identity, Server};
use evercert_tests::testing::test_service_server::TestServiceServer;
use rustix::process::{Signal, set_parent_process_death_signal};
use tonic::service::Routes;
use tonic::transport;

use super::service::Payloads;
use crate::process::{Process, raise_descriptor_limit};
use crate::stage;

/// The hidden first argument with which this program is a server.
pub(crate) const SERVER: &str = "test-service";

/// A server, and who made it.
#[derive(Debug, Clone)]
pub(super) enum Maker {
    /// This SDK.
    Evercert,
    /// tonic itself, with its own TLS.
    Tonic,
    /// grpc-go, by this program.
    GrpcGo(PathBuf),
}

impl Maker {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Evercert => "evercert",
            Self::Tonic => "tonic",
            Self::GrpcGo(_) => "grpc_go",
        }
    }

    /// Starts a server with the certificates in this directory.
    pub(super) fn start(&self, certificates: &Path) -> Side {
        let mut command = match self {
            Self::Evercert | Self::Tonic => {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.args([SERVER, self.name()]).arg(certificates);
                command
            }
            Self::GrpcGo(program) => {
                let mut command = Command::new(program);
                command.arg("bench").env("CERTIFICATES", certificates);
                command
            }
        };
        let mut process = Process(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
        let mut address = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let address = address.trim().parse().unwrap_or_else(|_| panic!("{} said {address:?}", self.name()));
        Side { address, process }
    }
}

/// A server that runs.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) address: SocketAddr,
    pub(super) process: Process,
}

/// Serves the test service with the certificates in a directory, and says at which address.
pub(crate) fn serve(mut args: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let _ = set_parent_process_death_signal(Some(Signal::TERM));
    raise_descriptor_limit();
    let (maker, directory) = (args.next().unwrap(), PathBuf::from(args.next().expect("a directory")));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (listener, address) = stage::listener().await;
        println!("{address}");
        if maker == Maker::Tonic.name() {
            let pem = |name: &str| fs::read(directory.join(name)).unwrap();
            let tls = stage::tonics_server_tls(pem("tls.crt"), pem("tls.key"), pem("ca.crt"));
            let mut server = transport::Server::builder().tls_config(tls).unwrap();
            server
                .add_service(TestServiceServer::new(Payloads))
                .serve_with_incoming(stage::undelayed(listener))
                .await
                .unwrap();
        } else {
            let identity = Identity::from_directory(directory).await.unwrap();
            let server = Server::new(&identity).client_certificates(ClientCertificates::Required);
            let routes = Routes::new(TestServiceServer::new(Payloads));
            server.serve(routes, listener, std::future::pending()).await.unwrap();
        }
    });
    ExitCode::SUCCESS
}
