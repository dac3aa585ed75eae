//! Tells others what happened: followers of events, webhooks, commands, and slices that want to know
//! their role. It also asks the hooks that gate a switch. Everything that waits does so on a thread of
//! its own, so that nothing here can delay the engine.

mod answer;
mod bus;
mod command;
pub mod hooks;
pub mod notice;
mod post;
pub mod roles;
pub mod spec;
mod thread;

pub use bus::{Bus, Subscription};
pub use hooks::{HookReport, HookVerdict, Hooks, Phase};
pub use notice::{Line, Notice};
pub use roles::{RoleState, Roles};
pub use thread::Thread;

#[cfg(test)]
mod tests;
