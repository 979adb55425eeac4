//! `hactl completion`

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::{cli::Cli, exit::Exit, failure::Failure, invocation::Invocation};

/// Print the completion script for a shell.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hactl completion bash > /etc/bash_completion.d/hactl
  hactl completion zsh > \"${fpath[1]}/_hactl\"
  hactl completion fish > ~/.config/fish/completions/hactl.fish")]
pub struct Args {
    /// The shell
    shell: Shell,
}

pub fn run(args: &Args, invocation: &Invocation) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hactl", &mut script);
    invocation.write(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Fine)
}
