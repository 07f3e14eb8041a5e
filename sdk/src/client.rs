//! Channels: connections to servers that move to the next generation by themselves.
//!
//! ```text
//! Identity ── prepare, commit ──▶ wanted ──┐
//!                                          ▼
//!             connector: TCP or Unix → TLS → h2 → the server's SETTINGS     (one task per channel)
//!                                          ▼
//! call ──▶ Channel ──▶ ArcSwap<Connection> ◀── swap; the old connection finishes its streams
//! ```
//!
//! On a new generation the channel connects anew and only swaps once the server has accepted that connection: under TLS 1.3 a
//! client is connected before the server has looked at its certificate, so "connected" proves nothing and the server's first
//! HTTP/2 frame does. When the new connection cannot be had, the old one keeps serving and [`ChannelState::trouble`] says why.

mod body;
mod channel;
mod connection;
mod connector;
mod endpoint;
mod error;
mod first_frame;
mod link;
mod request;
mod scheduling;

pub use body::ResponseBody;
pub use channel::{Channel, ResponseFuture};
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use error::{ChannelError, ConnectError, ConnectFailure};
pub use link::ChannelState;
