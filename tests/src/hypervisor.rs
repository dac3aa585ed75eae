//! What carries frames between a virtual machine's network card and the tap that the gateway has for it. The machine is a
//! namespace with a tap for a card, so that it takes no hypervisor to try what bg does with one.

use crate::netns::Namespace;
use crate::topology::mac_text;
use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

/// One cable; it is cut on drop.
#[derive(Debug)]
pub(crate) struct Hypervisor {
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

type End<'a> = (&'a Namespace, &'a str, [u8; 6]);

impl Hypervisor {
    /// Makes both taps and carries what goes in at one out of the other.
    pub(crate) fn start(near: End<'_>, far: End<'_>) -> Result<Self> {
        let taps = [tap(near)?, tap(far)?];
        let (stop, stopped) = UnixStream::pair()?;
        let thread = thread::Builder::new().name("hypervisor".to_owned()).spawn(move || {
            // Taps that are gone have nothing more to carry.
            drop(carry(&taps, &stopped));
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Hypervisor {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn tap((namespace, name, mac): End<'_>) -> Result<File> {
    let file = namespace.run(|| open(name)).with_context(|| format!("make the tap {name}"))?;
    namespace.ip(&format!("link set {name} address {}\n", mac_text(mac)))?;
    Ok(file)
}

fn open(name: &str) -> io::Result<File> {
    const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: an array and a union of integers, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the request is valid for the call and ends in a zero.
    if unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(file)
}

fn carry([near, far]: &[File; 2], stopped: &UnixStream) -> io::Result<()> {
    let mut frame = vec![0; 65_536];
    loop {
        let mut ready =
            [near.as_fd(), far.as_fd(), stopped.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        poll(&mut ready, PollTimeout::NONE)?;
        let [_, _, stop] = &ready;
        if stop.any().unwrap_or(true) {
            return Ok(());
        }
        for (mut from, mut to) in [(near, far), (far, near)] {
            while let Ok(length) = from.read(&mut frame) {
                // One that is down takes nothing, like a cable that is pulled out.
                drop(to.write(frame.get(..length).unwrap_or_default()));
            }
        }
    }
}
