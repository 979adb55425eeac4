//! Standing orders: given, withdrawn, over.

use std::collections::{BTreeMap, BTreeSet};

use hafleet_vrrp::{Priority, State};

use super::{Acts, Done, Refusal, on_the_disk};
use crate::{
    clock,
    driver::Standing,
    log,
    orders::{BookError, Order, Orders, What},
    run::EngineSilent,
};

impl Acts {
    pub(super) async fn give(&mut self, order: Order) -> Done {
        let now_us = clock::wall_us();
        if order.is_over(now_us) {
            return Err(Refusal::new(
                "invalid",
                format!("the time of the order {} is over already", order.id),
            ));
        }
        let meant = self.meant(&order)?;
        let before = self.book.orders().at(now_us);
        if before.find(&order.id) != Some(&order) {
            let Some(orders) = before.with(order.clone()) else {
                let (what, places) = (order.what.as_str(), order.what.places());
                let why = format!(
                    "{places} orders or more stand already, which is the bound for a {what}; withdraw some first"
                );
                return Err(Refusal::new("conflict", why));
            };
            self.keep(orders).await?;
            self.door.note_order("ordered", &order);
        }
        let Order { id, by, why, what, .. } = &order;
        tracing::warn!(order = id, by, why, instances = ?order.instances, "ordered: {}", what.as_str());
        let take_over = match what {
            What::TakeOver { .. } => meant.clone(),
            What::Demote | What::Maintenance => BTreeSet::new(),
        };
        let standing = self.book.standing(now_us);
        let obeyed = match self.tell(standing, take_over).await {
            Ok(states) => obeyed(what, &meant, &states),
            Err(error) => Err(Refusal::new("engine", error.to_string())),
        };
        match (what, obeyed) {
            (_, Ok(detail)) => Ok(detail),
            // It stands, and the engine is told until it has heard.
            (What::Demote | What::Maintenance, Err(refusal)) => Err(refusal),
            // What cannot be taken now is not taken at another time.
            (What::TakeOver { .. }, Err(refusal)) => {
                self.keep(before).await?;
                self.door.note_order("withdrawn", &order);
                let standing = self.book.standing(now_us);
                if let Err(error) = self.tell(standing, BTreeSet::new()).await {
                    tracing::error!("the engine does not know the standing orders yet: {error}");
                }
                Err(refusal)
            }
        }
    }

    pub(super) async fn withdraw(&mut self, id: &str) -> Done {
        let now_us = clock::wall_us();
        let before = self.book.orders().at(now_us);
        if before.find(id).is_none() && self.book.error().is_none() {
            return Ok(format!("the order {id} does not stand"));
        }
        self.keep(before.without(id)).await?;
        if let Some(order) = before.find(id) {
            self.door.note_order("withdrawn", order);
        }
        tracing::warn!(order = id, "withdrawn");
        let standing = self.book.standing(now_us);
        let told = self.tell(standing, BTreeSet::new()).await;
        told.map(|_| String::new()).map_err(|error| Refusal::new("engine", error.to_string()))
    }

    /// Takes out of the file what is over. A disk that refuses changes nothing about it: whoever reads the file finds it over.
    pub(super) async fn end_orders(&mut self) {
        let now_us = clock::wall_us();
        let all = self.book.orders().all().iter();
        let over: Vec<Order> = all.filter(|order| order.is_over(now_us)).cloned().collect();
        if over.is_empty() || tokio::time::Instant::now() < self.sweep_at {
            return;
        }
        self.sweep_at = tokio::time::Instant::now() + super::TRY_AGAIN_AFTER;
        match self.keep(self.book.orders().at(now_us)).await {
            Ok(()) => {
                for order in &over {
                    tracing::info!(order = order.id, "its time is over");
                    self.door.note_order("ended", order);
                }
            }
            Err(refusal) => tracing::error!("orders whose time is over stay in the file: {}", refusal.detail),
        }
    }

    /// Tells the engine what stands, and notes that it knows.
    pub(super) async fn tell(
        &mut self,
        standing: Standing,
        take_over: BTreeSet<String>,
    ) -> Result<BTreeMap<String, State>, EngineSilent> {
        // Until it answers it may know the one or the other.
        self.told = None;
        let states = self.engine.stand(standing.clone(), take_over).await?;
        self.told = Some(standing);
        Ok(states)
    }

    async fn keep(&mut self, orders: Orders) -> Result<(), Refusal> {
        let (book, kept) = on_the_disk(&self.book, move |book| book.keep(orders)).await?;
        self.book = book;
        kept.map_err(|error: BookError| Refusal::new("disk", log::chain(&error)))
    }

    /// The instances that an order is about.
    fn meant(&self, order: &Order) -> Result<BTreeSet<String>, Refusal> {
        let all = self.door.instances();
        for name in &order.instances {
            let instance = all.iter().find(|instance| instance.name == *name);
            if instance.is_none() {
                let why = format!("this node has no instance `{name}`");
                return Err(Refusal::new("unknown_instance", why));
            }
        }
        let is_meant = |name: &String| order.instances.is_empty() || order.instances.contains(name);
        let meant = || all.iter().filter(|instance| is_meant(&instance.name));
        let takes_over = matches!(order.what, What::TakeOver { .. });
        if let Some(owner) = meant().find(|instance| takes_over && instance.priority == Priority::OWNER) {
            let why = format!("`{}` has priority 255, which no order can change", owner.name);
            return Err(Refusal::new("invalid", why));
        }
        Ok(meant().map(|instance| instance.name.clone()).collect())
    }
}

/// Whether the states after an order are what it asked for.
fn obeyed(what: &What, meant: &BTreeSet<String>, states: &BTreeMap<String, State>) -> Done {
    for name in meant {
        let Some(state) = states.get(name) else { continue };
        let refusal = match (what, state) {
            (What::Demote | What::Maintenance, State::Fault | State::Init) => continue,
            (What::TakeOver { .. }, State::Master) => continue,
            (What::Demote | What::Maintenance, State::Backup | State::Master) => {
                Refusal::new("engine", format!("`{name}` is {state} in spite of the order"))
            }
            (What::TakeOver { priority }, State::Backup) => Refusal::new(
                "conflict",
                format!(
                    "`{name}` follows a master that would not yield to priority {}; give a higher one (nobody takes from 255)",
                    priority.priority()
                ),
            ),
            (What::TakeOver { .. }, State::Init | State::Fault) => {
                Refusal::new("not_ready", format!("`{name}` is {state} and cannot serve"))
            }
        };
        return Err(refusal);
    }
    Ok(String::new())
}
