//! From a server's name to its addresses.

mod lookups;

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt as _;

use self::lookups::Lookups;

/// The number of addresses of a name that are looked at.
const MOST_RESOLVED: usize = 1024;

/// Of all endpoints: a name is the same for each.
static LOOKUPS: Lookups = Lookups::new();

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
    /// The addresses of `host`, the best ones first; of more than 1,024 the first ones are used. It is asked before every attempt to connect,
    /// and given up after [`Endpoint::connect_timeout`](super::Endpoint::connect_timeout): its future is dropped then, and what it has begun
    /// should end with it, since the next attempt asks again. Should it panic, the attempt has failed. It must not block: that of a balanced
    /// channel is polled on the thread that all identities of the process share.
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
        let name = (host.to_owned(), port);
        Box::pin(LOOKUPS.join(name, |(host, port)| Ok((host.as_str(), *port).to_socket_addrs()?.collect())))
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
        let resolving = AssertUnwindSafe(async { self.0.resolve(host, port).await }).catch_unwind();
        let panicked = |_| Err(io::Error::other(format!("the resolver panicked when it was asked for {host}")));
        let mut addresses = resolving.await.unwrap_or_else(panicked)?;
        addresses.truncate(MOST_RESOLVED);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_resolver_that_panics_is_a_failed_one_and_of_endless_addresses_the_first_are_used() {
        let panics =
            Resolver::new(|_: &str, _| -> std::future::Ready<io::Result<Vec<SocketAddr>>> { panic!("on purpose") });
        let error = panics.resolve("api.example.org", 443).await.unwrap_err().to_string();
        assert!(error.contains("panicked") && error.contains("api.example.org"), "{error}");

        let all: Vec<SocketAddr> = (0..20_000).map(|port| ([192, 0, 2, 1], port).into()).collect();
        let some = all[..MOST_RESOLVED].to_vec();
        let many = Resolver::new(move |_: &str, _| std::future::ready(Ok(all.clone())));
        assert_eq!(many.resolve("api.example.org", 443).await.unwrap(), some);
    }
}
