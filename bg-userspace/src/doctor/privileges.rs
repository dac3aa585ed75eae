//! Whether this process may do what bg does. The daemon runs with what its unit gives it; this is what
//! `bgctl doctor` itself was started with.

use super::Finding;

const TOPIC: &str = "privileges";
const SYS_ADMIN: u32 = 21;

/// A capability, its number, and what it is for.
const NEEDED: [(&str, u32, &str); 3] = [
    ("CAP_NET_ADMIN", 12, "to attach programs and to add VIPs"),
    ("CAP_PERFMON", 38, "to load programs that compute with packet pointers"),
    ("CAP_BPF", 39, "to create tables and to load programs"),
];
const NET_RAW: (&str, u32, &str) = ("CAP_NET_RAW", 13, "to announce VIPs");

pub(crate) fn examine() -> Vec<Finding> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    check(effective(&status))
}

/// The effective capabilities as `/proc/self/status` has them.
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn check(effective: Option<u64>) -> Vec<Finding> {
    let Some(effective) = effective else {
        return vec![Finding::warn(
            TOPIC,
            "this process's capabilities cannot be read from /proc/self/status",
            "mount -t proc proc /proc",
        )];
    };
    let has = |number: u32| effective >> number & 1 == 1;
    let mut findings = Vec::new();
    for (name, number, purpose) in NEEDED {
        // CAP_SYS_ADMIN contains the two younger ones (Linux 5.8).
        let contained = number > SYS_ADMIN && has(SYS_ADMIN);
        if !has(number) && !contained {
            findings.push(Finding::fail(
                TOPIC,
                format_args!("this process lacks {name}, which bg needs {purpose}"),
                format_args!("run as root, or add {name} to AmbientCapabilities= in the unit"),
            ));
        }
    }
    let (name, number, purpose) = NET_RAW;
    if !has(number) {
        findings.push(Finding::warn(
            TOPIC,
            format_args!("this process lacks {name}, which bg needs {purpose}"),
            format_args!("run as root, or add {name} to AmbientCapabilities= in the unit"),
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(TOPIC, "this process has every capability that bg needs"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        let bit = |number: u32| 1_u64 << number;
        let all = bit(12) | bit(13) | bit(38) | bit(39);
        let rows = [
            ("just what is needed", all, vec![(Level::Ok, "every capability")]),
            (
                "CAP_SYS_ADMIN instead of the new ones",
                bit(12) | bit(13) | bit(21),
                vec![(Level::Ok, "every")],
            ),
            ("no CAP_BPF", all & !bit(39), vec![(Level::Fail, "CAP_BPF")]),
            ("no CAP_NET_RAW", all & !bit(13), vec![(Level::Warn, "CAP_NET_RAW")]),
            (
                "CAP_SYS_ADMIN does not contain CAP_NET_ADMIN",
                bit(13) | bit(21),
                vec![(Level::Fail, "CAP_NET_ADMIN")],
            ),
            (
                "nothing",
                0,
                vec![
                    (Level::Fail, "CAP_NET_ADMIN"),
                    (Level::Fail, "CAP_PERFMON"),
                    (Level::Fail, "CAP_BPF"),
                    (Level::Warn, "CAP_NET_RAW"),
                ],
            ),
        ];
        for (what, effective, want) in rows {
            let findings = check(Some(effective));
            assert_eq!(findings.len(), want.len(), "{what}: {findings:?}");
            for (finding, (level, name)) in findings.iter().zip(want) {
                assert_eq!(finding.level, level, "{what}");
                assert!(finding.text.contains(name), "{what}: {finding:?}");
            }
        }
    }

    #[test]
    fn the_effective_set_is_read_from_the_status_file() {
        let status = "Name:\tx\nCapPrm:\tffffffffffffffff\nCapEff:\t0000000000003000\nCapBnd:\t0\n";
        assert_eq!(effective(status), Some(0x3000));
        assert_eq!(effective("Name:\tx\n"), None);
    }
}
