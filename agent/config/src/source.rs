//! The texts that were read, and what was found in them.

use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
};

use super::{Finding, Place, Severity};

/// No configuration is larger; a larger one is a mistake (a log, a disk image). All files together.
const LARGEST: usize = 8 << 20;
/// Findings beyond this many are counted, not kept.
const MOST_FINDINGS: usize = 500;

/// Every file that was read, so that findings can show the line they mean.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

#[derive(Clone, Debug)]
struct Source {
    path: PathBuf,
    bytes: Vec<u8>,
    line_starts: Vec<usize>,
}

/// One file of [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId(usize);

/// Some bytes of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    file: FileId,
    start: usize,
    end: usize,
}

impl Span {
    pub fn new(file: FileId, range: Range<usize>) -> Self {
        Self { file, start: range.start, end: range.end }
    }

    pub fn file(self) -> FileId {
        self.file
    }

    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// From the beginning of this to the end of `last`.
    pub fn to(self, last: Self) -> Self {
        Self { end: last.end.max(self.end), ..self }
    }

    /// The `len` bytes that begin `offset` bytes into this.
    pub fn within(self, offset: usize, len: usize) -> Self {
        let start = (self.start + offset).min(self.end);
        Self { start, end: (start + len).min(self.end), ..self }
    }
}

impl Sources {
    /// Reads a file. It may be a pipe, so its length is known only at its end.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<FileId> {
        let left = LARGEST.saturating_sub(self.files.iter().map(|source| source.bytes.len()).sum());
        let mut bytes = Vec::new();
        File::open(path)?.take(left as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > left {
            let why = format!("all configuration files together may have {LARGEST} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        Ok(self.add(path.to_owned(), bytes))
    }

    /// Takes a text as if it had been read from `path`.
    pub(super) fn add(&mut self, path: PathBuf, bytes: Vec<u8>) -> FileId {
        let newlines = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(newlines).collect();
        self.files.push(Source { path, bytes, line_starts });
        FileId(self.files.len() - 1)
    }

    /// Where the file lies.
    pub(super) fn path(&self, file: FileId) -> &Path {
        self.files.get(file.0).map_or(Path::new(""), |source| source.path.as_path())
    }

    /// What it contains.
    pub(super) fn bytes(&self, file: FileId) -> &[u8] {
        self.files.get(file.0).map_or(&[], |source| source.bytes.as_slice())
    }

    /// The text of a file that was read, bytes that are no UTF-8 replaced.
    pub fn text(&self, path: &Path) -> Option<String> {
        let source = self.files.iter().find(|source| source.path == path)?;
        Some(String::from_utf8_lossy(&source.bytes).into_owned())
    }

    /// How many bytes the longest of the lines at and beside a place has.
    pub(super) fn longest_near(&self, place: &Place) -> usize {
        let Some(source) = self.files.iter().find(|source| source.path == place.file) else { return 0 };
        let start = |line: usize| source.line_starts.get(line).copied().unwrap_or(source.bytes.len());
        (place.line.saturating_sub(2)..=place.line)
            .map(|line| start(line + 1) - start(line))
            .max()
            .unwrap_or(0)
    }

    /// Line and column of a span.
    pub(super) fn place(&self, span: Span) -> Place {
        let Some(source) = self.files.get(span.file.0) else { return Place::default() };
        let line = source.line_starts.partition_point(|start| *start <= span.start);
        let line_start = line.checked_sub(1).and_then(|at| source.line_starts.get(at)).copied().unwrap_or(0);
        let line_end = source.line_starts.get(line).map_or(source.bytes.len(), |next| next.saturating_sub(1));
        let width = characters(&source.bytes, span.start..span.end.min(line_end));
        let column = characters(&source.bytes, line_start..span.start) + 1;
        Place { file: source.path.clone(), line, column, width }
    }
}

fn characters(bytes: &[u8], range: Range<usize>) -> usize {
    bytes.get(range).map_or(0, |bytes| String::from_utf8_lossy(bytes).chars().count())
}

/// What the readers write into: the texts and the findings so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub sources: Sources,
    pub findings: Vec<Finding>,
    /// Findings that were not kept.
    dropped: usize,
    failed: bool,
    /// The texts are those of another host: what is on this one decides nothing.
    pub is_elsewhere: bool,
}

impl Report {
    pub fn error(&mut self, span: Span, message: impl Into<String>) {
        self.at(Severity::Error, span, message.into(), None);
    }

    pub fn error_with(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.at(Severity::Error, span, message.into(), Some(help.into()));
    }

    pub fn warn(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.at(Severity::Warning, span, message.into(), Some(help.into()));
    }

    fn at(&mut self, severity: Severity, span: Span, message: String, help: Option<String>) {
        // Columns cost a walk through the line, which a hostile file makes long: only for findings that are kept.
        let kept = self.findings.len() < MOST_FINDINGS;
        let place = if kept { self.sources.place(span) } else { Place::default() };
        self.push(severity, place, message, help);
    }

    /// A finding at a place that was computed before.
    pub fn push(&mut self, severity: Severity, place: Place, message: String, help: Option<String>) {
        self.failed |= severity == Severity::Error;
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(Finding { severity, place, message, help });
        } else {
            self.dropped += 1;
        }
    }

    /// The place of a span, to keep.
    pub fn place(&self, span: Span) -> Place {
        self.sources.place(span)
    }

    /// Whether an error was found, kept or not.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// The end: findings in the order of the files and of the places in them, and how many were too many.
    pub fn finish(mut self) -> (Sources, Vec<Finding>) {
        let files = &self.sources.files;
        self.findings.sort_by_key(|Finding { place, .. }| {
            let file = files.iter().position(|source| source.path == place.file);
            (file, place.line, place.column)
        });
        if self.dropped > 0 {
            let place = self.findings.last().map(|last| last.place.clone()).unwrap_or_default();
            self.findings.push(Finding {
                severity: if self.failed { Severity::Error } else { Severity::Warning },
                place: Place { line: 0, column: 0, width: 0, ..place },
                message: format!("{} more findings are not shown", self.dropped),
                help: Some("correct those above first".to_owned()),
            });
        }
        (self.sources, self.findings)
    }
}
