//! `[[instance]]`.

use std::{collections::BTreeMap, time::Duration};

use hafleet_vrrp::{AdvertInterval, Authentication, ChecksumForm, Priority, Version, VirtualRouterId};

use super::{
    address, adverts, announcing,
    keys::Keys,
    track,
    value::{self, Field},
};
use crate::{
    Instance, Lease, OnIsolation, VipConfig, checks,
    checks::Definitions,
    source::{Report, Span},
    validate,
};

/// Longer than any maintenance window.
const LONGEST_PREEMPT_DELAY: Duration = Duration::from_secs(24 * 3600);

/// The fields of one instance that are not read yet.
pub(super) struct Fields<'t>(BTreeMap<String, Field<'t>>);

impl<'t> Fields<'t> {
    pub(super) fn take(&mut self, key: &str) -> Option<Field<'t>> {
        self.0.remove(key)
    }

    /// What a key says, or its default; `None` with an error.
    pub(super) fn or<T>(
        &mut self,
        key: &str,
        default: T,
        report: &mut Report,
        read: impl FnOnce(Field<'t>, &mut Report) -> Option<T>,
    ) -> Option<T> {
        match self.take(key) {
            None => Some(default),
            Some(field) => read(field, report),
        }
    }

    fn flag(&mut self, key: &str, default: bool, report: &mut Report) -> Option<bool> {
        self.or(key, default, report, |field, report| value::scalar(field, "true or false", report))
    }
}

/// Reads one instance; `None` when it has an error.
pub(super) fn read(table: Field<'_>, definitions: &Definitions, report: &mut Report) -> Option<Instance> {
    let at = table.span;
    let fields =
        value::table(table, Keys::Instance, "a list of tables, each headed by [[instance]]", report)?;
    let mut fields = Fields(fields.into_iter().map(|field| (field.key.clone(), field)).collect());
    for required in ["name", "interface", "vrid", "vips"] {
        if !fields.0.contains_key(required) {
            report.error_with(at, format!("this instance has no `{required}`"), example(required));
        }
    }
    let defined_at = report.place(fields.0.get("name").map_or(at, |name| name.span));
    let name = fields.take("name").and_then(|field| visible(field, report));
    let interface = fields.take("interface").and_then(|field| interface(field, report));
    let service = interface.as_deref().unwrap_or_default();
    let vrid = fields.take("vrid").and_then(|field| value::integer(field, 1..=u8::MAX, report));
    let version_span = fields.0.get("version").map(|field| field.span);
    let version = fields.or("version", Version::V3, report, |field, report| {
        let number: u8 = value::integer(field, 2..=3, report)?;
        Some(if number == 2 { Version::V2 } else { Version::V3 })
    });
    let priority = fields.or("priority", Priority::DEFAULT, report, |field, report| {
        value::integer(field, 1..=u8::MAX, report).and_then(Priority::new)
    });
    let advert_interval = fields.or("advert_interval", AdvertInterval::DEFAULT, report, |field, report| {
        interval(field, version?, report)
    });
    let preempt = fields.flag("preempt", true, report);
    let preempt_delay = preempt_delay(fields.take("preempt_delay"), preempt, report);
    let authentication = fields
        .or("auth", Authentication::None, report, |field, report| authentication(field, version?, report));
    let checksum = fields.or("checksum", ChecksumForm::WithPseudoHeader, report, checksum);
    let lease = fields.or("lease", Lease::default(), report, lease);
    let announcing = fields.or("announcing", Default::default(), report, announcing::read);
    let answers_lower = fields.flag("answers_lower", true, report);
    let answers_higher = fields.flag("answers_higher", true, report);
    let track_service = fields.flag("track_service", true, report);
    let tracks = fields
        .or("track", Vec::new(), report, |field, report| track::read(field, service, definitions, report));
    let on_isolation = fields.or("on_isolation", OnIsolation::default(), report, |field, report| {
        value::one_of(field, &[("keep", OnIsolation::Keep), ("release", OnIsolation::Release)], report)
    });
    let accept = accept(&mut fields, priority, report);
    let vips = fields.take("vips").and_then(|field| vips(field, service, report));
    let is_ipv6 = vips.as_deref().and_then(|vips| validate::family(vips, report));
    if let Some(span) = version_span.filter(|_| is_ipv6 == Some(true) && version == Some(Version::V2)) {
        let help = "write `version = 3` on every router of the group, or remove it";
        report.error_with(span, "`version` is 3 with IPv6 addresses: version 2 carries IPv4 only", help);
    }
    let adverts = adverts::read(&mut fields, service, vips.as_deref(), is_ipv6, report);
    let (interface, priority, (announcing, pacing), adverts) = (interface?, priority?, announcing?, adverts?);
    let tracks = checks::effective(tracks?, &interface, priority, report);
    Some(Instance {
        name: name?,
        interface,
        vrid: vrid.and_then(VirtualRouterId::new)?,
        version: version?,
        priority,
        interval: advert_interval?,
        preempt: preempt?,
        preempt_delay: preempt_delay?,
        authentication: authentication?,
        checksum: checksum?,
        vips: vips?.into_iter().map(|(vip, _)| vip).collect(),
        paths: adverts.paths,
        source: adverts.source,
        unicast_ttl: adverts.unicast_ttl,
        announcing,
        pacing,
        answers_lower: answers_lower?,
        answers_higher: answers_higher?,
        track_service: track_service?,
        tracks,
        accept: accept?,
        vmac: adverts.vmac,
        on_isolation: on_isolation?,
        lease: lease?,
        defined_at,
    })
}

