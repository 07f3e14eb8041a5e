//! A process's user and place.

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
    group: Option<u32>,
    capabilities: Vec<&'static str>,
    cgroup: Option<PathBuf>,
    after: Vec<String>,
}

impl Actor {
    /// A user with a group of the same number and no other, in the root's control group and namespaces.
    pub(crate) fn user(uid: u32) -> Self {
        Self { uid, gid: uid, group: None, capabilities: vec![], cgroup: None, after: vec![] }
    }

    /// In this supplementary group.
    pub(crate) fn in_group(self, gid: u32) -> Self {
        Self { group: Some(gid), ..self }
    }

    /// With this capability, whoever the user is.
    pub(crate) fn with(mut self, capability: &'static str) -> Self {
        self.capabilities.push(capability);
        self
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
        words.extend(["setpriv".to_owned(), format!("--reuid={}", self.uid), format!("--regid={}", self.gid)]);
        words.push(self.group.map_or_else(|| "--clear-groups".to_owned(), |gid| format!("--groups={gid}")));
        if !self.capabilities.is_empty() {
            let capabilities = self.capabilities.join(",+");
            words.extend(["inh", "ambient"].map(|set| format!("--{set}-caps=+{capabilities}")));
        }
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
