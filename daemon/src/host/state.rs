//! Where is kept what has to survive a restart.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use evercert_core::detached::Threads;
use tracing::warn;

/// Where it is unless the configuration or the service manager says otherwise.
const DEFAULT: &str = "/var/lib/evercert";

/// Set by systemd for a unit with `StateDirectory=`: paths, with colons between.
const VARIABLE: &str = "STATE_DIRECTORY";

/// Nobody else has to know what is trusted, and nobody else may change it.
const MODE: u32 = 0o700;

/// How long its file system may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// The directory, made where it is missing; with a warning where nothing can be written there now: that costs what it would have kept,
/// not the start, and what is to be written is tried again. Absent where its file system does not answer, which would hold up whoever reads
/// or writes there.
pub(crate) async fn directory(configured: Option<&Path>) -> Option<PathBuf> {
    let directory = configured.map_or_else(given, Path::to_owned);
    let place = directory.clone();
    let prepared = Threads::named("state").call(move || prepare(&place));
    let prepared = match tokio::time::timeout(DEADLINE, prepared).await {
        Ok(Ok(prepared)) => prepared,
        Ok(Err(_)) => Err(io::Error::other("its check was cut short")),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    match prepared {
        Ok(()) => Some(directory),
        Err(error) => {
            warn!(
                directory = %directory.display(),
                %error,
                "the state directory cannot be written: while that is so, how long anchors that left a ca.crt stay trusted, and what pods \
                 were called first, is forgotten when the daemon ends; make it writable, or set `directory` of [state] to another one"
            );
            (error.kind() != io::ErrorKind::TimedOut).then_some(directory)
        }
    }
}

fn given() -> PathBuf {
    let set = std::env::var_os(VARIABLE).and_then(|paths| std::env::split_paths(&paths).next());
    set.filter(|path| path.is_absolute()).unwrap_or_else(|| DEFAULT.into())
}

/// Makes the directory, and shows that a file can be made in it.
fn prepare(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(MODE).create(directory)?;
    let probe = directory.join(format!(".probe-{}", std::process::id()));
    // Left by a process that had this number and was killed. A link that waits in its place is not followed.
    match fs::remove_file(&probe) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::create_new(&probe)?;
    fs::remove_file(probe)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn a_missing_directory_is_made_for_this_user_alone_and_left_empty() {
        let root = tempfile::tempdir().unwrap();
        let wanted = root.path().join("a/b");
        assert_eq!(directory(Some(&wanted)).await, Some(wanted.clone()));
        assert_eq!(wanted.metadata().unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(fs::read_dir(&wanted).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_link_in_the_place_of_the_probe_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("target");
        fs::write(&target, "kept").unwrap();
        std::os::unix::fs::symlink(&target, root.path().join(format!(".probe-{}", std::process::id()))).unwrap();
        assert_eq!(directory(Some(root.path())).await, Some(root.path().to_owned()));
        assert_eq!(fs::read_to_string(target).unwrap(), "kept");
    }

    #[tokio::test]
    async fn what_cannot_be_written_yet_is_tried_later() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        for unusable in [file.clone(), file.join("below")] {
            assert_eq!(directory(Some(&unusable)).await, Some(unusable));
        }
    }
}
