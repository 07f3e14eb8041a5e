//! Channels: connections to servers that move to the next generation by themselves.
//!
//! ```text
//! Identity ── prepare, commit, withdraw ──▶ targets ──┬─────────────────────────────────┐
//!                                                     ▼                                 ▼
//!   addresses: each TCP or Unix → TLS → h2 → the server's SETTINGS         warden: one task per connection
//!                                                     ▼                                 │ takes no new calls, cut
//! call ──▶ Channel ──▶ ArcSwap<Connection> ◀── swap   │                                 ▼
//!            │ attempts                               └──▶ driver: one task per connection
//!            └── sent again where the server provably did not process it
//! ```
//!
//! On a new generation the channel connects anew, at its point of a span over which the channels of a process are spread, and only
//! swaps once the server has accepted that connection: under TLS 1.3 a client is connected before the server has looked at its
//! certificate, so "connected" proves nothing and the server's first HTTP/2 frame does. When the new connection cannot be had, the old
//! one keeps serving while it may, and [`ChannelState::trouble`] says why. It moves before the server's leaf ends too.
//!
//! A superseded connection takes no new call and lives until its last one has ended, but never longer than its server's leaf, nor than
//! a short while after its server is trusted no more. Nothing of it outlives it: no task, no descriptor, no entry in the identity's tally.
//!
//! A server's GOAWAY costs no call: what the server did not process is sent again on the next connection, and what it may have
//! processed never is.
//!
//! What tonic's `Endpoint` can be told, and where it is here:
//!
//! | tonic | here |
//! |---|---|
//! | `user_agent`, `timeout`, `connect_timeout`, `local_address` | as there |
//! | `origin` | [`Endpoint::authority`]; the scheme is always https |
//! | `tls_config` | the identity, [`Endpoint::roots`], [`Endpoint::server_verification`], [`Endpoint::server_name`], [`Endpoint::tls_versions`] |
//! | `tcp_keepalive`, `tcp_keepalive_interval`, `tcp_keepalive_retries` | as there |
//! | `tcp_nodelay` | always on |
//! | `http2_keep_alive_interval` | [`Endpoint::keep_alive_interval`] |
//! | `keep_alive_timeout`, `keep_alive_while_idle` | as there |
//! | `initial_stream_window_size` | [`Endpoint::stream_window`] |
//! | `initial_connection_window_size` | [`Endpoint::connection_window`] |
//! | `http2_adaptive_window` | [`Endpoint::adaptive_window`] |
//! | `http2_max_header_list_size` | [`Endpoint::max_header_list_size`] |
//! | `max_frame_size` | [`Endpoint::max_frame_size`] |
//! | `connect_with_connector` | [`Endpoint::unix_socket`], [`Endpoint::resolver`]; for tonic's own channel, [`HttpsConnector`] |
//!
//! Left out on purpose are:
//!
//! - `concurrency_limit` and `rate_limit`: a [`Channel`] is a tower service as any other, and `tower::ServiceBuilder` puts the layers of
//!   `tower::limit` around it. Calls beyond what the server allows wait anyway ([`ChannelState::saturated`]);
//! - `buffer_size`: there is no buffer, a [`Channel`] is cloned instead;
//! - `executor`: all of a connection runs on the runtime of whoever calls;
//! - `http2_header_table_size` and the limits of streams that are reset: hyper's defaults bound what a server may cost.

mod addresses;
mod attempts;
mod balance;
mod body;
mod calls;
mod channel;
mod connection;
mod connector;
mod cut;
#[cfg(feature = "auth")]
mod deferred;
mod dialer;
mod dialing;
mod driver;
mod endpoint;
mod error;
mod first_frame;
mod handshake;
mod https;
mod knocking;
mod link;
mod links;
mod moves;
mod news;
mod origin;
mod plan;
mod readiness;
mod replay;
mod request;
mod resolving;
mod scheduling;
mod target;
mod tcp;
mod warden;

pub use balance::{BalancedChannel, BalancedState, Endpoints};
pub use body::ResponseBody;
pub use channel::{Channel, ResponseFuture};
#[cfg(feature = "auth")]
pub(crate) use deferred::{VerifiedChannel, has_runtime, within};
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use error::{AddressFailure, ChannelError, ConnectError, ConnectFailure};
pub use https::{HttpsConnecting, HttpsConnection, HttpsConnector, HttpsSettings};
pub use link::ChannelState;
#[cfg(feature = "web")]
pub(crate) use request::asked as asked_timeout;
pub use resolving::{Resolve, Resolving};
