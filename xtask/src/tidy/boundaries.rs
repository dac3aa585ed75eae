//! Who may name what: the arrows of the architecture, as absences.

use super::rust::{self, Path, Token};
use super::{Complaint, Source};

/// Files below one directory that must not name something.
struct Boundary {
    within: &'static str,
    except: &'static [&'static str],
    forbids: fn(&[&str]) -> bool,
    mend: &'static str,
}

const BOUNDARIES: [Boundary; 6] = [
    Boundary {
        within: "bg-userspace/src/",
        except: &["bg-userspace/src/dataplane"],
        forbids: |path| starts(path, &["aya"]) || starts(path, &["aya_obj"]),
        mend: "only dataplane/ knows aya: add what is needed to the trait Dataplane",
    },
    Boundary {
        within: "bg-userspace/src/",
        except: &["bg-userspace/src/dataplane"],
        forbids: is_table_type,
        mend: "only dataplane/ knows the tables: add what is needed to the trait Dataplane",
    },
    Boundary {
        within: "bg-userspace/src/",
        except: &["bg-userspace/src/net"],
        forbids: |path| {
            path.first()
                .is_some_and(|name| name.starts_with("netlink_") || ["rtnetlink", "netlink"].contains(name))
        },
        mend: "only net/ knows netlink: add what is needed there",
    },
    Boundary {
        within: "bg-userspace/src/model/",
        // What plays the world around the machine has clocks, threads and an environment.
        except: &["bg-userspace/src/model/machine/tests"],
        forbids: reaches_outside,
        mend: "model/ is pure: take it as an argument, or return an effect that the engine executes",
    },
    Boundary {
        within: "bg-userspace/src/model.rs",
        except: &[],
        forbids: reaches_outside,
        mend: "model is pure: take it as an argument, or return an effect that the engine executes",
    },
    Boundary {
        within: "bg-ebpf/src/",
        except: &["bg-ebpf/src/main.rs", "bg-ebpf/src/kernel"],
        forbids: |path| path.first().is_some_and(|name| *name == "aya" || name.starts_with("aya_")),
        mend: "the packet logic runs on the host too: put what needs the kernel in kernel/, behind a trait",
    },
];

/// Where the packet programs may be unsafe, and in how many files.
const UNSAFE: &str = "bg-ebpf/src/kernel/";
const UNSAFE_FILES: usize = 4;

