//! Idle channels in a process of their own.

use std::ffi::OsString;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use evercert::Identity;
use evercert::client::Endpoint;
use evercert_tests::memory::size_kib;
use evercert_tests::testing::SimpleRequest;
use evercert_tests::testing::test_service_client::TestServiceClient;
use rustix::process::{Signal, set_parent_process_death_signal};
use tonic::transport::Channel;

use super::side::{Maker, Side};
use crate::process::raise_descriptor_limit;
use crate::stage;

/// The hidden first argument with which this program has channels.
pub(crate) const CHANNELS: &str = "test-channels";

/// The memory of an idle channel of this maker to a server, in KiB: after one call on each.
pub(super) fn memory(maker: &Maker, side: &Side, certificates: &std::path::Path, count: usize) -> f64 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([CHANNELS, maker.name(), &side.address.to_string(), &count.to_string()]).arg(certificates);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    said.trim().parse().unwrap()
}

/// Opens the channels, and says what each takes.
pub(crate) fn have(args: impl Iterator<Item = OsString>) -> ExitCode {
    let _ = set_parent_process_death_signal(Some(Signal::TERM));
    raise_descriptor_limit();
    let args: Vec<_> = args.map(|arg| arg.into_string().unwrap()).collect();
    let [maker, address, count, certificates] = &args[..] else { panic!("{args:?}") };
    let (address, count): (SocketAddr, usize) = (address.parse().unwrap(), count.parse().unwrap());
    let directory = PathBuf::from(certificates);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let each = runtime.block_on(async {
        if *maker == Maker::Tonic.name() {
            let pem = |name: &str| std::fs::read(directory.join(name)).unwrap();
            let tls = stage::tonics_client_tls(pem("tls.crt"), pem("tls.key"), pem("ca.crt"));
            let endpoint = Channel::from_shared(format!("https://{address}")).unwrap().tls_config(tls).unwrap();
            kib_each(count, async || endpoint.connect().await.unwrap(), async |channel| greet(channel).await).await
        } else {
            let identity = Identity::from_directory(directory).await.unwrap();
            let uri = format!("https://{}:{}", stage::NAME, address.port());
            let endpoint = Endpoint::new(uri).unwrap();
            kib_each(
                count,
                async || endpoint.clone().connect(&identity).await.unwrap(),
                async |channel| greet(channel).await,
            )
            .await
        }
    });
    println!("{each}");
    ExitCode::SUCCESS
}

/// The growth of this process for each of so many, in KiB, but for the first, with which come pools and tables.
async fn kib_each<C: Clone>(count: usize, connect: impl AsyncFn() -> C, greet: impl AsyncFn(C)) -> f64 {
    let mut channels = Vec::with_capacity(count + 1);
    let mut before = 0;
    for at in 0..=count {
        let channel = connect().await;
        greet(channel.clone()).await;
        channels.push(channel);
        if at == 0 {
            before = size_kib("self", "VmRSS");
        }
    }
    (size_kib("self", "VmRSS") - before) as f64 / count as f64
}

async fn greet<C>(channel: C)
where
    C: tonic::client::GrpcService<tonic::body::Body>,
    C::Error: Into<tower::BoxError>,
    C::ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    <C::ResponseBody as http_body::Body>::Error: Into<tower::BoxError> + Send,
{
    TestServiceClient::new(channel).unary_call(SimpleRequest::default()).await.unwrap();
}
