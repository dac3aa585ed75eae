//! One reading of everything that the wiring of a gateway follows from.

use super::{Address, Link, Net, RouteTo};
use crate::refusal::Refusal;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;
use std::path::PathBuf;

/// What the kernel says at one time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Survey {
    /// Every interface.
    pub links: Vec<Link>,
    /// Every address.
    pub addresses: Vec<Address>,
    /// The interfaces of the default routes, the best one first.
    pub default_uplinks: Vec<u32>,
    /// The way to each address that was asked for.
    pub routes: BTreeMap<IpAddr, RouteTo>,
    /// The control group that holds every process, if there is a cgroup2 file system to find it in.
    pub cgroup: Option<PathBuf>,
}

impl Survey {
    /// The interface with this index.
    #[must_use]
    pub fn link(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    /// The interface with this name.
    #[must_use]
    pub fn link_named(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }
}

impl Net {
    /// Reads links, addresses and default routes, and asks for the way to each of `destinations`.
    ///
    /// # Errors
    ///
    /// When the kernel does not answer.
    pub async fn survey(&self, destinations: impl IntoIterator<Item = IpAddr>) -> Result<Survey, Refusal> {
        let mut survey = Survey {
            links: self.links().await?,
            addresses: self.addresses().await?,
            default_uplinks: self.default_uplinks().await?,
            routes: BTreeMap::new(),
            cgroup: mounted_cgroup(),
        };
        for destination in destinations {
            if let Entry::Vacant(route) = survey.routes.entry(destination) {
                route.insert(self.route_to(destination).await?);
            }
        }
        Ok(survey)
    }
}

/// Where the cgroup2 file system is mounted.
fn mounted_cgroup() -> Option<PathBuf> {
    std::fs::read_to_string("/proc/self/mountinfo").ok().and_then(|mounts| cgroup_in(&mounts))
}

/// The first mount of the whole cgroup2 hierarchy in what proc(5) calls mountinfo.
fn cgroup_in(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|mount| {
        let (about, kind) = mount.split_once(" - ")?;
        let mut fields = about.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        (root == "/" && kind.split(' ').next() == Some("cgroup2")).then(|| PathBuf::from(place))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_hierarchy_is_found_wherever_it_is_mounted() {
        let one = "31 24 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
        let rows = [
            (one, Some("/sys/fs/cgroup")),
            ("24 1 0:22 / /sys rw - sysfs sysfs rw", None),
            (
                "41 30 0:36 / /sys/fs/cgroup/unified rw shared:9 master:1 - cgroup2 cgroup2 rw",
                Some("/sys/fs/cgroup/unified"),
            ),
            ("41 30 0:36 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu", None),
            ("41 30 0:36 /some/group /mnt rw - cgroup2 cgroup2 rw", None),
            ("", None),
        ];
        for (mounts, want) in rows {
            assert_eq!(cgroup_in(mounts), want.map(PathBuf::from), "{mounts}");
        }
        assert_eq!(cgroup_in(&format!("nonsense\n{one}")), Some("/sys/fs/cgroup".into()));
    }
}
