//! From a TOML text to fields with places, and the problems found on the way.

use std::{collections::BTreeMap, ops::Range};

use serde::{de::DeserializeOwned, de::IntoDeserializer};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    keys::Form,
    problem::{At, Problem, Severity},
};

/// Beyond it nobody reads on.
const MOST_PROBLEMS: usize = 200;
/// Longest value that is repeated in a message, in characters.
const SHOWN_MAX: usize = 60;

/// The text, and what is wrong with it so far.
pub(crate) struct Reader<'t> {
    text: &'t str,
    line_starts: Vec<usize>,
    problems: Vec<Problem>,
    dropped: usize,
    failed: bool,
}

/// One `key = value`.
#[derive(Clone, Debug)]
pub(crate) struct Field<'t> {
    pub key: String,
    pub key_at: At,
    pub at: At,
    range: Range<usize>,
    pub value: DeValue<'t>,
}

/// The fields of a table that are not read yet.
pub(crate) type Fields<'t> = BTreeMap<String, Field<'t>>;

impl<'t> Reader<'t> {
    pub fn new(text: &'t str) -> Self {
        let line_starts =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at.saturating_add(1))).collect();
        Self { text, line_starts, problems: Vec::new(), dropped: 0, failed: false }
    }

    pub fn at(&self, offset: usize) -> At {
        let line = self.line_starts.partition_point(|start| *start <= offset).max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or_default();
        At { line, column: before.chars().count().saturating_add(1) }
    }

    pub fn error(&mut self, at: At, message: impl Into<String>, help: impl Into<String>) {
        self.push(Problem::error(at, message, help));
    }

    fn push(&mut self, problem: Problem) {
        self.failed |= problem.severity == Severity::Error;
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Every problem in the order of places.
    pub fn finish(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| problem.at);
        if self.dropped > 0 {
            let message = format!("{} more problems are not shown", self.dropped);
            self.problems.push(Problem::error(At::default(), message, "correct those above first"));
        }
        self.problems
    }

    /// The fields of a table; keys that it does not know become problems.
    pub fn fields(&mut self, table: DeTable<'t>, what: &str, known: &[&str]) -> Fields<'t> {
        let mut fields = Fields::new();
        for (key, value) in table {
            let (key_at, range) = (self.at(key.span().start), value.span());
            let key = key.into_inner().into_owned();
            if known.contains(&key.as_str()) {
                let at = self.at(range.start);
                let value = value.into_inner();
                fields.insert(key.clone(), Field { key, key_at, at, range, value });
            } else {
                let help = match nearest(&key, known) {
                    Some(nearest) => format!("did you mean `{nearest}`?"),
                    None => format!("the keys are {}", known.join(", ")),
                };
                self.error(key_at, format!("`{}` is not a key of {what}", shown(&key)), help);
            }
        }
        fields
    }

    /// The elements of a value that must be an array of at most `most`.
    pub fn list(&mut self, field: Field<'t>, expected: &str, most: usize) -> Vec<Field<'t>> {
        let Field { key, key_at, at, range, value } = field;
        let DeValue::Array(array) = value else {
            self.wrong(&Field { key, key_at, at, range, value }, expected);
            return Vec::new();
        };
        if array.len() > most {
            self.error(at, format!("{} of `{key}`; at most {most} are taken", array.len()), "");
            return Vec::new();
        }
        let elements = array.into_iter().map(|element| {
            let range = element.span();
            (range, element.into_inner())
        });
        let elements: Vec<_> = elements.collect();
        let field = |(range, value): (Range<usize>, DeValue<'t>)| {
            let at = self.at(range.start);
            Field { key: key.clone(), key_at, at, range, value }
        };
        elements.into_iter().map(field).collect()
    }

    /// The fields of a value that must be a table.
    pub fn table(
        &mut self,
        field: Field<'t>,
        expected: &str,
        what: &str,
        known: &[&str],
    ) -> Option<Fields<'t>> {
        match field.value {
            DeValue::Table(table) => Some(self.fields(table, what, known)),
            value @ (DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)) => {
                self.wrong(&Field { value, ..field }, expected);
                None
            }
        }
    }

    /// A value of a plain type.
    pub fn scalar<T: DeserializeOwned>(&mut self, field: &Field<'t>, expected: &str) -> Option<T> {
        let value = deserialize(field);
        if value.is_none() {
            self.wrong(field, expected);
        }
        value
    }

    /// A whole number in a range.
    pub fn integer(&mut self, field: &Field<'t>, least: i64, most: i64) -> Option<i64> {
        let expected = format!("a whole number from {least} to {most}");
        let number: i64 = self.scalar(field, &expected)?;
        if !(least..=most).contains(&number) {
            self.wrong(field, &expected);
            return None;
        }
        Some(number)
    }

    /// A value for the agent, as TOML writes it in one line.
    pub fn setting(&mut self, field: &Field<'t>, form: Form) -> Option<String> {
        let expected = match form {
            Form::Flag => "true or false".to_owned(),
            Form::Number(least, most) => format!("a whole number from {least} to {most}"),
            Form::Text => "a string".to_owned(),
            Form::Duration => "a duration such as \"1s\" or \"100ms\"".to_owned(),
            Form::Lease => "a duration such as \"3s\", or \"off\"".to_owned(),
            Form::Table => "a table".to_owned(),
            Form::FlagOrTable => "true, false or a table".to_owned(),
            Form::Texts => "a list of strings".to_owned(),
        };
        let value: toml::Value = self.scalar(field, &expected)?;
        let is_duration = |text: &str| crate::parse::duration(text).is_some();
        let fits = match (form, &value) {
            (Form::Flag | Form::FlagOrTable, toml::Value::Boolean(_))
            | (Form::Text, toml::Value::String(_))
            | (Form::Table | Form::FlagOrTable, toml::Value::Table(_)) => true,
            (Form::Number(least, most), toml::Value::Integer(number)) => (least..=most).contains(number),
            (Form::Duration, toml::Value::String(text)) => is_duration(text),
            (Form::Lease, toml::Value::String(text)) => text == "off" || is_duration(text),
            (Form::Texts, toml::Value::Array(all)) => all.iter().all(toml::Value::is_str),
            (_, _) => false,
        };
        if !fits {
            self.wrong(field, &expected);
        }
        fits.then(|| crate::compile::one_line(&value))
    }

    /// Says what a key's value must be and what it is.
    pub fn wrong(&mut self, field: &Field<'t>, expected: &str) {
        let here = match &field.value {
            // The message may reach a log.
            _ if field.key == "secret" => "something else".to_owned(),
            DeValue::String(text) => format!("{:?}", shown(text)),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(truth) => truth.to_string(),
            DeValue::Datetime(_) => "a date".to_owned(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        self.error(field.at, format!("`{}` is {expected}, here is {here}", field.key), "");
    }
}

fn deserialize<T: DeserializeOwned>(field: &Field<'_>) -> Option<T> {
    let spanned = Spanned::new(field.range.clone(), field.value.clone());
    T::deserialize(spanned.into_deserializer()).ok()
}

/// The one of several names that a misspelt one probably stands for.
fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let name = name.to_lowercase().replace('-', "_");
    let allowed = (name.chars().count() / 3).clamp(1, 4);
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&name, known), *known))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}
