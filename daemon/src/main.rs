//! The program `evercertd`.

use std::process::ExitCode;

fn main() -> ExitCode {
    evercertd::main()
}
