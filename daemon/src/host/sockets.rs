//! The daemon's Unix sockets: one daemon at a path, no moment without a socket there that answers or refuses, and no
//! way for another user to put one in its place.
//!
//! A lock beside the socket keeps two daemons from starting at once, and only its owner touches the path. The new
//! socket gets a temporary name and its mode first and is then renamed over the old one. The directory outlives the
//! daemon, because pods mount it; so does the lock file, because removing it would let two daemons lock two files of
//! one name. A pod that runs as root can hold that lock, though it cannot write there: a lock alone, behind which nobody
//! listens, is waited for and then passed over.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, fchmod, flock};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};
use tracing::warn;

/// The mode of the directories that are made.
const DIRECTORY_MODE: u32 = 0o755;

/// The peers that may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Everybody: what each is given is decided when it asks.
    Everybody,
    /// The daemon's user, and the group of the socket.
    Group,
}

impl Audience {
    /// The mode of the socket.
    fn mode(self) -> u32 {
        match self {
            Self::Everybody => 0o666,
            Self::Group => 0o660,
        }
    }
}

/// In a directory with this bit only the owner of what is in it may rename or remove it.
const STICKY: u32 = 0o1000;

/// How many connections may wait to be accepted: as many as the kernel allows, which is net.core.somaxconn (4096 by default).
pub(crate) const BACKLOG: i32 = i32::MAX;

/// How often the lock is tried while another program has it and nobody listens at the path.
const LOCK_TRIES: u32 = 100;
/// The pause between two tries: 5 s in all, in which a daemon that has just locked listens, and one that stops is gone.
const LOCK_PACE: Duration = Duration::from_millis(50);

/// A socket at a path that is this daemon's, until it is dropped.
#[derive(Debug)]
pub(crate) struct OwnedSocket {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
    /// Held by the open file; absent where another program, which does not listen here, keeps it.
    _lock: Option<File>,
}

