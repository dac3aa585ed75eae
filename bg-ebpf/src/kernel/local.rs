//! Control groups: what the gateway's own processes do with their sockets.

use super::clients::served_netns;
use super::maps::KernelTables;
use super::refuse;
use aya_ebpf::bindings::{bpf_sock, bpf_sock_addr};
use aya_ebpf::helpers::generated::{bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_set_retval};
use aya_ebpf::macros::{cgroup_sock, cgroup_sock_addr};
use aya_ebpf::programs::{SockAddrContext, SockContext};
use bg_common::{Addr, Endpoint, Port, Proto, Reason, Verdict};
use bg_ebpf::packet::Family;
use bg_ebpf::{Sockets as _, local};
use core::ffi::c_void;

/// The system call goes on.
const PROCEED: i32 = 1;
/// It fails with what was set.
const FAIL: i32 = 0;

const ECONNREFUSED: i32 = 111;
const ETIMEDOUT: i32 = 110;

/// A socket and the address that a system call is about.
struct Call {
    context: *mut bpf_sock_addr,
    family: Family,
}

impl Call {
    /// The call, if the socket is of a process of the gateway's own. Those of containers are in other network
    /// namespaces.
    #[inline(always)]
    fn of_ours(context: &SockAddrContext, family: Family) -> Option<Self> {
        let context = context.sock_addr;
        // SAFETY: the context is valid for the whole run.
        let netns = unsafe { bpf_get_netns_cookie(context.cast()) };
        (netns == served_netns()).then_some(Self { context, family })
    }

    #[inline(always)]
    fn cookie(&self) -> u64 {
        // SAFETY: as in `of_ours`.
        unsafe { bpf_get_socket_cookie(self.context.cast::<c_void>()) }
    }

    /// The address, with the socket's protocol; `None` when that has no ports. A program of one family must not
    /// read fields of the other.
    #[inline(always)]
    fn address(&self) -> Option<Endpoint> {
        let context = self.context;
        // SAFETY: as in `of_ours`; volatile, because the kernel allows this field's own width only.
        let proto = match unsafe { (&raw const (*context).protocol).read_volatile() } {
            6 => Proto::TCP,
            17 => Proto::UDP,
            _ => return None,
        };
        // SAFETY: as above.
        let port = unsafe { (&raw const (*context).user_port).read_volatile() };
        let [high, low, ..] = port.to_ne_bytes();
        let addr = match self.family {
            // SAFETY: as above.
            Family::V4 => Addr::from_v4_word(unsafe { (&raw const (*context).user_ip4).read_volatile() }),
            Family::V6 => Addr::from_words([self.word(0), self.word(1), self.word(2), self.word(3)]),
        };
        Some(Endpoint::new(addr, Port::from_wire([high, low]), proto))
    }

    #[inline(always)]
    fn word(&self, nth: usize) -> u32 {
        // SAFETY: as in `address`; an IPv6 address has four words.
        unsafe { (&raw const (*self.context).user_ip6).cast::<u32>().add(nth).read_volatile() }
    }

    /// Puts another address in its place.
    #[inline(always)]
    fn set_address(&self, to: &Endpoint) {
        let context = self.context;
        match self.family {
            // SAFETY: as in `address`.
            Family::V4 => unsafe { (&raw mut (*context).user_ip4).write_volatile(to.addr().v4_word()) },
            Family::V6 => {
                let [a, b, c, d] = to.addr().words();
                self.set_word(0, a);
                self.set_word(1, b);
                self.set_word(2, c);
                self.set_word(3, d);
            }
        }
        let [high, low] = to.port().to_wire();
        let port = u32::from_ne_bytes([high, low, 0, 0]);
        // SAFETY: as in `address`.
        unsafe { (&raw mut (*context).user_port).write_volatile(port) };
    }

    #[inline(always)]
    fn set_word(&self, nth: usize, word: u32) {
        // SAFETY: as in `word`.
        unsafe { (&raw mut (*self.context).user_ip6).cast::<u32>().add(nth).write_volatile(word) };
    }

