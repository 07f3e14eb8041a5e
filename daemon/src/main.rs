//! The program `evercertd`.

use std::process::ExitCode;

/// Memory is wiped before it is freed: also what HTTP/2 and the encoder of messages held of a key, whose buffers are not ours.
#[global_allocator]
static MEMORY: evercertd::Memory = evercertd::MEMORY;

fn main() -> ExitCode {
    evercertd::main()
}
