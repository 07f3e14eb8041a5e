//! Swaps server and client certificates and trust roots live inside tonic, without dropping a connection.
//!
//! A service with short-lived certificates has to take up a new one every few hours or days: in its server, in its clients, and whom it
//! trusts along with it. Here an [`Identity`] does it: it follows the node's daemon or a mounted directory, and every
//! handshake from the next one on uses what was published last. Connections that exist go on.
//!
//! ```no_run
//! # use std::future::Future;
//! # use tonic::service::Routes;
//! # use tokio::net::TcpListener;
//! # async fn service(
//! #     routes: Routes,
//! #     listener: TcpListener,
//! #     shutdown: impl Future<Output = ()>,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! use evercert::{ClientCertificates, Identity, Server};
//!
//! let identity = Identity::from_env().await?;
//! let channel = identity.channel("https://api.internal:50051")?; // for a generated client: GreeterClient::new(channel)
//!
//! Server::new(&identity)
//!     .client_certificates(ClientCertificates::Required)
//!     .serve(routes, listener, shutdown)
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! ```text
//! source (agent | directory) ─ Snapshot → Identity ─ tls::Generation, built whole ─┬→ every server: the next handshake uses it
//!        ↑                                                                         └→ every channel: connects anew, is accepted,
//!        └──────────────── report: current, or refused and why ────────────────────   swaps; the old connection finishes
//! ```
//!
//! - [`Identity::from_env`], [`Identity::from_agent`] and [`Identity::from_directory`] say where it comes from; [`settings`] has
//!   the environment variables.
//!   An identity over a directory is an *observer* of the daemon's, where there is one: it reports what it serves, and gets no key;
//!   [`source`] says more.
//! - [`Server`] is the paved path for a tonic server, [`Identity::incoming`] the one for a serve loop of one's own, and
//!   [`peer::PeerIdentity`] says who calls.
//! - [`health::Health`] answers gRPC's health protocol by what the identity can do, [`server::HealthListener`] the kubelet without TLS.
//! - [`Identity::channel`] and [`client::Endpoint`] give a tower service for generated clients, [`Identity::channel_balanced`] one that
//!   spreads its calls over several servers, and [`Identity::connector`] the connections of other HTTP clients.
//! - [`Identity::certifier`], [`Identity::server_config`] and [`Identity::client_config`] are for those who keep a rustls
//!   configuration of their own; their documentation says what they lose.
//!
//! | feature | default | what it turns on |
//! |---|---|---|
//! | `aws-lc-rs` | yes | aws-lc-rs as the crypto provider; needs a C compiler |
//! | `ring` | no | ring instead, where `aws-lc-rs` is off |
//! | `auth` | no | `auth`: authentication and authorisation of calls, by tokens, policies and limits; takes aws-lc-rs for signatures of tokens, beside `ring` too |
//! | `web` | no | gRPC-Web and CORS beside them |
//! | `prometheus` | no | what [`telemetry`] counts, in a Prometheus registry |
//! | `webpki-roots`, `native-roots` | no | servers of public CAs, by Mozilla's list or the platform's: [`Roots`] |
//! | `directory` | yes | [`Identity::from_directory`]: run from a mount, with no daemon or as its observer |
//!
//! # Versions
//!
//! Releases follow Semantic Versioning. While versions begin with 0, one that raises the second number may change the interface, and one that
//! raises the third only adds to it. Types of tonic, rustls, http, hyper, tower, tokio and prometheus are part of the interface, so an
//! incompatible version of one of these comes with the former; the crates beside them whose types are shown are treated alike. What may grow is
//! `#[non_exhaustive]`. The oldest Rust that is supported, 1.88 now, rises with the second number alone. A release works with a daemon of the
//! release before, and the other way round. `VERSIONS.md`, which is packed with the crate, has the whole policy.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "auth")]
#[cfg_attr(docsrs, doc(cfg(feature = "auth")))]
pub mod auth;
mod backoff;
pub mod client;
pub mod health;
pub mod identity;
mod open;
pub mod peer;
mod phase;
mod refusal;
mod runtime;
pub mod server;
pub mod settings;
pub mod source;
pub mod telemetry;
pub mod tls;

pub use client::Channel;
#[doc(inline)]
pub use evercert_core::digest::{Digest, InvalidDigest};
pub use evercert_core::spiffe;
pub use identity::Identity;
pub use refusal::Refusal;
pub use server::Server;
pub use tls::{ClientCertificates, HttpVersions, OwnCertificate, Roots, ServerVerification, TlsVersions};

/// The code of the crate's README, to be compiled as documentation is.
#[cfg(all(doctest, feature = "directory"))]
#[doc = include_str!("../README.md")]
struct Readme;