    /// Lets the call go where was decided.
    #[inline(always)]
    fn go(&self, decided: Result<Option<Endpoint>, Reason>) -> i32 {
        let reason = match decided {
            Ok(Some(to)) => {
                self.set_address(&to);
                return PROCEED;
            }
            Ok(None) => return PROCEED,
            Err(reason) => reason,
        };
        match refuse(reason) {
            Verdict::Pass | Verdict::Forward => PROCEED,
            Verdict::Drop | Verdict::Answer => {
                // What a client elsewhere would find out after a while.
                let error = if reason == Reason::Paused { ETIMEDOUT } else { ECONNREFUSED };
                // SAFETY: the helper only notes what the call returns.
                unsafe { bpf_set_retval(-error) };
                FAIL
            }
        }
    }
}

#[inline(always)]
fn connect(context: &SockAddrContext, family: Family) -> i32 {
    let Some(call) = Call::of_ours(context, family) else {
        return PROCEED;
    };
    let Some(to) = call.address() else {
        return PROCEED;
    };
    call.go(local::connect(&to, call.cookie(), &KernelTables))
}

#[inline(always)]
fn send(context: &SockAddrContext, family: Family) -> i32 {
    let Some(call) = Call::of_ours(context, family) else {
        return PROCEED;
    };
    let Some(to) = call.address() else {
        return PROCEED;
    };
    call.go(local::send(&to, call.cookie(), &KernelTables))
}

/// Shows the process another address than the kernel knows, if there is one to show.
#[inline(always)]
fn show(
    context: &SockAddrContext,
    family: Family,
    shown: impl Fn(&Endpoint, u64) -> Option<Endpoint>,
) -> i32 {
    if let Some(call) = Call::of_ours(context, family)
        && let Some(known) = call.address()
        && let Some(shown) = shown(&known, call.cookie())
    {
        call.set_address(&shown);
    }
    PROCEED
}

#[inline(always)]
fn receive(context: &SockAddrContext, family: Family) -> i32 {
    show(context, family, |from, cookie| local::received(from, cookie, &KernelTables))
}

#[inline(always)]
fn name_peer(context: &SockAddrContext, family: Family) -> i32 {
    show(context, family, |peer, cookie| local::peer(peer, cookie, &KernelTables))
}

#[cgroup_sock_addr(connect4)]
fn bg_connect4(context: SockAddrContext) -> i32 {
    connect(&context, Family::V4)
}

#[cgroup_sock_addr(connect6)]
fn bg_connect6(context: SockAddrContext) -> i32 {
    connect(&context, Family::V6)
}

#[cgroup_sock_addr(sendmsg4)]
fn bg_sendmsg4(context: SockAddrContext) -> i32 {
    send(&context, Family::V4)
}

#[cgroup_sock_addr(sendmsg6)]
fn bg_sendmsg6(context: SockAddrContext) -> i32 {
    send(&context, Family::V6)
}

#[cgroup_sock_addr(recvmsg4)]
fn bg_recvmsg4(context: SockAddrContext) -> i32 {
    receive(&context, Family::V4)
}

#[cgroup_sock_addr(recvmsg6)]
fn bg_recvmsg6(context: SockAddrContext) -> i32 {
    receive(&context, Family::V6)
}

#[cgroup_sock_addr(getpeername4)]
fn bg_getpeername4(context: SockAddrContext) -> i32 {
    name_peer(&context, Family::V4)
}

#[cgroup_sock_addr(getpeername6)]
fn bg_getpeername6(context: SockAddrContext) -> i32 {
    name_peer(&context, Family::V6)
}

/// Whatever the namespace: sockets elsewhere have never been connected by us.
#[cgroup_sock(sock_release)]
fn bg_sock_release(context: SockContext) -> i32 {
    let sock: *mut bpf_sock = context.sock;
    // SAFETY: the context is valid for the whole run.
    let cookie = unsafe { bpf_get_socket_cookie(sock.cast::<c_void>()) };
    if KernelTables.connected(cookie).is_some() {
        local::close(cookie, &KernelTables);
    }
    PROCEED
}
