//! A subscriber that speaks the wire itself, to see every message as it comes.

use std::path::PathBuf;

use evercert_api::snapshot_from_update;
use evercert_api::v1::agent_client::AgentClient;
use evercert_api::v1::report::Outcome;
use evercert_api::v1::watch_request::Message as Request;
use evercert_api::v1::watch_response::Message;
use evercert_api::v1::{Deliver, Open, Report, Stage, Update, WatchRequest, WatchResponse};
use evercert_core::crypto;
use evercert_core::snapshot::Snapshot;
use evercert_fixtures::wait::DEADLINE;
use rustls::sign::CertifiedKey;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::channel::connect;

/// A Watch stream.
#[derive(Debug)]
pub struct Subscriber {
    responses: Streaming<WatchResponse>,
    requests: mpsc::Sender<WatchRequest>,
}

impl Subscriber {
    /// Opens a stream for `identity` that asks for keys.
    ///
    /// # Errors
    ///
    /// The daemon's answer.
    pub async fn open(socket: PathBuf, identity: &str) -> Result<Self, Status> {
        Self::open_for(Deliver::Full, socket, identity).await
    }

    /// Opens a stream for `identity` that asks for this.
    ///
    /// # Errors
    ///
    /// The daemon's answer.
    pub async fn open_for(deliver: Deliver, socket: PathBuf, identity: &str) -> Result<Self, Status> {
        Self::open_with(socket, Open { identity: identity.to_owned(), deliver: deliver.into(), ..Open::default() })
            .await
    }

    /// Opens a stream with this as its first request.
    ///
    /// # Errors
    ///
    /// The daemon's answer.
    pub async fn open_with(socket: PathBuf, open: Open) -> Result<Self, Status> {
        let channel = connect(socket).await.ok_or_else(|| Status::unavailable("nobody listens"))?;
        let (responses, requests) = watch_with(channel, open).await?;
        Ok(Self { responses, requests })
    }

    /// The next message.
    ///
    /// # Errors
    ///
    /// How the daemon ended the stream.
    pub async fn message(&mut self) -> Result<Message, Status> {
        let response = timeout(DEADLINE, self.responses.message()).await.expect("a message within the deadline")?;
        Ok(response.expect("a stream ends with a status").message.expect("a response with a message"))
    }

    /// The next generation, whose key is proven to be its leaf's. It is acknowledged.
    pub async fn update(&mut self) -> Snapshot {
        loop {
            if let Message::Update(update) = self.message().await.unwrap() {
                self.requests.send(acknowledgement(&update)).await.unwrap();
                let snapshot = snapshot_from_update(update).unwrap();
                if let Some(credential) = snapshot.credential() {
                    let key = credential.key().expect("a key that was asked for").as_der().clone_key();
                    CertifiedKey::from_der(credential.chain().to_vec(), key, &crypto::provider())
                        .and_then(|certified| certified.keys_match())
                        .expect("a published key is its leaf's");
                }
                return snapshot;
            }
        }
    }

    /// Reads on until the generation with this serial; gives how many generations came, this one included.
    pub async fn until_serial(&mut self, serial: u64) -> usize {
        let mut seen = 1;
        while serial_of(&self.update().await) != serial {
            seen += 1;
        }
        seen
    }
}

/// Opens a Watch stream for `identity` that asks for this: what comes, and where to report.
///
/// # Errors
///
/// The daemon's answer.
pub async fn watch(
    channel: Channel,
    identity: &str,
    deliver: Deliver,
) -> Result<(Streaming<WatchResponse>, mpsc::Sender<WatchRequest>), Status> {
    watch_with(channel, Open { identity: identity.to_owned(), deliver: deliver.into(), ..Open::default() }).await
}

async fn watch_with(
    channel: Channel,
    open: Open,
) -> Result<(Streaming<WatchResponse>, mpsc::Sender<WatchRequest>), Status> {
    let (requests, stream) = mpsc::channel(1);
    requests.try_send(WatchRequest { message: Some(Request::Open(open)) }).unwrap();
    let responses = AgentClient::new(channel).watch(ReceiverStream::new(stream)).await?.into_inner();
    Ok((responses, requests))
}

/// The report that an update is in use.
#[must_use]
pub fn acknowledgement(update: &Update) -> WatchRequest {
    let report = Report {
        epoch: update.epoch,
        generation: update.generation,
        digest: update.digest.clone(),
        outcome: Some(Outcome::Stage(Stage::Current.into())),
        not_after: update.not_after,
        ..Report::default()
    };
    WatchRequest { message: Some(Request::Report(report)) }
}

/// The serial of the leaf of a snapshot that has one.
#[must_use]
pub fn serial_of(snapshot: &Snapshot) -> u64 {
    snapshot.credential().expect("a credential").leaf().serial.parse().expect("a serial of at most 8 octets")
}