/// Checks the names in one file.
pub(super) fn check(source: &Source) -> Vec<Complaint> {
    let boundaries: Vec<&Boundary> =
        BOUNDARIES.iter().filter(|boundary| boundary.applies(&source.path)).collect();
    if boundaries.is_empty() {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    for Path { offset, segments } in rust::paths(&rust::tokens(&source.text)) {
        let path: Vec<&str> = segments.iter().map(String::as_str).collect();
        for boundary in boundaries.iter().filter(|boundary| (boundary.forbids)(&path)) {
            complaints.push(source.complain(
                offset,
                format!("names `{}`", segments.join("::")),
                boundary.mend,
            ));
        }
    }
    complaints
}

/// Checks that few files of the packet programs are unsafe, all in one place.
pub(super) fn check_unsafe(sources: &[Source]) -> Vec<Complaint> {
    let packet_code = sources.iter().filter(|source| source.path.starts_with("bg-ebpf/src/"));
    let unsafes: Vec<(&Source, usize)> =
        packet_code.filter_map(|source| Some((source, first_unsafe(&rust::tokens(&source.text))?))).collect();
    let (inside, outside): (Vec<_>, Vec<_>) =
        unsafes.into_iter().partition(|(source, _)| source.path.starts_with(UNSAFE));
    let outside = outside.into_iter().map(|(source, at)| {
        source.complain(at, "is unsafe", "unsafe code of the packet programs belongs in kernel/")
    });
    let too_many = inside.into_iter().skip(UNSAFE_FILES).map(|(source, at)| {
        let mend = "hide it behind a safe function of one of the others";
        source.complain(at, format!("is the unsafe file number {} or more", UNSAFE_FILES + 1), mend)
    });
    outside.chain(too_many).collect()
}

impl Boundary {
    fn applies(&self, path: &str) -> bool {
        let beyond = |prefix: &&str| {
            path.strip_prefix(*prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.']))
        };
        path.starts_with(self.within) && !self.except.iter().any(beyond)
    }
}

fn starts(path: &[&str], with: &[&str]) -> bool {
    path.starts_with(with)
}

fn is_table_type(path: &[&str]) -> bool {
    const TABLES: [&str; 13] = [
        "service",
        "backend",
        "flow",
        "Service",
        "Frontend",
        "Ring",
        "Backend",
        "FlowKey",
        "Flow",
        "Source",
        "NatKey",
        "Connected",
        "*",
    ];
    match path {
        ["bg_common", rest @ ..] => rest.iter().any(|name| TABLES.contains(name)),
        _ => false,
    }
}

fn reaches_outside(path: &[&str]) -> bool {
    const OUTSIDE: [&[&str]; 14] = [
        &["tokio"],
        &["nix"],
        &["libc"],
        &["aya"],
        &["std", "fs"],
        &["std", "io"],
        &["std", "env"],
        &["std", "process"],
        &["std", "thread"],
        &["std", "os"],
        &["std", "net", "TcpStream"],
        &["std", "net", "TcpListener"],
        &["std", "net", "UdpSocket"],
        &["std", "net", "ToSocketAddrs"],
    ];
    let is_clock = path.ends_with(&["Instant", "now"]) || path.ends_with(&["SystemTime", "now"]);
    is_clock || OUTSIDE.iter().any(|outside| path.starts_with(outside))
}

/// Where unsafe code begins; an unsafe attribute is none.
fn first_unsafe(tokens: &[Token<'_>]) -> Option<usize> {
    tokens.windows(2).find_map(|pair| match pair {
        [word, next] if word.text == "unsafe" && next.text != "(" => Some(word.offset),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn what_crosses_a_boundary_is_found() {
        for (path, text, complaints) in [
            ("bg-userspace/src/engine.rs", "use aya::Ebpf;", 1),
            ("bg-userspace/src/engine.rs", "fn f(e: &aya::Ebpf) {}", 1),
            ("bg-userspace/src/dataplane.rs", "use aya::Ebpf;", 0),
            ("bg-userspace/src/dataplane/load.rs", "use aya::Ebpf;", 0),
            ("bg-userspace/src/dataplanes.rs", "use aya::Ebpf;", 1),
            ("bg-userspace/src/api.rs", "use bg_common::{Word, flow::Flow};", 1),
            ("bg-userspace/src/api.rs", "use bg_common::*;", 1),
            ("bg-userspace/src/api.rs", "use bg_common::{Colour, Word}; struct Service;", 0),
            ("bg-userspace/src/dataplane/tables.rs", "use bg_common::Flow;", 0),
            ("bg-userspace/src/daemon.rs", "use rtnetlink::Handle;", 1),
            ("bg-userspace/src/daemon.rs", "use netlink_packet_route::link;", 1),
            ("bg-userspace/src/net/routes.rs", "use rtnetlink::Handle;", 0),
            ("bg-userspace/src/model/machine.rs", "use std::{fmt, fs};", 1),
            ("bg-userspace/src/model/machine.rs", "let t = Instant::now();", 1),
            ("bg-userspace/src/model/machine.rs", "use std::net::{SocketAddr, UdpSocket};", 1),
            ("bg-userspace/src/model/machine.rs", "use std::time::{Duration, Instant}; // tokio", 0),
            ("bg-userspace/src/model.rs", "tokio::spawn(f);", 1),
            ("bg-ebpf/src/parse.rs", "use aya_ebpf::programs::XdpContext;", 1),
            ("bg-ebpf/src/main.rs", "use aya_ebpf::programs::XdpContext;", 0),
            ("bg-ebpf/src/kernel/xdp.rs", "use aya_ebpf::programs::XdpContext;", 0),
        ] {
            assert_eq!(check(&sample(path, text)).len(), complaints, "{path}: {text}");
        }
    }

    #[test]
    fn a_complaint_says_where_what_and_how_to_mend_it() {
        let source = sample("bg-userspace/src/engine.rs", "//! Engine.\n\nuse aya::Ebpf;\n");
        let said: Vec<String> = check(&source).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            ["bg-userspace/src/engine.rs:3: names `aya::Ebpf`; \
              only dataplane/ knows aya: add what is needed to the trait Dataplane"]
        );
    }

    #[test]
    fn unsafe_stays_in_three_files_of_the_kernel_side() {
        let inside = ["a", "b", "c", "d"]
            .map(|name| sample(&format!("bg-ebpf/src/kernel/{name}.rs"), "unsafe { f() }"));
        assert_eq!(check_unsafe(inside.get(..3).unwrap()), []);
        assert_eq!(check_unsafe(&inside).len(), 1);
        assert_eq!(check_unsafe(&[sample("bg-ebpf/src/parse.rs", "unsafe fn f() {}")]).len(), 1);
        assert_eq!(
            check_unsafe(&[sample("bg-ebpf/src/main.rs", "#[unsafe(no_mangle)] static A: u8 = 0;")]),
            []
        );
    }
}
