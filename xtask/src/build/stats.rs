//! The size of each packet program: as it was built, and as the kernel has it once the verifier has gone
//! through it.

use crate::session::{Session, is_root};
use crate::sh::{run, say};
use anyhow::{Context as _, Result};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};
use std::fs;
use std::path::Path;
use std::process::Command;

const INSTRUCTION: u64 = 8;

/// Prints both; `programs` is where the benchmark was built, which loads them.
pub(super) fn print(session: &Session, programs: &Path) -> Result<()> {
    let target = if cfg!(target_endian = "big") { "bpfeb-unknown-none" } else { "bpfel-unknown-none" };
    let path = session.target.join("bpf").join(target).join("release/bg-programs");
    let object = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let sizes = sizes(&object).with_context(|| format!("{} is no object file", path.display()))?;
    say(&format!("{:<24}{:<20}{:>12}", "program", "section", "instructions"));
    for (program, section, instructions) in sizes {
        say(&format!("{program:<24}{section:<20}{instructions:>12}"));
    }
    if is_root() {
        run(Command::new(programs.join("bg-bench")).arg("--sizes"))
    } else {
        say("what the verifier makes of them is told to root: the kernel loads programs for nobody else");
        Ok(())
    }
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
