//! The default gateways of interfaces, asked of the kernel.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use futures_util::TryStreamExt;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use nix::net::if_::if_nametoindex;
use rtnetlink::{RouteMessageBuilder, new_connection};

/// No more routes are read: a router of the internet has a million, and asks for its references by name.
const ROUTES_MAX: usize = 16_384;

/// Why they cannot be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum GatewayError {
    #[error("cannot open netlink")]
    Open(#[source] io::Error),
    #[error("cannot read the routes")]
    Read(#[source] rtnetlink::Error),
}

/// The gateways of default routes out of these interfaces, each with its interface.
pub(super) async fn gateways(
    interfaces: &BTreeSet<String>,
) -> Result<BTreeMap<IpAddr, String>, GatewayError> {
    let indices: BTreeMap<u32, &String> =
        interfaces.iter().filter_map(|name| Some((if_nametoindex(name.as_str()).ok()?, name))).collect();
    let (connection, handle, _) = new_connection().map_err(GatewayError::Open)?;
    let connection = tokio::spawn(connection);
    let mut found = BTreeMap::new();
    let mut read = Ok(());
    for request in
        [RouteMessageBuilder::<Ipv4Addr>::new().build(), RouteMessageBuilder::<Ipv6Addr>::new().build()]
    {
        let mut routes = handle.route().get(request).execute();
        for _ in 0..ROUTES_MAX {
            match routes.try_next().await {
                Ok(Some(route)) => found.extend(gateway(&route, &indices)),
                Ok(None) => break,
                Err(error) => {
                    read = Err(GatewayError::Read(error));
                    break;
                }
            }
        }
    }
    connection.abort();
    read.map(|()| found)
}

fn gateway(route: &RouteMessage, indices: &BTreeMap<u32, &String>) -> Option<(IpAddr, String)> {
    if route.header.destination_prefix_length != 0 {
        return None;
    }
    let mut address = None;
    let mut interface = None;
    for attribute in &route.attributes {
        if let RouteAttribute::Gateway(gateway) = attribute {
            address = match gateway {
                RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
                RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
                _ => None,
            };
        } else if let RouteAttribute::Oif(index) = attribute {
            interface = indices.get(index);
        }
    }
    Some((address?, (*interface?).clone()))
}