fn accept(fields: &mut Fields<'_>, priority: Option<Priority>, report: &mut Report) -> Option<bool> {
    let Some(field) = fields.take("accept") else { return Some(true) };
    let span = field.key_span;
    let accept: bool = value::scalar(field, "true or false", report)?;
    if !accept && priority == Some(Priority::OWNER) {
        let message = "`accept = false` has no effect with priority 255: the owner always accepts";
        report.warn(span, message, "choose a priority below 255, or remove it");
        return Some(true);
    }
    Some(accept)
}

fn example(key: &str) -> &'static str {
    match key {
        "name" => "write a name, unique on this host: name = \"VI_1\"",
        "interface" => "write the service interface: interface = \"eth0\"",
        "vrid" => "write a number from 1 to 255, the same on every router of the group: vrid = 51",
        _ => "write the addresses that move: vips = [{ address = \"192.0.2.10/24\" }]",
    }
}

/// A text that people can read.
pub(super) fn visible(field: Field<'_>, report: &mut Report) -> Option<String> {
    let name: String = value::scalar(field.clone(), "a string", report)?;
    if name.is_empty() || name.chars().any(char::is_control) {
        value::wrong(&field, "a visible text", report);
        return None;
    }
    Some(name)
}

/// A name that an interface can have.
pub(super) fn interface(field: Field<'_>, report: &mut Report) -> Option<String> {
    let name: String = value::scalar(field.clone(), "a string", report)?;
    if let Some(fault) = validate::interface_fault(&name) {
        report.error(field.span, format!("`{}` names an interface, and {name:?} {fault}", field.key));
        return None;
    }
    Some(name)
}

fn interval(field: Field<'_>, version: Version, report: &mut Report) -> Option<AdvertInterval> {
    let (step, most, help) = match version {
        Version::V2 => {
            (Duration::from_secs(1), Duration::from_secs(255), "version 2 advertises in whole seconds")
        }
        Version::V3 => (
            Duration::from_millis(10),
            Duration::from_millis(40_950),
            "version 3 advertises in steps of 10ms",
        ),
    };
    let (key, span) = (field.key.clone(), field.span);
    let time = value::time(field, step..=most, report)?;
    if time.as_nanos() % step.as_nanos() != 0 {
        report.error_with(span, format!("`{key}` is a multiple of {step:?}, here is {time:?}"), help);
        return None;
    }
    let cs = u16::try_from(time.as_millis() / 10).ok()?;
    AdvertInterval::from_centiseconds(cs, version)
}

