//! Prints the page of a service whose servers and channels are counted, for Prometheus' own tool to look at.

use std::error::Error;

use evercert::Identity;
use evercert::auth::policy::{Caller, Rule};
use evercert::auth::{MethodPolicy, Security};
use evercert::client::Endpoint;
use evercert::telemetry::PrometheusRecorder;
use evercert_examples::v1::greeter_client::GreeterClient;
use evercert_examples::v1::{FILE_DESCRIPTOR_SET, HelloRequest, KeepGreetingRequest};
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
    let certified = Caller::authenticated().certificate();
    let greeting = Rule::named("greeting").methods(["/greeter.v1.Greeter/SayHello"]).caller(certified);
    let security = Security::builder()
        .policy(MethodPolicy::builder().allow(greeting).checked_against(FILE_DESCRIPTOR_SET))
        .build()?;
    let (address, _serving) = service::serve_with(&identity, |server| server.security(security)).await;
    let endpoint = Endpoint::new(format!("https://{address}"))?;
    let mut greeter = GreeterClient::new(endpoint.clone().connect(&identity).await?);
    greeter.say_hello(HelloRequest::default()).await?;
    if greeter.keep_greeting(KeepGreetingRequest::default()).await.is_ok() {
        return Err("a call was let through that no rule allows".into());
    }
    if endpoint.server_name("other.internal")?.connect(&identity).await.is_ok() {
        return Err("a server was taken for another".into());
    }
    print!("{}", TextEncoder::new().encode_to_string(&registry.gather())?);
    Ok(())
}
