//! The report: tables in Markdown that are also readable as they are.

use std::{fmt::Write, time::Duration};

use super::stats::{Samples, ratio};

/// One part of the report.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// What was done, in a few sentences.
    pub how: String,
    /// What was measured.
    pub table: Table,
    /// What was promised about it.
    pub verdicts: Vec<Verdict>,
}

impl Section {
    /// A part that could not be measured, and why.
    pub fn failed(error: &anyhow::Error) -> Self {
        Self {
            title: "Not measured".to_owned(),
            how: format!("```\n{error:#}\n```"),
            verdicts: vec![Verdict {
                what: error.to_string(),
                ours: none(),
                theirs: none(),
                promised: "to be measured".to_owned(),
                kept: Some(false),
            }],
            table: Table::default(),
        }
    }

    /// As it stands in the report.
    pub fn markdown(&self) -> String {
        let Self { title, how, table, .. } = self;
        format!(
            "## {title}\n\n{how}\n{}{}",
            if table.header.is_empty() { "" } else { "\n" },
            table.markdown()
        )
    }
}

/// A promise and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What was measured.
    pub what: String,
    /// hafleet's figure, with its unit.
    pub ours: String,
    /// keepalived's.
    pub theirs: String,
    /// The promise.
    pub promised: String,
    /// Whether it is kept; `None` when it could not be judged.
    pub kept: Option<bool>,
}

impl Verdict {
    /// That the median of ours is at most `bound` times keepalived's.
    pub fn at_most_ratio(what: &str, ours: &Samples, theirs: &Samples, bound: f64, figure: Figure) -> Self {
        Self {
            what: what.to_owned(),
            ours: figure.median(ours),
            theirs: figure.median(theirs),
            promised: format!("ratio at most {bound:.2}"),
            kept: ratio(ours, theirs).map(|ratio| ratio <= bound),
        }
    }

    /// That ours is at most `bound`, in the figure's unit.
    pub fn at_most(what: &str, ours: Option<f64>, theirs: Option<f64>, bound: f64, figure: Figure) -> Self {
        let shown = |value: Option<f64>| value.map_or_else(none, |value| figure.value(value));
        Self {
            what: what.to_owned(),
            ours: shown(ours),
            theirs: shown(theirs),
            promised: format!("at most {}", figure.value(bound)),
            kept: ours.map(|ours| ours <= bound),
        }
    }
}

/// How a kind of number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Digits after the point.
    pub digits: usize,
    /// What comes after it, with the space.
    pub unit: &'static str,
}

impl Figure {
    /// Milliseconds.
    pub const MS: Self = Self { digits: 1, unit: " ms" };
    /// Seconds.
    pub const S: Self = Self { digits: 2, unit: " s" };
    /// Percent of one core.
    pub const CORE: Self = Self { digits: 2, unit: " %" };
    /// MiB.
    pub const MIB: Self = Self { digits: 1, unit: " MiB" };
    /// A count.
    pub const COUNT: Self = Self { digits: 0, unit: "" };

    /// One number.
    pub fn value(self, value: f64) -> String {
        format!("{value:.*}{}", self.digits, self.unit)
    }

    /// The median.
    pub fn median(self, samples: &Samples) -> String {
        samples.median().map_or_else(none, |median| self.value(median))
    }

    /// The median, and the least and greatest.
    pub fn spread(self, samples: &Samples) -> String {
        match (samples.median(), samples.min(), samples.max()) {
            (Some(median), Some(min), Some(max)) => {
                let digits = self.digits;
                format!("{} ({min:.digits$}–{max:.digits$})", self.value(median))
            }
            (_, _, _) => none(),
        }
    }
}

/// Ours divided by keepalived's, written.
pub fn ratio_text(ours: &Samples, theirs: &Samples) -> String {
    ratio(ours, theirs).map_or_else(none, |ratio| format!("{ratio:.2}"))
}

/// What is written where nothing was measured.
pub fn none() -> String {
    "–".to_owned()
}

