//! nginx, as plain as it gets: one process, no logs of requests, connections kept for ever.

use super::{Stamp, port};
use crate::netns::Namespace;
use crate::process::Process;
use crate::topology::Machine;
use crate::wait;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// Size of the body of `GET /big`.
pub const BIG: u64 = 16 << 20;

/// One nginx.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    namespace: Namespace,
}

impl Nginx {
    /// Starts one on `machine` with its files below `directory`.
    pub(super) fn start(machine: &Machine, directory: &Path) -> Result<Self> {
        let stamp = Stamp::of(machine);
        let home = directory.join(format!("{}{}", stamp.colour, stamp.machine));
        fs::create_dir_all(&home)?;
        // A sparse file: its zeros cost no disk.
        File::create(home.join("big"))?.set_len(BIG)?;
        let file = home.join("nginx.conf");
        fs::write(&file, config(stamp, &home))?;
        let mut command = machine.namespace.command("nginx");
        command.arg("-p").arg(&home).arg("-c").arg(&file).arg("-e").arg("stderr");
        let process = Process::start(command, &home.join("log")).context("nginx must be installed")?;
        Ok(Self { process, namespace: machine.namespace.clone() })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn await_listening(&self) -> Result<()> {
        let own = SocketAddr::from((Ipv4Addr::LOCALHOST, port::WEB));
        self.namespace
            .run(|| {
                wait::until("nginx listens", wait::PATIENCE, || {
                    TcpStream::connect_timeout(&own, Duration::from_secs(1)).is_ok()
                })
            })
            .with_context(|| self.process.output())
    }
}

fn config(stamp: Stamp, home: &Path) -> String {
    let (home, web) = (home.display(), port::WEB);
    format!(
        r#"daemon off;
master_process off;
worker_rlimit_nofile 65536;
error_log stderr error;
pid {home}/pid;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  default_type text/plain;
  client_body_temp_path {home}/body;
  proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi;
  scgi_temp_path {home}/scgi;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  sendfile on;
  server {{
    listen {web} backlog=4096;
    listen [::]:{web} backlog=4096;
    root {home};
    add_header X-Slice {stamp};
    location = / {{ return 200 "{stamp}\n"; }}
    location = /big {{ }}
  }}
}}
"#
    )
}
