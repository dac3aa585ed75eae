//! The machine in a world of its own: one test for each rule, and histories at random.

mod choosing;
mod drills;
mod histories;
mod others;
mod restarts;
mod rules;
mod watches;
mod world;
