//! Names that somebody else chose, resolved by the kernel beneath a directory (`openat2`, Linux 5.6): no link, no `..` and no mount leads
//! out of it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// How a directory is opened to be listed.
pub const LISTED: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// How a directory is opened to have names looked up in it. That needs no permission to list it.
pub const SEARCHED: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// How often a name is resolved again because something was renamed or mounted meanwhile, anywhere on the machine.
const RESOLUTIONS: usize = 32;

/// The treatment of symbolic links on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// They are followed, as long as they lead to what is beneath the directory.
    Followed,
    /// A way with a link in it is refused.
    Refused,
}

/// Opens what a name leads to beneath a directory. With the name `.` the directory itself is opened anew.
///
/// # Errors
///
/// As of `openat2`: EXDEV of what is not beneath the directory or is mounted there, ELOOP of a link that is refused, ENOSYS where the
/// kernel is too old, and EAGAIN where it could not tell because names were changed all the time.
pub fn open(directory: impl AsFd, name: impl AsRef<Path>, flags: OFlags, links: Links) -> Result<OwnedFd, Errno> {
    let links = match links {
        Links::Followed => ResolveFlags::NO_MAGICLINKS,
        Links::Refused => ResolveFlags::NO_SYMLINKS,
    };
    resolve(directory, name.as_ref(), flags, ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | links)
}

/// Opens the directory at a path that has no symbolic link in it, with whatever is mounted there, to be listed.
///
/// # Errors
///
/// There is none, or a link is on the way (ELOOP).
pub fn enter(path: &Path) -> Result<OwnedFd, Errno> {
    resolve(CWD, path, LISTED, ResolveFlags::NO_SYMLINKS)
}

fn resolve(directory: impl AsFd, name: &Path, flags: OFlags, how: ResolveFlags) -> Result<OwnedFd, Errno> {
    until_told(|| rustix::fs::openat2(&directory, name, flags, Mode::empty(), how))
}

/// Has a name resolved, again where the kernel could not tell whether a `..` led out.
fn until_told<T>(mut resolve: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    let mut resolutions = 1;
    loop {
        match resolve() {
            Err(Errno::AGAIN | Errno::INTR) if resolutions < RESOLUTIONS => resolutions += 1,
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_leads_out_is_refused_and_what_stays_is_followed_only_where_links_are() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("root");
        fs::create_dir_all(root.join("real/deeper")).unwrap();
        symlink("real", root.join("link")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("/", root.join("absolute")).unwrap();
        let entered = enter(&root).unwrap();
        let outcome = |name: &str, links| open(&entered, name, SEARCHED, links).map(drop);
        for (name, followed, refused) in [
            ("real/../real/deeper", Ok(()), Ok(())),
            (".", Ok(()), Ok(())),
            ("link/deeper", Ok(()), Err(Errno::LOOP)),
            ("up", Err(Errno::XDEV), Err(Errno::LOOP)),
            ("absolute", Err(Errno::XDEV), Err(Errno::LOOP)),
            ("..", Err(Errno::XDEV), Err(Errno::XDEV)),
            ("/", Err(Errno::XDEV), Err(Errno::XDEV)),
            ("none", Err(Errno::NOENT), Err(Errno::NOENT)),
        ] {
            assert_eq!(outcome(name, Links::Followed), followed, "{name}");
            assert_eq!(outcome(name, Links::Refused), refused, "{name}");
        }
        assert_eq!(enter(&root.join("link")).map(drop), Err(Errno::LOOP));
    }

    #[test]
    fn what_the_kernel_could_not_tell_is_asked_again_so_often_and_no_more() {
        let told_after = |failures| {
            let mut left = failures;
            until_told(|| {
                left -= 1;
                if left < 0 { Ok(()) } else { Err(if left % 2 == 0 { Errno::AGAIN } else { Errno::INTR }) }
            })
        };
        let resolutions = i32::try_from(RESOLUTIONS).unwrap();
        assert_eq!(told_after(resolutions - 1), Ok(()));
        assert_eq!(told_after(resolutions), Err(Errno::AGAIN));
        let mut asked = 0;
        let outcome: Result<(), _> = until_told(|| {
            asked += 1;
            Err(Errno::XDEV)
        });
        assert_eq!((outcome, asked), (Err(Errno::XDEV), 1));
    }
}
