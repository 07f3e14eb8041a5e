//! Taking connections from a listening socket: the one loop of all of the daemon's sockets, on a thread of its own for each.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

/// The number of connections taken before it is looked whether to stop.
const BATCH: usize = 256;

/// The pause of accepting when no descriptor or memory is left: at once it would only fail again.
const EXHAUSTED_PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// The taker of one socket's connections.
pub(crate) trait Intake: Send + 'static {
    /// Takes a connection, whose socket does not block; a break where no more are wanted.
    fn came(&mut self, stream: OwnedFd) -> ControlFlow<()>;

    /// There is no descriptor or no memory for a further one. It waits in the kernel's queue, and is tried again a little later.
    fn exhausted(&mut self, error: Errno);
}

/// A socket whose connections are taken. Dropping this ends it, and the thread closes the socket.
#[derive(Debug)]
pub(crate) struct Accepting {
    _open: UnixStream,
}

impl Accepting {
    /// Starts the thread, called `name`. `nice` is how much later than others it gets a processor; absent: like all else.
    ///
    /// # Errors
    ///
    /// There is no thread or descriptor to be had.
    pub(crate) fn start(
        listener: impl Into<OwnedFd>,
        name: &str,
        nice: Option<i32>,
        mut intake: impl Intake,
    ) -> io::Result<Self> {
        let (listener, (open, shut)) = (listener.into(), UnixStream::pair()?);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            if let Some(nice) = nice
                && let Err(error) = rustix::process::setpriority_process(None, nice)
            {
                tracing::debug!(%error, "connections are accepted at the priority of everything else");
            }
            take(&listener, &shut, &mut intake);
            // Closed before the intake goes, by which others may see that it is over.
            drop(listener);
        })?;
        Ok(Self { _open: open })
    }
}

/// Takes connections until `shut` says so, or nobody wants more.
fn take(listener: &OwnedFd, shut: &UnixStream, intake: &mut impl Intake) {
    loop {
        let mut events = [PollFd::new(listener, PollFlags::IN), PollFd::new(shut, PollFlags::IN)];
        match poll(&mut events, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return tracing::error!(%error, "no further connection can be waited for"),
        }
        if !events[1].revents().is_empty() {
            return;
        }
        for _ in 0..BATCH {
            match accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(stream) => {
                    if intake.came(stream).is_break() {
                        return;
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                    intake.exhausted(error);
                    _ = poll(&mut [PollFd::new(shut, PollFlags::IN)], Some(&EXHAUSTED_PAUSE));
                    break;
                }
                Err(error) => tracing::debug!(%error, "a connection was gone before it was accepted"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    struct Few(usize, Sender<OwnedFd>);

    impl Intake for Few {
        fn came(&mut self, stream: OwnedFd) -> ControlFlow<()> {
            self.0 -= 1;
            self.1.send(stream).unwrap();
            if self.0 == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }

        fn exhausted(&mut self, _: Errno) {}
    }

    fn taking(most: usize) -> (std::net::SocketAddr, Accepting, Receiver<OwnedFd>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, taken) = channel();
        (address, Accepting::start(listener, "test", None, Few(most, sender)).unwrap(), taken)
    }

    #[test]
    fn connections_are_taken_until_it_is_dropped_and_the_socket_is_closed_then() {
        let (address, accepting, taken) = taking(usize::MAX);
        let _clients = [TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap()];
        let _both = [taken.recv().unwrap(), taken.recv().unwrap()];
        drop(accepting);
        // The thread drops it with the socket.
        assert!(taken.recv().is_err());
        assert!(TcpStream::connect(address).is_err());
    }

    #[test]
    fn none_is_taken_after_the_last_that_is_wanted() {
        let (address, _accepting, taken) = taking(1);
        let _client = TcpStream::connect(address).unwrap();
        let _first = taken.recv().unwrap();
        assert!(taken.recv().is_err());
        assert!(TcpStream::connect(address).is_err());
    }
}
