//! `include` and its variants: patterns relative to the file that includes, in the order of the names.

use std::path::{Path, PathBuf};

use super::tree::{self, Statement, Word};
use crate::source::{FileId, Report};

/// Files that include files that include … more often than this are a mistake.
const DEEPEST: usize = 16;
/// All files together.
const MOST_FILES: usize = 1000;

/// The files being read, outermost first.
#[derive(Debug)]
pub(super) struct Includes {
    /// Their true paths, to find cycles.
    open: Vec<PathBuf>,
    files: usize,
}

impl Includes {
    /// Begins with a file that is not included by any other.
    pub fn new(path: &Path) -> Self {
        Self { open: vec![true_path(path)], files: 1 }
    }

    /// What an `include` line stands for.
    pub fn statements(&mut self, line: &Statement, report: &mut Report) -> Vec<Statement> {
        let keyword = &line.keyword.text;
        let [pattern] = line.args.as_slice() else {
            let message = format!("`{keyword}` takes one file name or pattern, here are {}", line.args.len());
            report.error_with(
                line.keyword.span,
                message,
                "write one `include` line for each, quoted if it has spaces",
            );
            return Vec::new();
        };
        let mut statements = Vec::new();
        for path in self.matches(keyword, pattern, report) {
            statements.extend(self.file(&path, pattern, report));
        }
        statements
    }

    fn matches(&self, keyword: &str, pattern: &Word, report: &mut Report) -> Vec<PathBuf> {
        let directory = report.sources.path(pattern.span.file()).parent().unwrap_or(Path::new("")).to_owned();
        let is_pattern = pattern.text.contains(['*', '?', '[']);
        // An absolute name replaces the directory. The directory's own name is no pattern.
        let whole = if Path::new(&pattern.text).is_absolute() {
            PathBuf::from(&pattern.text)
        } else if is_pattern {
            Path::new(&glob::Pattern::escape(&directory.to_string_lossy())).join(&pattern.text)
        } else {
            directory.join(&pattern.text)
        };
        if !is_pattern {
            return vec![whole];
        }
        let paths = match glob::glob(&whole.to_string_lossy()) {
            Ok(paths) => paths,
            Err(error) => {
                report.error(
                    pattern.span,
                    format!("`{}` is not a pattern of file names: {}", pattern.text, error.msg),
                );
                return Vec::new();
            }
        };
        let mut found = Vec::new();
        for path in paths {
            match path {
                Ok(path) if path.is_dir() => {}
                Ok(path) if is_special(&path) => report.warn(
                    pattern.span,
                    format!("`{}` matches `{}`, which is not a regular file", pattern.text, path.display()),
                    "it is not read; move it elsewhere",
                ),
                Ok(path) => found.push(path),
                Err(error) => {
                    report.error(pattern.span, format!("cannot look for `{}`: {error}", pattern.text))
                }
            }
        }
        if found.is_empty() {
            let message = format!("no file matches `{}`", pattern.text);
            if matches!(keyword, "includew" | "includea") {
                report.error(pattern.span, message);
            } else {
                report.warn(
                    pattern.span,
                    message,
                    "nothing is included here; remove the line if that is meant",
                );
            }
        }
        found
    }

    fn file(&mut self, path: &Path, pattern: &Word, report: &mut Report) -> Vec<Statement> {
        let shown = path.display();
        let real = true_path(path);
        if self.open.contains(&real) {
            report.error_with(
                pattern.span,
                format!("`{shown}` includes itself"),
                "a file may not include a file that includes it",
            );
            return Vec::new();
        }
        if self.open.len() > DEEPEST || self.files >= MOST_FILES {
            let message =
                format!("`{shown}` is not read: at most {MOST_FILES} files, {DEEPEST} deep, may be included");
            report.error(pattern.span, message);
            return Vec::new();
        }
        if is_special(path) {
            report.error_with(
                pattern.span,
                format!("`{shown}` is not a regular file"),
                "only regular files can be included: a pipe might never end",
            );
            return Vec::new();
        }
        let file: FileId = match report.sources.read(path) {
            Ok(file) => file,
            Err(error) => {
                report.error(pattern.span, format!("`{shown}` cannot be read: {error}"));
                return Vec::new();
            }
        };
        self.files += 1;
        self.open.push(real);
        let statements = tree::statements(file, self, report);
        self.open.pop();
        statements
    }
}

/// A pipe, a socket or a device. What cannot be looked at fails when it is read, with the kernel's words.
fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

fn true_path(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
