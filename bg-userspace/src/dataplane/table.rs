//! A typed handle on one pinned table.

use super::pins::refused;
use super::sys;
use crate::refusal::Refusal;
use aya::Pod;
use aya::maps::MapData;
use std::marker::PhantomData;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

/// A hash table or array whose entries are `K` → `V`.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    name: &'static str,
    map: MapData,
    entry: PhantomData<(K, V)>,
}

impl<K: Pod, V: Pod> Table<K, V> {
    /// Opens the table that is pinned in `dir`, if its entries have the sizes of `K` and `V`.
    pub(super) fn open(dir: &Path, name: &'static str) -> Result<Self, Refusal> {
        let path = dir.join(name);
        let map = MapData::from_pin(&path).map_err(|error| refused(&path, &error))?;
        let info = map.info().map_err(|error| refused(&path, &error))?;
        if (info.key_size() as usize, info.value_size() as usize) != (size_of::<K>(), size_of::<V>()) {
            return Err(refused(&path, &"its entries have other sizes"));
        }
        Ok(Self { name, map, entry: PhantomData })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.map.fd().as_fd()
    }

    pub(super) fn set(&self, key: &K, value: &V) -> Result<(), Refusal> {
        sys::update(self.fd(), key, value).map_err(|error| self.refused(&error))
    }

    pub(super) fn get(&self, key: &K) -> Result<Option<V>, Refusal> {
        sys::lookup(self.fd(), key).map_err(|error| self.refused(&error))
    }

    pub(super) fn remove(&self, key: &K) -> Result<(), Refusal> {
        sys::delete(self.fd(), key).map_err(|error| self.refused(&error))
    }

    /// Calls `visit` with every entry.
    pub(super) fn each(&self, mut visit: impl FnMut(&K, &V)) -> Result<(), Refusal> {
        sys::for_each::<K, V>(self.fd(), |keys, values| {
            for (key, value) in keys.iter().zip(values) {
                visit(key, value);
            }
        })
        .map_err(|error| self.refused(&error))
    }

    /// The refusal of a table that cannot be read or written.
    pub(super) fn refused(&self, error: &dyn std::fmt::Display) -> Refusal {
        refusal(self.name, error)
    }
}

/// The refusal of a table that cannot be read or written.
pub(super) fn refusal(name: &str, error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(
        "table-refused",
        format!("the kernel refuses access to the table: {error}"),
        name,
        "run as root, or with CAP_BPF; bgctl doctor tells more",
    )
}
