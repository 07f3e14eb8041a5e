//! What pods are called, remembered beyond the process, in a small file of the state directory.
//!
//! Without it a pod that may write the pods' log directory would only have to wait for a restart to be called what it wants. The file is
//! replaced when what is to be remembered changed, which whoever writes log directories alone cannot bring about again and again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use evercert_core::state_file::{self, State, StateError, Unusable};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::names::{MOST, PodNames, Told};
use crate::callers::is_pod_uid;

/// The name of the file.
const FILE: &str = "pod-names.json";

#[derive(Serialize, Deserialize)]
struct NamesFile {
    /// By UID.
    pods: BTreeMap<String, Told>,
}

impl State for NamesFile {
    const VERSION: u32 = 1;
    /// [`MOST`] pods with the longest names.
    const LIMIT: u64 = 16 << 20;
}

/// The file of a state directory.
#[derive(Debug)]
pub(super) struct Memory(PathBuf);

impl Memory {
    /// In this state directory.
    pub(super) fn new(directory: &Path) -> Self {
        Self(directory.join(FILE))
    }

    /// What is remembered: nothing, where that is not to be believed.
    ///
    /// # Errors
    ///
    /// It cannot be told now: the file cannot be read.
    pub(super) fn read(&self) -> Result<PodNames, StateError> {
        match state_file::read::<NamesFile>(&self.0) {
            Ok(file) => {
                let pods = file.map(|file| file.pods).unwrap_or_default().into_iter();
                Ok(pods.filter(|(uid, _)| is_pod_uid(uid)).take(MOST).map(|(uid, told)| (uid.into(), told)).collect())
            }
            Err(Unusable::Io(source)) => Err(StateError { path: self.0.clone(), reading: true, source }),
            Err(error) => {
                let path = self.0.display();
                warn!(%path, %error, "what it says of the names of pods is not used; remove it, and find out who wrote it");
                Ok(PodNames::default())
            }
        }
    }

    /// Remembers this, and nothing else, durably.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or not be removed where there is nothing to remember.
    pub(super) fn write(&self, names: &PodNames) -> Result<(), StateError> {
        if names.is_empty() {
            return state_file::remove(&self.0);
        }
        let pods = names.iter().map(|(uid, told)| (uid.to_string(), told.clone())).collect();
        state_file::write(&self.0, &NamesFile { pods })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::callers::{POD_NAME_LIMIT, PodName};
    use crate::inventory::pods::names::Doubt;

    const UID: &str = "2c48913c-b29f-11e7-9350-020968147796";
    const STATIC: &str = "0123456789abcdef0123456789abcdef";

    fn names() -> PodNames {
        let name = Told::Name(PodName::new("shop", "payments").unwrap());
        [(UID.into(), name), (STATIC.into(), Told::Doubt(Doubt::LogDirectories))].into_iter().collect()
    }

    #[test]
    fn names_and_doubts_are_read_as_they_were_written_and_nothing_leaves_no_file() {
        let home = tempfile::tempdir().unwrap();
        let memory = Memory::new(&home.path().join("state"));
        assert_eq!(memory.read().unwrap(), PodNames::default());
        memory.write(&PodNames::default()).unwrap();
        memory.write(&names()).unwrap();
        assert_eq!(memory.read().unwrap(), names());
        let expected = format!(
            r#"{{"version":1,"pods":{{"{STATIC}":{{"doubt":"log_directories"}},"{UID}":{{"name":"shop/payments"}}}}}}"#
        );
        assert_eq!(fs::read_to_string(&memory.0).unwrap(), expected);
        memory.write(&PodNames::default()).unwrap();
        assert!(!memory.0.exists());
    }

    #[test]
    fn what_others_may_have_written_or_is_no_name_is_not_believed() {
        let home = tempfile::tempdir().unwrap();
        let memory = Memory::new(home.path());
        memory.write(&names()).unwrap();
        let good = fs::read_to_string(&memory.0).unwrap();
        for (name, other) in [("shop/payments", "shop"), ("shop/payments", "Shop/payments"), ("log_dir", "no_dir")] {
            fs::write(&memory.0, good.replace(name, other)).unwrap();
            assert_eq!(memory.read().unwrap(), PodNames::default(), "{other}");
        }
        fs::write(&memory.0, &good).unwrap();
        assert_eq!(memory.read().unwrap(), names());
        fs::set_permissions(&memory.0, fs::Permissions::from_mode(0o660)).unwrap();
        assert_eq!(memory.read().unwrap(), PodNames::default());
    }

    #[test]
    fn as_many_pods_as_may_be_known_fit_into_the_file() {
        let home = tempfile::tempdir().unwrap();
        let memory = Memory::new(home.path());
        let longest = "a".repeat(POD_NAME_LIMIT);
        let name = Told::Name(PodName::new(&longest, &longest).unwrap());
        let uid = |number| format!("{number:08x}-b29f-11e7-9350-020968147796").into();
        let names: PodNames = (0..MOST).map(|number| (uid(number), name.clone())).collect();
        memory.write(&names).unwrap();
        assert_eq!(memory.read().unwrap(), names);
    }
}
