//! The service itself.

use std::pin::Pin;
use std::time::Duration;

use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use crate::v1::greeter_server::Greeter;
use crate::v1::{HelloReply, HelloRequest, KeepGreetingRequest};

/// Greets whoever calls.
#[derive(Debug, Clone, Copy, Default)]
pub struct GreeterService;

#[tonic::async_trait]
impl Greeter for GreeterService {
    async fn say_hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        Ok(Response::new(greeting(&request.get_ref().name)))
    }

    type KeepGreetingStream = Pin<Box<dyn Stream<Item = Result<HelloReply, Status>> + Send>>;

    async fn keep_greeting(
        &self,
        request: Request<KeepGreetingRequest>,
    ) -> Result<Response<Self::KeepGreetingStream>, Status> {
        let KeepGreetingRequest { name, count, interval_ms } = request.into_inner();
        let pause = Duration::from_millis(interval_ms.max(1).into());
        let ticks = tokio_stream::wrappers::IntervalStream::new(tokio::time::interval(pause));
        let replies = ticks.map(move |_| Ok(greeting(&name)));
        Ok(Response::new(if count == 0 { Box::pin(replies) } else { Box::pin(replies.take(count as usize)) }))
    }
}

fn greeting(name: &str) -> HelloReply {
    HelloReply { message: format!("Hello {name}!") }
}
