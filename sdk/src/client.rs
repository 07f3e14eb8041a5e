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

mod addresses;
mod attempts;
mod balance;
mod body;
mod calls;
mod channel;
mod connection;
mod connector;
mod cut;
mod dialer;
mod dialing;
mod driver;
mod endpoint;
mod error;
mod first_frame;
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
mod warden;

pub use balance::{BalancedChannel, BalancedState, Endpoints};
pub use body::ResponseBody;
pub use channel::{Channel, ResponseFuture};
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use error::{AddressFailure, ChannelError, ConnectError, ConnectFailure};
pub use link::ChannelState;
pub use resolving::{Resolve, Resolving};
