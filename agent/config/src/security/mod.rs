//! Who runs a script, and whether it may be run: what keepalived calls script user and script security.
//!
//! A script that root runs is as trustworthy as everything on the way to it: whoever may write to the file or to a directory
//! of its path, or of a symbolic link's, decides what root does. keepalived looks at where links lead to; here, every
//! directory on the way counts.

mod account;
mod walk;

use std::path::{Path, PathBuf};

pub use account::{Account, AccountError};
pub use walk::{Weakness, Writer};

use self::walk::{Kind, Meta, Step, WalkError, meta, walk};
use crate::track::RunAs;

/// Where programs are looked for when the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the configuration says of all scripts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// keepalived's `script_user`; `None`: the user [`DEFAULT_USER`] if there is one, else the agent's own.
    pub user: Option<UserName>,
    /// keepalived's `enable_script_security`: a script that root runs is refused when somebody else can change it, and there is
    /// no falling back to the agent's own user.
    pub is_strict: bool,
}

/// Runs scripts of which nothing else is said, if it exists.
pub const DEFAULT_USER: &str = "keepalived_script";

/// A user, and a group other than the user's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserName {
    /// Name of the user.
    pub user: String,
    /// Name of the group; `None`: the user's.
    pub group: Option<String>,
}

/// A script that may be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    /// The program's absolute path, and its arguments.
    pub command: Vec<String>,
    /// Who runs it.
    pub run_as: RunAs,
    /// What its author should know.
    pub remarks: Vec<Remark>,
}

/// What the author of a script's definition should know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Remark {
    /// Its name was looked up.
    #[error("`{name}` was found as {path}; write the full path, so that it is this one always")]
    FoundInPath {
        /// As it was written.
        name: String,
        /// What was found.
        path: PathBuf,
    },
    /// Root runs it, because nothing says otherwise.
    #[error(
        "it runs as root: there is no user `{DEFAULT_USER}`, and neither `script_user` nor `user` names another; a script that \
         needs no rights of root is better run as somebody else"
    )]
    RunsAsRoot,
    /// Somebody else decides what root runs.
    #[error("it runs as root, but {0}; with `enable_script_security` it would be refused")]
    Insecure(Weakness),
    /// keepalived runs such a line by a shell.
    #[error(
        "a command that begins with `</` is run by /bin/sh; /dev/tcp and /dev/udp are known to bash only"
    )]
    ByShell,
}

/// Why a script is not run.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Nothing to run.
    #[error("the command is empty")]
    Empty,
    /// Its user or group is not known.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// Security is asked for, and nothing says who shall run it.
    #[error(
        "with `enable_script_security` somebody must be named to run it: make the user `{DEFAULT_USER}`, or name one by \
         `script_user` or `user`"
    )]
    NobodyNamed,
    /// A path that depends on where the agent was started.
    #[error("`{0}` is a relative path; write the absolute one")]
    Relative(String),
    /// Not in any directory of PATH.
    #[error("there is no program `{name}` in {path}")]
    NotInPath {
        /// As it was written.
        name: String,
        /// Where it was looked for.
        path: String,
    },
    /// Something on the way to it cannot be had.
    #[error("{}: cannot look at {}: {error}", script.display(), component.display())]
    Unreachable {
        /// The script.
        script: PathBuf,
        /// What cannot be had.
        component: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A directory or a device.
    #[error("{} is not a regular file", .0.display())]
    NotRegular(PathBuf),
    /// It, or a directory on the way to it, may not be executed by its user.
    #[error("{}: {account} may not execute {}", script.display(), component.display())]
    NotExecutable {
        /// The script.
        script: PathBuf,
        /// What may not be executed (a file) or passed (a directory).
        component: PathBuf,
        /// Who.
        account: Account,
    },
    /// Somebody else decides what root runs, and security is asked for.
    #[error("{}: refused by `enable_script_security`: it runs as root, but {weakness}", script.display())]
    Insecure {
        /// The script.
        script: PathBuf,
        /// Who, and where.
        weakness: Weakness,
    },
}

