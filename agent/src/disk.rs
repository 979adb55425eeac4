//! Files that are replaced whole, and what may go wrong with them. After a power loss a file is the old one or the new one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// The file system refuses.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}", path.display())]
pub struct DiskError {
    /// What was attempted.
    pub doing: &'static str,
    /// With which file.
    pub path: PathBuf,
    /// The kernel's words.
    #[source]
    pub source: io::Error,
}

/// Makes a closure that says what was attempted.
pub(crate) fn refused<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> DiskError + use<'a> {
    move |source| DiskError { doing, path: path.to_owned(), source }
}

/// Replaces `path` by these bytes: another file beside it is written and synchronized, then renamed, then the directory is
/// synchronized. Only its owner may read it.
///
/// # Errors
/// The file is then the old one, or (when only the directory could not be synchronized) perhaps the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    write_new(&new, bytes)?;
    fs::rename(&new, path).map_err(refused("put in place", path))?;
    sync_directory(path.parent().unwrap_or(Path::new("/")))
}

/// Writes and synchronizes a file; one of that name that is there already is overwritten.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(refused("create", path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(refused("write", path))
}

/// Makes names in a directory last.
pub(crate) fn sync_directory(path: &Path) -> Result<(), DiskError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(refused("sync", path))
}

/// The whole file, `None` when there is none. One that is longer than `len_max` bytes is refused.
pub(crate) fn read(path: &Path, len_max: usize) -> Result<Option<Vec<u8>>, DiskError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused("open", path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(len_max as u64 + 1).read_to_end(&mut bytes).map_err(refused("read", path))?;
    if bytes.len() > len_max {
        let why = format!("it is longer than {len_max} bytes");
        return Err(refused("read", path)(io::Error::new(io::ErrorKind::FileTooLarge, why)));
    }
    Ok(Some(bytes))
}
