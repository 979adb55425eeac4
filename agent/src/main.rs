//! The agent: keeps virtual IPs alive on one host by VRRP. What it does is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    match ha_agent::track::RunAsRequest::read(std::env::args_os()) {
        Some(request) => request.carry_out(),
        None => ha_agent::cli::main(),
    }
}
