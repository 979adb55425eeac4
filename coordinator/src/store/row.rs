//! How Rust's types lie in columns.

use std::borrow::Cow;

use hafleet_fleet::{FindingStatus, Severity, UnknownCode, VrrpState, fence::FenceState};
use sqlx::{ColumnIndex, Decode, Row, Type, error::BoxDynError};

/// A type that is read from a column.
pub(super) trait Field: Sized {
    /// What the drivers know it as.
    type Stored;

    /// Refuses what no program of ours writes.
    fn load(stored: Self::Stored) -> Result<Self, BoxDynError>;
}

/// Gives an enumeration of the store its words, the same that the schema's CHECK lists, and thereby its column.
macro_rules! words {
    ($enumeration:ident, $what:literal { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $enumeration {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl std::fmt::Display for $enumeration {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $enumeration {
            type Err = hafleet_fleet::UnknownCode;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                let found = Self::ALL.iter().find(|value| value.as_str() == word);
                found.copied().ok_or_else(|| hafleet_fleet::UnknownCode { what: $what, word: word.to_owned() })
            }
        }

        kept_as_word!($enumeration);
    };
}

/// A type that is kept as the word that it is parsed from.
macro_rules! kept_as_word {
    ($($word:ty),+) => {$(
        impl $crate::store::row::Field for $word {
            type Stored = String;

            fn load(stored: String) -> Result<Self, sqlx::error::BoxDynError> {
                Ok(stored.parse()?)
            }
        }
    )+};
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

kept_as_word!(VrrpState, Severity, FindingStatus);

impl Field for FenceState {
    type Stored = String;

    fn load(stored: String) -> Result<Self, BoxDynError> {
        Ok(Self::parse(&stored).ok_or(UnknownCode { what: "state of a fence", word: stored })?)
    }
}
