//! Prints the page of a service whose servers and channels are counted, for Prometheus' own tool to look at.

use std::error::Error;

use evercert::Identity;
use evercert::client::Endpoint;
use evercert::telemetry::PrometheusRecorder;
use evercert_fixtures::Authority;
use evercert_tests::service;
use evercert_tests::side::Side;
use prometheus::{Registry, TextEncoder};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let registry = Registry::new();
    let recorder = PrometheusRecorder::register(&registry)?;
    let side = Side::new(&Authority::new("Test CA"));
    let identity = Identity::from_directory(side.path()).recorder(recorder).await?;
    let (address, _serving) = service::serve_with(&identity, |server| server).await;
    let endpoint = Endpoint::new(format!("https://{address}"))?;
    let _connected = endpoint.clone().connect(&identity).await?;
    if endpoint.server_name("other.internal")?.connect(&identity).await.is_ok() {
        return Err("a server was taken for another".into());
    }
    print!("{}", TextEncoder::new().encode_to_string(&registry.gather())?);
    Ok(())
}
