//! Attachment by clsact filters, for kernels that have no TCX links (before 6.6).
//!
//! A filter stays when the daemon goes, as a pinned link does, but nothing can be pinned of it: the
//! program is pinned in the link's stead, as the record that its filter is ours. Priority and handle
//! are fixed, so that a filter is found again and replaced in place.

use super::{CLSACT_EGRESS_NAT, CLSACT_INGRESS_NAT, Wanted, is_egress};
use crate::dataplane::load::Loaded;
use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType};
use std::io;
use std::mem::ManuallyDrop;
use std::path::Path;

const PRIORITY: u16 = 0xb6;
/// Behind the others.
const NAT_PRIORITY: u16 = 0xb7;
const HANDLE: TcHandle = TcHandle::new(0, 1);

fn direction(hook: &str) -> TcAttachType {
    if is_egress(hook) { TcAttachType::Egress } else { TcAttachType::Ingress }
}

fn priority(hook: &str) -> u16 {
    if [CLSACT_INGRESS_NAT, CLSACT_EGRESS_NAT].contains(&hook) { NAT_PRIORITY } else { PRIORITY }
}

fn link(interface: &str, hook: &str) -> io::Result<SchedClassifierLink> {
    SchedClassifierLink::attached(interface, direction(hook), priority(hook), HANDLE, None)
}

/// Makes the interface run the program, replacing a filter of ours. The record comes first: a filter
/// without one would never be found again, while a record without a filter is made good here.
pub(super) fn ensure(wanted: &Wanted<'_>, program: &mut Loaded, pin: &Path) -> Result<(), ProgramError> {
    let Loaded::Tc(tc) = program else {
        return Err(ProgramError::UnexpectedProgramType);
    };
    let name = &wanted.link.name;
    // It may be there already, ours or another's.
    let _ = qdisc_add_clsact(name);
    let recorded = pin.exists();
    record(tc, pin)?;
    let ours = if recorded { link(name, wanted.hook).ok() } else { None };
    // After the interface came back there is a record, but no filter to replace.
    let attached = match ours.and_then(|old| tc.attach_to_link(old).ok()) {
        Some(id) => Ok(id),
        None => {
            let options = NlOptions { priority: priority(wanted.hook), handle: HANDLE, classid: None };
            tc.attach_with_options(name, direction(wanted.hook), TcAttachOptions::Netlink(options))
        }
    };
    match attached {
        Ok(id) => {
            // The filter outlives this process; dropping the handle on it would take it off.
            let _kept = ManuallyDrop::new(tc.take_link(id)?);
            Ok(())
        }
        Err(error) => {
            let _ = std::fs::remove_file(pin);
            Err(error)
        }
    }
}

/// Pins the program as the record of its filter, in place of the record of the program before.
fn record(tc: &mut SchedClassifier, pin: &Path) -> Result<(), ProgramError> {
    let refused = |error| ProgramError::IOError(io::Error::other(error));
    let fresh = pin.with_file_name("record-new");
    // Left by a start that was interrupted here.
    let _ = std::fs::remove_file(&fresh);
    tc.pin(&fresh).map_err(refused)?;
    std::fs::rename(&fresh, pin).map_err(ProgramError::IOError)
}

/// Takes a filter of ours off. One that went with its interface is off.
pub(super) fn remove(interface: &str, hook: &str) {
    if let Ok(link) = link(interface, hook) {
        drop(link);
    }
}
