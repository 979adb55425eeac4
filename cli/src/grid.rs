//! Tables that fit the terminal.

use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Table, presets};

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
    let mut table = plain_table(look);
    if look.titles {
        table.set_header(columns.iter().filter(|column| column.shown(look)).map(|column| column.title()));
    }
    for row in rows {
        let shown = row.into_iter().zip(columns).filter(|(_, column)| column.shown(look));
        table.add_row(shown.map(|(cell, _)| cell).collect::<Vec<_>>());
    }
    let constraints = columns.iter().filter(|column| column.shown(look)).map(|column| match column {
        Column::Fixed(_) => Some(ColumnConstraint::ContentWidth),
        Column::Free(_) | Column::Wide(_) => None,
    });
    finish(table, constraints)
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
        column.set_padding(if index == last { (0, 0) } else { (0, 2) });
        if let Some(constraint) = constraint {
            column.set_constraint(constraint);
        }
    }
    format!("{}\n", table.trim_fmt())
}
