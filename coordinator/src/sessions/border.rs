//! What an agent says, checked and turned into the fleet core's types. What cannot be right is refused with the field
//! that is wrong; nothing is guessed or clipped.

use std::{net::IpAddr, str::FromStr, time::Duration};

use hafleet_fleet::{
    ArpAnswer, Heard, InstanceReport, Reference, Refused, Rejected, Snapshot, StateChange, VrrpState,
};
use hafleet_proto::v1;

/// More instances than VRIDs on a handful of interfaces is a broken agent.
const INSTANCES_MAX: usize = 4096;
const HEARD_MAX: usize = 16_384;
const ADDRESSES_MAX: usize = 1024;
/// Far more than anybody gives to one node.
const ORDERS_MAX: usize = 256;
const REJECTIONS_MAX: usize = 64;
const ARP_MAX: usize = 4096;
const MACS_MAX: usize = 64;
const REFERENCES_MAX: usize = 64;
/// Longest text that is a sentence.
const TEXT_MAX: usize = 4096;
/// Longest name, in bytes. Names are keys of indexes, and PostgreSQL takes no more than about 2,700 bytes into one.
const NAME_MAX: usize = 255;

/// A field that cannot be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field `{field}`: {what}")]
pub struct Malformed {
    /// Where: `snapshot.instances[3].vrid`.
    pub field: String,
    /// What is wrong with which value.
    pub what: String,
}

/// Something inside a message, whose place the caller adds.
type Checked<T> = Result<T, Malformed>;

fn malformed<T>(field: &str, what: impl Into<String>) -> Checked<T> {
    Err(Malformed { field: field.to_owned(), what: what.into() })
}

impl Malformed {
    /// The same, with the place that the message was in.
    pub fn within(mut self, place: &str) -> Self {
        self.field = format!("{place}.{}", self.field);
        self
    }
}

/// A snapshot of the journal `journal_id`.
pub fn snapshot(snapshot: &v1::Snapshot, journal_id: &str) -> Checked<Snapshot> {
    bounded("instances", snapshot.instances.len(), INSTANCES_MAX)?;
    bounded("heard", snapshot.heard.len(), HEARD_MAX)?;
    bounded("orders", snapshot.orders.len(), ORDERS_MAX)?;
    each("orders", &snapshot.orders, order)?;
    bounded("references", snapshot.references.len(), REFERENCES_MAX)?;
    Ok(Snapshot {
        seq: snapshot.seq,
        journal_id: journal_id.to_owned(),
        instances: each("instances", &snapshot.instances, instance)?,
        heard: each("heard", &snapshot.heard, heard)?,
        refused: snapshot.configuration_refused.as_ref().map(refused).transpose()?,
        references: each("references", &snapshot.references, reference)?,
        orders_unreadable: match snapshot.orders_unreadable.as_str() {
            "" => None,
            why => Some(text("orders_unreadable", why)?),
        },
    })
}

/// Who answered ARP during a probe.
pub fn arp(observations: &[v1::ArpObservation]) -> Checked<Vec<ArpAnswer>> {
    bounded("arp", observations.len(), ARP_MAX)?;
    each("arp", observations, |observation| {
        bounded("macs", observation.macs.len(), MACS_MAX)?;
        Ok(ArpAnswer {
            target: address("target", &observation.target)?,
            interface: text("interface", &observation.interface)?,
            macs: each("macs", &observation.macs, |mac| text("", mac))?,
            error: text("error", &observation.error)?,
        })
    })
}

/// A journalled change of state.
pub fn state_change(stamp: &v1::Stamp, transition: &v1::Transition) -> Checked<StateChange> {
    Ok(StateChange {
        seq: stamp.seq,
        journal_id: stamp.journal_id.clone(),
        instance: named("instance", &transition.instance)?,
        vrid: vrid("vrid", transition.vrid)?,
        from: state("from", transition.from)?,
        to: state("to", transition.to)?,
        reason: text("reason", &transition.reason)?,
    })
}

