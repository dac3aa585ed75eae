//! What no text file of the project may hold.

use super::{Complaint, Source};

/// A file of cargo's, in its words.
const FOREIGN: [&str; 1] = ["Cargo.lock"];

/// Taken apart, so that this file passes its own rules.
const WORDS: [(&str, &str, &str); 11] = [
    (concat!("TO", "DO"), "puts work off", "do it, or write down elsewhere what is missing"),
    (concat!("FIX", "ME"), "puts work off", "do it, or write down elsewhere what is missing"),
    (concat!("/wo", "rk/"), "names a path of one machine", "name it relative to the workspace"),
    (concat!("/ro", "ot/"), "names a path of one machine", "name it relative to the workspace"),
    (concat!("/ho", "me/"), "names a path of one machine", "name it relative to the workspace"),
    (concat!("crates", ".io"), "names a registry", HOST),
    (concat!("static.rust-", "lang.org"), "names a registry", HOST),
    (concat!("deb.", "debian.org"), "names a registry", HOST),
    (concat!("security.", "debian.org"), "names a registry", HOST),
    (concat!("archive.", "ubuntu.com"), "names a registry", HOST),
    (concat!("pypi", ".org"), "names a registry", HOST),
];

const HOST: &str = "say `cargo` or `apt` and leave the host to their configuration";
const NUMBER: &str = "say the reason itself";

/// Checks one text file.
pub(super) fn check(source: &Source) -> Vec<Complaint> {
    if FOREIGN.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    let mut offset = 0;
    for line in source.text.split_inclusive('\n') {
        let text = line.trim_end_matches(['\n', '\r']);
        if text.ends_with([' ', '\t']) {
            complaints.push(source.complain(offset, "ends in white space", "remove it"));
        }
        for (word, what, mend) in WORDS {
            if text.contains(word) {
                complaints.push(source.complain(offset, format!("{what}: `{word}`"), mend));
            }
        }
        if let Some(reference) = issue_reference(text) {
            complaints.push(source.complain(offset, format!("refers to a tracker: `{reference}`"), NUMBER));
        }
        offset += line.len();
    }
    complaints
}

/// `#12` or a number behind the word, but not an address on the web, nor a `#` of a language.
fn issue_reference(line: &str) -> Option<String> {
    let words: Vec<&str> =
        line.split([' ', '(', ')', ',', ';', '.', ':']).filter(|word| !word.is_empty()).collect();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let hash = words
        .iter()
        .find(|word| word.strip_prefix('#').is_some_and(is_number))
        .map(|word| (*word).to_owned());
    let named = words.windows(2).find_map(|pair| match pair {
        [word, number] if word.eq_ignore_ascii_case("issue") && is_number(number) => {
            Some(format!("{word} {number}"))
        }
        _ => None,
    });
    hash.or(named)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn each_word_is_found_in_any_text_file() {
        for (word, ..) in WORDS {
            let complaints = check(&sample("README.md", &format!("A line.\nWith {word} inside.\n")));
            assert_eq!(complaints.iter().map(|complaint| complaint.line).collect::<Vec<_>>(), [2], "{word}");
            assert_eq!(check(&sample("Cargo.lock", word)), [], "{word}");
        }
    }

    #[test]
    fn references_to_a_tracker_are_found() {
        for (line, found) in [
            (concat!("see iss", "ue 2"), true),
            (concat!("(", "#12)"), true),
            (concat!("Iss", "ue 2, part 1"), true),
            ("an issue of 2 kinds", false),
            ("let x = {:#018x};", false),
            ("# 12 steps", false),
            ("[link](#12-steps)", false),
        ] {
            assert_eq!(!check(&sample("README.md", line)).is_empty(), found, "{line}");
        }
    }

    #[test]
    fn white_space_at_the_end_of_a_line_is_found() {
        assert_eq!(check(&sample("README.md", "one\ntwo \nthree\t\n")).len(), 2);
        assert_eq!(check(&sample("README.md", "one\r\n\n")), []);
    }
}
