//! Users and groups of this host.

use std::fmt;

use nix::{
    errno::Errno,
    unistd::{Group, User, getegid, geteuid, getgroups},
};

use super::walk::{Kind, Meta};
use crate::track::RunAs;

/// Who runs a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Other groups: the agent's own, if it is the agent's own account; a script's user has none.
    groups: Vec<u32>,
    name: Option<String>,
    is_own: bool,
}

/// Why there is no such account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// No such user.
    #[error("there is no user `{0}` on this host")]
    NoUser(String),
    /// No such group.
    #[error("there is no group `{0}` on this host")]
    NoGroup(String),
    /// It could not be looked up.
    #[error("cannot look up `{name}`: {error}")]
    Lookup {
        /// User or group.
        name: String,
        /// Why.
        error: Errno,
    },
}

impl Account {
    /// A user of this host, with a group other than its own if one is named.
    ///
    /// # Errors
    /// When the user or the group is not known.
    pub fn named(user: &str, group: Option<&str>) -> Result<Self, AccountError> {
        let failed = |name: &str| {
            let name = name.to_owned();
            move |error| AccountError::Lookup { name, error }
        };
        let found = User::from_name(user).map_err(failed(user))?;
        let found = found.ok_or_else(|| AccountError::NoUser(user.to_owned()))?;
        let gid = match group {
            None => found.gid,
            Some(group) => {
                let found = Group::from_name(group).map_err(failed(group))?;
                found.ok_or_else(|| AccountError::NoGroup(group.to_owned()))?.gid
            }
        };
        let (uid, gid) = (found.uid.as_raw(), gid.as_raw());
        Ok(Self { uid, gid, groups: Vec::new(), name: Some(found.name), is_own: false })
    }

    /// The agent's own.
    pub fn own() -> Self {
        let groups = getgroups().unwrap_or_default().into_iter().map(|group| group.as_raw()).collect();
        Self { uid: geteuid().as_raw(), gid: getegid().as_raw(), groups, name: None, is_own: true }
    }

    #[cfg(test)]
    pub(super) fn of_test(uid: u32, gid: u32) -> Self {
        Self { uid, gid, groups: Vec::new(), name: None, is_own: false }
    }

    /// Whether it may do anything.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// The same for whoever runs it.
    pub fn run_as(&self) -> RunAs {
        if self.is_own { RunAs::Agent } else { RunAs::User { uid: self.uid, gid: self.gid } }
    }

    /// Whether it may execute such a file, or pass such a directory. An access control list is given the benefit of the
    /// doubt.
    pub(super) fn may_execute(&self, meta: &Meta) -> bool {
        if self.is_root() {
            return meta.kind == Kind::Directory || meta.mode & 0o111 != 0;
        }
        let bit = if self.uid == meta.uid {
            0o100
        } else if self.gid == meta.gid || self.groups.contains(&meta.gid) {
            0o010
        } else {
            0o001
        };
        meta.mode & bit != 0 || meta.has_acl
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "user {name} (uid {}, gid {})", self.uid, self.gid),
            None => write!(f, "uid {}, gid {}", self.uid, self.gid),
        }
    }
}
