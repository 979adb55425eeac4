//! The file of the standing orders, `<state dir>/orders.json`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{ORDERS_MAX, Orders};
use crate::{
    disk::{self, DiskError},
    driver::{Stand, Standing},
    log,
};

/// The version of the file's format that this agent writes, and the only one it reads.
const VERSION: u32 = 1;
/// The file is never longer, and one that is longer is not read.
const FILE_LEN_MAX: usize = 1 << 20;

/// Why orders cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The disk refuses.
    #[error("the order cannot be kept")]
    Disk(#[source] DiskError),
    /// The file is not what it should be, and is not overwritten before somebody has looked at it.
    #[error("no order can be kept while {} cannot be read: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The orders are too many words.
    #[error("the standing orders would take {len} bytes, the bound is {FILE_LEN_MAX}")]
    TooLong {
        /// How many bytes they would take.
        len: usize,
    },
}

/// The orders that stand, on the disk and in memory.
#[derive(Clone, Debug)]
pub struct Book {
    path: PathBuf,
    orders: Orders,
    /// Why the file cannot be read.
    unreadable: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: u32,
    orders: Vec<super::Order>,
}

impl Book {
    /// Reads the orders of a state directory.
    pub fn open(state_dir: &Path) -> Self {
        let path = state_dir.join("orders.json");
        let (orders, unreadable) = match read(&path) {
            Ok(orders) => (orders, None),
            Err(why) => (Orders::default(), Some(why)),
        };
        let book = Self { path, orders, unreadable };
        if let Some(error) = book.error() {
            tracing::error!("{error}");
        }
        book
    }

    /// What stands, the orders whose time is over included.
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// Why every instance is held back, and what to do.
    pub fn error(&self) -> Option<String> {
        let (why, path) = (self.unreadable.as_ref()?, self.path.display());
        Some(format!(
            "the standing orders in {path} cannot be read: {why}. Every instance is held back, because a fence may be among \
             them. When it is sure that this node may serve, move the file away and reload the agent (systemctl reload \
             ha-agent, or SIGHUP)"
        ))
    }

    /// What the orders of this moment come to. With a file that cannot be read everything is held back.
    pub fn standing(&self, wall_us: i64) -> Standing {
        match self.unreadable {
            Some(_) => {
                let by = "the standing orders cannot be read, and a fence may be among them";
                Standing { all: Stand::fence(by.to_owned()), ..Standing::default() }
            }
            None => self.orders.at(wall_us).standing(),
        }
    }

    /// Makes these the orders: first on the disk.
    ///
    /// # Errors
    /// The old ones stand then.
    pub fn keep(&mut self, orders: Orders) -> Result<(), BookError> {
        if let Some(why) = &self.unreadable {
            return Err(BookError::Unreadable { path: self.path.clone(), why: why.clone() });
        }
        let text = Text { version: VERSION, orders: orders.0 };
        let bytes = serde_json::to_vec_pretty(&text)
            .map_err(|error| BookError::Unreadable { path: self.path.clone(), why: error.to_string() })?;
        if bytes.len() > FILE_LEN_MAX {
            return Err(BookError::TooLong { len: bytes.len() });
        }
        disk::replace(&self.path, &bytes).map_err(BookError::Disk)?;
        self.orders = Orders(text.orders);
        Ok(())
    }

    /// Looks again at a file that could not be read; true when it can be now, or is gone.
    pub fn look_again(&mut self) -> bool {
        let is_unreadable = self.unreadable.is_some();
        if is_unreadable {
            match read(&self.path) {
                Ok(orders) => (self.orders, self.unreadable) = (orders, None),
                Err(why) => self.unreadable = Some(why),
            }
        }
        is_unreadable && self.unreadable.is_none()
    }
}

fn read(path: &Path) -> Result<Orders, String> {
    let Some(bytes) = disk::read(path, FILE_LEN_MAX).map_err(|error| log::chain(&error))? else {
        return Ok(Orders::default());
    };
    let text: Text = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    if text.version != VERSION {
        return Err(format!("it is of version {}, this agent reads version {VERSION}", text.version));
    }
    if text.orders.len() > ORDERS_MAX {
        return Err(format!("it has {} orders, the bound is {ORDERS_MAX}", text.orders.len()));
    }
    Ok(Orders(text.orders))
}
