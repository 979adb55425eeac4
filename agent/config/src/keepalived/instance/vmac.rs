//! `use_vmac` and `no_accept`.

use hafleet_vrrp::Priority;

use super::{
    super::{section::Entry, tree::Word, value},
    Draft,
};
use crate::{Vmac, source::Report, validate};

impl<'s> Draft<'s> {
    /// `use_vmac [NAME] [MAC]`.
    pub(super) fn use_vmac(&mut self, entry: Entry<'s>, report: &mut Report) {
        let mut vmac = Vmac { interface: None, adverts_from_parent: false };
        for word in entry.args {
            let name = value::bare(word, report);
            if is_mac(word) {
                report.error_with(
                    word.span,
                    "a MAC address of one's own is not supported by this version",
                    "remove it: the virtual router's is 00:00:5e:00:01:VRID, or 00:00:5e:00:02:VRID for IPv6",
                );
            } else if let Some(fault) = validate::interface_fault(name) {
                report.error(word.span, format!("`use_vmac` names an interface, and `{name}` {fault}"));
            } else {
                vmac.interface = Some(name.to_owned());
            }
        }
        self.vmac = Some((vmac, entry));
    }

    /// `accept` or `no_accept`: the last one counts.
    pub(super) fn accept(&mut self, entry: Entry<'s>, report: &mut Report) {
        if let Some(earlier) = self.accept.replace(entry) {
            let message = format!("`{}` is undone by the `{}` after it", earlier.name, entry.name);
            report.warn(earlier.span, message, "remove one of them");
        }
    }

    pub(super) fn accepts(&self, priority: Priority, report: &mut Report) -> bool {
        let Some(entry) = self.accept.filter(|entry| entry.name == "no_accept") else { return true };
        if priority == Priority::OWNER {
            let message = "`no_accept` has no effect with priority 255: the owner always accepts";
            report.warn(entry.span, message, "choose a priority below 255, or remove it");
        }
        priority == Priority::OWNER
    }

    /// The virtual MAC, against what else the instance says.
    pub(super) fn finished_vmac(&self, is_unicast: bool, report: &mut Report) -> Option<Vmac> {
        let Some((vmac, entry)) = &self.vmac else {
            if let Some(entry) = self.vmac_xmit_base {
                let message = "`vmac_xmit_base` has no effect without `use_vmac`";
                report.warn(entry.span, message, "remove it, or write `use_vmac`");
            }
            return None;
        };
        let said = self.vmac_xmit_base.is_some();
        if is_unicast && !said {
            let message = "unicast adverts go out from the parent interface, as with `vmac_xmit_base`";
            report.warn(entry.span, message, "write `vmac_xmit_base`; keepalived adds it too");
        }
        Some(Vmac { adverts_from_parent: said || is_unicast, ..vmac.clone() })
    }
}

fn is_mac(word: &Word) -> bool {
    let octets: Vec<&str> = word.text.split(':').collect();
    octets.len() >= 5 && octets.iter().all(|octet| u8::from_str_radix(octet, 16).is_ok())
}
