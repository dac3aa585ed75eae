//! A data plane of a test's own.

use bg_userspace::dataplane::kernel::{Kernel, OpenOptions};
use std::fs;
use std::path::PathBuf;

/// An instance of this test's own; everything of it goes with it.
pub(crate) struct Instance(pub(crate) String);

impl Instance {
    pub(crate) fn new(name: &str) -> Self {
        Self(format!("t{}-{name}", std::process::id()))
    }

    pub(crate) fn try_open(&self) -> Result<Kernel, String> {
        let options = OpenOptions { instance: self.0.clone(), flows: 1024, half_open: 1024 };
        Kernel::open(&options).map_err(|refusal| format!("{}: {refusal}", refusal.code))
    }

    pub(crate) fn open(&self) -> Kernel {
        self.try_open().expect("the data plane opens")
    }

    pub(crate) fn base(&self) -> PathBuf {
        PathBuf::from("/sys/fs/bpf/bg").join(&self.0)
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.base().join(format!("v{}", bg_common::ABI_VERSION))
    }

    /// What opening is refused with, with everything that the message must name.
    pub(crate) fn assert_refused(&self, code: &str, names: &[&str]) {
        let refusal = self.try_open().err().expect("it is refused");
        assert!(refusal.starts_with(code), "{refusal}");
        for name in names {
            assert!(refusal.contains(name), "{name} is not in: {refusal}");
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // A test that has failed may have left anything.
        let _ = Kernel::remove(&self.0);
        let _ = fs::remove_dir_all(PathBuf::from("/run/bg").join(&self.0));
    }
}
