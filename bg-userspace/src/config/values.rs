//! Judges single values: words, numbers, times, paths, commands and texts with placeholders. What is
//! wrong is noted, and the caller goes on with a default.

use super::problems::{At, Problems};
use super::read::nearest;
use hyper::http::uri::Authority;
use std::fmt::Display;
use std::net::Ipv6Addr;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// What a time may be.
pub(super) struct Times {
    pub(super) least: Duration,
    pub(super) most: Duration,
    /// Both, and examples, as they are written in a file.
    pub(super) words: &'static str,
}

/// One of a few words.
pub(super) fn choice<T: Copy>(
    raw: Option<At<String>>,
    all: &[(&str, T)],
    problems: &mut Problems<'_>,
) -> Option<T> {
    let At { value, place } = raw?;
    if let Some((_, choice)) = all.iter().find(|(word, _)| *word == value) {
        return Some(*choice);
    }
    let words: Vec<_> = all.iter().map(|(word, _)| *word).collect();
    problems.add("config-choice", &place, format!("{value:?} is none of the choices"), among(&value, &words));
    None
}

/// The mend for a word that is none of `words`.
pub(super) fn among(value: &str, words: &[&str]) -> String {
    match nearest(value, words) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("use one of \"{}\"", words.join("\", \"")),
    }
}

/// A whole number within `range`.
pub(super) fn number<T: TryFrom<i64>>(
    raw: Option<At<i64>>,
    range: RangeInclusive<i64>,
    problems: &mut Problems<'_>,
) -> Option<T> {
    let At { value, place } = raw?;
    let number = range.contains(&value).then(|| T::try_from(value).ok()).flatten();
    if number.is_none() {
        let mend = format!("choose from {} to {}", range.start(), range.end());
        problems.add("config-range", &place, format!("{value} is out of range"), mend);
    }
    number
}

/// A time within `times`.
pub(super) fn time(raw: Option<&At<String>>, times: &Times, problems: &mut Problems<'_>) -> Option<Duration> {
    let At { value, place } = raw?;
    let mend = format!("write a time from {}", times.words);
    match humantime::parse_duration(value) {
        Ok(time) if (times.least..=times.most).contains(&time) => return Some(time),
        Ok(_) => problems.add("config-range", place, format!("{value:?} is out of range"), mend),
        Err(why) => problems.add("config-duration", place, format!("{value:?} is not a time: {why}"), mend),
    }
    None
}

/// As [`time`], where a time of zero stands for none.
pub(super) fn time_or_none(
    raw: Option<&At<String>>,
    times: &Times,
    problems: &mut Problems<'_>,
) -> Option<Duration> {
    let raw = raw?;
    let zero = humantime::parse_duration(&raw.value).is_ok_and(|time| time.is_zero());
    if zero { None } else { time(Some(raw), times, problems) }
}

/// The absolute path of a file of at most `most` bytes. `of` names it with an article.
pub(super) fn file(
    raw: Option<At<String>>,
    of: &str,
    most: usize,
    example: &str,
    problems: &mut Problems<'_>,
) -> Option<PathBuf> {
    let At { value, place } = raw?;
    let what = if !value.starts_with('/') {
        format!("{of} {value:?} is not absolute")
    } else if value.len() > most {
        format!("{of} is {} bytes long, and {most} is the most", value.len())
    } else if value.contains('\0') || value.ends_with('/') {
        format!("{of} cannot be {value:?}")
    } else {
        return Some(PathBuf::from(value));
    };
    problems.add("config-path", &place, what, format!("give an absolute path, such as {example}"));
    None
}

/// A program with its arguments, in which `placeholders` may stand.
pub(super) fn command(
    raw: At<Vec<At<String>>>,
    placeholders: &[&str],
    problems: &mut Problems<'_>,
) -> Option<Vec<String>> {
    let mend = "write a program's absolute path and then its arguments, each in quotes: there is no shell";
    let Some((program, arguments)) = raw.value.split_first() else {
        problems.add("config-command", &raw.place, "the command is empty", mend);
        return None;
    };
    if !program.value.starts_with('/') {
        let what = format!("the program {:?} has no absolute path", program.value);
        problems.add("config-command", &program.place, what, mend);
    }
    self::placeholders(program, &[], problems);
    for argument in arguments {
        self::placeholders(argument, placeholders, problems);
    }
    for text in raw.value.iter().filter(|text| text.value.contains('\0')) {
        problems.add("config-command", &text.place, "a command cannot contain a zero byte", "remove it");
    }
    Some(raw.value.into_iter().map(|text| text.value).collect())
}

/// Whether requests can go there, or the end of a sentence that begins with its text.
pub(super) fn host_and_port(authority: &Authority) -> Result<(), &'static str> {
    let (text, host) = (authority.as_str(), authority.host());
    let port = text.strip_prefix(host).and_then(|port| if port.is_empty() { None } else { Some(port) });
    let literal = host.strip_prefix('[').map(|host| host.trim_end_matches(']'));
    if text.contains('@') {
        Err("names a user, and none is ever sent")
    } else if host.is_empty() {
        Err("names no host")
    } else if literal.is_some_and(|literal| literal.parse::<Ipv6Addr>().is_err()) {
        Err("has no IPv6 address in its brackets")
    } else if port.is_some_and(|port| port.get(1..).is_none_or(|port| port.parse::<NonZeroU16>().is_err())) {
        Err("has a port that is not from 1 to 65535")
    } else {
        Ok(())
    }
}

/// Notes every placeholder in `text` that is not `known`.
pub(super) fn placeholders(text: &At<String>, known: &[&str], problems: &mut Problems<'_>) {
    let mut unknown = in_braces(&text.value);
    unknown.retain(|word| !known.contains(word));
    for word in unknown {
        let mend = match nearest(word, known) {
            Some(near) => format!("did you mean `{{{near}}}`?"),
            None if known.is_empty() => "write it out: nothing is replaced here".to_owned(),
            None => {
                format!("remove it; known here: {}", listed(known.iter().map(|word| format!("{{{word}}}"))))
            }
        };
        let what = format!("nothing is known that `{{{word}}}` could stand for");
        problems.add("config-placeholder", &text.place, what, mend);
    }
}

/// `text` with a word for each placeholder: what it may become.
pub(super) fn filled_in(text: &str) -> String {
    in_braces(text).iter().fold(text.to_owned(), |text, word| text.replace(&format!("{{{word}}}"), "blue"))
}

/// The placeholders of `text`, each once: words in braces. Other braces are text, such as those of JSON.
fn in_braces(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for part in text.split('{').skip(1) {
        let Some((word, _)) = part.split_once('}') else { continue };
        let is_word = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
        if is_word && !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn listed(words: impl IntoIterator<Item = impl Display>) -> String {
    let mut words: Vec<_> = words.into_iter().map(|word| word.to_string()).collect();
    let last = words.pop().unwrap_or_default();
    if words.is_empty() { last } else { format!("{} and {last}", words.join(", ")) }
}
