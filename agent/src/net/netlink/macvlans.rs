//! The interfaces that this thread makes and takes away: those of virtual MACs. What is wanted and missing is made whenever it
//! is looked at, every second at the latest; so one that somebody deletes is back at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use super::{Changes, EngineGone, Kernel};
use crate::net::{
    link::Interface,
    macvlan::{self, Macvlan},
};

/// Which interfaces are watched, and which of them are made and taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// Told about, by name.
    pub watched: BTreeSet<String>,
    /// Made if they are not there, taken over if they are; removed when they are no longer here. Watched too.
    pub macvlans: BTreeMap<String, Macvlan>,
    /// Removed if they are there just so. Watched too.
    pub unwanted: BTreeMap<String, Macvlan>,
}

impl Interfaces {
    /// Those of `other` beside these.
    pub fn include(&mut self, other: &Self) {
        self.watched.extend(other.watched.iter().cloned());
        for (name, macvlan) in &other.macvlans {
            self.macvlans.entry(name.clone()).or_insert_with(|| macvlan.clone());
        }
    }
}

/// What this thread has done about macvlans.
#[derive(Debug, Default)]
pub(super) struct Macvlans {
    /// The indexes of those that are ours to remove: made or taken over.
    ours: BTreeMap<String, u32>,
    /// Those of them that are set as they must be.
    ready: BTreeSet<u32>,
    /// Why one is not as it is wanted.
    faults: BTreeMap<String, String>,
}

impl Macvlans {
    pub(super) fn fault(&self, name: &str) -> Option<&String> {
        self.faults.get(name)
    }

    /// The kernel says that it is gone.
    pub(super) fn forget(&mut self, name: &str) {
        if let Some(index) = self.ours.remove(name) {
            self.ready.remove(&index);
        }
    }
}

impl Kernel {
    /// Begins with what is new in `wanted`; what is not in it any more stays.
    pub(super) async fn begin(&mut self, wanted: &Interfaces) -> Result<(), EngineGone> {
        let old = self.wanted.clone();
        self.wanted.include(wanted);
        let look_at = self.wanted.watched.difference(&old.watched).cloned();
        let look_at = look_at
            .chain(self.wanted.macvlans.keys().filter(|name| !old.macvlans.contains_key(*name)).cloned());
        let look_at = look_at.collect();
        self.apply(Changes { look_at, ..Changes::default() }).await
    }

    /// Makes this what is wanted: removes what is not any more, begins with what is new.
    pub(super) async fn watch(&mut self, wanted: Interfaces) -> Result<(), EngineGone> {
        let old = std::mem::replace(&mut self.wanted, wanted);
        let mut look_at: BTreeSet<String> = self.wanted.watched.difference(&old.watched).cloned().collect();
        let is_other = |name: &str, macvlan: &Macvlan| self.wanted.macvlans.get(name) != Some(macvlan);
        let dropped: Vec<String> = old
            .macvlans
            .iter()
            .filter(|(name, macvlan)| is_other(name, macvlan))
            .map(|(name, _)| name.clone())
            .collect();
        let mut leaving = Vec::new();
        for name in dropped {
            self.macvlans.faults.remove(&name);
            let index = self.macvlans.ours.get(&name).copied();
            leaving.extend(index.map(|index| (name.clone(), index)));
            look_at.insert(name);
        }
        for (name, macvlan) in self.wanted.unwanted.clone() {
            let parent = self.link(&macvlan.parent).await.ok().flatten().map(|parent| parent.index);
            let present = self.link(&name).await.ok().flatten();
            if let (Some(parent), Some(present)) = (parent, present)
                && macvlan.is(&present, parent)
            {
                leaving.push((name.clone(), present.index));
            }
            look_at.insert(name);
        }
        self.take_away(&leaving).await;
        look_at.extend(
            self.wanted
                .macvlans
                .iter()
                .filter(|(name, it)| old.macvlans.get(*name) != Some(*it))
                .map(|(name, _)| name.clone()),
        );
        look_at.retain(|name| self.wanted.watched.contains(name));
        self.truth.retain(|name, _| self.wanted.watched.contains(name));
        self.apply(Changes { look_at, ..Changes::default() }).await
    }

