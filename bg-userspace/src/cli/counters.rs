//! `bgctl counters`: what each colour carries, and why packets were not simply sent on.

use super::env::Env;
use super::render::{self, cell, table};
use super::run::Result;
use super::say::size;
use super::target::Target;
use super::{CountersArgs, Global};
use crate::api::client::Client;
use crate::api::protocol::{Counters, SliceTraffic};
use bg_common::Colour;
use comfy_table::Cell;

const HEADINGS: [&str; 10] = [
    "DEPLOYMENT",
    "COLOUR",
    ">FLOWS",
    ">HANDSHAKES",
    ">ANSWERED",
    ">RESETS",
    ">PACKETS IN",
    ">BYTES IN",
    ">PACKETS OUT",
    ">BYTES OUT",
];

pub(super) async fn run(
    args: &CountersArgs,
    global: &Global,
    target: &Target,
    client: &Client,
    env: &mut Env<'_>,
) -> Result {
    let counters = if global.offline {
        env.kernel.open(&target.instance)?.observer()?.counters()?.into()
    } else {
        client.counters().await?
    };
    if global.json {
        return render::json(&counters, env);
    }
    let Counters { deployments, reasons } = &counters;
    let mut traffic = table(&HEADINGS, env);
    for deployment in deployments {
        for (name, colour, slice) in
            [(deployment.name.as_str(), Colour::Blue, deployment.blue), ("", Colour::Green, deployment.green)]
        {
            let SliceTraffic {
                packets_in,
                bytes_in,
                packets_out,
                bytes_out,
                flows,
                handshakes,
                answered,
                resets,
                ..
            } = slice;
            let mut row = vec![Cell::new(name), cell(colour)];
            row.extend([flows, handshakes, answered, resets, packets_in].map(Cell::new));
            row.extend([Cell::new(size(bytes_in)), Cell::new(packets_out), Cell::new(size(bytes_out))]);
            traffic.add_row(row);
        }
    }
    render::print(&traffic, env)?;
    writeln!(env.out)?;

    let mut table = table(&[">NUMBER", "REASON", ">PACKETS", "VERDICT", "MEANING"], env);
    for reason in reasons.iter().filter(|reason| args.all || reason.count > 0) {
        let (number, count) = (Cell::new(reason.number), Cell::new(reason.count));
        let [name, verdict, meaning] = [&reason.name, &reason.verdict, &reason.explanation].map(Cell::new);
        table.add_row([number, name, count, verdict, meaning]);
    }
    if table.is_empty() {
        return Ok(writeln!(env.out, "every packet was simply sent on")?);
    }
    render::print(&table, env)
}
