//! `/metrics` for Prometheus: off unless `metrics` of agent.toml names an address.
//!
//! [`all`] is the list of what is served, and how each number is read from the [`Present`]; docs/agent.md has it as a table.
//! The text is made by `prometheus-client` in the text format 0.0.4, which everything that scrapes can read.

mod agent;
mod check;
mod heard;
mod router;
mod server;

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet, prometheus_text},
    metrics::MetricType,
    registry::Registry,
};

pub use server::{BindError, bind, serve};

use crate::present::Present;

/// One metric: what it is called, what it means, and where it comes from.
#[derive(Clone, Copy)]
pub struct Metric {
    /// The name as it is scraped.
    pub name: &'static str,
    /// What kind.
    pub kind: Kind,
    /// Its labels, in the order in which the values are given.
    pub labels: &'static [&'static str],
    /// What it means, for people.
    pub about: &'static str,
    read: fn(&Present, &mut Samples),
}

/// What kind of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Counts up from the start of the agent. Its name ends with `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        })
    }
}

/// Every metric, in the order of the page.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    agent::METRICS.iter().chain(check::METRICS).chain(router::METRICS).chain(heard::METRICS)
}

/// The page: the present in the Prometheus text format.
///
/// # Errors
/// Never, as far as is known: writing to a string cannot fail.
pub fn page(present: Present) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page(present)));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

/// The numbers of one metric, each with the values of its labels.
#[derive(Debug, Default)]
struct Samples(Vec<(Vec<String>, Number)>);

#[derive(Clone, Copy, Debug)]
enum Number {
    Whole(u64),
    Real(f64),
}

impl Samples {
    /// A whole number.
    fn add<const N: usize>(&mut self, labels: [&dyn fmt::Display; N], value: u64) {
        self.push(labels, Number::Whole(value));
    }

    /// 1 or 0.
    fn add_flag<const N: usize>(&mut self, labels: [&dyn fmt::Display; N], is_so: bool) {
        self.push(labels, Number::Whole(is_so.into()));
    }

    /// One that may be negative or have a fraction.
    fn add_real<const N: usize>(&mut self, labels: [&dyn fmt::Display; N], value: f64) {
        self.push(labels, Number::Real(value));
    }

    /// An instant on the wall, in seconds.
    fn add_us<const N: usize>(&mut self, labels: [&dyn fmt::Display; N], us: i64) {
        #[expect(clippy::cast_precision_loss, reason = "exact to the microsecond for two hundred years")]
        let seconds = us as f64 / 1e6;
        self.push(labels, Number::Real(seconds));
    }

    fn push<const N: usize>(&mut self, labels: [&dyn fmt::Display; N], value: Number) {
        self.0.push((labels.iter().map(ToString::to_string).collect(), value));
    }
}

#[derive(Debug)]
struct Page(Present);

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in all() {
            let mut samples = Samples::default();
            (metric.read)(&self.0, &mut samples);
            write(metric, &samples, &mut encoder)?;
        }
        Ok(())
    }
}

fn write(metric: &Metric, samples: &Samples, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    // A family without a member is left out, as every exporter does.
    if samples.0.is_empty() {
        return Ok(());
    }
    let (name, kind) = match metric.kind {
        // The encoder adds the suffix.
        Kind::Counter => (metric.name.trim_end_matches("_total"), MetricType::Counter),
        Kind::Gauge => (metric.name, MetricType::Gauge),
    };
    let mut family = encoder.encode_descriptor(name, metric.about, None, kind)?;
    for (values, number) in &samples.0 {
        let labels: Vec<(&str, &str)> =
            metric.labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
        let labels = labels.as_slice();
        let mut sample = family.encode_family(&labels)?;
        match (metric.kind, *number) {
            (Kind::Counter, Number::Whole(value)) => {
                sample.encode_counter::<NoLabelSet, _, u64>(&value, None)?
            }
            (Kind::Counter, Number::Real(value)) => {
                sample.encode_counter::<NoLabelSet, _, u64>(&value, None)?
            }
            (Kind::Gauge, Number::Whole(value)) => sample.encode_gauge(&value)?,
            (Kind::Gauge, Number::Real(value)) => sample.encode_gauge(&value)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
