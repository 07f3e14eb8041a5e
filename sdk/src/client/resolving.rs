//! From a server's name to its addresses.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

/// The addresses of a name, or why there are none.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Finds the addresses of a server's name: [`Endpoint::resolver`](super::Endpoint::resolver). The default asks the system, as
/// `getaddrinfo` does. A closure that returns a future is one too:
///
/// ```
/// # fn example(endpoint: evercert::client::Endpoint) -> evercert::client::Endpoint {
/// endpoint.resolver(|_host: &str, port| async move {
///     Ok(vec![([10, 0, 0, 1], port).into(), ([10, 0, 0, 2], port).into()])
/// })
/// # }
/// ```
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of `host`, the best ones first. It is asked before every attempt to connect, and given up after
    /// [`Endpoint::connect_timeout`](super::Endpoint::connect_timeout).
    fn resolve(&self, host: &str, port: u16) -> Resolving;
}

impl<F, R> Resolve for F
where
    F: Fn(&str, u16) -> R + Send + Sync + 'static,
    R: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
{
    fn resolve(&self, host: &str, port: u16) -> Resolving {
        Box::pin(self(host, port))
    }
}

/// The system's own resolver.
#[derive(Debug)]
struct System;

impl Resolve for System {
    fn resolve(&self, host: &str, port: u16) -> Resolving {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// The resolver of an endpoint.
#[derive(Clone)]
pub(super) struct Resolver(Arc<dyn Resolve>);

impl Resolver {
    pub(super) fn new(resolve: impl Resolve) -> Self {
        Self(Arc::new(resolve))
    }

    /// The addresses of `host`: at least one.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let addresses = self.0.resolve(host, port).await?;
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no addresses")));
        }
        Ok(addresses)
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new(System)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}
