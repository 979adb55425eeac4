//! `struct sockaddr_ll` (packet(7)) as a socket2 address: the only module of the project with `unsafe` code.
//!
//! The standard library and socket2 know IP and Unix addresses, but not the link layer's. An `AF_PACKET` socket needs
//! one to be bound to an interface and to be told where a frame goes. socket2 makes an address of any family from
//! storage that the caller fills, and cannot check what was filled in: that is the unsafe step.

use pnet::util::MacAddr;
use socket2::{SockAddr, SockAddrStorage, socklen_t};

/// The address of `mac` on the interface with this index, for frames of this EtherType.
///
/// To bind a socket, `mac` does not matter (packet(7)); to send a whole frame, only the index does.
pub fn address(interface_index: u32, ether_type: u16, mac: MacAddr) -> SockAddr {
    let octets = mac.octets();
    let mut sll_addr = [0; 8];
    for (to, from) in sll_addr.iter_mut().zip(octets) {
        *to = from;
    }
    let link_layer = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as libc::sa_family_t,
        sll_protocol: ether_type.to_be(),
        // The kernel's type is signed and its indexes are positive: the same bits either way.
        sll_ifindex: interface_index.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr,
    };
    into_socket_address(link_layer)
}

#[allow(unsafe_code)]
fn into_socket_address(link_layer: libc::sockaddr_ll) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` is one of the platform's `sockaddr_*` types, which is what `view_as` asks for; it is no
    // larger than the storage (asserted by `view_as`) and needs no stricter alignment.
    unsafe { *storage.view_as::<libc::sockaddr_ll>() = link_layer };
    let length = size_of::<libc::sockaddr_ll>() as socklen_t;
    // SAFETY: the storage holds a whole `sockaddr_ll` with `sll_family` set to the family it belongs to, and `length`
    // is that structure's size.
    unsafe { SockAddr::new(storage, length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_a_link_layer_address_of_the_right_length() {
        let address = address(7, 0x0806, MacAddr::broadcast());
        assert_eq!(i32::from(address.family()), libc::AF_PACKET);
        assert_eq!(address.len(), 20);
    }
}
