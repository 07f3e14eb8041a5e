//! Where the endpoints of a balanced channel come from.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{self, Fuse, Stream, StreamExt as _};

use crate::client::endpoint::Endpoint;
use crate::client::request::FOREVER;

/// The endpoints that a balanced channel spreads its calls over: those of a name's addresses, or of a stream of sets.
///
/// ```
/// # fn example(sets: impl futures_util::Stream<Item = Vec<evercert::client::Endpoint>> + Send + 'static)
/// # -> Result<(), evercert::client::InvalidEndpoint> {
/// use std::time::Duration;
/// use evercert::client::{Endpoint, Endpoints};
///
/// // One for each address of the name, which is asked for every ten seconds.
/// let of_name = Endpoints::from(Endpoint::new("https://api.internal:50051")?).refresh(Duration::from_secs(10));
/// // Those of the latest set that a control plane gave.
/// let of_stream = Endpoints::from_stream(sets);
/// # Ok(())
/// # }
/// ```
#[must_use = "endpoints do nothing until a channel is made of them"]
pub struct Endpoints(pub(super) Source);

/// A stream of sets of endpoints, of which the latest counts.
pub(super) type Sets = Fuse<Pin<Box<dyn Stream<Item = Vec<Endpoint>> + Send>>>;

pub(super) enum Source {
    /// The addresses of the endpoint's name, and the time after which they are asked for again.
    Name {
        endpoint: Box<Endpoint>,
        refresh: Duration,
    },
    Sets(Sets),
}

impl Endpoints {
    /// The default of [`Endpoints::refresh`].
    pub const REFRESH: Duration = Duration::from_secs(30);
    /// The least interval of [`Endpoints::refresh`].
    pub const LEAST_REFRESH: Duration = Duration::from_secs(1);
    /// The number of endpoints that a channel is balanced over; of more, those that are in use stay, and the first of the others join them.
    pub const MOST: usize = 256;

    /// The latest set that `sets` gave. Endpoints are told apart by their URI and Unix socket: one that is in the next set again keeps its
    /// connection, and the settings it came with first. One that is not is sent no new calls, and finishes those it has. After the end
    /// of the stream the last set stays. An endpoint with a name is one endpoint, however many addresses it has. The stream is polled on the
    /// thread that all identities of the process share, and so must not block.
    pub fn from_stream(sets: impl Stream<Item = Vec<Endpoint>> + Send + 'static) -> Self {
        let sets: Pin<Box<dyn Stream<Item = Vec<Endpoint>> + Send>> = Box::pin(sets);
        Self(Source::Sets(sets.fuse()))
    }

    /// A stream that has ended.
    pub(super) fn no_more() -> Sets {
        let none: Pin<Box<dyn Stream<Item = Vec<Endpoint>> + Send>> = Box::pin(stream::empty());
        none.fuse()
    }

    /// The interval at which the addresses of a name are asked for. Default: 30 s; at least 1 s. While an endpoint cannot be connected to
    /// they are asked for every 5 s, if that is sooner. While a resolver fails, its last addresses stay. It means nothing for a
    /// stream of sets.
    pub fn refresh(mut self, interval: Duration) -> Self {
        if let Source::Name { refresh, .. } = &mut self.0 {
            *refresh = interval.clamp(Self::LEAST_REFRESH, FOREVER);
        }
        self
    }
}

/// The addresses of the endpoint's name, each of them an endpoint with the same settings, whose server has to show a certificate for
/// that name.
impl From<Endpoint> for Endpoints {
    fn from(endpoint: Endpoint) -> Self {
        Self(Source::Name { endpoint: Box::new(endpoint), refresh: Self::REFRESH })
    }
}

/// These endpoints, for ever.
impl From<Vec<Endpoint>> for Endpoints {
    fn from(endpoints: Vec<Endpoint>) -> Self {
        Self::from_stream(stream::iter([endpoints]))
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Name { endpoint, refresh } => {
                f.debug_struct("Endpoints").field("of", endpoint).field("refresh", refresh).finish()
            }
            Source::Sets(_) => f.debug_struct("Endpoints").finish_non_exhaustive(),
        }
    }
}
