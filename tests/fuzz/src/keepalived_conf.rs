//! The reader of keepalived.conf: any bytes, with a folder of files that can be included.

use std::path::Path;

use ha_agent::config::Language;

use crate::{Reached, Target, text};

/// See [`Target`].
pub const TARGET: Target = Target {
    name: "keepalived_conf",
    run,
    must_reach: &["taken", "several instances", "something tracked", "warned", "refused", "included"],
};

/// The text lies in a folder of its own, beside what it may include.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/include/keepalived.conf");

/// The bytes are the file.
pub fn run(bytes: &[u8]) -> Reached {
    if leaves_its_folder(bytes) {
        return Reached::new();
    }
    let mut reached = text::read(Language::KeepalivedConf, Path::new(FILE), bytes);
    if bytes.windows(b"\ninclude ".len()).any(|word| word == b"\ninclude ") {
        reached.insert("included".to_owned());
    }
    reached
}

/// Whether it might include a file of this machine, which would be another run on another machine: there is an `include`,
/// and a name that is absolute, climbs, or is put together.
fn leaves_its_folder(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let is_absolute = |at: usize| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        !before.is_some_and(|before| before.is_ascii_alphanumeric() || ".:*?]_-".contains(before))
    };
    text.contains("include")
        && (text.contains("..")
            || text.contains(['$', '~', '\\'])
            || text.match_indices('/').any(|(at, _)| is_absolute(at)))
}
