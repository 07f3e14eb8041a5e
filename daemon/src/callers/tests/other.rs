//! Another process: this program again, which connects and hands its connection over, as a parent does to its child.

use std::io::{IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};

/// The variable that makes this program the other process: the socket it is to connect to.
const SOCKET: &str = "EVERCERT_TEST_OTHER_SOCKET";

/// A process that has connected; it lives until [`Other::end`].
pub(crate) struct Other {
    child: Child,
    control: Option<UnixStream>,
}

impl Other {
    /// Starts a process, of this user where one is named, and returns it with its connection to `socket`.
    pub(crate) fn connect(socket: &Path, uid: Option<u32>) -> (Self, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "callers::tests::other::the_other_process"]).env(SOCKET, socket);
        command.stdin(OwnedFd::from(far)).stdout(Stdio::null());
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        let child = command.spawn().unwrap();
        // Its copy of the other end goes with it: what is read here ends when the process does.
        drop(command);
        let stream = received(&near);
        (Self { child, control: Some(near) }, stream)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it run another program in its place, which does nothing but wait for its end too.
    pub(crate) fn exec(&self) {
        self.control.as_ref().unwrap().write_all(b"x").unwrap();
    }

    /// Ends it, and leaves nothing of it.
    pub(crate) fn end(&mut self) {
        self.control = None;
        self.child.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn the_other_process() {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    let (control, stream) = (std::io::stdin(), UnixStream::connect(socket).unwrap());
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [stream.as_fd()];
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
    rustix::net::sendmsg(&control, &[IoSlice::new(b"x")], &mut ancillary, SendFlags::empty()).unwrap();
    if control.lock().read(&mut [0]).unwrap() > 0 {
        panic!("{}", Command::new("cat").exec());
    }
    std::process::exit(0);
}

fn received(control: &UnixStream) -> UnixStream {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    rustix::net::recvmsg(control, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC).unwrap();
    let mut messages = ancillary.drain();
    let Some(RecvAncillaryMessage::ScmRights(mut descriptors)) = messages.next() else { panic!("it never connected") };
    descriptors.next().unwrap().into()
}