/// Decides about one script: `command` as it is written, split into words; `user` as its own definition says.
///
/// # Errors
/// When it cannot or must not be run.
pub fn examine(command: &[String], user: Option<&UserName>, policy: &Policy) -> Result<Approved, Refusal> {
    let mut remarks = Vec::new();
    let account = match user.or(policy.user.as_ref()) {
        Some(named) => Account::named(&named.user, named.group.as_deref())?,
        None => match Account::named(DEFAULT_USER, None) {
            Ok(account) => account,
            Err(AccountError::NoUser(_)) if policy.is_strict => return Err(Refusal::NobodyNamed),
            Err(AccountError::NoUser(_)) => {
                let own = Account::own();
                if own.is_root() {
                    remarks.push(Remark::RunsAsRoot);
                }
                own
            }
            Err(error) => return Err(error.into()),
        },
    };
    let path = std::env::var("PATH").unwrap_or_else(|_| DEFAULT_PATH.to_owned());
    let command = decide(command, &account, policy.is_strict, &path, &mut remarks, &mut |path| meta(path))?;
    Ok(Approved { command, run_as: account.run_as(), remarks })
}

/// The same for an account, over any file system.
fn decide(
    command: &[String],
    account: &Account,
    is_strict: bool,
    search_path: &str,
    remarks: &mut Vec<Remark>,
    look: &mut dyn FnMut(&Path) -> std::io::Result<Meta>,
) -> Result<Vec<String>, Refusal> {
    let [name, arguments @ ..] = command else { return Err(Refusal::Empty) };
    let (name, words) = match name.as_str() {
        "" => return Err(Refusal::Empty),
        redirection if redirection.starts_with("</") => {
            remarks.push(Remark::ByShell);
            ("/bin/sh", vec!["-c".to_owned(), command.join(" ")])
        }
        name => (name, arguments.to_vec()),
    };
    let script = if name.starts_with('/') {
        PathBuf::from(name)
    } else if name.contains('/') {
        return Err(Refusal::Relative(name.to_owned()));
    } else {
        let script = find(name, search_path, account, look)
            .ok_or_else(|| Refusal::NotInPath { name: name.to_owned(), path: search_path.to_owned() })?;
        remarks.push(Remark::FoundInPath { name: name.to_owned(), path: script.clone() });
        script
    };
    let steps = steps_to(&script, account, look)?;
    if account.is_root()
        && let Some(weakness) = steps.iter().find_map(Step::weakness)
    {
        if is_strict {
            return Err(Refusal::Insecure { script, weakness });
        }
        remarks.push(Remark::Insecure(weakness));
    }
    let program = script.to_str().unwrap_or(name).to_owned();
    Ok([vec![program], words].concat())
}

/// The first executable file of that name, as execvp(3) looks for it.
fn find(
    name: &str,
    search_path: &str,
    account: &Account,
    look: &mut dyn FnMut(&Path) -> std::io::Result<Meta>,
) -> Option<PathBuf> {
    let directories = search_path.split(':').filter(|directory| directory.starts_with('/'));
    directories
        .map(|directory| Path::new(directory).join(name))
        .find(|path| steps_to(path, account, look).is_ok())
}

/// Everything on the way to a script that this account can execute.
fn steps_to(
    script: &Path,
    account: &Account,
    look: &mut dyn FnMut(&Path) -> std::io::Result<Meta>,
) -> Result<Vec<Step>, Refusal> {
    let steps = walk(script, look).map_err(|WalkError { component, error }| Refusal::Unreachable {
        script: script.to_owned(),
        component,
        error,
    })?;
    if steps.last().is_none_or(|last| last.meta.kind != Kind::File) {
        return Err(Refusal::NotRegular(script.to_owned()));
    }
    match steps.iter().find(|step| step.meta.kind != Kind::Link && !account.may_execute(&step.meta)) {
        None => Ok(steps),
        Some(step) => Err(Refusal::NotExecutable {
            script: script.to_owned(),
            component: step.path.clone(),
            account: account.clone(),
        }),
    }
}

#[cfg(test)]
mod tests;