/// What an agent says of something that it was asked to do.
pub fn answer(answer: &v1::Answer) -> Checked<()> {
    named("id", &answer.id)?;
    optional_name("reason", &answer.reason)?;
    text("detail", &answer.detail).map(|_| ())
}

/// An order that a node says it has.
fn order(order: &v1::Order) -> Checked<()> {
    named("id", &order.id)?;
    bounded("instances", order.instances.len(), INSTANCES_MAX)?;
    each("instances", &order.instances, |instance| named("", instance))?;
    text("by", &order.by)?;
    text("why", &order.why).map(|_| ())
}

/// `journal_id`: 16 random bytes in hex.
pub fn journal_id(id: &str) -> Checked<()> {
    if id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(())
    } else {
        malformed("journal_id", format!("`{}` is not 32 hex digits", shown(id)))
    }
}

fn instance(report: &v1::InstanceState) -> Checked<InstanceReport> {
    bounded("addresses", report.addresses.len(), ADDRESSES_MAX)?;
    bounded("addresses_present", report.addresses_present.len(), ADDRESSES_MAX)?;
    Ok(InstanceReport {
        instance: named("instance", &report.instance)?,
        interface: named("interface", &report.interface)?,
        vrid: vrid("vrid", report.vrid)?,
        version: version("version", report.version)?,
        state: state("state", report.state)?,
        in_state: Duration::from_micros(report.in_state_us),
        reason: text("reason", &report.reason)?,
        reason_detail: text("reason_detail", &report.reason_detail)?,
        priority: byte("priority", report.priority)?,
        effective_priority: byte("effective_priority", report.effective_priority)?,
        interval: interval("advert_interval_cs", report.advert_interval_cs)?,
        master_down: Duration::from_micros(report.master_down_us),
        auth: text("auth", &report.auth)?,
        preempt: report.preempt,
        addresses: each("addresses", &report.addresses, |text| prefixed(text))?,
        addresses_present: each("addresses_present", &report.addresses_present, |text| {
            prefixed(text).map(|(address, _)| address)
        })?,
        source: optional_address("source_address", &report.source_address)?,
        carrier: report.carrier,
        interface_errors: report.interface_errors,
        defined_at: text("defined_at", &report.defined_at)?,
    })
}

fn heard(heard: &v1::HeardAdvert) -> Checked<Heard> {
    bounded("addresses", heard.addresses.len(), ADDRESSES_MAX)?;
    bounded("rejections", heard.rejections.len(), REJECTIONS_MAX)?;
    Ok(Heard {
        interface: named("interface", &heard.interface)?,
        vrid: vrid("vrid", heard.vrid)?,
        source: address("source", &heard.source)?,
        // What a stranger sent: any version that fits its four bits.
        version: byte("version", heard.version)?,
        priority: byte("priority", heard.priority)?,
        interval: interval("advert_interval_cs", heard.advert_interval_cs)?,
        addresses: each("addresses", &heard.addresses, |text| prefixed(text).map(|(address, _)| address))?,
        auth: text("auth", &heard.auth)?,
        age: Duration::from_micros(heard.last_heard_age_us),
        accepted: heard.accepted,
        rejected: each("rejections", &heard.rejections, |rejection| {
            Ok(Rejected {
                reason: named("reason", &rejection.reason)?,
                count: rejection.count,
                age: Duration::from_micros(rejection.last_age_us),
                detail: text("detail", &rejection.detail)?,
            })
        })?,
        vrid_configured: heard.vrid_configured,
    })
}

fn refused(refused: &v1::ConfigurationRefused) -> Checked<Refused> {
    Ok(Refused {
        why: text("configuration_refused.why", &refused.why)?,
        age: Duration::from_micros(refused.age_us),
    })
}

fn reference(reference: &v1::Reference) -> Checked<Reference> {
    Ok(Reference {
        address: address("address", &reference.address)?,
        interface: optional_name("interface", &reference.interface)?,
        reachable: reference.reachable,
        age: Duration::from_micros(reference.age_us),
    })
}