fn preempt_delay(field: Option<Field<'_>>, preempt: Option<bool>, report: &mut Report) -> Option<Duration> {
    let Some(field) = field else { return Some(Duration::ZERO) };
    let span = field.key_span;
    let delay = value::time(field, Duration::ZERO..=LONGEST_PREEMPT_DELAY, report)?;
    if preempt == Some(false) && !delay.is_zero() {
        report.warn(span, "`preempt_delay` has no effect with `preempt = false`", "remove one of them");
        return Some(Duration::ZERO);
    }
    Some(delay)
}

fn authentication(field: Field<'_>, version: Version, report: &mut Report) -> Option<Authentication> {
    let (at, expected) = (field.key_span, "a table { type = \"pass\", secret = \"…\" }");
    let mut fields: BTreeMap<String, Field<'_>> = value::table(field, Keys::Auth, expected, report)?
        .into_iter()
        .map(|field| (field.key.clone(), field))
        .collect();
    if version == Version::V3 {
        let message = "`auth` needs version 2: version 3 has no authentication";
        report.error_with(at, message, "remove `auth`, or write `version = 2` on every router of the group");
        return None;
    }
    let (Some(kind), Some(secret)) = (fields.remove("type"), fields.remove("secret")) else {
        report.error_with(
            at,
            "`auth` lacks its `type` or `secret`",
            "write auth = { type = \"pass\", secret = \"…\" }",
        );
        return None;
    };
    let kind = value::one_of(kind, &[("pass", ())], report);
    let text: String = value::scalar(secret.clone(), "a string of 1 to 8 bytes", report)?;
    let mut bytes = [0; 8];
    if text.is_empty() || text.len() > bytes.len() {
        // The secret itself is not repeated in a message that may reach a log.
        let message = format!("`secret` is a string of 1 to 8 bytes, here are {}", text.len());
        report.error_with(secret.span, message, "version 2 carries no more than 8 bytes of a password");
        return None;
    }
    bytes.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    kind.map(|()| Authentication::Pass(bytes))
}

fn checksum(field: Field<'_>, report: &mut Report) -> Option<ChecksumForm> {
    let forms = [
        ("with-pseudo-header", ChecksumForm::WithPseudoHeader),
        ("without-pseudo-header", ChecksumForm::WithoutPseudoHeader),
    ];
    value::one_of(field, &forms, report)
}

fn lease(field: Field<'_>, report: &mut Report) -> Option<Lease> {
    let expected = "a duration from 1s to 1h such as \"3s\", or \"off\"";
    let text: String = value::scalar(field.clone(), expected, report)?;
    let lease = text.parse();
    if lease.is_err() {
        value::wrong(&field, expected, report);
    }
    lease.ok()
}

fn vips(field: Field<'_>, service: &str, report: &mut Report) -> Option<Vec<(VipConfig, Span)>> {
    let (span, mut all) = (field.span, Some(Vec::new()));
    let elements = value::list(field, address::EXPECTED, report);
    if elements.is_empty() && !report.failed() {
        report.error_with(span, "`vips` is empty: the instance has no address to hold", example("vips"));
    }
    for element in elements {
        let span = element.span;
        let Some(vip) = address::read(element, service, report) else {
            all = None;
            continue;
        };
        let same = |(other, _): &(VipConfig, Span)| other.vip.address == vip.vip.address;
        let twice = all.iter().flatten().any(same);
        if twice {
            report.error_with(span, format!("{} is listed twice", vip.vip.address), "remove one of the two");
        }
        all = all.filter(|_| !twice).map(|mut all| {
            all.push((vip, span));
            all
        });
    }
    all.filter(|all| !all.is_empty())
}
