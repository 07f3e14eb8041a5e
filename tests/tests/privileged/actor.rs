//! Who a process is.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cgroup::Cgroup;

/// Joins the control group named by the first argument, and becomes the program named by the rest.
const JOIN: &str = r#"echo $$ > "$1/cgroup.procs" && shift && exec "$@""#;

/// A process's user, control group and namespaces.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    uid: u32,
    gid: u32,
    cgroup: Option<PathBuf>,
    after: Vec<String>,
}

impl Actor {
    /// A user with a group of the same number and no other, in the root's control group and namespaces.
    pub(crate) fn user(uid: u32) -> Self {
        Self { uid, gid: uid, cgroup: None, after: vec![] }
    }

    /// In this control group.
    pub(crate) fn within(mut self, cgroup: &Cgroup) -> Self {
        self.cgroup = Some(cgroup.path().to_owned());
        self
    }

    /// Started by this program, as the user.
    pub(crate) fn through(mut self, program: &[&str]) -> Self {
        self.after.extend(program.iter().map(ToString::to_string));
        self
    }

    /// The words that run `program` as this actor.
    pub(crate) fn words(&self, program: &Path) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(cgroup) = &self.cgroup {
            words.extend(["sh", "-c", JOIN, "sh"].map(String::from));
            words.push(cgroup.to_str().unwrap().to_owned());
        }
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
