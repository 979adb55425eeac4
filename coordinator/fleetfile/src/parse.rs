//! Reads the file.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use jiff::fmt::friendly::SpanParser;
use toml::de::{DeTable, DeValue};

use crate::{
    keys,
    keys::Form,
    model::{Address, Check, CheckKind, FleetFile, Group, GroupKey, Member, Secret, Settings, Track},
    problem::{At, Problem},
    reader::{Field, Fields, Reader},
};

/// Longest text that is read, in bytes.
pub const MOST_BYTES: usize = 1 << 20;
/// Groups of one file.
pub const MOST_GROUPS: usize = 4096;
/// Members of one group.
pub const MOST_MEMBERS: usize = 64;
/// Addresses of one group; an advert carries 255 of them.
const MOST_ADDRESSES: usize = 1024;
/// Elements of any other list.
const MOST_ELEMENTS: usize = 255;
/// Checks of one kind.
const MOST_CHECKS: usize = 1024;

/// Reads the text of a file.
///
/// # Errors
/// With everything that is wrong, in the order of the file.
pub fn parse(text: &str) -> Result<FleetFile, Vec<Problem>> {
    if text.len() > MOST_BYTES {
        let message = format!("the file has {} bytes; at most {MOST_BYTES} are read", text.len());
        return Err(vec![Problem::error(At::default(), message, "")]);
    }
    let mut reader = Reader::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = reader.at(error.span().map_or(0, |span| span.start));
        reader.error(at, error.message(), "see https://toml.io for how TOML is written");
    }
    let mut file = FleetFile::default();
    if errors.is_empty() {
        let mut fields =
            reader.fields(document.into_inner(), "the fleet's file", &["script", "process", "file", "group"]);
        for kind in CheckKind::ALL {
            if let Some(field) = fields.remove(kind.as_str()) {
                checks(field, kind, &mut file.checks, &mut reader);
            }
        }
        if let Some(field) = fields.remove("group") {
            let expected = "a list of tables, each headed by [[group]]";
            let groups = reader.list(field, expected, MOST_GROUPS);
            file.groups = groups.into_iter().filter_map(|field| group(field, &mut reader)).collect();
        }
        twice(&file, &mut reader);
        tracked(&file, &mut reader);
    }
    if reader.failed() { Err(reader.finish()) } else { Ok(file) }
}

/// Reads `1s`, `100ms`, `1m 30s`, `1.5s`, as the agent does.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    SpanParser::new().parse_unsigned_duration(text).ok()
}

fn checks<'t>(field: Field<'t>, kind: CheckKind, checks: &mut Vec<Check>, reader: &mut Reader<'t>) {
    let forms = match kind {
        CheckKind::Script => keys::SCRIPT,
        CheckKind::Process => keys::PROCESS,
        CheckKind::File => keys::FILE,
    };
    let what = format!("[[{}]]", kind.as_str());
    let known: Vec<&str> = std::iter::once("name").chain(forms.iter().map(|(key, _)| *key)).collect();
    let expected = format!("a list of tables, each headed by {what}");
    for element in reader.list(field, &expected, MOST_CHECKS) {
        let at = element.at;
        let Some(mut fields) = reader.table(element, &expected, &what, &known) else { continue };
        let named = fields.remove("name");
        let name = required(named, at, &what, "name", reader).and_then(|field| visible(&field, reader));
        let settings = settings(&mut fields, forms, reader);
        if let (Some(name), Some(settings)) = (name, settings) {
            checks.push(Check { at, kind, name, settings });
        }
    }
}

fn group<'t>(field: Field<'t>, reader: &mut Reader<'t>) -> Option<Group> {
    let (at, what) = (field.at, "[[group]]");
    let known: Vec<&str> =
        keys::GROUP.iter().copied().chain(keys::GROUP_SETTINGS.iter().map(|(key, _)| *key)).collect();
    let mut fields = reader.table(field, "a list of tables, each headed by [[group]]", what, &known)?;
    let mut need = |key: &str, reader: &mut Reader<'t>| required(fields.remove(key), at, what, key, reader);
    let name = need("name", reader).and_then(|field| name(&field, reader));
    let vrid = need("vrid", reader).and_then(|field| number(&field, 1, 255, reader));
    let addresses = need("addresses", reader).and_then(|field| addresses(field, reader));
    let members = need("member", reader).and_then(|field| members(field, reader));
    let site = match fields.remove("site") {
        Some(field) => name_of(&field, reader),
        None => Some("default".to_owned()),
    };
    let version = match fields.remove("version") {
        Some(field) => number(&field, 2, 3, reader),
        None => Some(3),
    };
    let advert_interval = match fields.remove("advert_interval") {
        Some(field) => version.and_then(|version| interval(&field, version, reader)),
        None => Some(Duration::from_secs(1)),
    };
    let auth = match fields.remove("auth") {
        Some(field) => version.and_then(|version| auth(field, version, reader)).map(Some),
        None => Some(None),
    };
    let track = match fields.remove("track") {
        Some(field) => tracks(field, reader),
        None => Some(Vec::new()),
    };
    let settings = settings(&mut fields, keys::GROUP_SETTINGS, reader);
    let group = Group {
        at,
        key: GroupKey { site: site?, name: name? },
        vrid: vrid?,
        version: version?,
        advert_interval: advert_interval?,
        auth: auth?,
        addresses: addresses?,
        track: track?,
        settings: settings?,
        members: members?,
    };
    if group.is_ipv6() && group.version == 2 {
        reader.error(
            at,
            "version 2 carries IPv4 only, and this group has IPv6 addresses",
            "write `version = 3`",
        );
    }
    Some(group)
}

