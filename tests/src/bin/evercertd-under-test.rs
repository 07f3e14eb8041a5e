//! The daemon, for scenarios to start: the tests of this package find it beside themselves.

use std::process::ExitCode;

fn main() -> ExitCode {
    evercertd::main()
}
