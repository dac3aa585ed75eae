//! Points at which a test may kill the daemon: between two steps that belong together. Without the feature
//! `fail-points` they are nothing.

/// Ends this process by SIGKILL if the environment asks for that here: `BG_FAIL_POINT=name` at the first
/// time, `BG_FAIL_POINT=name:3` at the third.
#[cfg(feature = "fail-points")]
pub fn reach(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static WANTED: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static REACHED: AtomicU32 = AtomicU32::new(0);
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("BG_FAIL_POINT").ok()?;
        let (name, turn) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), turn.parse().unwrap_or(1)))
    });
    if let Some((_, turn)) = wanted.as_ref().filter(|(wanted, _)| wanted == name)
        && REACHED.fetch_add(1, Ordering::SeqCst) + 1 == *turn
    {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
    }
}

/// A point at which a test may kill the daemon.
#[macro_export]
macro_rules! fail_point {
    ($name:literal) => {
        #[cfg(feature = "fail-points")]
        $crate::fail_point::reach($name);
    };
}
