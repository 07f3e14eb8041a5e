//! The daemon, for scenarios to start: the tests of this package find it beside themselves.
//!
//! With `EVERCERT_TEST_WITHOUT_PIDFD` set it runs as on a kernel that gives no pidfd for a socket's peer (before 6.5), nor for a
//! number.

use std::process::ExitCode;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

#[global_allocator]
static MEMORY: evercertd::Memory = evercertd::MEMORY;

fn main() -> ExitCode {
    if std::env::var_os("EVERCERT_TEST_WITHOUT_PIDFD").is_some()
        && let Err(error) = forget_pidfds()
    {
        eprintln!("pidfds cannot be kept from evercertd: {error}");
        return ExitCode::FAILURE;
    }
    evercertd::main()
}

/// Has the kernel answer as if it had never heard of pidfds.
fn forget_pidfds() -> Result<(), seccompiler::Error> {
    let is = |argument, value: i32| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, u64::from(value.unsigned_abs()))
    };
    let of_peer = SeccompRule::new(vec![is(1, libc::SOL_SOCKET)?, is(2, libc::SO_PEERPIDFD)?])?;
    refuse(libc::SYS_getsockopt, vec![of_peer], libc::ENOPROTOOPT)?;
    refuse(libc::SYS_pidfd_open, Vec::new(), libc::ENOSYS)
}

/// Lets this call fail where a rule fits it, or where there is none.
fn refuse(call: i64, rules: Vec<SeccompRule>, error: i32) -> Result<(), seccompiler::Error> {
    let action = SeccompAction::Errno(error.unsigned_abs());
    let filter =
        SeccompFilter::new([(call, rules)].into(), SeccompAction::Allow, action, std::env::consts::ARCH.try_into()?)?;
    let program: BpfProgram = filter.try_into()?;
    apply_filter(&program)
}
