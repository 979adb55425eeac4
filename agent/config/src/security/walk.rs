//! The way to a file: every directory and link that a lookup of its path passes.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

use nix::unistd::{Gid, Group, Uid, User};

/// The kernel follows no more symbolic links than these (path_resolution(7)).
const LINKS_AT_MOST: usize = 40;
/// Where a file's access control list is.
const ACL: &str = "system.posix_acl_access";

/// What something in a file system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
    /// Something else.
    Other,
}

/// What is asked of something in a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    /// What it is.
    pub(super) kind: Kind,
    /// Its owner.
    pub(super) uid: u32,
    /// Its group.
    pub(super) gid: u32,
    /// Permission bits, the sticky bit with them (0o7777).
    pub(super) mode: u32,
    /// It has an access control list, so that the permission bits are not the whole truth.
    pub(super) has_acl: bool,
    /// Where a link leads to.
    pub(super) target: Option<PathBuf>,
}

/// Looks at something, not through it.
///
/// # Errors
/// What the kernel says.
pub(super) fn meta(path: &Path) -> io::Result<Meta> {
    let found = fs::symlink_metadata(path)?;
    let kind = match found.file_type() {
        kind if kind.is_symlink() => Kind::Link,
        kind if kind.is_dir() => Kind::Directory,
        kind if kind.is_file() => Kind::File,
        _ => Kind::Other,
    };
    Ok(Meta {
        kind,
        uid: found.uid(),
        gid: found.gid(),
        mode: found.mode() & 0o7777,
        has_acl: kind != Kind::Link
            && rustix::fs::getxattr(path, ACL, &mut [0_u8; 0]).is_ok_and(|length| length > 0),
        target: if kind == Kind::Link { Some(fs::read_link(path)?) } else { None },
    })
}

/// One thing on the way.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) path: PathBuf,
    pub(super) meta: Meta,
}

/// Somebody who is not root may change something on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weakness {
    /// What.
    pub component: PathBuf,
    /// Who.
    pub writer: Writer,
}

/// Who may change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Its owner, this user.
    Owner(u32),
    /// Members of this group.
    Group(u32),
    /// Everybody.
    Everybody,
    /// Whoever its access control list names.
    Listed,
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let component = self.component.display();
        match self.writer {
            Writer::Owner(uid) => match User::from_uid(Uid::from_raw(uid)) {
                Ok(Some(user)) => write!(f, "{component} belongs to user {}", user.name),
                _ => write!(f, "{component} belongs to user {uid}"),
            },
            Writer::Group(gid) => match Group::from_gid(Gid::from_raw(gid)) {
                Ok(Some(group)) => write!(f, "group {} may write to {component}", group.name),
                _ => write!(f, "group {gid} may write to {component}"),
            },
            Writer::Everybody => write!(f, "everybody may write to {component}"),
            Writer::Listed => write!(f, "the access control list of {component} lets others write to it"),
        }
    }
}

impl Step {
    /// Who else may change it. In a sticky directory nobody may replace what root owns; a link cannot be changed but by
    /// its directory or its owner.
    pub(super) fn weakness(&self) -> Option<Weakness> {
        let Meta { kind, uid, gid, mode, has_acl, .. } = self.meta;
        let is_sticky = kind == Kind::Directory && mode & 0o1000 != 0;
        let writer = if uid != 0 {
            Writer::Owner(uid)
        } else if kind == Kind::Link || is_sticky {
            return None;
        } else if mode & 0o002 != 0 {
            Writer::Everybody
        } else if mode & 0o020 != 0 && has_acl {
            Writer::Listed
        } else if mode & 0o020 != 0 && gid != 0 {
            Writer::Group(gid)
        } else {
            return None;
        };
        Some(Weakness { component: self.path.clone(), writer })
    }
}

/// What cannot be looked at.
#[derive(Debug)]
pub(super) struct WalkError {
    pub(super) component: PathBuf,
    pub(super) error: io::Error,
}

/// Follows an absolute path as the kernel does. The last step is what it leads to.
pub(super) fn walk(
    path: &Path,
    look: &mut dyn FnMut(&Path) -> io::Result<Meta>,
) -> Result<Vec<Step>, WalkError> {
    // What is left to follow, the next at the end.
    let mut left = components(path);
    let mut here = PathBuf::from("/");
    let mut links = 0_usize;
    let root = look(&here).map_err(|error| WalkError { component: here.clone(), error })?;
    let mut steps = vec![Step { path: here.clone(), meta: root }];
    while let Some(component) = left.pop() {
        if component == Path::new("..") {
            here.pop();
            continue;
        }
        let next = here.join(&component);
        let refused = |error| WalkError { component: next.clone(), error };
        let meta = look(&next).map_err(refused)?;
        match (meta.kind, &meta.target) {
            (Kind::Link, Some(target)) => {
                links = links.saturating_add(1);
                if links > LINKS_AT_MOST {
                    return Err(refused(io::Error::from(rustix::io::Errno::LOOP)));
                }
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                left.extend(components(target));
            }
            (Kind::Directory, _) => here.clone_from(&next),
            (Kind::Link | Kind::File | Kind::Other, _) if !left.is_empty() => {
                return Err(refused(io::Error::from(rustix::io::Errno::NOTDIR)));
            }
            (Kind::Link | Kind::File | Kind::Other, _) => {}
        }
        steps.push(Step { path: next, meta });
    }
    Ok(steps)
}

/// The names of a path, the first at the end.
fn components(path: &Path) -> Vec<PathBuf> {
    let names = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.collect()
}
