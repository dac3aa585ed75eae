//! What others put on the gateway in place of bg, each as its own manual has it, for the services that bg
//! is configured with.

use super::super::asm::{self, Hop};
use super::super::bpf::{self, Kind};
use super::variant::Variant;
use crate::daemon::service;
use crate::process::{Process, output};
use crate::servers::port;
use crate::topology::{
    CLIENT_MAC, MACHINE_LINK, Machine, Topology, UPLINK, UPLINK_MAC, VIPS, machine_mac, port_mac,
};
use anyhow::{Context, Result, bail};
use nix::net::if_::if_nametoindex;
use std::fmt::Write;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Port of the VIP, and port of the machine: what is served over TCP.
const TCP: [(u16, u16); 3] =
    [(service::WEB, port::WEB), (service::LINES, port::LINES), (service::BULK, port::BULK)];

/// Where distributions put nginx's modules.
const MODULES: [&str; 3] = ["/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules"];
const STREAM: &str = "ngx_stream_module.so";

/// Why a peer is not here; the rest of the machine may well be measured.
pub(super) fn missing(variant: Variant) -> Option<String> {
    let found = if variant == Variant::Haproxy {
        said("haproxy", "-v").map(drop)
    } else if variant == Variant::Nginx {
        stream_module().map(drop)
    } else {
        Ok(())
    };
    found.err().map(|error| format!("{error:#}; `cargo xtask setup` brings it"))
}

/// The gateway as operators of nftables make it.
pub(super) fn translate(topology: &Topology, blue: &Machine) -> Result<()> {
    let ([vip, _], [backend, _]) = (VIPS, blue.addrs);
    own_vip(topology)?;
    let map = |name: &str, ports: &[(u16, u16)]| {
        let elements: Vec<String> =
            ports.iter().map(|(from, to)| format!("{vip} . {from} : {backend} . {to}")).collect();
        format!(
            "  map {name} {{\n    type ipv4_addr . inet_service : ipv4_addr . inet_service\n    \
             elements = {{ {} }}\n  }}\n",
            elements.join(", ")
        )
    };
    topology.gateway.nft(&format!(
        "table ip bench {{\n{}{}  chain in {{\n    type nat hook prerouting priority dstnat\n    \
         dnat ip to ip daddr . tcp dport map @tcp_backends\n    \
         dnat ip to ip daddr . udp dport map @udp_backends\n  }}\n}}\n",
        map("tcp_backends", &TCP),
        map("udp_backends", &[(service::DATAGRAMS, port::DATAGRAMS)])
    ))
}

/// HAProxy in TCP mode, with as many threads as it likes.
pub(super) fn haproxy(topology: &Topology, blue: &Machine, files: &Path) -> Result<Process> {
    let ([vip, _], [backend, _]) = (VIPS, blue.addrs);
    let mut text = "global\n  maxconn 4096\ndefaults\n  mode tcp\n  option splice-auto\n  \
                    timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n"
        .to_owned();
    for (from, to) in TCP {
        writeln!(text, "listen tcp{from}\n  bind {vip}:{from}\n  server blue {backend}:{to}")?;
    }
    let file = files.join("haproxy.cfg");
    fs::write(&file, text)?;
    let mut command = topology.gateway.command("haproxy");
    command.args(["-db", "-f"]).arg(&file);
    proxy(topology, command, &files.join("haproxy"))
}

/// nginx as a proxy of TCP: one process, because a second one would outlive a harness that is killed.
pub(super) fn nginx(topology: &Topology, blue: &Machine, files: &Path) -> Result<Process> {
    let ([vip, _], [backend, _]) = (VIPS, blue.addrs);
    let mut text = String::new();
    if let Some(module) = stream_module()? {
        writeln!(text, "load_module {};", module.display())?;
    }
    let home = files.join("proxy");
    fs::create_dir_all(&home)?;
    writeln!(
        text,
        "daemon off;\nmaster_process off;\nerror_log stderr error;\npid {}/pid;\n\
         events {{ worker_connections 512; }}\nstream {{\n  proxy_timeout 1h;",
        home.display()
    )?;
    for (from, to) in TCP {
        writeln!(
            text,
            "  server {{ listen {vip}:{from} backlog=4096 reuseport; proxy_pass {backend}:{to}; }}"
        )?;
    }
    text += "}\n";
    let file = home.join("nginx.conf");
    fs::write(&file, text)?;
    let mut command = topology.gateway.command("nginx");
    command.arg("-p").arg(&home).arg("-c").arg(&file).arg("-e").arg("stderr");
    proxy(topology, command, &home.join("log"))
}

/// A proxy on the VIP. Its own connections get as many ports as the client's.
fn proxy(topology: &Topology, command: Command, log: &Path) -> Result<Process> {
    own_vip(topology)?;
    for (key, value) in [("net/ipv4/ip_local_port_range", "2000 65000"), ("net/ipv4/tcp_tw_reuse", "1")] {
        topology.gateway.sysctl(key, value)?;
    }
    Process::start(command, log)
}

/// A forwarder that looks nothing up: by XDP or tc towards the slice, back by tc as bg does it.
pub(super) fn forwarder(kind: Kind, topology: &Topology, blue: &Machine) -> Result<Vec<OwnedFd>> {
    if kind == Kind::Xdp {
        // A veth takes redirected frames if its other end polls.
        blue.namespace.output("ethtool", ["-K", MACHINE_LINK, "gro", "on"])?;
    }
    topology.gateway.run(|| {
        let (uplink, zone) = (if_nametoindex(UPLINK)?, if_nametoindex(blue.port.as_str())?);
        let there = Hop {
            ifindex: zone,
            peer: kind == Kind::Tc,
            destination: machine_mac(blue),
            source: port_mac(blue),
        };
        let back = Hop { ifindex: uplink, peer: false, destination: CLIENT_MAC, source: UPLINK_MAC };
        [(kind, there, uplink), (Kind::Tc, back, zone)]
            .into_iter()
            .map(|(kind, hop, at)| {
                let program = bpf::load(kind, &asm::forward(kind, &hop))?;
                bpf::attach(kind, program.as_fd(), at)
            })
            .collect()
    })
}

fn own_vip(topology: &Topology) -> Result<()> {
    let [vip, _] = VIPS;
    topology.gateway.ip(&format!("addr add {vip}/32 dev {UPLINK}\n"))
}

/// Where nginx's stream module is; none if it is built in.
fn stream_module() -> Result<Option<PathBuf>> {
    let built = said("nginx", "-V")?;
    if built.split_whitespace().any(|option| option == "--with-stream") {
        return Ok(None);
    }
    match MODULES.into_iter().map(|home| Path::new(home).join(STREAM)).find(|path| path.is_file()) {
        Some(module) => Ok(Some(module)),
        None => bail!("nginx has no stream module"),
    }
}

/// What a program says of itself, on either output.
fn said(program: &str, option: &str) -> Result<String> {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{program} {option} 2>&1"));
    output(command).with_context(|| format!("{program} is not installed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_the_reason_to_go_without() {
        let error = said("bg-no-such-program", "-v").unwrap_err();
        assert!(error.to_string().contains("bg-no-such-program is not installed"), "{error:#}");
        assert_eq!(missing(Variant::Plain), None);
    }
}
