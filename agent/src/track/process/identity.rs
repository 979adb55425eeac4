//! What a process is, as `/proc` says it (proc(5)).

use std::{fs, io, io::Read, path::Path};

/// The kernel's name of a process has at most so many bytes (`TASK_COMM_LEN` without its end).
pub(super) const NAME_LEN: usize = 15;
/// A longer command line is cut.
const COMMAND_LINE_LEN: u64 = 64 * 1024;

/// What a process is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// `/proc/PID/comm`.
    pub(super) name: Vec<u8>,
    /// `/proc/PID/cmdline`; empty when nobody asked for it, or it has none (a thread of the kernel).
    pub(super) command_line: Vec<Vec<u8>>,
}

impl Identity {
    /// Reads it; `None` when it is gone, or has ended and waits to be reaped. The command line may block while the process
    /// is stuck.
    pub(super) fn of(pid: u32, with_command_line: bool) -> Option<Self> {
        let directory = format!("/proc/{pid}");
        let directory = Path::new(&directory);
        let name = name_of_living(&fs::read(directory.join("stat")).ok()?)?;
        let command_line =
            if with_command_line { words(&read_some(&directory.join("cmdline")).ok()?) } else { Vec::new() };
        Some(Self { name, command_line })
    }
}

/// Every process that runs.
///
/// # Errors
/// When `/proc` cannot be read.
pub(super) fn everybody(with_command_line: bool) -> io::Result<Vec<(u32, Identity)>> {
    let pid = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let pids = fs::read_dir("/proc")?.filter_map(pid);
    Ok(pids.filter_map(|pid| Some((pid, Identity::of(pid, with_command_line)?))).collect())
}

/// The name in `/proc/PID/stat`, `PID (NAME) STATE …`; the name may hold anything, brackets too. `None` for the dead.
fn name_of_living(stat: &[u8]) -> Option<Vec<u8>> {
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let name = stat.get(open.checked_add(1)?..close)?;
    let state = stat.get(close.checked_add(2)?)?;
    (!matches!(state, b'Z' | b'X' | b'x')).then(|| name.to_vec())
}

/// Each word ends with a zero byte.
fn words(command_line: &[u8]) -> Vec<Vec<u8>> {
    let Some(text) = command_line.strip_suffix(b"\0") else {
        return if command_line.is_empty() {
            Vec::new()
        } else {
            command_line.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
        };
    };
    text.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

fn read_some(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    fs::File::open(path)?.take(COMMAND_LINE_LEN).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_anything() {
        let name = |stat: &str| name_of_living(stat.as_bytes()).map(|name| String::from_utf8(name).unwrap());
        assert_eq!(name("1 (systemd) S 0 1 1"), Some("systemd".to_owned()));
        assert_eq!(name("7 (a) Z (b) R 0 1"), Some("a) Z (b".to_owned()));
        assert_eq!(name("7 (nginx) Z 0 1"), None);
        for torn in ["", "7", "7 (nginx", "7 (nginx)", "7 )nginx( S", "7 (nginx) "] {
            assert_eq!(name(torn), None, "{torn}");
        }
    }

    #[test]
    fn command_lines_are_words() {
        assert_eq!(words(b"sleep\x0010\0"), [b"sleep".to_vec(), b"10".to_vec()]);
        assert_eq!(words(b"a\0\0b\0"), [b"a".to_vec(), Vec::new(), b"b".to_vec()]);
        assert_eq!(words(b"nginx: master process"), [b"nginx: master process".to_vec()]);
        assert!(words(b"").is_empty());
    }

    #[test]
    fn this_process_is_found() {
        let own = std::process::id();
        let everybody = everybody(true).unwrap();
        let (_, found) = everybody.iter().find(|(pid, _)| *pid == own).unwrap();
        let arguments: Vec<_> = std::env::args().map(String::into_bytes).collect();
        assert_eq!(found.command_line, arguments);
        assert_eq!(Identity::of(0, false), None);
    }
}
