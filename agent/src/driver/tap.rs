//! Hearing what is said on a service interface from a virtual MAC that this host has too.

use std::collections::{BTreeMap, BTreeSet};

use super::line::Line;
use crate::net::{Family, advert::AdvertSocket};

/// One socket for each family, and which lines are listened to. They stay: closing one would hold the engine up.
#[derive(Debug, Default)]
pub(super) struct Taps {
    pub(super) sockets: BTreeMap<Family, AdvertSocket>,
    /// The service interface's line, by the index of the interface of a virtual MAC on it.
    parents: BTreeMap<u32, usize>,
}

impl Taps {
    /// Opens what is missing.
    pub(super) fn fit(&mut self, families: &BTreeSet<Family>) {
        for family in families {
            if self.sockets.contains_key(family) {
                continue;
            }
            match AdvertSocket::open_tap(*family) {
                Ok(socket) => drop(self.sockets.insert(*family, socket)),
                Err(error) => {
                    tracing::error!(?family, %error, "cannot open the socket of virtual MACs; trying again");
                }
            }
        }
    }

    /// Listens to the interfaces as they are now.
    pub(super) fn listen(&mut self, lines: &[Line]) {
        let of = |line: &Line| Some((line.interface.as_ref()?.index, line.parent?));
        self.parents = lines.iter().filter_map(of).collect();
    }

    /// The line of the service interface, if the interface with this index has a virtual MAC on it.
    pub(super) fn parent(&self, interface_index: u32) -> Option<usize> {
        self.parents.get(&interface_index).copied()
    }
}