    /// A wanted one as it is after it was made as it must be, as far as that is possible.
    pub(super) async fn keep(
        &mut self,
        name: &str,
        macvlan: &Macvlan,
        present: Option<Interface>,
    ) -> io::Result<Option<Interface>> {
        match self.make(name, macvlan, present.as_ref()).await {
            Ok(is_new) => {
                self.macvlans.faults.remove(name);
                if is_new { self.link(name).await } else { Ok(present) }
            }
            Err(fault) => {
                self.macvlans.faults.insert(name.to_owned(), fault);
                self.link(name).await
            }
        }
    }

    /// Whether anything had to be done. The error is in words.
    async fn make(
        &mut self,
        name: &str,
        macvlan: &Macvlan,
        present: Option<&Interface>,
    ) -> Result<bool, String> {
        let Macvlan { parent, mac, .. } = macvlan;
        let known = self.truth.get(parent).map(|parent| parent.index);
        let parent_index = match known {
            Some(index) => index,
            None => {
                let found =
                    self.link(parent).await.map_err(|error| format!("cannot read {parent}: {error}"))?;
                found.ok_or_else(|| format!("cannot make {name}: {parent} does not exist"))?.index
            }
        };
        let found = present.filter(|present| macvlan.is(present, parent_index));
        if let Some(found) = found
            && found.admin_up
            && self.macvlans.ready.contains(&found.index)
        {
            return Ok(false);
        }
        let index = match (found, present) {
            (Some(found), _) => found.index,
            // Of another time, when its interface was another one.
            (None, Some(present)) if self.macvlans.ours.get(name) == Some(&present.index) => {
                self.take_away(&[(name.to_owned(), present.index)]).await;
                self.make_new(name, macvlan, parent_index).await?
            }
            (None, Some(_)) => {
                return Err(format!(
                    "there is an interface {name} already, and it is no macvlan in private mode on {parent} with MAC {mac}: \
                     remove it, or choose another name"
                ));
            }
            (None, None) => self.make_new(name, macvlan, parent_index).await?,
        };
        self.macvlans.ours.insert(name.to_owned(), index);
        macvlan.tune(name)?;
        macvlan::set_up(&self.handle, index)
            .await
            .map_err(|error| format!("cannot set {name} up: {error}"))?;
        self.macvlans.ready.insert(index);
        Ok(true)
    }

    async fn make_new(&self, name: &str, macvlan: &Macvlan, parent_index: u32) -> Result<u32, String> {
        let Macvlan { parent, mac, .. } = macvlan;
        let what = || format!("cannot make the macvlan interface {name} on {parent} with MAC {mac}");
        macvlan
            .make(&self.handle, name, parent_index)
            .await
            .map_err(|error| format!("{}: {error}", what()))?;
        let made = self.link(name).await.map_err(|error| format!("{}: {error}", what()))?;
        let made = made.ok_or_else(|| format!("{}: somebody removed it at once", what()))?;
        Ok(made.index)
    }

    /// Takes these off, by name and index.
    async fn take_away(&mut self, leaving: &[(String, u32)]) {
        if leaving.is_empty() {
            return;
        }
        let indexes: Vec<u32> = leaving.iter().map(|(_, index)| *index).collect();
        let removed = macvlan::remove(&self.handle, &indexes).await;
        for (name, index) in leaving {
            self.macvlans.ours.remove(name);
            self.macvlans.ready.remove(index);
            self.macvlans.faults.remove(name);
            if let Err(error) = &removed
                && self.link(name).await.is_ok_and(|link| link.is_some())
            {
                let fault = format!("cannot remove the macvlan interface {name}: {error}");
                tracing::error!(interface = name, "{fault}");
                self.macvlans.faults.insert(name.clone(), fault);
            }
        }
    }
}
