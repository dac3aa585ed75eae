//! Loads the programs, makes the tables, and pins both; or finds them pinned.

use super::pins::{Pins, create_dir, file_names, refused};
use crate::refusal::Refusal;
use aya::programs::{
    CgroupSock, CgroupSockAddr, CgroupSockAddrAttachType, CgroupSockAttachType, Program, ProgramFd,
    ProgramInfo, SchedClassifier, Xdp,
};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use aya_obj::programs::XdpAttachType;
use bg_common::names::{
    CONNECT4, CONNECT6, FLOWS, GETPEERNAME4, GETPEERNAME6, HALF_OPEN, PROGRAMS, RECVMSG4, RECVMSG6, SENDMSG4,
    SENDMSG6, SOCK_RELEASE, XDP_INGRESS,
};
use bg_common::table::TABLES;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// Begins the name of a [`mark`].
const MARK: &str = "of-";

/// The programs of this build, as an ELF object.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bg.bpf.o"));

/// Sizes of the tables that can be configured. They count when the tables are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) flows: u32,
    pub(super) half_open: u32,
}

/// A program that is pinned.
#[derive(Debug)]
pub(super) enum Loaded {
    Xdp(Xdp),
    Tc(SchedClassifier),
    SockAddr(CgroupSockAddr),
    Sock(CgroupSock),
}

impl Loaded {
    /// The kernel's id of the program.
    pub(super) fn id(&self) -> Result<u32, Refusal> {
        let info = match self {
            Self::Xdp(program) => program.info(),
            Self::Tc(program) => program.info(),
            Self::SockAddr(program) => program.info(),
            Self::Sock(program) => program.info(),
        };
        info.map(|info| info.id()).map_err(|error| not_loaded(&error))
    }

    /// Its descriptor.
    pub(super) fn fd(&self) -> Result<&ProgramFd, Refusal> {
        let fd = match self {
            Self::Xdp(program) => program.fd(),
            Self::Tc(program) => program.fd(),
            Self::SockAddr(program) => program.fd(),
            Self::Sock(program) => program.fd(),
        };
        fd.map_err(|error| not_loaded(&error))
    }
}

/// Makes everything new in a directory of its own, then puts that in place by one rename.
pub(super) fn create(pins: &Pins, sizes: Sizes) -> Result<(), Refusal> {
    let unfinished = pins.unfinished();
    create_dir(&unfinished.join("programs"))?;
    create_dir(&unfinished.join("links"))?;
    let mut ebpf = load(&unfinished, Some(sizes))?;
    crate::fail_point!("after-tables-pinned");
    for name in PROGRAMS {
        pin_program(&mut ebpf, name, &unfinished.join("programs").join(name))?;
    }
    set_mark(&unfinished.join("programs"))?;
    crate::fail_point!("before-pins-renamed");
    fs::rename(&unfinished, pins.dir()).map_err(|error| refused(&pins.dir(), &error))?;
    crate::fail_point!("after-pins-renamed");
    Ok(())
}

/// Replaces the pinned programs by those of this build where they differ. What is attached follows
/// when attachments are next brought in line.
pub(super) fn upgrade(pins: &Pins) -> Result<(), Refusal> {
    let programs = pins.dir().join("programs");
    if mark(&programs).is_some_and(|mark| mark.is_dir()) {
        return Ok(());
    }
    let mut ebpf = load(&pins.dir(), None)?;
    for name in PROGRAMS {
        let path = program_path(pins, name);
        let new = load_program(&mut ebpf, name)?.info().map_err(|error| not_loaded(&error))?;
        if ProgramInfo::from_pin(&path).is_ok_and(|old| old.tag() == new.tag()) {
            continue;
        }
        let fresh = program_path(pins, &format!("{name}-new"));
        // Left by a start that was interrupted here.
        let _ = fs::remove_file(&fresh);
        pin_program(&mut ebpf, name, &fresh)?;
        fs::rename(&fresh, &path).map_err(|error| refused(&path, &error))?;
    }
    for name in file_names(&programs).iter().filter(|name| name.starts_with(MARK)) {
        // One that is left is of other programs, and means nothing.
        let _ = fs::remove_dir(programs.join(name));
    }
    set_mark(&programs)
}