fn members<'t>(field: Field<'t>, reader: &mut Reader<'t>) -> Option<Vec<Member>> {
    let expected = "a list of tables, each headed by [[group.member]]";
    let elements = reader.list(field, expected, MOST_MEMBERS);
    let mut all: Option<Vec<Member>> = Some(Vec::new());
    for element in elements {
        let at = element.at;
        let Some(member) = member(element, reader) else {
            all = None;
            continue;
        };
        if all.iter().flatten().any(|other| other.node == member.node) {
            reader.error(at, format!("{} is a member twice", member.node), "remove one of the two");
        }
        all = all.map(|mut all| {
            all.push(member);
            all
        });
    }
    all.filter(|all| !all.is_empty())
}

fn member<'t>(field: Field<'t>, reader: &mut Reader<'t>) -> Option<Member> {
    let (at, what) = (field.at, "[[group.member]]");
    let mut fields =
        reader.table(field, "a list of tables, each headed by [[group.member]]", what, keys::MEMBER)?;
    let mut need = |key: &str, reader: &mut Reader<'t>| required(fields.remove(key), at, what, key, reader);
    let node = need("node", reader).and_then(|field| name_of(&field, reader));
    let interface = need("interface", reader).and_then(|field| interface(&field, reader));
    let priority = need("priority", reader).and_then(|field| number(&field, 1, 255, reader));
    let source = match fields.remove("source") {
        Some(field) => ip(&field, reader).map(Some),
        None => Some(None),
    };
    let paths = match fields.remove("paths") {
        Some(field) => paths(&field, reader).map(Some),
        None => Some(None),
    };
    let track = match fields.remove("track") {
        Some(field) => tracks(field, reader),
        None => Some(Vec::new()),
    };
    Some(Member {
        at,
        node: node?,
        interface: interface?,
        priority: priority?,
        source: source?,
        paths: paths?,
        track: track?,
    })
}

/// The agent judges what stands in them.
fn paths<'t>(field: &Field<'t>, reader: &mut Reader<'t>) -> Option<String> {
    let expected = "a list of tables { interface = \"…\", peers = [\"192.0.2.2\"] }";
    let value: toml::Value = reader.scalar(field, expected)?;
    let is_path = |path: &toml::Value| path.get("interface").is_some_and(toml::Value::is_str);
    let fits =
        value.as_array().is_some_and(|paths| paths.len() <= MOST_ELEMENTS && paths.iter().all(is_path));
    if !fits {
        reader.wrong(field, expected);
    }
    fits.then(|| crate::compile::one_line(&value))
}

fn addresses<'t>(field: Field<'t>, reader: &mut Reader<'t>) -> Option<Vec<Address>> {
    let (at, mut all) = (field.at, Some(Vec::new()));
    let failed = reader.failed();
    let elements = reader.list(field, "a list of addresses such as \"192.0.2.10/24\"", MOST_ADDRESSES);
    if elements.is_empty() && failed == reader.failed() {
        reader.error(
            at,
            "`addresses` is empty: the group has nothing to hold",
            "write the addresses that move",
        );
    }
    for element in elements {
        let at = element.at;
        let Some(address) = address(element, reader) else {
            all = None;
            continue;
        };
        if all.iter().flatten().any(|other: &Address| other.address == address.address) {
            reader.error(at, format!("{} is listed twice", address.address), "remove one of the two");
        }
        all = all.map(|mut all| {
            all.push(address);
            all
        });
    }
    let all = all.filter(|all| !all.is_empty())?;
    let advertised: Vec<&Address> = all.iter().filter(|address| address.is_advertised()).collect();
    let Some(first) = advertised.first() else {
        reader.error(at, "no address of the group is advertised; an advert carries at least one", "keep one");
        return None;
    };
    if let Some(other) = advertised.iter().find(|other| other.address.is_ipv4() != first.address.is_ipv4()) {
        let message =
            format!("{} is not of the family of {}, the group's first address", other.address, first.address);
        reader.error(other.at, message, "make one group for IPv4 and one for IPv6");
        return None;
    }
    Some(all)
}

