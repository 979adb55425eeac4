//! The inventory and the last snapshot of each node.

use super::{Store, StoreError, row::text};

/// One node of the inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// Its name, unique in the fleet.
    pub name: String,
    /// Its layer-2 world.
    pub site: String,
    /// When it enrolled first, microseconds since the epoch.
    pub first_seen_us: i64,
    /// When it was last heard.
    pub last_seen_us: Option<i64>,
    /// The version its agent last told; empty before the first session.
    pub agent_version: String,
    /// The serial of its current client certificate, in hex.
    pub certificate_serial: Option<String>,
    /// When that certificate ends.
    pub certificate_not_after_us: Option<i64>,
    /// When its access was taken away; such a node is refused for good.
    pub revoked_at_us: Option<i64>,
}

impl NodeRow {
    /// Its access was taken away.
    pub fn revoked(&self) -> bool {
        self.revoked_at_us.is_some()
    }
}

stored_row!(NodeRow {
    name,
    site,
    first_seen_us,
    last_seen_us,
    agent_version,
    certificate_serial,
    certificate_not_after_us,
    revoked_at_us,
});

/// The last snapshot of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRow {
    /// Whose.
    pub node: String,
    /// When it came, microseconds since the epoch.
    pub received_us: i64,
    /// The snapshot as the caller wrote it.
    pub body: String,
}

stored_row!(SnapshotRow { node, received_us, body });

impl Store {
    /// Adds the node, or brings its row up to date. What was known stays where the new row says `None`; the first
    /// sight is kept, and a revocation is never taken back.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn save_node(&self, node: &NodeRow) -> Result<(), StoreError> {
        let saved = on_writer!(self, |db| {
            sqlx::query(
            "INSERT INTO nodes (name, site, first_seen_us, last_seen_us, agent_version, certificate_serial, \
                                certificate_not_after_us, revoked_at_us) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT (name) DO UPDATE SET \
                 site = excluded.site, \
                 last_seen_us = COALESCE(excluded.last_seen_us, nodes.last_seen_us), \
                 agent_version = excluded.agent_version, \
                 certificate_serial = COALESCE(excluded.certificate_serial, nodes.certificate_serial), \
                 certificate_not_after_us = \
                     COALESCE(excluded.certificate_not_after_us, nodes.certificate_not_after_us), \
                 revoked_at_us = COALESCE(nodes.revoked_at_us, excluded.revoked_at_us)",
        )
        .bind(&node.name)
        .bind(&node.site)
        .bind(node.first_seen_us)
        .bind(node.last_seen_us)
        .bind(text(&node.agent_version))
        .bind(node.certificate_serial.as_deref())
        .bind(node.certificate_not_after_us)
        .bind(node.revoked_at_us)
        .execute(db)
        .await
        .map(|_| ())
        });
        saved.map_err(|source| StoreError::Write { what: format!("node {}", node.name), source })
    }

    /// One node.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn node(&self, name: &str) -> Result<Option<NodeRow>, StoreError> {
        let row = on_reader!(self, |db| sqlx::query_as(
            "SELECT name, site, first_seen_us, last_seen_us, agent_version, certificate_serial, \
                    certificate_not_after_us, revoked_at_us \
             FROM nodes WHERE name = $1",
        )
        .bind(name)
        .fetch_optional(db)
        .await);
        row.map_err(|source| StoreError::Read { what: format!("node {name}"), source })
    }

    /// The whole inventory, revoked nodes too, by name.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        let rows = on_reader!(self, |db| sqlx::query_as(
            "SELECT name, site, first_seen_us, last_seen_us, agent_version, certificate_serial, \
                    certificate_not_after_us, revoked_at_us \
             FROM nodes ORDER BY name",
        )
        .fetch_all(db)
        .await);
        rows.map_err(|source| StoreError::Read { what: "the inventory".into(), source })
    }

    /// Takes a node's access away. Revoking again changes nothing.
    ///
    /// # Errors
    /// There is no such node; the database refuses.
    pub async fn revoke_node(&self, name: &str, at_us: i64) -> Result<(), StoreError> {
        let revoked = on_writer!(self, |db| sqlx::query(
            "UPDATE nodes SET revoked_at_us = COALESCE(revoked_at_us, $2) WHERE name = $1"
        )
        .bind(name)
        .bind(at_us)
        .execute(db)
        .await
        .map(|done| done.rows_affected()));
        match revoked {
            Ok(0) => Err(StoreError::UnknownNode { node: name.to_owned() }),
            Ok(_) => Ok(()),
            Err(source) => Err(StoreError::Write { what: format!("the revocation of node {name}"), source }),
        }
    }

    /// Keeps a node's latest snapshot in place of the one before, and notes that the node was heard.
    ///
    /// # Errors
    /// There is no such node; the database refuses.
    pub async fn save_snapshot(&self, node: &str, received_us: i64, body: &str) -> Result<(), StoreError> {
        let saved = in_transaction!(self, |db| {
            let heard = sqlx::query("UPDATE nodes SET last_seen_us = $2 WHERE name = $1")
                .bind(node)
                .bind(received_us)
                .execute(&mut *db)
                .await?;
            if heard.rows_affected() == 0 {
                return Err(StoreError::UnknownNode { node: node.to_owned() }.into());
            }
            sqlx::query(
                "INSERT INTO snapshots (node, received_us, body) VALUES ($1, $2, $3) \
                 ON CONFLICT (node) DO UPDATE SET received_us = excluded.received_us, body = excluded.body",
            )
            .bind(node)
            .bind(received_us)
            .bind(text(body))
            .execute(&mut *db)
            .await?;
            Ok(())
        });
        saved.map_err(|abort| {
            abort.or(|source| StoreError::Write { what: format!("the snapshot of node {node}"), source })
        })
    }

    /// The last snapshot of every node that ever sent one, by name.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn snapshots(&self) -> Result<Vec<SnapshotRow>, StoreError> {
        let rows = on_reader!(self, |db| sqlx::query_as(
            "SELECT snapshots.node, snapshots.received_us, snapshots.body FROM snapshots \
             JOIN nodes ON nodes.name = snapshots.node ORDER BY nodes.name",
        )
        .fetch_all(db)
        .await);
        rows.map_err(|source| StoreError::Read { what: "the snapshots".into(), source })
    }
}
