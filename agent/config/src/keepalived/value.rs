//! The values that follow keywords: numbers, seconds, switches, addresses.

use std::{
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
};

use super::tree::Word;
use crate::source::Report;

/// A word without the semicolon that other languages end a line with.
pub(super) fn bare<'w>(word: &'w Word, report: &mut Report) -> &'w str {
    match word.text.strip_suffix(';') {
        Some(value) if !word.quoted && !value.is_empty() => {
            report.warn(
                word.span.within(value.len(), 1),
                format!(
                    "the `;` is not part of the language; `{value}` is read, keepalived would not read it"
                ),
                "remove the `;`",
            );
            value
        }
        Some(_) | None => &word.text,
    }
}

/// A whole number in a range.
pub(super) fn integer<N>(
    keyword: &str,
    word: &Word,
    range: RangeInclusive<N>,
    report: &mut Report,
) -> Option<N>
where
    N: Copy + PartialOrd + std::fmt::Display + TryFrom<i128>,
{
    let text = bare(word, report);
    let number = text.parse::<i128>().ok().and_then(|number| N::try_from(number).ok());
    let number = number.filter(|number| range.contains(number));
    if number.is_none() {
        let (least, most) = (range.start(), range.end());
        let message = format!("`{keyword}` is a whole number from {least} to {most}, here is `{text}`");
        report.error(word.span, message);
    }
    number
}

/// Seconds with a fraction, as microseconds; the range is in microseconds too.
pub(super) fn seconds_us(
    keyword: &str,
    word: &Word,
    range: RangeInclusive<u64>,
    report: &mut Report,
) -> Option<u64> {
    let text = bare(word, report);
    let decimal = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = text.parse::<f64>().ok().filter(|_| decimal);
    // Far above every range, and still exact as an integer.
    let us = seconds.map(|seconds| (seconds.min(1e9) * 1e6).round() as u64).filter(|us| range.contains(us));
    if us.is_none() {
        let [least, most] = [range.start(), range.end()].map(|us| *us as f64 / 1e6);
        let message = format!("`{keyword}` is in seconds, from {least} to {most}, here is `{text}`");
        report.error_with(word.span, message, "write a decimal number without a unit, such as `1` or `0.5`");
    }
    us
}

/// `on|off|true|false|yes|no`; a switch without a word is on.
pub(super) fn switch(keyword: &str, args: &[Word], report: &mut Report) -> Option<bool> {
    let Some(word) = args.first() else { return Some(true) };
    match bare(word, report) {
        "on" | "true" | "yes" => Some(true),
        "off" | "false" | "no" => Some(false),
        other => {
            report.error(word.span, format!("`{keyword}` is `on` or `off`, here is `{other}`"));
            None
        }
    }
}

/// An IPv4 address.
pub(super) fn ipv4(keyword: &str, word: &Word, report: &mut Report) -> Option<Ipv4Addr> {
    let text = bare(word, report);
    let address = text.parse().ok();
    if address.is_none() {
        let message = format!("`{keyword}` is an IPv4 address, here is `{text}`");
        report.error_with(
            word.span,
            message,
            "four numbers from 0 to 255 without leading zeros, such as 192.0.2.1",
        );
    }
    address
}

/// An address of either family.
pub(super) fn ip(keyword: &str, word: &Word, report: &mut Report) -> Option<IpAddr> {
    let text = bare(word, report);
    let address = text.parse().ok();
    if address.is_none() {
        let message = format!("`{keyword}` is an address, here is `{text}`");
        report.error_with(
            word.span,
            message,
            "four numbers from 0 to 255 without leading zeros, such as 192.0.2.1, or IPv6, such as fe80::1",
        );
    }
    address
}
