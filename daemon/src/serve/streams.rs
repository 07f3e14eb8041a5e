//! How many requests are open at once: each costs memory until it is answered and the answer is read, whatever it asks for.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use super::connection::Peer;
use super::quota::{Quota, Share};

/// A service whose requests count as open until their answers have been taken.
#[derive(Debug, Clone)]
pub(super) struct Counted<S> {
    service: S,
    quota: Arc<Quota>,
}

impl<S> Counted<S> {
    /// `service`, whose requests count against `quota`.
    pub(super) fn new(service: S, quota: Arc<Quota>) -> Self {
        Self { service, quota }
    }

    /// One more request of the caller.
    fn enter(&self, request: &Request<Body>) -> Result<Share, Status> {
        let peer = request.extensions().get::<Arc<Peer>>();
        let peer = peer.ok_or_else(|| Status::internal("the caller is not known"))?;
        self.quota.take(peer.caller.party()).map_err(|full| {
            let setting = full.setting("streams", "streams_per_caller");
            Status::resource_exhausted(format!("too many streams are open: `{setting}` of [limits] allows no more"))
        })
    }
}

impl<S: NamedService> NamedService for Counted<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.enter(&request) {
            Ok(share) => {
                let response = self.service.call(request);
                Box::pin(async move { Ok(response.await?.map(|body| Body::new(Open { body, _share: share }))) })
            }
            Err(full) => Box::pin(std::future::ready(Ok(full.into_http()))),
        }
    }
}

/// An answer, and the place its request takes until it is gone.
struct Open {
    body: Body,
    _share: Share,
}

impl http_body::Body for Open {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(ready!(Pin::new(&mut self.body).poll_frame(cx)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