fn address<'t>(element: Field<'t>, reader: &mut Reader<'t>) -> Option<Address> {
    let at = element.at;
    let (text, settings) = if let DeValue::String(_) = element.value {
        (element, Settings::new())
    } else {
        let known: Vec<&str> =
            std::iter::once("address").chain(keys::ADDRESS.iter().map(|(key, _)| *key)).collect();
        let expected = "an address such as \"192.0.2.10/24\" or a table { address = \"192.0.2.10/24\" }";
        let mut fields = reader.table(element, expected, "an address", &known)?;
        let text = required(fields.remove("address"), at, "an address", "address", reader);
        let settings = settings(&mut fields, keys::ADDRESS, reader);
        (text?, settings?)
    };
    let written: String = reader.scalar(&text, "a string")?;
    let parsed = prefixed(&written);
    if parsed.is_none() {
        reader.wrong(&text, "an address with its prefix length such as \"192.0.2.10/24\"");
    }
    let (address, prefix_len) = parsed?;
    Some(Address { at, address, prefix_len, settings })
}

fn prefixed(text: &str) -> Option<(IpAddr, Option<u8>)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    length.is_none_or(|length| length <= most).then_some((address, length))
}

fn tracks<'t>(field: Field<'t>, reader: &mut Reader<'t>) -> Option<Vec<Track>> {
    let expected = "a list of tables such as { script = \"nginx\", weight = -60 }";
    let elements = reader.list(field, expected, MOST_ELEMENTS);
    let count = elements.len();
    let all: Vec<Track> =
        elements.into_iter().filter_map(|element| track(element, expected, reader)).collect();
    (all.len() == count).then_some(all)
}

fn track<'t>(element: Field<'t>, expected: &str, reader: &mut Reader<'t>) -> Option<Track> {
    let at = element.at;
    let mut fields = reader.table(element, expected, "`track`", keys::TRACK)?;
    let weight = match fields.remove("weight") {
        Some(field) => Some(reader.integer(&field, -254, 254)?),
        None => None,
    };
    let reverse = match fields.remove("reverse") {
        Some(field) => Some(reader.scalar(&field, "true or false")?),
        None => None,
    };
    let mut named = fields.into_values();
    let (Some(field), None) = (named.next(), named.next()) else {
        let help = "write `interface`, `script`, `process` or `file` with a name";
        reader.error(at, "an element of `track` names one thing", help);
        return None;
    };
    let kind = CheckKind::ALL.into_iter().find(|kind| kind.as_str() == field.key);
    let name = match kind {
        None => interface(&field, reader)?,
        Some(_) => visible(&field, reader)?,
    };
    Some(Track { at, kind, name, weight, reverse })
}

fn auth<'t>(field: Field<'t>, version: u8, reader: &mut Reader<'t>) -> Option<Secret> {
    let at = field.key_at;
    let mut fields =
        reader.table(field, "a table { type = \"pass\", secret = \"…\" }", "`auth`", &["type", "secret"])?;
    if version != 2 {
        let help = "remove `auth`, or write `version = 2`";
        reader.error(at, "version 3 has no authentication (RFC 9568 section 9)", help);
        return None;
    }
    let kind = required(fields.remove("type"), at, "`auth`", "type", reader)?;
    let secret = required(fields.remove("secret"), at, "`auth`", "secret", reader)?;
    let word: String = reader.scalar(&kind, "\"pass\"")?;
    if word != "pass" {
        reader.wrong(&kind, "\"pass\"");
        return None;
    }
    let text: String = reader.scalar(&secret, "a string of 1 to 8 bytes")?;
    if text.is_empty() || text.len() > 8 {
        let message = format!("`secret` is a string of 1 to 8 bytes, here are {}", text.len());
        reader.error(secret.at, message, "version 2 carries no more than 8 bytes of a password");
        return None;
    }
    Some(Secret(text))
}

fn interval<'t>(field: &Field<'t>, version: u8, reader: &mut Reader<'t>) -> Option<Duration> {
    let (unit, most, expected) = if version == 2 {
        (
            Duration::from_secs(1),
            Duration::from_secs(255),
            "whole seconds from \"1s\" to \"255s\" in version 2",
        )
    } else {
        let expected = "a duration from \"10ms\" to \"40.95s\" in steps of 10 ms";
        (Duration::from_millis(10), Duration::from_millis(40_950), expected)
    };
    let text: String = reader.scalar(field, expected)?;
    let fits = |interval: &Duration| {
        (unit..=most).contains(interval) && interval.as_nanos().is_multiple_of(unit.as_nanos())
    };
    let interval = duration(&text).filter(fits);
    if interval.is_none() {
        reader.wrong(field, expected);
    }
    interval
}

