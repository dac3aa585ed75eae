//! The size of each packet program in instructions.

use crate::session::Session;
use crate::sh::say;
use anyhow::{Context as _, Result};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};
use std::fs;

const INSTRUCTION: u64 = 8;

pub(super) fn print(session: &Session) -> Result<()> {
    let target = if cfg!(target_endian = "big") { "bpfeb-unknown-none" } else { "bpfel-unknown-none" };
    let path = session.target.join("bpf").join(target).join("release/bg-programs");
    let object = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let sizes = sizes(&object).with_context(|| format!("{} is no object file", path.display()))?;
    say(&format!("{:<24}{:<20}{:>12}", "program", "section", "instructions"));
    for (program, section, instructions) in sizes {
        say(&format!("{program:<24}{section:<20}{instructions:>12}"));
    }
    Ok(())
}

/// Name, section and instructions of each function.
fn sizes(object: &[u8]) -> Result<Vec<(String, String, u64)>> {
    let object = object::File::parse(object)?;
    let mut sizes = Vec::new();
    for symbol in object.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0) {
        let Some(section) = symbol.section_index() else { continue };
        let section = object.section_by_index(section)?.name()?.to_owned();
        sizes.push((symbol.name()?.to_owned(), section, symbol.size() / INSTRUCTION));
    }
    sizes.sort();
    Ok(sizes)
}
