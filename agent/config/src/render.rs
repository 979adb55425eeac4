//! Findings for people (the line, pointed at) and for logs (one line each).

use std::{fmt, fmt::Write};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

use super::{Finding, Place, Severity, Sources};

/// How findings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// With the line, pointed at.
    Lines {
        /// Terminal colours.
        color: bool,
    },
    /// `file:line:column: error: message`, one line each.
    Log,
}

/// A longer line is no help to look at; miette takes time for each of its columns and panics beyond 65,535.
const COLUMNS_MAX: usize = 1000;

/// The text of all findings, in their order.
pub fn render(findings: &[Finding], sources: &Sources, style: Style) -> String {
    let mut text = String::new();
    for finding in findings {
        let shown = match style {
            Style::Log => Err(fmt::Error),
            Style::Lines { .. } if sources.longest_near(&finding.place) > COLUMNS_MAX => Err(fmt::Error),
            Style::Lines { color } => graphical(finding, sources, color),
        };
        match shown {
            Ok(shown) => text.push_str(&shown),
            Err(fmt::Error) => {
                text.push_str(&finding.to_string());
                text.push('\n');
            }
        }
    }
    text
}

fn graphical(finding: &Finding, sources: &Sources, color: bool) -> Result<String, fmt::Error> {
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(110)
        .with_context_lines(1)
        .without_primary_span_start()
        .with_links(false);
    let mut text = String::new();
    handler.render_report(&mut text, &Shown::new(finding, sources))?;
    text.write_char('\n')?;
    Ok(text)
}

/// A finding as miette wants it.
#[derive(Debug)]
struct Shown<'f> {
    finding: &'f Finding,
    source: Option<NamedSource<String>>,
    span: (usize, usize),
}

impl<'f> Shown<'f> {
    fn new(finding: &'f Finding, sources: &Sources) -> Self {
        let place = &finding.place;
        let text = if place.line == 0 { None } else { sources.text(&place.file) };
        let span = text.as_deref().map_or((0, 0), |text| bytes(text, place));
        let source = text.map(|text| NamedSource::new(place.file.to_string_lossy(), text));
        Self { finding, source, span }
    }
}

/// Offset and length of a place in its text.
fn bytes(text: &str, place: &Place) -> (usize, usize) {
    let line = text.split_inclusive('\n').take(place.line.saturating_sub(1)).map(str::len).sum::<usize>();
    let rest = text.get(line..).unwrap_or("");
    let column: usize = rest.chars().take(place.column.saturating_sub(1)).map(char::len_utf8).sum();
    let length = rest.get(column..).unwrap_or("").chars().take(place.width).map(char::len_utf8).sum();
    (line + column, length)
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.finding.place, self.finding.severity, self.finding.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.finding.severity {
            Severity::Warning => miette::Severity::Warning,
            Severity::Error => miette::Severity::Error,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.finding.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.source.as_ref()?;
        let (offset, length) = self.span;
        Some(Box::new(std::iter::once(LabeledSpan::new(None, offset, length))))
    }
}
