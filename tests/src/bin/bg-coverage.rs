//! The packet library under libFuzzer, which brings the command line: corpus directories, or inputs to play again.

#![no_main]

use bg_tests::coverage::{check, plant};
use libfuzzer_sys::fuzz_target;
use std::env;
use std::path::Path;

fuzz_target!(
    init: {
        if let Some(directory) = env::var_os("BG_SEEDS") {
            plant(Path::new(&directory));
        }
    },
    |bytes: &[u8]| {
        if let Err(wrong) = check(bytes) {
            panic!("{wrong}");
        }
    }
);
