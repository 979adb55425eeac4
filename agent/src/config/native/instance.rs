//! `[[instance]]`.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use hafleet_vrrp::{
    AdvertInterval, Announcing, Authentication, ChecksumForm, Priority, Version, VirtualRouterId,
};

use super::{
    address,
    keys::Keys,
    path, track,
    value::{self, Field},
};
use crate::config::{
    Instance, Lease, Pacing, PathConfig, VipConfig, checks,
    checks::Definitions,
    source::{Report, Span},
    validate,
};

/// Longer than any maintenance window.
const LONGEST_PREEMPT_DELAY: Duration = Duration::from_secs(24 * 3600);
/// As for keepalived's `garp_master_delay`.
const LONGEST_ANNOUNCING_DELAY: Duration = Duration::from_secs(3600);

/// The fields of one instance that are not read yet.
struct Fields<'t>(BTreeMap<String, Field<'t>>);

impl<'t> Fields<'t> {
    fn take(&mut self, key: &str) -> Option<Field<'t>> {
        self.0.remove(key)
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
    let vrid = fields.take("vrid").and_then(|field| value::integer(field, 1..=u8::MAX, report));
    let version_span = fields.0.get("version").map(|field| field.span);
    let version = match fields.take("version") {
        None => Some(Version::V3),
        Some(field) => value::integer(field, 2..=3, report)
            .map(|number: u8| if number == 2 { Version::V2 } else { Version::V3 }),
    };
    let priority = match fields.take("priority") {
        None => Some(Priority::DEFAULT),
        Some(field) => value::integer(field, 1..=u8::MAX, report).and_then(Priority::new),
    };
    let interval = match fields.take("advert_interval") {
        None => Some(AdvertInterval::DEFAULT),
        Some(field) => version.and_then(|version| interval(field, version, report)),
    };
    let preempt = match fields.take("preempt") {
        None => Some(true),
        Some(field) => value::scalar(field, "true or false", report),
    };
    let preempt_delay = preempt_delay(fields.take("preempt_delay"), preempt, report);
    let authentication = match fields.take("auth") {
        None => Some(Authentication::None),
        Some(field) => version.and_then(|version| authentication(field, version, report)),
    };
    let checksum = match fields.take("checksum") {
        None => Some(ChecksumForm::WithPseudoHeader),
        Some(field) => checksum(field, report),
    };
    let lease = match fields.take("lease") {
        None => Some(Lease::default()),
        Some(field) => lease(field, report),
    };
    let announcing = match fields.take("announcing") {
        None => Some(Announcing::default()),
        Some(field) => announcing(field, report),
    };
    let source_span = fields.0.get("source").map(|field| field.span);
    let source = fields.take("source").map(|field| value::ip(field, report));
    let service = interface.as_deref().unwrap_or_default();
    let peers = fields.take("paths").map_or(Some(Vec::new()), |field| path::read(field, service, report));
    let ttl =
        fields.take("unicast_ttl").map(|field| (field.key_span, value::integer(field, 1..=u8::MAX, report)));
    let tracks = fields
        .take("track")
        .map_or(Some(Vec::new()), |field| track::read(field, service, definitions, report));
    let vips = fields.take("vips").and_then(|field| vips(field, service, report));
    let is_ipv6 = vips.as_deref().and_then(|vips| validate::family(vips, report))?;
    if let Some(span) = version_span.filter(|_| is_ipv6 && version == Some(Version::V2)) {
        let help = "write `version = 3` on every router of the group, or remove it";
        report.error_with(span, "`version` is 3 with IPv6 addresses: version 2 carries IPv4 only", help);
    }
    let source = source.map_or(Some(None), |source| source.map(Some))?;
    let peers = validate::peers(&peers?, source, vips.as_deref()?, is_ipv6, report)?;
    if let (Some(source), Some(span)) = (source, source_span) {
        let multicast = peers.is_empty();
        self::source(source, span, is_ipv6, multicast, report)?;
    }
    if let Some((span, Some(_))) = ttl.filter(|_| peers.is_empty()) {
        let message = "`unicast_ttl` has no effect without `peers`: multicast has TTL 255";
        report.warn(span, message, "name the other routers in `paths`, or remove it");
    }
    let interface = interface?;
    let (priority, tracks) = (priority?, tracks?);
    let tracks = checks::effective(tracks, &interface, priority, report);
    let service = PathConfig { interface: interface.clone(), peers };
    Some(Instance {
        name: name?,
        interface,
        vrid: vrid.and_then(VirtualRouterId::new)?,
        version: version?,
        priority,
        interval: interval?,
        preempt: preempt?,
        preempt_delay: preempt_delay?,
        authentication: authentication?,
        checksum: checksum?,
        vips: vips?.into_iter().map(|(vip, _)| vip).collect(),
        paths: Some(service).filter(|path| !path.peers.is_empty()).into_iter().collect(),
        unicast_ttl: ttl.map_or(Some(u8::MAX), |(_, ttl)| ttl)?,
        pacing: Pacing::default(),
        answers_lower: true,
        answers_higher: true,
        track_service: true,
        tracks,
        accept: true,
        vmac: None,
        source,
        announcing: announcing?,
        lease: lease?,
        defined_at,
    })
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

fn announcing(field: Field<'_>, report: &mut Report) -> Option<Announcing> {
    let expected = "a table { repeat = 5, delay = \"5s\", delayed_repeat = 5 }";
    let mut announcing = Announcing::default();
    for field in value::table(field, Keys::Announcing, expected, report)? {
        match field.key.as_str() {
            "repeat" => announcing.repeat = value::integer(field, 1..=u8::MAX, report)?,
            "delay" => {
                announcing.delay = value::time(field, Duration::ZERO..=LONGEST_ANNOUNCING_DELAY, report)?
            }
            _ => announcing.delayed_repeat = value::integer(field, 0..=u8::MAX, report)?,
        }
    }
    Some(announcing)
}

fn source(source: IpAddr, span: Span, is_ipv6: bool, multicast: bool, report: &mut Report) -> Option<()> {
    if let Some(fault) = validate::source_fault(source, is_ipv6) {
        report.error_with(span, fault, validate::SOURCE_HELP);
        return None;
    }
    if let Some(remark) = validate::source_remark(source).filter(|_| multicast) {
        report.warn(span, remark, "remove it: the interface's link-local address is used then");
    }
    Some(())
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