/// There is no having the socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    /// The lock is held.
    #[error(
        "another evercertd{} serves {}; stop it first (systemctl stop evercertd), or give this one paths of its own in [sockets]",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), path.display()
    )]
    Held {
        /// The socket.
        path: PathBuf,
        /// Its holder, as the lock file says.
        pid: Option<u32>,
    },
    /// Somebody answers who does not hold the lock.
    #[error("another program listens on {}; stop it first", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something else is in its place.
    #[error("{} is there and is no socket; remove it", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The directory can be replaced by somebody else.
    #[error("{} {problem}: another user could put a socket in place of the daemon's; {advice}", directory.display())]
    UnsafeDirectory {
        /// The directory.
        directory: PathBuf,
        /// The weakness.
        problem: &'static str,
        /// The remedy.
        advice: &'static str,
    },
    /// Longer than the kernel allows.
    #[error("{} is too long for a socket: the kernel allows 107 bytes", path.display())]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The failed action.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl OwnedSocket {
    /// Locks `path`, replaces a stale socket there, and listens for `audience`.
    ///
    /// # Errors
    ///
    /// Another daemon has it, or the directory or file system does not allow it.
    pub(crate) fn bind(path: &Path, audience: Audience) -> Result<Self, SocketError> {
        Self::bind_after(LOCK_TRIES, path, audience)
    }

    fn bind_after(tries: u32, path: &Path, audience: Audience) -> Result<Self, SocketError> {
        // The temporary name may fit where the final one does not.
        SockAddr::unix(path).map_err(|_| SocketError::TooLong { path: path.to_owned() })?;
        let directory = path.parent().unwrap_or(Path::new("/"));
        prepare(directory)?;
        let lock = lock(tries, path)?;
        probe(path)?;
        let temporary = directory.join(format!(".{}", std::process::id()));
        // A daemon with this process id that was killed between bind and rename has left it. The lock is ours, or a pod's: no other daemon is
        // starting here.
        remove(&temporary)?;
        let listener = listen(&temporary, audience)?;
        let rename = || {
            fs::set_permissions(&temporary, fs::Permissions::from_mode(audience.mode()))?;
            fs::rename(&temporary, path)?;
            fs::symlink_metadata(path)
        };
        match rename() {
            Ok(metadata) => Ok(Self { listener, path: path.to_owned(), inode: metadata.ino(), _lock: lock }),
            Err(source) => {
                let _ = fs::remove_file(&temporary);
                Err(SocketError::Io { action: "put the socket at", path: path.to_owned(), source })
            }
        }
    }

    /// The listener, which shares the socket with this value.
    ///
    /// # Errors
    ///
    /// No further descriptor can be had.
    pub(crate) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for OwnedSocket {
    fn drop(&mut self) {
        // Not one that somebody put there since.
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes the directory where it is missing, and refuses one in which somebody else could replace the socket.
fn prepare(directory: &Path) -> Result<(), SocketError> {
    let io_error = |action| move |source| SocketError::Io { action, path: directory.to_owned(), source };
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(directory)
        .map_err(io_error("create the directory"))?;
    let unsafe_directory = |directory: &Path, problem, advice| {
        Err(SocketError::UnsafeDirectory { directory: directory.to_owned(), problem, advice })
    };
    if fs::symlink_metadata(directory).map_err(io_error("look at"))?.is_symlink() {
        return unsafe_directory(directory, "is a symbolic link", "configure the directory it points to");
    }
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    // A user that may write a directory above may put another one in place of this; by either name, where a link is on the way.
    let real = fs::canonicalize(directory).map_err(io_error("look at"))?;
    for above in real.ancestors().chain(directory.ancestors()) {
        let metadata = fs::metadata(above).map_err(io_error("look at"))?;
        let is_sticky = above != directory && above != real && metadata.mode() & STICKY != 0;
        let mode = if is_sticky { metadata.mode() & !0o022 } else { metadata.mode() };
        if let Some((problem, advice)) = weakness((metadata.uid(), metadata.gid()), mode, own) {
            return unsafe_directory(above, problem, advice);
        }
    }
    Ok(())
}

/// Whether others could replace what is in a directory of this user and group with this mode, and the remedy; `own` are the
/// user and group that may.
fn weakness((uid, gid): (u32, u32), mode: u32, own: (u32, u32)) -> Option<(&'static str, &'static str)> {
    const ADVICE: &str = "chmod it to 0755, or use a directory of its own below it";
    if uid != 0 && uid != own.0 {
        Some(("belongs to another user", "chown it to the daemon's user"))
    } else if mode & 0o002 != 0 {
        Some(("is writable for everybody", ADVICE))
    } else if mode & 0o020 != 0 && gid != 0 && gid != own.1 {
        Some(("is writable for its group", ADVICE))
    } else {
        None
    }
}

fn lock(tries: u32, path: &Path) -> Result<Option<File>, SocketError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let io_error = |action| {
        let name = name.clone();
        move |source| SocketError::Io { action, path: name, source }
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(&name)
        .map_err(io_error("open"))?;
    for _ in 0..tries {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(io_error("write"))?;
                return Ok(Some(file));
            }
            Err(Errno::WOULDBLOCK) if UnixStream::connect(path).is_ok() => {
                let mut text = String::new();
                let _ = (&file).take(16).read_to_string(&mut text);
                return Err(SocketError::Held { path: path.to_owned(), pid: text.trim().parse().ok() });
            }
            Err(Errno::WOULDBLOCK) => sleep(LOCK_PACE),
            Err(error) => return Err(io_error("lock")(error.into())),
        }
    }
    warn!(
        path = %name.display(),
        "another program locks this file and does not listen here: it is passed over. `fuser -v` tells which it is; a pod that runs as \
         root and mounts the directory can do this, and nothing with it"
    );
    Ok(None)
}

/// Whether the path is free, or holds a socket that nobody listens on.
fn probe(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(SocketError::Io { action: "look at", path: path.to_owned(), source }),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(SocketError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Ok(()),
        Ok(_) => Err(SocketError::InUse { path: path.to_owned() }),
        Err(source) => Err(SocketError::Io { action: "probe", path: path.to_owned(), source }),
    }
}

fn listen(path: &Path, audience: Audience) -> Result<UnixListener, SocketError> {
    let io_error = |source| SocketError::Io { action: "listen on", path: path.to_owned(), source };
    let address = SockAddr::unix(path).map_err(|_| SocketError::TooLong { path: path.to_owned() })?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(io_error)?;
    // Before bind, so that the socket is at no moment open to more than it should be.
    fchmod(&socket, Mode::from_raw_mode(audience.mode())).map_err(|error| io_error(error.into()))?;
    socket.bind(&address).map_err(io_error)?;
    socket.listen(BACKLOG).map_err(io_error)?;
    Ok(UnixListener::from(std::os::fd::OwnedFd::from(socket)))
}

