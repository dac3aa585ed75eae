//! The client beyond the uplink, which is there from the moment that a probe wants it.

use crate::config::Config;
use crate::health::connect::{Connector, Datagrams, Promise, Stream};
use crate::health::vip::Client;
use crate::refusal::Refusal;
use std::io;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::thread;

/// A way through the VIPs, once it was opened.
#[derive(Default)]
pub(super) struct Vip(OnceLock<Client>);

impl Vip {
    /// Opens the way if a probe of `config` wants it and it is not open yet. Its packets have a thread of their own.
    ///
    /// # Errors
    ///
    /// When the interface cannot be made.
    pub(super) async fn open(&self, config: &Config) -> Result<(), Refusal> {
        let gateway = &config.gateway;
        let probes = || config.deployments.iter().flat_map(|deployment| &deployment.probes.probes);
        let wanted = !gateway.probe_addresses.is_empty() && probes().any(|probe| !probe.frontends.is_empty());
        if !wanted || self.0.get().is_some() {
            return Ok(());
        }
        let (client, interface) = Client::open(&gateway.instance, &gateway.probe_addresses).await?;
        let served = client.clone();
        let name = "bg-vip";
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(served.serve());
            io::Result::Ok(())
        };
        thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|why| {
            let mend = "raise the limit of tasks: TasksMax= of the unit";
            Refusal::new("no-thread", format!("a thread cannot be started: {why}"), name, mend)
        })?;
        tracing::info!(
            interface = interface.name,
            "probes go through the VIPs over an interface of bgd's own"
        );
        let _ = self.0.set(client);
        Ok(())
    }
}

impl Connector for Vip {
    fn tcp(&self, to: SocketAddr) -> Promise<'_, (Box<dyn Stream>, SocketAddr)> {
        match self.0.get() {
            Some(client) => client.tcp(to),
            None => Box::pin(async { Err(not_open()) }),
        }
    }

    fn udp(&self, to: SocketAddr) -> Promise<'_, (Box<dyn Datagrams>, SocketAddr)> {
        match self.0.get() {
            Some(client) => client.udp(to),
            None => Box::pin(async { Err(not_open()) }),
        }
    }
}

fn not_open() -> io::Error {
    io::Error::new(io::ErrorKind::NetworkDown, "bgd has no interface of its own; its log says why")
}
