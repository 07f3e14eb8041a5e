//! Serving by tonic, once the layers have been applied.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use tokio_stream::StreamExt as _;
use tonic::body::Body;
use tower::{BoxError, Service, ServiceExt as _};

use super::all_connections::AllConnections;
use super::incoming::{Incoming, IncomingSettings};
use super::listener::Listener;
use super::probes::Probes;
use super::serving::Serving;
#[cfg(feature = "auth")]
use crate::auth::Unfit;
use crate::identity::Identity;
use crate::refusal::Refusal;

/// A server whose layers have been applied.
pub(super) struct Layered {
    pub(super) identity: Identity,
    pub(super) incoming: IncomingSettings,
    pub(super) shutdown_timeout: Duration,
    pub(super) tonic: tonic::transport::Server,
    pub(super) probes: Probes,
}

impl Layered {
    pub(super) async fn serve<A, S, B>(
        self,
        service: S,
        listener: A,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError>
    where
        A: Listener,
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError> + Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let is_one_of_several = !self.incoming.hosts.is_empty();
        let (mut incoming, attached) = Incoming::start(&self.identity, listener, self.incoming, true);
        let _live = CutOnDrop(incoming.connections().clone());
        attached?;
        let probes = self.probes.start();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = incoming.next() => {
                    let Some(Ok(io)) = accepted else {
                        incoming.resume_panic().await;
                        break;
                    };
                    let (connections, number) = io.place();
                    let connections = Arc::clone(connections);
                    let by = is_one_of_several.then(|| io.served_by());
                    let service = service.clone().map_request(move |mut request: Request<Body>| {
                        if let Some(by) = &by {
                            request.extensions_mut().insert(by.clone());
                        }
                        request
                    });
                    let tonic = self.tonic.clone().accept_http1(io.http_version() == Version::HTTP_11);
                    connections.serve(number, Serving::by_tonic(tonic, service, io));
                }
            }
        }
        probes.drain();
        incoming.shut_down(self.shutdown_timeout).await;
        Ok(())
    }
}

/// Cuts what is left when it is dropped: nobody would see to these connections any more.
struct CutOnDrop(AllConnections);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.cut();
    }
}

/// A server that did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The current generation lacks what this server needs.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The server's settings contradict its security.
    #[cfg(feature = "auth")]
    #[error(transparent)]
    Unfit(#[from] Unfit),
}
