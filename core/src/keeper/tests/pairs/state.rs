//! What only shows in time, or where the files are read: the key in memory, and what the keeper meets.

use super::*;

/// What an observer was told last of an identity.
fn told_to(recorder: &Recorder) -> Vec<String> {
    names_of(&recorder.latest("a").unwrap())
}

fn on_a_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// The key is wanted only when its file may be gone.
pub(super) fn key_not_in_memory() -> Pair {
    let files = good();
    let told = |then: &Files| {
        let mut kept = Kept::of(&files, anything);
        let _ = kept.lifecycle.keep_keys(false);
        let mut kept = kept.swap(then);
        let _ = kept.lifecycle.keep_keys(true);
        kept.read();
        kept.told()
    };
    Pair { tripped: told(&Files { key: None, ..files.clone() }), spared: told(&files) }
}

/// A mount that does not answer, and the same when it does.
pub(super) fn mount_unresponsive() -> Pair {
    on_a_runtime(async {
        let issued = leaf(&Authority::new("root"));
        let volume = KubeletVolume::new(&issued.files());
        let system = Arc::new(Rigged::default());
        let (keeper, recorder) = start(&system, HOUR, vec![spec("a", volume.path())]);
        recorder.until_serves("a", &issued).await;
        system.kill(volume.path());
        keeper.rescan();
        recorder.until_finds("a", Check::MountUnresponsive).await;
        let tripped = told_to(&recorder);
        system.revive(volume.path());
        recorder.until("an answer", || !recorder.finds("a", Check::MountUnresponsive)).await;
        Pair { tripped, spared: told_to(&recorder) }
    })
}

/// A CA is replaced, and until when the old one is trusted is to be written into a directory; or where a file is.
pub(super) fn not_written() -> Pair {
    let home = tempfile::tempdir().unwrap();
    let [file, directory] = ["file", "directory"].map(|name| home.path().join(name));
    std::fs::write(&file, "").unwrap();
    let told = |state_directory: &Path| {
        on_a_runtime(async {
            let [old, new] = ["old", "new"].map(|name| leaf(&Authority::new(name)));
            let volume = KubeletVolume::new(&old.files());
            let recorder = Arc::new(Recorder::default());
            let settings =
                KeeperSettings { state_directory: Some(state_directory.to_owned()), ..KeeperSettings::default() };
            let keeper = Keeper::start(settings, Arc::clone(&recorder) as Arc<dyn Observer>);
            keeper.keep(vec![spec("a", volume.path())]);
            recorder.until_serves("a", &old).await;
            volume.swap(&new.files());
            // It is written down, or told not to be, before the new one is shown.
            recorder.until_serves("a", &new).await;
            told_to(&recorder)
        })
    };
    Pair { tripped: told(&file), spared: told(&directory) }
}
