//! What is looked at in file systems, which may be dead mounts: on threads that are left behind with them.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use evercert_core::detached::{Calls, Threads};
use evercert_core::layout::file_name;
use evercert_core::spec::IdentitySpec;
use evercert_core::text;
use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, timeout, timeout_at};

/// How long a file system may take to answer, as at a reload.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

/// How many times that the files of all identities may take together.
const ROUNDS: u32 = 6;

/// The most identities whose files are looked at at a time.
const AT_ONCE: usize = 64;

/// How long one of them is counted among those: what takes longer hangs.
const COUNTED: Duration = Duration::from_millis(100);

/// The most threads that may hang.
const HELD: usize = 256;

/// The file systems that a configuration names did not answer.
#[derive(Debug, thiserror::Error)]
#[error("the watched directories, or the directory service of `allow`, did not answer within {} s: is a mount dead, or a server away?", DEADLINE.as_secs())]
pub(super) struct Silent;

/// The outcome of a look that may hang.
///
/// # Errors
///
/// It takes too long.
pub(super) async fn look<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Silent> {
    let looking = Threads::named("config").call(work);
    timeout(DEADLINE, looking).await.map_err(|_| Silent)?.map_err(|_| Silent)
}

/// The warnings about the files of `specs`, in their order.
pub(super) async fn warnings(specs: &[IdentitySpec]) -> Vec<String> {
    warnings_by(missing, specs, DEADLINE).await
}

/// What `look` tells of each, or that it does not answer by the deadline.
async fn warnings_by(
    look: impl Fn(&IdentitySpec) -> Vec<String> + Copy + Send + 'static,
    specs: &[IdentitySpec],
    deadline: Duration,
) -> Vec<String> {
    let calls = Calls::new(Threads::named("config"), AT_ONCE, COUNTED, HELD);
    let end = Instant::now() + deadline * ROUNDS;
    let told = stream::iter(specs).map(async |spec| {
        let owned = spec.clone();
        let looking = timeout(deadline, calls.call(move || look(&owned)));
        match timeout_at(end, looking).await {
            Ok(Ok(Ok(warnings))) => warnings,
            _ => {
                let first = spec.files.paths().next().map(text::path).unwrap_or_default();
                let id = &spec.id;
                vec![format!("identity {id}: {first} does not answer: is the mount that it is on dead? The daemon reads it as soon as it does")]
            }
        }
    });
    // As many as may hang are waited for side by side, so that those of a dead mount keep no others from being looked at.
    told.buffered(HELD).collect::<Vec<_>>().await.concat()
}

/// A warning for each file of an identity that is not there. A `ca.crt` and a `ca.crl` beside the credential need not be.
fn missing(spec: &IdentitySpec) -> Vec<String> {
    let beside = spec.files.credential.as_ref().and_then(|files| files.chain().parent());
    let is_optional = |file: &Path| {
        [file_name::BUNDLE, file_name::CRL].iter().any(|name| beside.is_some_and(|beside| beside.join(name) == file))
    };
    let files: BTreeSet<&Path> = spec.files.paths().filter(|file| !is_optional(file)).collect();
    let unread = files.into_iter().filter_map(|file| std::fs::metadata(file).err().map(|error| (file, error)));
    unread
        .map(|(file, error)| {
            let (id, file) = (&spec.id, text::path(file));
            match error.kind() {
                io::ErrorKind::NotFound => {
                    format!("identity {id}: {file} is not there: nothing comes of it until it is; write the path of a file, or mount it")
                }
                _ => format!("identity {id}: {file} cannot be looked at: {error}"),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use evercert_core::identity::IdentityId;
    use evercert_core::spec::{Expectations, FileSet};

    use super::*;

    fn spec(name: &str) -> IdentitySpec {
        IdentitySpec {
            id: IdentityId::node(name.parse().unwrap()),
            files: FileSet::cert_manager(&PathBuf::from("/nonexistent").join(name)),
            expectations: Expectations::default(),
            overlap: IdentitySpec::OVERLAP,
        }
    }

    #[tokio::test]
    async fn a_dead_mount_is_a_warning_and_keeps_nothing_else_from_being_looked_at() {
        let look = |spec: &IdentitySpec| {
            if spec.id.name.as_str().starts_with("dead") {
                std::thread::park_timeout(Duration::from_secs(600));
            }
            missing(spec)
        };
        let specs: Vec<_> = (0..100).map(|n| spec(&format!("dead-{n}"))).chain([spec("well")]).collect();
        let warnings = warnings_by(look, &specs, Duration::from_millis(500)).await;
        assert_eq!(warnings.len(), 102, "one for each dead mount, and one for each missing file");
        assert!(
            warnings[7].starts_with("identity dead-7: /nonexistent/dead-7/tls.crt does not answer"),
            "{warnings:?}"
        );
        assert!(warnings[100].starts_with("identity well: /nonexistent/well/tls.crt is not there"), "{warnings:?}");
    }
}
