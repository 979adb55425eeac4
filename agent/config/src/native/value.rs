//! Values of agent.toml and what is said about wrong ones.

use std::{
    net::{IpAddr, Ipv4Addr},
    ops::{Range, RangeInclusive},
    str::FromStr,
    time::Duration,
};

use jiff::fmt::friendly::SpanParser;
use serde::{Deserialize, de::DeserializeOwned, de::IntoDeserializer};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::keys::Keys;
use crate::source::{FileId, Report, Span};

/// One `key = value`.
#[derive(Clone, Debug)]
pub(super) struct Field<'t> {
    pub key: String,
    pub key_span: Span,
    pub value: DeValue<'t>,
    pub span: Span,
}

/// The fields of a table; keys that it does not know become findings.
pub(super) fn fields<'t>(
    file: FileId,
    table: DeTable<'t>,
    keys: Keys,
    report: &mut Report,
) -> Vec<Field<'t>> {
    let mut fields = Vec::new();
    for (key, value) in table {
        let key_span = Span::new(file, key.span());
        let span = Span::new(file, value.span());
        let key = key.into_inner().into_owned();
        if keys.names().contains(&key.as_str()) {
            fields.push(Field { key, key_span, value: value.into_inner(), span });
        } else {
            let message = format!("`{key}` is not a key of {}", keys.table());
            let help = match crate::nearest(&key, keys.names().iter().copied()) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("the keys are {}", keys.names().join(", ")),
            };
            report.error_with(key_span, message, help);
        }
    }
    fields
}

/// The fields of a value that must be a table.
pub(super) fn table<'t>(
    field: Field<'t>,
    keys: Keys,
    expected: &str,
    report: &mut Report,
) -> Option<Vec<Field<'t>>> {
    let file = field.span.file();
    if let DeValue::Table(table) = field.value {
        return Some(fields(file, table, keys, report));
    }
    wrong(&field, expected, report);
    None
}

/// The elements of a value that must be an array; each keeps the array's key.
pub(super) fn list<'t>(field: Field<'t>, expected: &str, report: &mut Report) -> Vec<Field<'t>> {
    let Field { key, key_span, span, value } = field;
    let DeValue::Array(array) = value else {
        wrong(&Field { key, key_span, span, value }, expected, report);
        return Vec::new();
    };
    let element = |value: Spanned<DeValue<'t>>| {
        let span = Span::new(span.file(), value.span());
        Field { key: key.clone(), key_span, span, value: value.into_inner() }
    };
    array.into_iter().map(element).collect()
}

/// A string, number or boolean that serde can make from the value.
pub(super) fn scalar<T: DeserializeOwned>(
    field: Field<'_>,
    expected: &str,
    report: &mut Report,
) -> Option<T> {
    let spanned = Spanned::new(field.span.range(), field.value.clone());
    let value = T::deserialize(spanned.into_deserializer());
    if value.is_err() {
        wrong(&field, expected, report);
    }
    value.ok()
}

/// A whole number in a range.
pub(super) fn integer<N>(field: Field<'_>, range: RangeInclusive<N>, report: &mut Report) -> Option<N>
where
    N: for<'de> Deserialize<'de> + Copy + PartialOrd + std::fmt::Display,
{
    let expected = format!("a whole number from {} to {}", range.start(), range.end());
    let number: N = scalar(field.clone(), &expected, report)?;
    if !range.contains(&number) {
        wrong(&field, &expected, report);
        return None;
    }
    Some(number)
}

/// A duration such as `"1s"` in a range.
pub(super) fn time(
    field: Field<'_>,
    range: RangeInclusive<Duration>,
    report: &mut Report,
) -> Option<Duration> {
    let expected =
        format!("a duration from {:?} to {:?}, such as \"1s\" or \"100ms\"", range.start(), range.end());
    let text: String = scalar(field.clone(), &expected, report)?;
    let time = duration(&text).ok().filter(|time| range.contains(time));
    if time.is_none() {
        wrong(&field, &expected, report);
    }
    time
}

/// Reads `1s`, `100ms`, `1m 30s`, `1.5s`.
///
/// # Errors
/// When it is none of these, or negative.
pub(crate) fn duration(text: &str) -> Result<Duration, jiff::Error> {
    SpanParser::new().parse_unsigned_duration(text)
}

/// An IPv4 address.
pub(super) fn ipv4(field: Field<'_>, report: &mut Report) -> Option<Ipv4Addr> {
    parsed(field, "an IPv4 address such as \"192.0.2.1\"", report)
}

/// An address of either family.
pub(super) fn ip(field: Field<'_>, report: &mut Report) -> Option<IpAddr> {
    parsed(field, "an address such as \"192.0.2.1\" or \"fe80::1\"", report)
}

fn parsed<T: FromStr>(field: Field<'_>, expected: &str, report: &mut Report) -> Option<T> {
    let text: String = scalar(field.clone(), expected, report)?;
    let parsed = text.parse().ok();
    if parsed.is_none() {
        wrong(&field, expected, report);
    }
    parsed
}

/// One of some words.
pub(super) fn one_of<T: Copy>(field: Field<'_>, words: &[(&str, T)], report: &mut Report) -> Option<T> {
    let all: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
    let expected = all.join(" or ");
    let text: String = scalar(field.clone(), &expected, report)?;
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    if found.is_none() {
        wrong(&field, &expected, report);
    }
    found
}

/// Says what a key's value must be and what it is.
pub(super) fn wrong(field: &Field<'_>, expected: &str, report: &mut Report) {
    let here = match &field.value {
        // The message may reach a log.
        _ if field.key == "secret" => "something else".to_owned(),
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    };
    report.error(field.span, format!("`{}` is {expected}, here is {here}", field.key));
}

/// The bytes of a text inside a string value, if it stands there as it is (no escapes).
pub(super) fn inside(field: &Field<'_>, part: Range<usize>, report: &Report) -> Span {
    let raw = report.sources.bytes(field.span.file()).get(field.span.range()).unwrap_or(&[]);
    let DeValue::String(text) = &field.value else { return field.span };
    let plain = raw.get(1..raw.len().saturating_sub(1)) == Some(text.as_bytes());
    if plain { field.span.within(part.start + 1, part.len()) } else { field.span }
}
