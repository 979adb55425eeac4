//! Virtual addresses on interfaces: the rtnetlink messages, and what the kernel's answers mean.
//!
//! A VIP is installed with a lifetime (`IFA_CACHEINFO`: `valid_lft`, whole seconds; `preferred_lft` the same unless it is
//! configured) and renewed with the same message: `NLM_F_REPLACE` changes the lifetime of an existing address in place. Nothing
//! else than the lifetime is different from what keepalived installs, so `ip addr` prints the same line with the word `dynamic`.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use futures_util::StreamExt;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressFlags, AddressMessage, CacheInfo},
};
use rtnetlink::{
    Handle,
    packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
};

/// Everything the kernel is told about one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressSpec {
    /// The interface's name.
    pub interface: String,
    /// The address.
    pub address: IpAddr,
    /// Its prefix length; the peer's if there is one.
    pub prefix_len: u8,
    /// The other end of a point-to-point address.
    pub peer: Option<IpAddr>,
    /// `IFA_LABEL`; `None`: the kernel uses the interface's name.
    pub label: Option<String>,
    /// `RT_SCOPE_*`.
    pub scope: u8,
    /// `IFA_BROADCAST`; `None`: none.
    pub broadcast: Option<Ipv4Addr>,
    /// `IFA_F_*` that are asked for.
    pub flags: AddressFlags,
    /// How long the kernel keeps it; `None`: for ever.
    pub lease: Option<Duration>,
    /// How many seconds from its installation on it is used for new connections; `None`: as long as it is there.
    pub preferred_s: Option<u32>,
}

/// What is done with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Install it, or take it over if it is there.
    Add,
    /// Begin its lifetime anew.
    Renew,
    /// Remove it.
    Delete,
}

/// Asks the kernel for one action on the interface with this index; the answer is awaited apart, so that many may
/// be under way. They are carried out in the order asked. Idempotent: adding what is there and deleting what
/// is not there succeed. The error is the kernel's.
pub fn ask(
    handle: &mut Handle,
    index: u32,
    action: Action,
    spec: &AddressSpec,
    age: Duration,
) -> impl Future<Output = io::Result<()>> + use<> {
    let (message, flags) = match action {
        Action::Add | Action::Renew => {
            (RouteNetlinkMessage::NewAddress(new_address(index, spec, age)), NLM_F_CREATE | NLM_F_REPLACE)
        }
        Action::Delete => (RouteNetlinkMessage::DelAddress(old_address(index, spec)), 0),
    };
    let mut request = NetlinkMessage::from(message);
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let answers = handle.request(request);
    async move {
        // An acknowledgement ends the answers; anything in them is an error.
        let mut answers = answers.map_err(kernel_error)?;
        while let Some(answer) = answers.next().await {
            if let NetlinkPayload::Error(error) = answer.payload {
                let error = error.to_io();
                return if action == Action::Delete && is_gone(&error) { Ok(()) } else { Err(error) };
            }
        }
        Ok(())
    }
}

/// EADDRNOTAVAIL: the address is gone; ENODEV: the interface is.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::ENODEV))
}

/// The kernel's error number if it answered with one.
pub fn kernel_error(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        rtnetlink::Error::RequestFailed => {
            io::Error::new(io::ErrorKind::BrokenPipe, "the netlink connection was lost")
        }
        other @ (rtnetlink::Error::UnexpectedMessage(_)
        | rtnetlink::Error::NamespaceError(_)
        | rtnetlink::Error::InvalidHardwareAddress(_)
        | rtnetlink::Error::InvalidIp(_)
        | rtnetlink::Error::InvalidAddress(..)
        | rtnetlink::Error::InvalidNla(_)) => io::Error::other(other),
    }
}

