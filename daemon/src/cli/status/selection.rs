//! Which identities are shown.

use std::time::SystemTime;

use evercert_core::document::nearest;

use crate::config::Glob;
use crate::status::{Identity, StatusReport};

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(super) struct Selection {
    /// Show this identity alone: its name, of a pod's NAMESPACE/POD/VOLUME or the volume's alone; * stands for any characters, ? for one
    #[arg(value_name = "NAME")]
    pub(super) name: Option<String>,

    /// Show those alone that need attention: what is wrong, as below, and what is warned of
    #[arg(long)]
    pub(super) problems: bool,
}

/// Nothing is called so.
#[derive(Debug, thiserror::Error)]
#[error("no identity is called {name}{}", nearest.as_ref().map_or_else(String::new, |nearest| format!("; did you mean {nearest}?")))]
pub(super) struct NoIdentity {
    name: String,
    nearest: Option<String>,
}

impl Selection {
    /// Leaves of `report` what is asked for.
    ///
    /// # Errors
    ///
    /// There is a name, and nothing is called so.
    pub(super) fn apply(&self, report: &mut StatusReport, now: SystemTime) -> Result<(), NoIdentity> {
        if let Some(name) = &self.name {
            let glob = Glob::new(name.as_str());
            let is_meant = |identity: &Identity| {
                glob.matches(identity.title().as_bytes()) || glob.matches(identity.name.as_bytes())
            };
            if !report.identities.iter().any(is_meant) {
                let titles: Vec<_> = report.identities.iter().map(Identity::title).collect();
                let nearest = nearest(name, titles.iter().map(String::as_str)).map(str::to_owned);
                return Err(NoIdentity { name: name.clone(), nearest });
            }
            report.identities.retain(is_meant);
        }
        if self.problems {
            report.identities.retain(|identity| identity.needs_attention(now));
        }
        Ok(())
    }
}
