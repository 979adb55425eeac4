//! The names of the interfaces that carry virtual MACs.

use std::collections::BTreeMap;

use super::{Instance, Severity, source::Report};

/// Gives every virtual MAC's interface a name of its own: the one that was chosen, else as keepalived names it, with a
/// number where that is taken (`vrrp.51`, `vrrp1.51`, `vrrp6.51`).
pub(super) fn name(instances: &mut [Instance], report: &mut Report) {
    let lines = instances.iter().flat_map(|instance| &instance.paths).map(|path| &path.interface);
    let services = instances.iter().map(|instance| &instance.interface);
    let mut taken: BTreeMap<String, String> =
        services.chain(lines).map(|name| (name.clone(), String::new())).collect();
    let is_service = |name: &str| instances.iter().any(|instance| instance.interface == name);
    for instance in instances.iter() {
        let Some(name) = instance.vmac.as_ref().and_then(|vmac| vmac.interface.clone()) else { continue };
        let Some(first) = taken.insert(name.clone(), instance.name.clone()) else { continue };
        let message = if first.is_empty() {
            let what = if is_service(&name) { "service interface" } else { "heartbeat line" };
            format!("`{name}`, the virtual MAC's interface of `{}`, is a {what}", instance.name)
        } else {
            format!("`{name}` is the virtual MAC's interface of `{first}` and of `{}`", instance.name)
        };
        let help = "choose a name of its own, or none: then it is `vrrp.VRID`";
        report.push(Severity::Error, instance.defined_at.clone(), message, Some(help.to_owned()));
    }
    for instance in instances {
        let (vrid, family) = (instance.vrid, if instance.is_ipv6() { "6" } else { "" });
        let Some(vmac) = instance.vmac.as_mut().filter(|vmac| vmac.interface.is_none()) else { continue };
        let numbered = (1..).map(|number| format!("vrrp{family}{number}.{vrid}"));
        let name = std::iter::once(format!("vrrp{family}.{vrid}"))
            .chain(numbered)
            .find(|name| !taken.contains_key(name));
        if let Some(name) = name {
            taken.insert(name.clone(), instance.name.clone());
            vmac.interface = Some(name);
        }
    }
}
