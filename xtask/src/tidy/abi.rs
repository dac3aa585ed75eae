//! A change of the tables raises their version: a record of the layout lies beside the sources, and
//! only a new version may replace it.

use super::rust::{self, Token};
use super::{Complaint, Source};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::Path;

const RECORD: &str = "bg-common/abi.txt";
const VERSION: &str = "bg-common/src/lib.rs";
const CONTRACT: &str = "bg-common/src/";
const HEADER: &str =
    "# What gives the bytes of the tables their meaning, as `cargo xtask tidy --bless` found it.\n";

/// Compares the record with the sources.
pub(super) fn check(sources: &[Source]) -> Option<Complaint> {
    let version = sources.iter().find(|source| source.path == VERSION)?;
    let layout = layout(sources);
    let Some(record) = sources.iter().find(|source| source.path == RECORD) else {
        return Some(version.complain(0, "has no record of the table layout", "`cargo xtask tidy --bless`"));
    };
    if record.text == layout {
        return None;
    }
    if version_line(&record.text) != version_line(&layout) {
        let mend = "`cargo xtask tidy --bless`";
        return Some(record.complain(0, "records the layout of another version", mend));
    }
    let was: Vec<&str> = record.text.lines().collect();
    let changed = layout.lines().find(|line| !was.contains(line)).unwrap_or("something is gone");
    let mend = "raise ABI_VERSION, then `cargo xtask tidy --bless`";
    Some(version.complain(0, format!("keeps its version although the layout has changed: {changed}"), mend))
}

/// Records the layout of a new version.
pub(super) fn bless(root: &Path) -> Result<()> {
    let layout = layout(&super::read_tree(&root.join(CONTRACT)).map(|sources| {
        sources
            .into_iter()
            .map(|Source { path, text }| Source { path: format!("{CONTRACT}{path}"), text })
            .collect::<Vec<_>>()
    })?);
    let path = root.join(RECORD);
    match fs::read_to_string(&path) {
        Ok(record) if record != layout && version_line(&record) == version_line(&layout) => {
            bail!("the layout has changed and ABI_VERSION has not: raise it in {VERSION} first")
        }
        _ => fs::write(&path, layout).with_context(|| format!("cannot write {}", path.display())),
    }
}

fn version_line(record: &str) -> Option<&str> {
    record.lines().find(|line| line.contains("ABI_VERSION"))
}

/// Every item that decides what bytes mean: types with a `repr`, and constants. One line each.
fn layout(sources: &[Source]) -> String {
    let mut lines = Vec::new();
    for source in sources.iter().filter(|source| source.path.starts_with(CONTRACT)) {
        let code = source.text.split("\n#[cfg(test)]").next().unwrap_or_default();
        let tokens = rust::tokens(code);
        let file = source.path.trim_start_matches(CONTRACT);
        let items = tokens.iter().enumerate().filter_map(|(index, _)| item(code, tokens.get(index..)?));
        lines.extend(items.map(|item| format!("{file}: {item}\n")));
    }
    lines.sort();
    lines.insert(0, HEADER.to_owned());
    lines.concat()
}

/// The text of the item that begins at the first token, if it is one of those.
fn item(code: &str, tokens: &[Token<'_>]) -> Option<String> {
    let is_repr = matches!(tokens, [a, b, c, ..] if a.text == "#" && b.text == "[" && c.text == "repr");
    let is_const = matches!(tokens, [a, b, ..] if a.text == "const" && b.text != "fn" && b.text != "unsafe");
    if !is_repr && !is_const {
        return None;
    }
    let (mut depth, mut end) = (0_usize, None);
    for token in tokens {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.checked_sub(1)?,
            _ => {}
        }
        let closes = token.text == ";" || (is_repr && token.text == "}");
        if depth == 0 && closes {
            end = Some(token.offset + token.text.len());
            break;
        }
    }
    let text = code.get(tokens.first()?.offset..end?)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    Some(lines.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn contract(version: u32, field: &str) -> Vec<Source> {
        let record = layout(&sources(1, "a: u32"));
        let mut all = sources(version, field);
        all.push(sample(RECORD, &record));
        all
    }

    fn sources(version: u32, field: &str) -> Vec<Source> {
        vec![
            sample(VERSION, &format!("//! Contract.\npub const ABI_VERSION: u32 = {version};\n")),
            sample(
                "bg-common/src/flow.rs",
                &format!(
                    "#[repr(C)]\npub struct Flow {{\n    /// Words.\n    {field},\n}}\nconst BIT: u64 = 1 << 3;\nimpl Flow {{ const fn f() {{}} }}\n"
                ),
            ),
        ]
    }

    #[test]
    fn the_layout_is_types_and_constants_without_their_comments() {
        assert_eq!(
            layout(&sources(1, "a: u32")).trim_start_matches(HEADER),
            "flow.rs: #[repr(C)] pub struct Flow { a: u32, }\nflow.rs: const BIT: u64 = 1 << 3;\n\
             lib.rs: const ABI_VERSION: u32 = 1;\n"
        );
    }

    #[test]
    fn a_changed_table_needs_a_new_version_and_a_new_record() {
        for (version, field, what) in [
            (1, "a: u32", None),
            (1, "a: u64", Some("keeps its version although the layout has changed: flow.rs")),
            (2, "a: u64", Some("records the layout of another version")),
        ] {
            let complaint = check(&contract(version, field)).map(|complaint| complaint.what);
            assert_eq!(complaint.is_some(), what.is_some(), "{complaint:?}");
            assert!(complaint.unwrap_or_default().starts_with(what.unwrap_or_default()));
        }
    }
}
