//! The ways to open an identity: by the environment, from the daemon, from a mount.

mod choice;
#[cfg(feature = "directory")]
mod folder;

use crate::identity::{Identity, IdentityBuilder};
use crate::source::AgentSettings;
#[cfg(feature = "directory")]
use crate::source::DirectorySettings;
use choice::Choice;

impl Identity {
    /// The identity that the environment names; [`settings`](crate::settings) has the table. Awaiting it waits for the first
    /// generation; [`IdentityBuilder::start_pending`] does not.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let identity = evercert::Identity::from_env().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_env() -> IdentityBuilder {
        IdentityBuilder::new(|| Choice::from_env(|name| std::env::var_os(name))?.open())
    }

    /// An identity from the daemon's workload socket, by name or with [`AgentSettings`].
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use evercert::source::AgentSettings;
    ///
    /// let identity = evercert::Identity::from_agent("grpc-server").await?;
    /// let other = evercert::Identity::from_agent(AgentSettings::new("other").socket("/run/other/agent.sock")).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_agent(settings: impl Into<AgentSettings>) -> IdentityBuilder {
        let choice = Choice::Agent(settings.into());
        IdentityBuilder::new(|| choice.open())
    }

    /// An identity from a mounted directory, by path or with [`DirectorySettings`]. It needs no daemon; one that is there is told what is
    /// served ([`source`](crate::source)).
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use evercert::source::DirectorySettings;
    ///
    /// let identity = evercert::Identity::from_directory("/etc/tls/grpc-server").await?;
    /// let combined = DirectorySettings::new("/etc/tls/other").combined("tls-combined.pem");
    /// let other = evercert::Identity::from_directory(combined).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "directory")]
    pub fn from_directory(settings: impl Into<DirectorySettings>) -> IdentityBuilder {
        let choice = Choice::Directory(Box::new(settings.into()));
        IdentityBuilder::new(|| choice.open())
    }
}
