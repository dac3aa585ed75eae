//! Just enough of Rust's grammar to know which names a file uses: tokens without comments and
//! literals, and the paths that they form.

/// A word or a single other character, and where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Token<'a> {
    pub(super) offset: usize,
    pub(super) text: &'a str,
}

/// A path like `std::fs::read`; those of a `use` are written out.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Path {
    pub(super) offset: usize,
    pub(super) segments: Vec<String>,
}

/// All tokens of a file, without comments, literals and white space.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut offset = 0;
    while let Some(rest) = text.get(offset..).filter(|rest| !rest.is_empty()) {
        let (kind, length) = lex(rest);
        let token = rest.get(..length).unwrap_or(rest);
        if kind == Kind::Code {
            tokens.push(Token { offset, text: token });
        }
        offset += token.len().max(1);
    }
    tokens
}

/// Every path that the tokens name, single words included.
pub(super) fn paths(tokens: &[Token<'_>]) -> Vec<Path> {
    let mut paths = Vec::new();
    let mut rest = tokens;
    while let [token, after @ ..] = rest {
        if token.text == "use" {
            rest = use_tree(after, &[], &mut paths);
        } else if is_word(token.text) {
            let (segments, after) = chain(rest);
            paths.push(Path { offset: token.offset, segments });
            rest = after;
        } else {
            rest = after;
        }
    }
    paths
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Other,
}

/// The kind and length of what `rest` begins with.
fn lex(rest: &str) -> (Kind, usize) {
    let first = rest.chars().next().unwrap_or(' ');
    if rest.starts_with("//") {
        (Kind::Other, rest.find('\n').unwrap_or(rest.len()))
    } else if rest.starts_with("/*") {
        (Kind::Other, block_comment(rest))
    } else if let Some(length) = raw_string(rest).or_else(|| string(rest)).or_else(|| character(rest)) {
        (Kind::Other, length)
    } else if first.is_alphanumeric() || first == '_' {
        (Kind::Code, rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len()))
    } else {
        (if first.is_whitespace() { Kind::Other } else { Kind::Code }, first.len_utf8())
    }
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    for (offset, _) in rest.char_indices() {
        let here = rest.get(offset..).unwrap_or_default();
        if here.starts_with("/*") {
            depth += 1;
        } else if here.starts_with("*/") {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return offset + 2;
            }
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let raw = ["br", "cr", "r"].iter().find_map(|prefix| rest.strip_prefix(prefix))?;
    let body = raw.trim_start_matches('#');
    let end = format!("\"{}", "#".repeat(raw.len() - body.len()));
    let body = body.strip_prefix('"')?;
    let start = rest.len() - body.len();
    Some(body.find(&end).map_or(rest.len(), |at| start + at + end.len()))
}

fn string(rest: &str) -> Option<usize> {
    let body = ["b\"", "c\"", "\""].iter().find_map(|prefix| rest.strip_prefix(prefix))?;
    Some(rest.len() - body.len() + closing(body, '"').unwrap_or(body.len()))
}

/// A character, but not a lifetime.
fn character(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix("b'").or_else(|| rest.strip_prefix('\''))?;
    let one = body.chars().next()?;
    let is_literal = one == '\\' || body.get(one.len_utf8()..)?.starts_with('\'');
    if !is_literal {
        return None;
    }
    Some(rest.len() - body.len() + closing(body, '\'')?)
}

/// The offset behind the first `quote` that no backslash escapes.
fn closing(body: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (offset, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return Some(offset + c.len_utf8()),
            _ => {}
        }
    }
    None
}

/// `a::b::c` and what follows it.
fn chain<'t, 'a>(tokens: &'t [Token<'a>]) -> (Vec<String>, &'t [Token<'a>]) {
    let mut segments = Vec::new();
    let mut rest = tokens;
    while let [word, after @ ..] = rest {
        if !is_word(word.text) && word.text != "*" {
            break;
        }
        segments.push(word.text.to_owned());
        rest = after;
        match after {
            [a, b, next, ..]
                if a.text == ":" && b.text == ":" && (is_word(next.text) || next.text == "*") =>
            {
                rest = after.get(2..).unwrap_or_default();
            }
            _ => break,
        }
    }
    (segments, rest)
}

/// Takes one tree of a `use` below `prefix`, and returns what follows it.
fn use_tree<'t, 'a>(
    mut tokens: &'t [Token<'a>],
    prefix: &[String],
    paths: &mut Vec<Path>,
) -> &'t [Token<'a>] {
    while let [a, b, after @ ..] = tokens {
        if a.text != ":" || b.text != ":" {
            break;
        }
        tokens = after;
    }
    let offset = tokens.first().map_or(0, |token| token.offset);
    let (segments, mut rest) = chain(tokens);
    let path = [prefix, &segments].concat();
    match rest {
        [a, b, brace, after @ ..] if a.text == ":" && b.text == ":" && brace.text == "{" => {
            rest = use_list(after, &path, paths);
        }
        [brace, after @ ..] if brace.text == "{" && segments.is_empty() => {
            rest = use_list(after, &path, paths);
        }
        _ if !segments.is_empty() => paths.push(Path { offset, segments: path }),
        _ => {}
    }
    match rest {
        [word, _, after @ ..] if word.text == "as" => after,
        _ => rest,
    }
}

fn use_list<'t, 'a>(
    mut tokens: &'t [Token<'a>],
    prefix: &[String],
    paths: &mut Vec<Path>,
) -> &'t [Token<'a>] {
    while let [token, after @ ..] = tokens {
        match token.text {
            "}" => return after,
            "," => tokens = after,
            _ => {
                let rest = use_tree(tokens, prefix, paths);
                // Whatever this is, the list goes on behind it.
                tokens = if rest.len() == tokens.len() { after } else { rest };
            }
        }
    }
    tokens
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<String> {
        paths(&tokens(text)).into_iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn names_are_found_where_code_names_them() {
        for (text, expected) in [
            ("use aya;", "aya"),
            (
                "use std::{fs, io::{self, Read as R}, net::*};",
                "std::fs std::io::self std::io::Read std::net::*",
            ),
            ("pub use ::aya::maps;", "pub aya::maps"),
            ("use {a::b, c};", "a::b c"),
            ("let now = std::time::Instant::now();", "let now std::time::Instant::now"),
            ("fn f<'a>(x: &'a aya::Ebpf)", "fn f a x a aya::Ebpf"),
        ] {
            assert_eq!(named(text).join(" "), expected, "{text}");
        }
    }

    #[test]
    fn comments_and_literals_name_nothing() {
        for text in [
            "// aya::Ebpf\n",
            "/* aya /* nested */ aya */",
            r#""aya \" aya""#,
            r##"r#"aya " aya"#"##,
            r#"b"aya""#,
            r"'\''",
            "'a'",
            "b'a'",
        ] {
            assert_eq!(named(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn text_that_is_no_rust_is_read_to_its_end() {
        for text in ["use {", "use a::{b", "\"open", "r#\"open", "/* open", "'", "use", "use a::{::b, {c}}"] {
            named(text);
        }
    }
}