fn each<T, U>(field: &str, items: &[T], read: impl Fn(&T) -> Checked<U>) -> Checked<Vec<U>> {
    let read_one = |(index, item)| {
        read(item).map_err(|error: Malformed| {
            let place = format!("{field}[{index}]");
            if error.field.is_empty() { Malformed { field: place, ..error } } else { error.within(&place) }
        })
    };
    items.iter().enumerate().map(read_one).collect()
}

fn bounded(field: &str, len: usize, max: usize) -> Checked<()> {
    if len <= max { Ok(()) } else { malformed(field, format!("{len} entries; at most {max} make sense")) }
}

/// A text of bearable length.
pub fn text(field: &str, text: &str) -> Checked<String> {
    at_most(TEXT_MAX, field, text)
}

/// A name that may be missing.
pub fn optional_name(field: &str, name: &str) -> Checked<String> {
    at_most(NAME_MAX, field, name)
}

fn named(field: &str, name: &str) -> Checked<String> {
    if name.is_empty() { malformed(field, "is empty") } else { optional_name(field, name) }
}

fn at_most(max: usize, field: &str, text: &str) -> Checked<String> {
    if text.len() <= max {
        Ok(text.to_owned())
    } else {
        malformed(field, format!("{} bytes of text; at most {max} make sense", text.len()))
    }
}

fn vrid(field: &str, vrid: u32) -> Checked<u8> {
    match u8::try_from(vrid) {
        Ok(vrid @ 1..) => Ok(vrid),
        Ok(0) | Err(_) => malformed(field, format!("{vrid} is not a VRID (1 to 255)")),
    }
}

fn byte(field: &str, value: u32) -> Checked<u8> {
    u8::try_from(value).or_else(|_| malformed(field, format!("{value} is more than 255")))
}

fn version(field: &str, version: u32) -> Checked<u8> {
    match version {
        2 => Ok(2),
        3 => Ok(3),
        other => malformed(field, format!("{other} is neither 2 nor 3")),
    }
}

fn interval(field: &str, centiseconds: u32) -> Checked<Duration> {
    // Version 2 goes to 255 s, version 3 to 40.95 s.
    if centiseconds <= 25_500 {
        Ok(Duration::from_millis(u64::from(centiseconds) * 10))
    } else {
        malformed(field, format!("{centiseconds} cs is more than any version of VRRP can say"))
    }
}

fn state(field: &str, state: i32) -> Checked<VrrpState> {
    match v1::VrrpState::try_from(state) {
        Ok(v1::VrrpState::Init) => Ok(VrrpState::Init),
        Ok(v1::VrrpState::Backup) => Ok(VrrpState::Backup),
        Ok(v1::VrrpState::Master) => Ok(VrrpState::Master),
        Ok(v1::VrrpState::Fault) => Ok(VrrpState::Fault),
        Ok(v1::VrrpState::Unspecified) | Err(_) => malformed(field, format!("{state} is not a VRRP state")),
    }
}

fn address(field: &str, text: &str) -> Checked<IpAddr> {
    IpAddr::from_str(text).or_else(|_| malformed(field, format!("`{}` is not an IP address", shown(text))))
}

fn optional_address(field: &str, text: &str) -> Checked<Option<IpAddr>> {
    if text.is_empty() { Ok(None) } else { address(field, text).map(Some) }
}

/// `ADDRESS/LEN`, or an address alone, which means the whole of it.
fn prefixed(text: &str) -> Checked<(IpAddr, u8)> {
    let wrong = || malformed("", format!("`{}` is not ADDRESS/PREFIX-LENGTH", shown(text)));
    let (host, length) = match text.split_once('/') {
        Some((host, length)) => (host, Some(length)),
        None => (text, None),
    };
    let Ok(address) = IpAddr::from_str(host) else { return wrong() };
    let most = if address.is_ipv4() { 32 } else { 128 };
    match length.map(u8::from_str) {
        None => Ok((address, most)),
        Some(Ok(length)) if length <= most => Ok((address, length)),
        Some(_) => wrong(),
    }
}

