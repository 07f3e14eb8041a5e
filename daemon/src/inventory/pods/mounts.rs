//! The mounts below a directory, found without entering one.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use evercert_core::mounts::MOUNTINFO;

/// One mount for as long as it lasts: its number, that of what it is mounted on, and its device. Numbers are used again, but not all
/// of them for the same place in the moment between two looks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Mount(String);

/// The mounts at places below `directory`, which is free of symbolic links; of several at one place the one on top.
///
/// # Errors
///
/// The kernel does not tell.
pub(super) fn below(directory: &Path) -> io::Result<HashMap<PathBuf, Mount>> {
    Ok(parse(&std::fs::read(MOUNTINFO)?, directory))
}

fn parse(mountinfo: &[u8], directory: &Path) -> HashMap<PathBuf, Mount> {
    let mount = |line: &[u8]| {
        let fields: Vec<_> = line.splitn(6, |byte| *byte == b' ').collect();
        let [id, parent, device, _, place, _] = fields[..] else { return None };
        let place = PathBuf::from(OsString::from_vec(unescape(place)));
        let mount = [id, parent, device].map(String::from_utf8_lossy).join(" ");
        place.starts_with(directory).then_some((place, Mount(mount)))
    };
    // In the order in which they were mounted: the last one is on top.
    mountinfo.split(|byte| *byte == b'\n').filter_map(mount).collect()
}

/// Blanks and backslashes stand there as a backslash and three octal digits.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        match (byte, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            _ => {
                plain.push(*byte);
                rest = tail;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_on_top_of_each_place_below_the_directory_is_found() {
        let text = b"22 1 0:20 / / rw - ext4 /dev/vda rw\n\
            30 22 0:31 / /pods/a\\040b rw,relatime shared:1 - tmpfs tmpfs rw\n\
            31 22 0:32 / /podsx rw - tmpfs tmpfs rw\n\
            32 30 0:33 /in /pods/a\\040b rw - tmpfs tmpfs rw\n\
            33 22 0:34 / /pods/c\\134 rw - tmpfs tmpfs rw\n\
            short\n";
        let mounts = parse(text, Path::new("/pods"));
        let mut places: Vec<_> = mounts.keys().map(|place| place.display().to_string()).collect();
        places.sort();
        assert_eq!(places, ["/pods/a b", "/pods/c\\"]);
        assert_eq!(mounts[Path::new("/pods/a b")], Mount("32 30 0:33".to_owned()));
    }

    #[test]
    fn the_kernel_tells_of_the_root() {
        assert!(below(Path::new("/")).unwrap().contains_key(Path::new("/")));
    }
}