/// Where it is written down that the programs that are pinned in `dir` are those of this build: a directory
/// named after both. The verifier takes nearly all of a start, and need not be asked again. None if a program
/// is not there.
fn mark(dir: &Path) -> Option<PathBuf> {
    let build = Sha256::digest(OBJECT);
    let build: String = build.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let id = |name| ProgramInfo::from_pin(dir.join(name)).map(|info| format!("-{}", info.id()));
    let ids: String = PROGRAMS.into_iter().map(id).collect::<Result<_, _>>().ok()?;
    Some(dir.join(format!("{MARK}{build}{ids}")))
}

fn set_mark(dir: &Path) -> Result<(), Refusal> {
    mark(dir).map_or(Ok(()), |mark| create_dir(&mark))
}

/// Opens a pinned program.
pub(super) fn open(pins: &Pins, name: &str) -> Result<Loaded, Refusal> {
    let path = program_path(pins, name);
    let loaded = match (name, call_of(name)) {
        (XDP_INGRESS, _) => Xdp::from_pin(&path, XdpAttachType::Interface).map(Loaded::Xdp),
        (SOCK_RELEASE, _) => CgroupSock::from_pin(&path, CgroupSockAttachType::SockRelease).map(Loaded::Sock),
        (_, Some(call)) => CgroupSockAddr::from_pin(&path, call).map(Loaded::SockAddr),
        (_, None) => SchedClassifier::from_pin(&path).map(Loaded::Tc),
    };
    loaded.map_err(|error| refused(&path, &error))
}

/// The system call whose addresses a program changes.
fn call_of(name: &str) -> Option<CgroupSockAddrAttachType> {
    Some(match name {
        CONNECT4 => CgroupSockAddrAttachType::Connect4,
        CONNECT6 => CgroupSockAddrAttachType::Connect6,
        SENDMSG4 => CgroupSockAddrAttachType::UDPSendMsg4,
        SENDMSG6 => CgroupSockAddrAttachType::UDPSendMsg6,
        RECVMSG4 => CgroupSockAddrAttachType::UDPRecvMsg4,
        RECVMSG6 => CgroupSockAddrAttachType::UDPRecvMsg6,
        GETPEERNAME4 => CgroupSockAddrAttachType::GetPeerName4,
        GETPEERNAME6 => CgroupSockAddrAttachType::GetPeerName6,
        _ => return None,
    })
}

/// Ids of the pinned programs that can be read.
pub(super) fn program_ids(pins: &Pins) -> Vec<(u32, &'static str)> {
    let id = |name| ProgramInfo::from_pin(program_path(pins, name)).map(|info| (info.id(), name));
    PROGRAMS.into_iter().filter_map(|name| id(name).ok()).collect()
}

fn program_path(pins: &Pins, name: &str) -> PathBuf {
    pins.dir().join("programs").join(name)
}

/// Relocates the object to the tables that are pinned in `dir`, making those that are not.
fn load(dir: &Path, sizes: Option<Sizes>) -> Result<Ebpf, Refusal> {
    let mut loader = EbpfLoader::new();
    loader.verifier_log_level(VerifierLogLevel::DISABLE);
    for table in &TABLES {
        loader.map_pin_path(table.name, dir.join(table.name));
    }
    if let Some(Sizes { flows, half_open }) = sizes {
        loader.map_max_entries(FLOWS, flows).map_max_entries(HALF_OPEN, half_open);
    }
    loader.load(OBJECT).map_err(|error| not_loaded(&error))
}

fn load_program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Program, Refusal> {
    let program =
        ebpf.program_mut(name).ok_or_else(|| not_loaded(&format!("{name} is not in the object")))?;
    #[expect(clippy::wildcard_enum_match_arm, reason = "the object has programs of four kinds")]
    let loaded = match program {
        Program::Xdp(xdp) if xdp.fd().is_err() => xdp.load(),
        Program::SchedClassifier(tc) if tc.fd().is_err() => tc.load(),
        Program::CgroupSockAddr(call) if call.fd().is_err() => call.load(),
        Program::CgroupSock(sock) if sock.fd().is_err() => sock.load(),
        _ => Ok(()),
    };
    loaded.map_err(|error| not_loaded(&format!("{name}: {}", chain(&error))))?;
    Ok(program)
}

fn pin_program(ebpf: &mut Ebpf, name: &str, path: &Path) -> Result<(), Refusal> {
    load_program(ebpf, name)?.pin(path).map_err(|error| refused(path, &chain(&error)))
}

/// An error with everything that caused it: aya keeps the verifier's words there.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

pub(super) fn not_loaded(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(
        "not-loaded",
        format!("the kernel does not take the packet programs: {error}"),
        "bpf(2)",
        "run as root or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON; bgctl doctor tells what is missing",
    )
}