/// The start of a text that may be anything.
fn shown(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn good() -> v1::InstanceState {
        v1::InstanceState {
            instance: "VI_1".into(),
            interface: "ens33".into(),
            vrid: 51,
            version: 2,
            state: v1::VrrpState::Master.into(),
            priority: 150,
            effective_priority: 150,
            advert_interval_cs: 100,
            addresses: vec!["192.168.178.3/24".into()],
            addresses_present: vec!["192.168.178.3/24".into()],
            ..Default::default()
        }
    }

    fn field_of(change: impl FnOnce(&mut v1::InstanceState)) -> String {
        let mut instance = good();
        change(&mut instance);
        let message = v1::Snapshot { instances: vec![good(), instance], ..Default::default() };
        snapshot(&message, "j").unwrap_err().field
    }

    #[test]
    fn a_right_snapshot_passes_whole() {
        let message = v1::Snapshot { seq: 7, instances: vec![good()], ..Default::default() };
        let read = snapshot(&message, "j").unwrap();
        assert_eq!((read.seq, read.journal_id.as_str(), read.instances.len()), (7, "j", 1));
        assert_eq!(read.instances[0].addresses, vec![("192.168.178.3".parse().unwrap(), 24)]);
        assert_eq!(read.instances[0].addresses_present, vec!["192.168.178.3".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn references_are_read_and_bounded() {
        let gateway = |address: &str| v1::Reference {
            address: address.into(),
            interface: "ens33".into(),
            reachable: true,
            age_us: 7,
        };
        let message = |references| v1::Snapshot { references, ..Default::default() };
        let read = snapshot(&message(vec![gateway("192.168.178.1")]), "j").unwrap().references;
        assert_eq!((read.len(), read[0].reachable, read[0].age), (1, true, Duration::from_micros(7)));
        let wrong = snapshot(&message(vec![gateway("here")]), "j").unwrap_err();
        assert_eq!(wrong.field, "references[0].address");
        let many = vec![gateway("192.168.178.1"); REFERENCES_MAX + 1];
        assert_eq!(snapshot(&message(many), "j").unwrap_err().field, "references");
    }

    #[test]
    fn each_wrong_field_is_named() {
        assert_eq!(field_of(|i| i.vrid = 0), "instances[1].vrid");
        assert_eq!(field_of(|i| i.vrid = 256), "instances[1].vrid");
        assert_eq!(field_of(|i| i.state = 0), "instances[1].state");
        assert_eq!(field_of(|i| i.state = 99), "instances[1].state");
        assert_eq!(field_of(|i| i.version = 4), "instances[1].version");
        assert_eq!(field_of(|i| i.priority = 256), "instances[1].priority");
        assert_eq!(field_of(|i| i.instance.clear()), "instances[1].instance");
        assert_eq!(field_of(|i| i.instance = "x".repeat(256)), "instances[1].instance");
        assert_eq!(field_of(|i| i.interface = "x".repeat(256)), "instances[1].interface");
        assert_eq!(field_of(|i| i.addresses.push("10.0.0.1/33".into())), "instances[1].addresses[1]");
        assert_eq!(field_of(|i| i.addresses_present.push("x".into())), "instances[1].addresses_present[1]");
        assert_eq!(field_of(|i| i.source_address = "::1::".into()), "instances[1].source_address");
        assert_eq!(field_of(|i| i.reason_detail = "x".repeat(5000)), "instances[1].reason_detail");
        assert_eq!(field_of(|i| i.advert_interval_cs = u32::MAX), "instances[1].advert_interval_cs");
        let orders = vec![v1::Order { id: "x".into(), instances: vec![String::new()], ..Default::default() }];
        let message = v1::Snapshot { orders, ..Default::default() };
        assert_eq!(snapshot(&message, "j").unwrap_err().field, "orders[0].instances[0]");
        let message = v1::Snapshot { orders: vec![v1::Order::default(); 257], ..Default::default() };
        assert_eq!(snapshot(&message, "j").unwrap_err().field, "orders");
        let answer_of = |id: &str, detail: String| v1::Answer { id: id.into(), detail, ..Default::default() };
        assert_eq!(answer(&answer_of("", String::new())).unwrap_err().field, "id");
        assert_eq!(answer(&answer_of("1", "x".repeat(5000))).unwrap_err().field, "detail");
    }
}
