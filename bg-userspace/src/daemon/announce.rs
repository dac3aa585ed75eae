//! Announces VIPs that were taken over, often enough that a lost frame does no harm.

use crate::net::announce::{EVERY, TIMES, announce};
use crate::net::{Survey, VipHome};

/// Announces each of `homes` in the background.
pub(super) fn spawn(homes: &[VipHome], seen: &Survey) {
    let home = |home: &VipHome| Some((seen.link(home.ifindex)?.clone(), home.vip));
    let homes: Vec<_> = homes.iter().filter_map(home).collect();
    if homes.is_empty() {
        return;
    }
    tokio::spawn(async move {
        for round in 0..TIMES {
            if round > 0 {
                tokio::time::sleep(EVERY).await;
            }
            for (link, vip) in &homes {
                match announce(link, *vip) {
                    Ok(()) => tracing::debug!(%vip, interface = link.name, "announced"),
                    Err(refusal) => {
                        tracing::warn!(code = refusal.code, mend = refusal.mend, "{}", refusal.what)
                    }
                }
            }
        }
    });
}
