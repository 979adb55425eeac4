//! Programs that scripts name: where they are, and what only a shell could make of their words.

use std::{
    env,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Where programs are looked for when nobody says where.
const SEARCHED: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The file of a program, looked up in `PATH` unless it is a path.
///
/// # Errors
/// What is wrong with it.
pub(super) fn find(program: &str) -> Result<PathBuf, String> {
    if program.contains('/') {
        let path = PathBuf::from(program);
        return if !path.is_absolute() {
            Err(format!("`{program}` is neither a program in PATH nor an absolute path"))
        } else if !path.exists() {
            Err(format!("`{program}` does not exist"))
        } else if !is_program(&path) {
            Err(format!("`{program}` is not an executable file"))
        } else {
            Ok(path)
        };
    }
    let searched = env::var_os("PATH").unwrap_or_else(|| SEARCHED.into());
    env::split_paths(&searched)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(program))
        .find(|path| !program.is_empty() && is_program(path))
        .ok_or_else(|| format!("there is no program `{program}` in PATH"))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Whether an unquoted word means something to a shell only.
pub(super) fn is_for_a_shell(word: &str) -> bool {
    let operator =
        matches!(word, "&&" | "||" | "|" | ";" | "&" | "!" | "[[" | "((" | "if" | "for" | "while" | "case");
    let redirection =
        word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '&').starts_with(['<', '>']);
    let substitution = word.contains("$(") || word.contains('`') || word.starts_with('$');
    operator || redirection || substitution || word.len() > 1 && word.ends_with(';')
}