fn settings<'t>(
    fields: &mut Fields<'t>,
    forms: &[(&'static str, Form)],
    reader: &mut Reader<'t>,
) -> Option<Settings> {
    let mut settings = Some(Settings::new());
    for (key, form) in forms {
        let Some(field) = fields.remove(*key) else { continue };
        match (reader.setting(&field, *form), &mut settings) {
            (Some(text), Some(settings)) => drop(settings.insert(key, text)),
            (Some(_), None) => {}
            (None, _) => settings = None,
        }
    }
    settings
}

fn required<'t>(
    field: Option<Field<'t>>,
    at: At,
    what: &str,
    key: &str,
    reader: &mut Reader<'t>,
) -> Option<Field<'t>> {
    if field.is_none() {
        reader.error(at, format!("this {what} has no `{key}`"), "");
    }
    field
}

fn number<'t>(field: &Field<'t>, least: u8, most: u8, reader: &mut Reader<'t>) -> Option<u8> {
    reader.integer(field, i64::from(least), i64::from(most)).and_then(|number| u8::try_from(number).ok())
}

fn visible<'t>(field: &Field<'t>, reader: &mut Reader<'t>) -> Option<String> {
    let text: String = reader.scalar(field, "a string")?;
    let fits = !text.is_empty() && text.len() <= 255 && !text.chars().any(char::is_control);
    if !fits {
        reader.wrong(field, "a visible text of at most 255 bytes");
    }
    fits.then_some(text)
}

/// A group's name: what an instance may be called.
fn name<'t>(field: &Field<'t>, reader: &mut Reader<'t>) -> Option<String> {
    let text = visible(field, reader)?;
    if text.contains('/') {
        reader.wrong(field, "a name without `/`");
        return None;
    }
    Some(text)
}

/// A node's or a site's name.
fn name_of<'t>(field: &Field<'t>, reader: &mut Reader<'t>) -> Option<String> {
    let text: String = reader.scalar(field, "a string")?;
    let starts_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let reads_well =
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    let fits = starts_well && reads_well && text.len() <= 63;
    if !fits {
        reader.wrong(field, "1 to 63 letters, digits, `-`, `_` and `.`, the first a letter or a digit");
    }
    fits.then_some(text)
}

/// A name that the kernel takes (`dev_valid_name` in net/core/dev.c).
fn interface<'t>(field: &Field<'t>, reader: &mut Reader<'t>) -> Option<String> {
    let text: String = reader.scalar(field, "a string")?;
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':');
    let fits = (1..=15).contains(&text.len()) && !text.contains(odd) && text != "." && text != "..";
    if !fits {
        reader.wrong(field, "the name of an interface, 1 to 15 bytes without `/`, `:` and white space");
    }
    fits.then_some(text)
}

fn ip<'t>(field: &Field<'t>, reader: &mut Reader<'t>) -> Option<IpAddr> {
    let text: String = reader.scalar(field, "a string")?;
    let address = text.parse().ok();
    if address.is_none() {
        reader.wrong(field, "an address such as \"192.0.2.1\" or \"fe80::1\"");
    }
    address
}

/// Names that stand for two things.
fn twice(file: &FleetFile, reader: &mut Reader<'_>) {
    let mut groups = BTreeSet::new();
    for group in &file.groups {
        if !groups.insert(&group.key) {
            reader.error(
                group.at,
                format!("a second group {}", group.key),
                "give every group of a site its own name",
            );
        }
    }
    let mut checks = BTreeSet::new();
    for check in &file.checks {
        if !checks.insert((check.kind, &check.name)) {
            let message = format!("a second {} named `{}`", check.kind.as_str(), check.name);
            reader.error(check.at, message, "give every one a name of its own");
        }
    }
}

/// What is tracked is in this file.
fn tracked(file: &FleetFile, reader: &mut Reader<'_>) {
    let known: BTreeSet<(CheckKind, &str)> =
        file.checks.iter().map(|check| (check.kind, check.name.as_str())).collect();
    for group in &file.groups {
        for track in group.track.iter().chain(group.members.iter().flat_map(|member| &member.track)) {
            let Some(kind) = track.kind else { continue };
            if !known.contains(&(kind, track.name.as_str())) {
                let message = format!("there is no {} `{}` in this file", kind.as_str(), track.name);
                reader.error(track.at, message, format!("define it by [[{}]]", kind.as_str()));
            }
        }
    }
}