/// A Markdown table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty one. A column whose heading begins with `>` is aligned right.
    pub fn new(header: &[&str]) -> Self {
        Self { header: header.iter().map(|&text| text.to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// In Markdown, its columns lined up.
    pub fn markdown(&self) -> String {
        if self.header.is_empty() {
            return String::new();
        }
        let is_right = |column: usize| self.header.get(column).is_some_and(|text| text.starts_with('>'));
        let header: Vec<String> =
            self.header.iter().map(|text| text.trim_start_matches('>').to_owned()).collect();
        let width = |column: usize| {
            let cells = std::iter::once(&header).chain(&self.rows).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..header.len()).map(width).collect();
        let line = |cells: &[String]| {
            let mut line = String::from("|");
            for (column, width) in widths.iter().enumerate() {
                let cell = cells.get(column).map_or("", String::as_str);
                let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
                let (left, right) =
                    if is_right(column) { (padding, String::new()) } else { (String::new(), padding) };
                let _ = write!(line, " {left}{cell}{right} |");
            }
            line
        };
        let rule: Vec<String> = widths
            .iter()
            .enumerate()
            .map(
                |(column, &width)| {
                    if is_right(column) { format!("{}:", "-".repeat(width - 1)) } else { "-".repeat(width) }
                },
            )
            .collect();
        let lines = [line(&header), line(&rule)].into_iter().chain(self.rows.iter().map(|row| line(row)));
        lines.map(|line| line + "\n").collect()
    }
}

/// The promises of all sections in one table.
pub fn verdicts(sections: &[Section]) -> Table {
    let mut table = Table::new(&["what", ">hafleet", ">keepalived", "promised", "kept"]);
    for verdict in sections.iter().flat_map(|section| &section.verdicts) {
        let kept = match verdict.kept {
            Some(true) => "yes".to_owned(),
            Some(false) => "**no**".to_owned(),
            None => none(),
        };
        let Verdict { what, ours, theirs, promised, .. } = verdict.clone();
        table.row(vec![what, ours, theirs, promised, kept]);
    }
    table
}

/// What is said when the machine had other work to do.
pub const BUSY: &str = "the machine was busy with other work: short outages, 10 ms intervals and simultaneous starts show that, of both \
                        contenders; measure again on a quiet one";

/// The whole report.
pub fn document(
    machine: &Table,
    is_busy: bool,
    repeats: u32,
    took: Duration,
    sections: &[Section],
) -> String {
    let mut text = format!(
        "# Benchmarks\n\n\
         hafleet's agent and Debian's keepalived with the very same keepalived.conf, measured in one run of `make bench`\n\
         ({} s) on real processes in network namespaces: veth pairs on a bridge. Medians of {repeats}; ratios are\n\
         hafleet's figure divided by keepalived's. This file is written by `make bench`; do not edit it.\n\n{}{}\n\
         ## What was promised\n\n{}",
        took.as_secs(),
        machine.markdown(),
        if is_busy { format!("\n**Note**: {BUSY}.\n") } else { String::new() },
        verdicts(sections).markdown()
    );
    for section in sections {
        text.push('\n');
        text.push_str(&section.markdown());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        values.iter().copied().collect()
    }

    #[test]
    fn a_table_is_lined_up_and_says_how_to_align() {
        let mut table = Table::new(&["what", ">ours"]);
        table.row(vec!["SIGTERM".into(), "1.0 ms".into()]);
        table.row(vec!["…".into(), "10.0 ms".into()]);
        assert_eq!(
            table.markdown(),
            "| what    |    ours |\n\
             | ------- | ------: |\n\
             | SIGTERM |  1.0 ms |\n\
             | …       | 10.0 ms |\n"
        );
    }

    #[test]
    fn figures_show_the_median_and_its_surroundings() {
        assert_eq!(Figure::MS.spread(&samples(&[3.0, 1.0, 2.0])), "2.0 ms (1.0–3.0)");
        assert_eq!(Figure::MS.spread(&samples(&[])), "–");
        assert_eq!(ratio_text(&samples(&[1.0]), &samples(&[3.0])), "0.33");
        assert_eq!(ratio_text(&samples(&[1.0]), &samples(&[])), "–");
    }

    #[test]
    fn a_promise_is_kept_up_to_its_bound_and_not_judged_without_figures() {
        let kept = |ours: &[f64], theirs: &[f64]| {
            Verdict::at_most_ratio("x", &samples(ours), &samples(theirs), 1.0, Figure::MS).kept
        };
        assert_eq!(kept(&[2.0], &[2.0]), Some(true));
        assert_eq!(kept(&[2.1], &[2.0]), Some(false));
        assert_eq!(kept(&[], &[2.0]), None);
        let absolute = Verdict::at_most("x", Some(46.0), None, 45.0, Figure::MS);
        assert_eq!((absolute.kept, absolute.theirs.as_str()), (Some(false), "–"));
    }

    #[test]
    fn what_was_promised_and_not_kept_stands_out() {
        let broken = Section {
            verdicts: vec![Verdict::at_most("outage", Some(46.0), Some(50.0), 45.0, Figure::MS)],
            ..Section::default()
        };
        let text = verdicts(&[broken]).markdown();
        assert!(text.contains("| outage | 46.0 ms |    50.0 ms | at most 45.0 ms | **no** |"), "{text}");
    }
}