fn remove(path: &Path) -> Result<(), SocketError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(SocketError::Io { action: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use evercert_fixtures::set_mode;

    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/agent.sock");
        let first = OwnedSocket::bind(&path, Audience::Everybody).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o666);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o7777 & !0o022, DIRECTORY_MODE);
        let error = OwnedSocket::bind(&path, Audience::Everybody).unwrap_err().to_string();
        let own = format!("another evercertd (process {}) serves {}", std::process::id(), path.display());
        assert!(error.starts_with(&own), "{error}");
        drop(first);
        assert!(!path.exists() && path.parent().unwrap().is_dir());

        // A killed daemon leaves: the socket, and no lock.
        drop(UnixListener::bind(&path).unwrap());
        assert!(UnixStream::connect(&path).is_err());
        let second = OwnedSocket::bind(&path, Audience::Everybody).unwrap();
        UnixStream::connect(&path).unwrap();
        let (_stream, _) = second.listener().unwrap().accept().unwrap();
        let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }

    #[test]
    fn a_socket_for_a_group_is_for_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let _socket = OwnedSocket::bind(&path, Audience::Group).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o660);
    }

    #[test]
    fn whoever_holds_the_lock_and_does_not_listen_keeps_no_daemon_from_starting() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        drop(OwnedSocket::bind(&path, Audience::Everybody).unwrap());
        let other = File::open(directory.path().join("agent.sock.lock")).unwrap();
        flock(&other, FlockOperation::LockShared).unwrap();
        let first = OwnedSocket::bind_after(2, &path, Audience::Everybody).unwrap();
        UnixStream::connect(&path).unwrap();
        // Nor does it let two of them in, whether it goes on or lets go.
        assert!(matches!(OwnedSocket::bind(&path, Audience::Everybody), Err(SocketError::Held { .. })));
        drop(other);
        assert!(matches!(OwnedSocket::bind(&path, Audience::Everybody), Err(SocketError::InUse { .. })));
        drop(first);
        assert!(!path.exists());
    }

    #[test]
    fn a_lock_that_is_let_go_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        let other = File::create(directory.path().join("agent.sock.lock")).unwrap();
        flock(&other, FlockOperation::LockExclusive).unwrap();
        let letting_go = std::thread::spawn(move || {
            sleep(2 * LOCK_PACE);
            drop(other);
        });
        let socket = OwnedSocket::bind(&path, Audience::Everybody).unwrap();
        assert!(socket._lock.is_some());
        letting_go.join().unwrap();
    }

    #[test]
    fn another_programs_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        let other = UnixListener::bind(&path).unwrap();
        assert!(matches!(OwnedSocket::bind(&path, Audience::Everybody), Err(SocketError::InUse { .. })));
        drop(other);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert!(matches!(OwnedSocket::bind(&path, Audience::Everybody), Err(SocketError::NotASocket { .. })));
    }

    #[test]
    fn a_socket_that_took_the_place_of_ours_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        let ours = OwnedSocket::bind(&path, Audience::Everybody).unwrap();
        fs::remove_file(&path).unwrap();
        let _theirs = UnixListener::bind(&path).unwrap();
        drop(ours);
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn a_group_that_may_connect_may_not_replace_the_socket() {
        let problem = |owner, mode| weakness(owner, mode, (7, 7)).map(|(problem, _)| problem);
        assert_eq!(problem((0, 50), 0o2775), Some("is writable for its group"));
        assert_eq!(problem((0, 50), 0o2755), None);
        for trusted in [(0, 0), (7, 7), (7, 0)] {
            assert_eq!(problem(trusted, 0o775), None);
        }
        assert_eq!(problem((0, 0), 0o777), Some("is writable for everybody"));
        assert_eq!(problem((8, 7), 0o755), Some("belongs to another user"));
    }

    #[test]
    fn a_directory_that_others_control_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().join("real");
        fs::create_dir(&real).unwrap();
        symlink(&real, directory.path().join("link")).unwrap();
        let error =
            OwnedSocket::bind(&directory.path().join("link/a.sock"), Audience::Everybody).unwrap_err().to_string();
        assert!(error.contains("is a symbolic link"), "{error}");
        set_mode(&real, 0o777);
        let error = OwnedSocket::bind(&real.join("a.sock"), Audience::Everybody).unwrap_err().to_string();
        assert!(error.contains("writable for everybody"), "{error}");
        let long = real.join("x".repeat(120));
        set_mode(&real, 0o755);
        assert!(matches!(OwnedSocket::bind(&long, Audience::Everybody), Err(SocketError::TooLong { .. })));
    }

    #[test]
    fn a_directory_below_one_that_others_may_write_is_refused_unless_they_cannot_rename_it() {
        let home = tempfile::tempdir().unwrap();
        let (shared, place) = (home.path().join("shared"), home.path().join("shared/run/a.sock"));
        fs::create_dir(&shared).unwrap();
        let bind = |mode| {
            set_mode(&shared, mode);
            OwnedSocket::bind(&place, Audience::Everybody)
        };
        let error = bind(0o777).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{} is writable for everybody", shared.display())), "{error}");
        bind(0o1777).unwrap();
        symlink(&shared, home.path().join("link")).unwrap();
        set_mode(&shared, 0o777);
        let through = home.path().join("link/run/a.sock");
        assert!(OwnedSocket::bind(&through, Audience::Everybody).is_err());
    }
}
