//! The files, before it matters what is in them.

use evercert_fixtures::{make_fifo, replace_by_link};

use super::*;
use crate::mount::{self, FILE_LIMIT};

/// A directory that no kubelet keeps, and what is told once `change` was done to it.
fn told_after(change: impl FnOnce(&Path, &mut IdentitySpec)) -> Vec<String> {
    let directory = PlainDirectory::new(&good().on_disk());
    let mut spec = spec("a", directory.path());
    change(directory.path(), &mut spec);
    judged(&spec)
}

/// The key is moved away, and a link put in its place.
fn link_the_key(directory: &Path, target: &Path) {
    std::fs::rename(directory.join("tls.key"), directory.join("moved.key")).unwrap();
    replace_by_link(target, directory.join("tls.key"));
}

pub(super) fn missing() -> Pair {
    pair(&Files { key: None, ..good() }, &good())
}

pub(super) fn unreadable() -> Pair {
    Pair {
        tripped: told_after(|directory, _| link_the_key(directory, Path::new("tls.key"))),
        spared: told_after(|directory, _| link_the_key(directory, Path::new("moved.key"))),
    }
}

pub(super) fn not_regular() -> Pair {
    let put_a_fifo_in_its_place = |directory: &Path, _: &mut IdentitySpec| {
        std::fs::remove_file(directory.join("tls.key")).unwrap();
        make_fifo(directory.join("tls.key"));
    };
    Pair { tripped: told_after(put_a_fifo_in_its_place), spared: told_after(|_, _| {}) }
}

pub(super) fn not_a_directory() -> Pair {
    let expect_it_at = |path: &Path, spec: &mut IdentitySpec| spec.files = FileSet::cert_manager(path);
    Pair {
        tripped: told_after(|directory, spec| expect_it_at(&directory.join("tls.crt"), spec)),
        spared: told_after(expect_it_at),
    }
}

pub(super) fn outside_volume() -> Pair {
    let elsewhere = PlainDirectory::new(&good().on_disk());
    let is_a_volume = |directory: &Path, spec: &mut IdentitySpec| spec.files.volumes = vec![directory.to_owned()];
    Pair {
        tripped: told_after(|directory, spec| {
            link_the_key(directory, &elsewhere.path().join("tls.key"));
            is_a_volume(directory, spec);
        }),
        spared: told_after(is_a_volume),
    }
}

/// Only who may mount can have the kernel show such a file: the reading is as it is then.
pub(super) fn stale_mount() -> Pair {
    let volume = KubeletVolume::new(&good().on_disk());
    let spec = spec("a", volume.path());
    let told = |is_stale_mount| {
        let mut reading = mount::read(&spec.files);
        reading.key.iter_mut().for_each(|key| key.is_stale_mount = is_stale_mount);
        told_of(&spec, reading)
    };
    Pair { tripped: told(true), spared: told(false) }
}

pub(super) fn too_large() -> Pair {
    let of_size = |size: u64| {
        let mut files = good();
        files.bundle.iter_mut().for_each(|bundle| bundle.resize(usize::try_from(size).unwrap(), b'\n'));
        files
    };
    pair(&of_size(FILE_LIMIT + 1), &of_size(FILE_LIMIT))
}

/// What the keeper makes of files that never come to rest.
pub(super) fn torn() -> Pair {
    let volume = KubeletVolume::new(&good().on_disk());
    let spec = spec("a", volume.path());
    let torn = Reading::torn(&spec.files, mount::visit(&spec.files).stamp().clone());
    Pair { tripped: told_of(&spec, torn), spared: judged(&spec) }
}

pub(super) fn unparsable() -> Pair {
    let mut cut_off = good();
    cut_off.chain.iter_mut().for_each(|chain| chain.truncate(300));
    pair(&cut_off, &good())
}
