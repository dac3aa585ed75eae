//! Tells others what happened: followers of events, webhooks, commands, and slices that want to know
//! their role. It also asks the hooks that gate a switch.

pub mod spec;
