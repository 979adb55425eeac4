//! How Rust's types lie in columns.

use std::borrow::Cow;

use hafleet_fleet::{FindingStatus, Severity, VrrpState};
use sqlx::{ColumnIndex, Decode, Row, Type, error::BoxDynError};

/// A type that is read from a column.
pub(super) trait Field: Sized {
    /// What the drivers know it as.
    type Stored;

    /// Refuses what no program of ours writes.
    fn load(stored: Self::Stored) -> Result<Self, BoxDynError>;
}

/// An enumeration that is kept as text; the schema's CHECK lists the same words.
pub(super) trait Word: Copy + 'static {
    /// Every value with its word.
    const WORDS: &'static [(Self, &'static str)];

    /// Its word.
    fn word(self) -> &'static str;
}

/// Gives an enumeration its words, and thereby its column.
macro_rules! words {
    ($enumeration:ty { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $crate::store::row::Word for $enumeration {
            const WORDS: &'static [(Self, &'static str)] = &[$((Self::$variant, $word)),+];

            fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl $crate::store::row::Field for $enumeration {
            type Stored = String;

            fn load(stored: String) -> Result<Self, sqlx::error::BoxDynError> {
                use $crate::store::row::Word;
                let found = Self::WORDS.iter().find(|(_, word)| *word == stored);
                found.map(|(value, _)| *value).ok_or_else(|| format!("unknown word {stored:?}").into())
            }
        }
    };
}

/// Reads a struct whose fields are named as the columns, on both engines.
macro_rules! stored_row {
    ($row:ident { $($field:ident),+ $(,)? }) => {
        stored_row!(@engine sqlx::sqlite::SqliteRow, $row, $($field)+);
        stored_row!(@engine sqlx::postgres::PgRow, $row, $($field)+);
    };
    (@engine $from:ty, $row:ident, $($field:ident)+) => {
        impl<'r> sqlx::FromRow<'r, $from> for $row {
            fn from_row(row: &'r $from) -> sqlx::Result<Self> {
                Ok(Self { $($field: $crate::store::row::column(row, stringify!($field))?),+ })
            }
        }
    };
}

/// One column of a row.
pub(super) fn column<'r, R, F>(row: &'r R, name: &'static str) -> sqlx::Result<F>
where
    R: Row,
    F: Field,
    F::Stored: Decode<'r, R::Database> + Type<R::Database>,
    &'static str: ColumnIndex<R>,
{
    let stored = row.try_get(name)?;
    F::load(stored).map_err(|source| sqlx::Error::ColumnDecode { index: name.into(), source })
}

/// Free text as both engines can keep it: PostgreSQL has no NUL in text, so a U+FFFD stands where one was. A peer that
/// sends one must not be able to stop its own journal by it.
pub(super) fn text(free: &str) -> Cow<'_, str> {
    if free.contains('\0') { Cow::Owned(free.replace('\0', "\u{FFFD}")) } else { Cow::Borrowed(free) }
}

macro_rules! as_stored {
    ($($plain:ty),+) => {$(
        impl Field for $plain {
            type Stored = Self;

            fn load(stored: Self) -> Result<Self, BoxDynError> {
                Ok(stored)
            }
        }
    )+};
}

as_stored!(String, i64, bool);

macro_rules! narrowed {
    ($($narrow:ty),+) => {$(
        impl Field for $narrow {
            type Stored = i64;

            fn load(stored: i64) -> Result<Self, BoxDynError> {
                Ok(Self::try_from(stored)?)
            }
        }
    )+};
}

narrowed!(u8, u32, u64);

impl<F: Field> Field for Option<F> {
    type Stored = Option<F::Stored>;

    fn load(stored: Self::Stored) -> Result<Self, BoxDynError> {
        stored.map(F::load).transpose()
    }
}

words!(VrrpState { Init => "init", Backup => "backup", Master => "master", Fault => "fault" });
words!(Severity { Info => "info", Warning => "warning", Critical => "critical" });
words!(FindingStatus { Pending => "pending", Firing => "firing", Resolved => "resolved" });
