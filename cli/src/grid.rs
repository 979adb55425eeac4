//! Tables that fit the terminal.

use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Table, Width, presets};

use crate::look::Look;

/// A column.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// Its content is short by its nature: a time, a state, a number. Never wrapped.
    Fixed(&'static str),
    /// Wrapped where the terminal ends.
    Free(&'static str),
    /// Only with `-o wide`.
    Wide(&'static str),
}

impl Column {
    fn title(self) -> &'static str {
        match self {
            Self::Fixed(title) | Self::Free(title) | Self::Wide(title) => title,
        }
    }

    fn shown(self, look: &Look) -> bool {
        match self {
            Self::Fixed(_) | Self::Free(_) => true,
            Self::Wide(_) => look.wide,
        }
    }
}

/// Rows under columns, each line ended; empty without rows. Every row has one cell per column.
pub fn grid(look: &Look, columns: &[Column], rows: Vec<Vec<Cell>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let shown: Vec<Column> = columns.iter().copied().filter(|column| column.shown(look)).collect();
    let rows: Vec<Vec<Cell>> = rows
        .into_iter()
        .map(|row| {
            row.into_iter()
                .zip(columns)
                .filter(|(_, column)| column.shown(look))
                .map(|(cell, _)| cell)
                .collect()
        })
        .collect();
    let constraints = constraints(look, &shown, &rows);
    let mut table = plain_table(look);
    if look.titles {
        table.set_header(shown.iter().map(|column| column.title()));
    }
    table.add_rows(rows);
    finish(table, constraints)
}

/// Fixed columns as wide as they are; the others at least as wide as their longest word, if that fits, so that no
/// name or address is broken.
fn constraints(look: &Look, columns: &[Column], rows: &[Vec<Cell>]) -> Vec<Option<ColumnConstraint>> {
    let longest = |index: usize, column: Column, split: fn(&str) -> usize| {
        let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| split(&cell.content()));
        cells.chain([split(column.title())]).max().unwrap_or(0)
    };
    let least: Vec<u16> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let split = if matches!(column, Column::Fixed(_)) { longest_line } else { longest_word };
            u16::try_from(longest(index, *column, split)).unwrap_or(u16::MAX).saturating_add(GAP)
        })
        .collect();
    let fits =
        least.iter().fold(0_u16, |sum, width| sum.saturating_add(*width)) <= look.width.saturating_add(GAP);
    let constraint = |(column, least): (&Column, &u16)| match column {
        Column::Fixed(_) => Some(ColumnConstraint::ContentWidth),
        Column::Free(_) | Column::Wide(_) if fits => {
            Some(ColumnConstraint::LowerBoundary(Width::Fixed(*least)))
        }
        Column::Free(_) | Column::Wide(_) => None,
    };
    columns.iter().zip(&least).map(constraint).collect()
}

/// Between columns.
const GAP: u16 = 2;

fn longest_word(text: &str) -> usize {
    text.split_whitespace().map(|word| word.chars().count()).max().unwrap_or(0)
}

fn longest_line(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

/// Labels and what they label, each line ended.
pub fn fields(look: &Look, rows: Vec<(&str, Cell)>) -> String {
    let mut table = plain_table(look);
    for (label, cell) in rows {
        table.add_row(vec![Cell::new(label), cell]);
    }
    finish(table, [Some(ColumnConstraint::ContentWidth), None])
}

fn plain_table(look: &Look) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_width(look.width);
    table.set_content_arrangement(if look.wide {
        ContentArrangement::Disabled
    } else {
        ContentArrangement::Dynamic
    });
    if look.colour {
        table.enforce_styling().style_text_only();
    } else {
        table.force_no_tty();
    }
    table
}

fn finish(mut table: Table, constraints: impl IntoIterator<Item = Option<ColumnConstraint>>) -> String {
    let last = table.column_count().saturating_sub(1);
    for ((index, column), constraint) in table.column_iter_mut().enumerate().zip(constraints) {
        column.set_padding(if index == last { (0, 0) } else { (0, GAP) });
        if let Some(constraint) = constraint {
            column.set_constraint(constraint);
        }
    }
    format!("{}\n", table.trim_fmt())
}
