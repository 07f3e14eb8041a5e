//! Who a process is.

use std::path::Path;
use std::process::Command;

/// A process's user, and what it is started through.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    uid: u32,
    gid: u32,
    after: Vec<String>,
}

impl Actor {
    /// A user with a group of the same number and no other.
    pub(crate) fn user(uid: u32) -> Self {
        Self { uid, gid: uid, after: vec![] }
    }

    /// Started by this program, as the user.
    pub(crate) fn through(mut self, program: &[&str]) -> Self {
        self.after.extend(program.iter().map(ToString::to_string));
        self
    }

    /// The words that run `program` as this actor.
    pub(crate) fn words(&self, program: &Path) -> Vec<String> {
        let mut words = Vec::new();
        words.extend([
            "setpriv".to_owned(),
            format!("--reuid={}", self.uid),
            format!("--regid={}", self.gid),
            "--clear-groups".to_owned(),
        ]);
        words.extend(self.after.iter().cloned());
        words.push(program.to_str().unwrap().to_owned());
        words
    }

    /// `program` as this actor.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let words = self.words(program);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }
}
