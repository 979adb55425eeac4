//! The agent: keeps virtual IPs alive on one host by VRRP. What it does is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    ha_agent::cli::main()
}
