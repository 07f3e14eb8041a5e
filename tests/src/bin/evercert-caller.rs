//! A caller of the workload socket that scenarios start under other users, in other namespaces and control groups. It prints one
//! JSON object a line for every answer: the code, the message, whose certificate came, and how many bytes of key.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a caller that cannot go on has failed"
)]

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::{Parser, Subcommand};
use evercert_api::v1::agent_client::AgentClient;
use evercert_api::v1::update::Key;
use evercert_api::v1::watch_response::Message;
use evercert_api::v1::{Deliver, ListRequest, Update, WatchRequest, WatchResponse};
use evercert_core::certificate::CertificateFacts;
use evercert_tests::channel::over;
use evercert_tests::subscriber::{acknowledgement, watch};
use serde_json::{Value, json};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// How long it rests before it asks again what was refused for its haste.
const HASTE: Duration = Duration::from_millis(20);

#[derive(Debug, Parser)]
struct Cli {
    /// The workload socket; without it the standard input is a connection to it
    #[arg(long)]
    socket: Option<PathBuf>,
    /// Ask for no keys
    #[arg(long)]
    digest: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// The identities it may have
    List,
    /// Asks for nothing and keeps the connection until the daemon ends it
    Hold,
    /// The first answer for each of these names; without names: for each line of the standard input, a JSON string
    Ask { names: Vec<String> },
    /// Everything that is sent for this name until the stream ends
    Follow {
        name: String,
        /// Give up all supplementary groups after the first answer
        #[arg(long)]
        leave_groups: bool,
        /// Take this directory for the root after the first answer
        #[arg(long)]
        enter: Option<PathBuf>,
    },
    /// Connects and becomes this program, whose standard input is the connection
    Become { program: Vec<String> },
    /// Connects, starts this program, whose standard input is the connection, and ends
    Bequeath { program: Vec<String> },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let Cli { socket, digest, action } = Cli::parse();
    let connect = || match &socket {
        Some(socket) => UnixStream::connect(socket),
        None => io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from),
    };
    let deliver = if digest { Deliver::Digest } else { Deliver::Full };
    match action {
        Action::List => say(&list(connect()?).await),
        Action::Hold => hold(connect()?)?,
        Action::Ask { names } if names.is_empty() => {
            let channel = over(connect()?);
            for line in io::stdin().lines() {
                say(&ask(&channel, &serde_json::from_str::<String>(&line?)?, deliver).await);
            }
        }
        Action::Ask { names } => {
            let channel = over(connect()?);
            for name in names {
                say(&ask(&channel, &name, deliver).await);
            }
        }
        Action::Follow { name, leave_groups, enter } => {
            let change = || {
                if leave_groups {
                    rustix::thread::set_thread_groups(&[]).unwrap();
                }
                if let Some(root) = enter {
                    rustix::process::chroot(root).unwrap();
                }
            };
            follow(&over(connect()?), &name, deliver, change).await;
        }
        Action::Become { program } => return Err(handed(connect()?, &program).exec()),
        Action::Bequeath { program } => {
            handed(connect()?, &program).spawn()?;
        }
    }
    Ok(())
}

fn say(line: &Value) {
    println!("{line}");
}

fn hold(mut stream: UnixStream) -> io::Result<()> {
    // The connection preface and empty SETTINGS (RFC 9113 §3.4).
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")?;
    // The daemon's own: it has been let in.
    stream.read_exact(&mut [0; 9])?;
    say(&json!({ "code": "Ok" }));
    _ = io::copy(&mut stream, &mut io::sink());
    say(&json!({ "code": "Ended" }));
    Ok(())
}

fn handed(connection: UnixStream, program: &[String]) -> Command {
    let mut command = Command::new(&program[0]);
    command.args(&program[1..]).stdin(Stdio::from(OwnedFd::from(connection)));
    command
}

async fn list(stream: UnixStream) -> Value {
    match AgentClient::new(over(stream)).list(ListRequest::default()).await {
        Ok(listed) => {
            let names: Vec<_> = listed.into_inner().identities.into_iter().map(|summary| summary.identity).collect();
            json!({ "code": "Ok", "identities": names })
        }
        Err(status) => refused("", &status),
    }
}

/// The first answer, and whether it came after the daemon had asked for patience.
async fn ask(channel: &Channel, name: &str, deliver: Deliver) -> Value {
    loop {
        let answer = match watch(channel.clone(), name, deliver).await {
            Ok((mut responses, _requests)) => responses.message().await.map(|response| told(name, response)),
            Err(status) => Err(status),
        };
        match answer {
            Ok(answer) => return answer,
            Err(status) if status.code() == Code::ResourceExhausted => tokio::time::sleep(HASTE).await,
            Err(status) => return refused(name, &status),
        }
    }
}

/// Becomes another one by `change` once it was given something.
async fn follow(channel: &Channel, name: &str, deliver: Deliver, change: impl FnOnce()) {
    let mut change = Some(change);
    let (mut responses, requests) = match watch(channel.clone(), name, deliver).await {
        Ok(open) => open,
        Err(status) => return say(&refused(name, &status)),
    };
    loop {
        match responses.message().await {
            Err(status) => return say(&refused(name, &status)),
            Ok(None) => return say(&json!({ "name": name, "code": "Ended" })),
            Ok(response) => {
                let report = response.as_ref().and_then(current);
                let told = told(name, response);
                if let Some(change) = change.take_if(|_| told["what"] == "update") {
                    change();
                }
                say(&told);
                if let Some(report) = report {
                    _ = requests.send(report).await;
                }
            }
        }
    }
}

fn current(response: &WatchResponse) -> Option<WatchRequest> {
    let Some(Message::Update(update)) = &response.message else { return None };
    Some(acknowledgement(update))
}

fn told(name: &str, response: Option<WatchResponse>) -> Value {
    let (what, update) = match response.and_then(|response| response.message) {
        Some(Message::Update(update)) => ("update", update),
        Some(Message::Unchanged(_)) => ("unchanged", Update::default()),
        Some(Message::Pending(_)) => ("pending", Update::default()),
        Some(Message::Findings(_)) => ("findings", Update::default()),
        Some(Message::Withdrawn(_)) => ("withdrawn", Update::default()),
        None => ("nothing", Update::default()),
    };
    let key = update.key.map_or(0, |Key::Pkcs8(key)| key.len());
    let leaf = update.chain.first().and_then(|leaf| CertificateFacts::from_der(leaf).ok());
    json!({ "name": name, "code": "Ok", "what": what, "key": key, "serial": leaf.map(|leaf| leaf.serial) })
}

fn refused(name: &str, status: &Status) -> Value {
    json!({ "name": name, "code": format!("{:?}", status.code()), "message": status.message(), "key": 0 })
}
