//! A process that calls the daemon, and what it is told.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use evercert_fixtures::wait::DEADLINE;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

use crate::actor::Actor;
use crate::room::Room;

/// The program that calls.
pub(crate) fn program(room: &Room) -> PathBuf {
    room.program(env!("CARGO_BIN_EXE_evercert-caller"))
}

/// A running caller; it is killed when this is dropped.
pub(crate) struct Caller {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Caller {
    /// Starts it with these arguments.
    pub(crate) fn start(room: &Room, actor: &Actor, arguments: &[&str]) -> Self {
        Self::run(actor.command(&program(room)), arguments)
    }

    /// Starts this program with these arguments.
    pub(crate) fn run(mut command: std::process::Command, arguments: &[&str]) -> Self {
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next answer; `None` once it has ended.
    pub(crate) async fn answer(&mut self) -> Option<Value> {
        let line = timeout(DEADLINE, self.lines.next_line()).await.expect("an answer within the deadline").unwrap()?;
        Some(serde_json::from_str(&line).unwrap_or_else(|_| panic!("a caller said {line:?}")))
    }

    /// The process id, while it runs.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it has not been waited for")
    }

    /// Waits until its process has ended; what it started may go on and be told.
    pub(crate) async fn ended(mut self) -> Self {
        timeout(DEADLINE, self.child.wait()).await.expect("it ends within the deadline").unwrap();
        self
    }

    /// The answers until it ends.
    pub(crate) async fn answers(mut self) -> Vec<Value> {
        drop(self.child.stdin.take());
        let mut answers = Vec::new();
        while let Some(answer) = self.answer().await {
            answers.push(answer);
        }
        answers
    }
}

/// The answers to `actor` when it asks for each of these names, on one connection.
pub(crate) async fn ask(room: &Room, actor: &Actor, socket: &Path, names: &[String]) -> Vec<Value> {
    let mut caller = Caller::start(room, actor, &["--socket", socket.to_str().unwrap(), "ask"]);
    let mut stdin = caller.child.stdin.take().unwrap();
    let lines: String = names.iter().map(|name| Value::from(name.as_str()).to_string() + "\n").collect();
    let asking = async move { stdin.write_all(lines.as_bytes()).await.unwrap() };
    let (answers, ()) = tokio::join!(caller.answers(), asking);
    assert_eq!(answers.len(), names.len(), "an answer for each name");
    answers
}

/// The answer to `actor` when it asks for this name.
pub(crate) async fn ask_one(room: &Room, actor: &Actor, socket: &Path, name: &str) -> Value {
    ask(room, actor, socket, &[name.to_owned()]).await.remove(0)
}

/// The names `actor` may have.
pub(crate) async fn list(room: &Room, actor: &Actor, socket: &Path) -> Vec<String> {
    let answers = Caller::start(room, actor, &["--socket", socket.to_str().unwrap(), "list"]).answers().await;
    let names = answers[0]["identities"].as_array().unwrap_or_else(|| panic!("{answers:?}"));
    names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// How many bytes of key an answer brought.
pub(crate) fn key(answer: &Value) -> u64 {
    answer["key"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}