fn new_address(index: u32, spec: &AddressSpec, age: Duration) -> AddressMessage {
    let mut message = old_address(index, spec);
    message.header.scope = spec.scope.into();
    if let Some(label) = &spec.label {
        message.attributes.push(AddressAttribute::Label(label.clone()));
    }
    if let Some(broadcast) = spec.broadcast {
        message.attributes.push(AddressAttribute::Broadcast(broadcast));
    }
    if !spec.flags.is_empty() {
        message.attributes.push(AddressAttribute::Flags(spec.flags));
    }
    message.attributes.extend(lifetime(spec, age).map(AddressAttribute::CacheInfo));
    message
}

/// `None`: for ever, in every respect.
fn lifetime(spec: &AddressSpec, age: Duration) -> Option<CacheInfo> {
    if spec.lease.is_none() && spec.preferred_s.is_none() {
        return None;
    }
    let valid = spec.lease.map_or(FOR_EVER, whole_seconds);
    let mut lifetime = CacheInfo::default();
    lifetime.ifa_valid = valid;
    lifetime.ifa_preferred = match spec.preferred_s {
        None | Some(FOR_EVER) => valid,
        // Seconds that have begun are over.
        Some(preferred) => {
            preferred.saturating_sub(u32::try_from(age.as_secs()).unwrap_or(FOR_EVER)).min(valid)
        }
    };
    Some(lifetime)
}

/// Names one address: the kernel compares IFA_LOCAL, and the prefix length only beside IFA_ADDRESS.
fn old_address(index: u32, spec: &AddressSpec) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = match spec.address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.prefix_len = spec.prefix_len;
    message.header.index = index;
    message.attributes.push(AddressAttribute::Local(spec.address));
    message.attributes.push(AddressAttribute::Address(spec.peer.unwrap_or(spec.address)));
    message
}

/// `INFINITY_LIFE_TIME`.
const FOR_EVER: u32 = u32::MAX;

/// The kernel's unit. Rounded up, never 0 (which it refuses) and never "for ever".
fn whole_seconds(lease: Duration) -> u32 {
    let seconds = lease.as_secs().saturating_add(u64::from(lease.subsec_nanos() > 0));
    u32::try_from(seconds).unwrap_or(FOR_EVER - 1).clamp(1, FOR_EVER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifetime_of(lease_s: Option<u64>, preferred_s: Option<u32>, age_s: u64) -> Option<(u32, u32)> {
        let spec = AddressSpec {
            interface: "ens33".into(),
            address: [192, 0, 2, 1].into(),
            prefix_len: 24,
            peer: None,
            label: None,
            scope: 0,
            broadcast: None,
            flags: AddressFlags::empty(),
            lease: lease_s.map(Duration::from_secs),
            preferred_s,
        };
        lifetime(&spec, Duration::from_secs(age_s)).map(|told| (told.ifa_valid, told.ifa_preferred))
    }

    #[test]
    fn an_address_is_preferred_as_long_as_it_is_told_to_be_and_never_longer_than_it_is_there() {
        assert_eq!(lifetime_of(None, None, 7), None);
        assert_eq!(lifetime_of(Some(3), None, 7), Some((3, 3)));
        assert_eq!(lifetime_of(Some(3), Some(0), 0), Some((3, 0)));
        assert_eq!(lifetime_of(Some(3), Some(FOR_EVER), 7), Some((3, 3)));
        assert_eq!(lifetime_of(None, Some(0), 0), Some((FOR_EVER, 0)));
        assert_eq!(lifetime_of(None, Some(60), 0), Some((FOR_EVER, 60)));
        // Renewed again and again, it still ends when it was to end.
        assert_eq!(lifetime_of(Some(3), Some(60), 0), Some((3, 3)));
        assert_eq!(lifetime_of(Some(3), Some(60), 58), Some((3, 2)));
        assert_eq!(lifetime_of(Some(3), Some(60), 61), Some((3, 0)));
    }

    #[test]
    fn a_lease_is_rounded_up_to_the_kernel_s_seconds() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(3)), 3);
        assert_eq!(whole_seconds(Duration::from_millis(3_001)), 4);
        assert_eq!(whole_seconds(Duration::MAX), u32::MAX - 1);
    }
}
