//! The form of a Rust file: its header, its length, and the attributes and macros that put work off.

use super::rust::{self, Token};
use super::{Complaint, Source};

const LINES: usize = 400;

/// Checks one Rust file.
pub(super) fn check(source: &Source) -> Vec<Complaint> {
    let tokens = rust::tokens(&source.text);
    let mut complaints = attributes(source, &tokens);
    complaints.extend(macros(source, &tokens));
    if !source.text.starts_with("//! ") {
        let mend = "begin it with a line `//! What it owns, and what it must not know.`";
        complaints.push(source.complain(0, "has no header", mend));
    }
    let lines = production_lines(&source.text);
    let is_test = source.path.starts_with("tests/")
        || source.path.ends_with("/tests.rs")
        || source.path.contains("/tests/");
    if lines > LINES && !is_test {
        let mend = "split it by what its parts know";
        complaints.push(source.complain(
            0,
            format!("is {lines} lines long without its tests, {LINES} are the limit"),
            mend,
        ));
    }
    complaints
}

fn attributes(source: &Source, tokens: &[Token<'_>]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let rest = tokens.get(index..).unwrap_or_default();
        let name = match rest {
            [hash, open, name, ..] if hash.text == "#" && open.text == "[" => name,
            [hash, bang, open, name, ..] if hash.text == "#" && bang.text == "!" && open.text == "[" => name,
            _ => continue,
        };
        let mut words = rest.iter().skip(2).map(|token| token.text).take_while(|text| *text != "]");
        match name.text {
            "allow" => {
                let mend = "write `#[expect(lint, reason = \"…\")]`, which complains once it is not needed";
                complaints.push(source.complain(token.offset, "allows a lint", mend));
            }
            "expect" if !words.any(|word| word == "reason") => {
                complaints.push(source.complain(
                    token.offset,
                    "expects a lint without saying why",
                    "add `reason = \"…\"`",
                ));
            }
            "ignore" => {
                let mend = "mend the test, or let it print `SKIP reason` where it cannot run";
                complaints.push(source.complain(token.offset, "ignores a test", mend));
            }
            _ => {}
        }
    }
    complaints
}

fn macros(source: &Source, tokens: &[Token<'_>]) -> Vec<Complaint> {
    let put_off = tokens.windows(2).filter_map(|pair| match pair {
        [name, bang] if bang.text == "!" && ["todo", "unimplemented"].contains(&name.text) => Some(name),
        _ => None,
    });
    put_off
        .map(|name| source.complain(name.offset, format!("calls `{}!`", name.text), "write what is missing"))
        .collect()
}

/// Lines before the tests, which stand at the end.
fn production_lines(text: &str) -> usize {
    text.lines().take_while(|line| *line != "#[cfg(test)]").count()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn each_rule_of_form_is_enforced() {
        for (text, complaints) in [
            ("//! Header.\nfn f() {}\n", 0),
            ("fn f() {}\n", 1),
            ("//! Header.\n#[allow(dead_code)]\nfn f() {}\n", 1),
            ("//! Header.\n#![allow(dead_code)]\n", 1),
            ("//! Header.\n#[expect(dead_code)]\nfn f() {}\n", 1),
            ("//! Header.\n#[expect(dead_code, reason = \"why\")]\nfn f() {}\n", 0),
            ("//! Header.\n#[test]\n#[ignore]\nfn f() {}\n", 1),
            ("//! Header.\n#[test]\n#[ignore = \"slow\"]\nfn f() {}\n", 1),
            ("//! Header.\nfn f() { todo!() }\n", 1),
            ("//! Header.\nfn f() { unimplemented!(\"later\") }\n", 1),
            ("//! Header with #[allow(x)] and todo!().\nconst A: &str = \"todo!()\";\n", 0),
        ] {
            assert_eq!(check(&sample("bg-common/src/a.rs", text)).len(), complaints, "{text}");
        }
    }

    #[test]
    fn a_long_file_is_refused_unless_its_length_is_tests() {
        let long = format!("//! Header.\n{}", "fn f() {}\n".repeat(LINES));
        assert_eq!(check(&sample("bg-common/src/a.rs", &long)).len(), 1);
        assert_eq!(check(&sample("tests/src/cases.rs", &long)), []);
        let tested = format!("//! Header.\n#[cfg(test)]\n{}", "fn f() {}\n".repeat(LINES));
        assert_eq!(check(&sample("bg-common/src/a.rs", &tested)), []);
    }
}
