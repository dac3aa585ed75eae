//! Takes typed values out of parsed TOML, notes what has the wrong type, and which keys nobody took.

use super::problems::{At, Place, Problems};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table whose keys are taken one by one.
pub(super) struct Section<'t> {
    table: &'t DeTable<'t>,
    place: Place,
    known: Vec<&'static str>,
}

/// A type that a value may have.
pub(super) trait Typed: Sized {
    /// The type in words, with an article.
    const WANTED: &'static str;

    /// Takes `value`, or `None` when it has another type.
    fn of(value: &Spanned<DeValue<'_>>, place: &Place) -> Option<Self>;
}

impl Typed for String {
    const WANTED: &'static str = "a text in quotes";

    fn of(value: &Spanned<DeValue<'_>>, _: &Place) -> Option<Self> {
        value.get_ref().as_str().map(str::to_owned)
    }
}

impl Typed for bool {
    const WANTED: &'static str = "true or false";

    fn of(value: &Spanned<DeValue<'_>>, _: &Place) -> Option<Self> {
        value.get_ref().as_bool()
    }
}

/// Saturates, so that a number with too many digits is out of every range.
impl Typed for i64 {
    const WANTED: &'static str = "a whole number";

    fn of(value: &Spanned<DeValue<'_>>, _: &Place) -> Option<Self> {
        let integer = value.get_ref().as_integer()?;
        let beyond = if integer.as_str().starts_with('-') { Self::MIN } else { Self::MAX };
        Some(Self::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(beyond))
    }
}

/// A port or a word that stands for several.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum NumberOrWord {
    Number(i64),
    Word(String),
}

impl Typed for NumberOrWord {
    const WANTED: &'static str = "a whole number";

    fn of(value: &Spanned<DeValue<'_>>, place: &Place) -> Option<Self> {
        let word = || String::of(value, place).map(Self::Word);
        i64::of(value, place).map(Self::Number).or_else(word)
    }
}

impl Typed for Vec<At<String>> {
    const WANTED: &'static str = "a list of texts in quotes";

    fn of(value: &Spanned<DeValue<'_>>, place: &Place) -> Option<Self> {
        let item = |item: &Spanned<DeValue<'_>>| {
            let place = Place { span: item.span(), key: place.key.clone() };
            String::of(item, &place).map(|value| At { value, place })
        };
        value.get_ref().as_array()?.iter().map(item).collect()
    }
}

/// The keys that are there, whatever is wrong with their values.
pub(super) struct Given(pub(super) Vec<At<&'static str>>);

impl Given {
    /// Where `key` stands, if it is there.
    pub(super) fn place(&self, key: &str) -> Option<&Place> {
        self.0.iter().find(|given| given.value == key).map(|given| &given.place)
    }

    /// Whether one of `keys` is there.
    pub(super) fn has(&self, keys: &[&str]) -> bool {
        self.0.iter().any(|given| keys.contains(&given.value))
    }
}

/// A list, or one value that stands for a list of itself.
#[derive(Clone, Debug)]
pub(super) struct OneOrMore<T>(pub(super) Vec<At<T>>);

impl Typed for OneOrMore<NumberOrWord> {
    const WANTED: &'static str = "a list of whole numbers or texts in quotes";

    fn of(value: &Spanned<DeValue<'_>>, place: &Place) -> Option<Self> {
        let item = |item: &Spanned<DeValue<'_>>| {
            let place = Place { span: item.span(), key: place.key.clone() };
            NumberOrWord::of(item, &place).map(|value| At { value, place })
        };
        match value.get_ref().as_array() {
            Some(list) => list.iter().map(item).collect::<Option<_>>().map(Self),
            None => item(value).map(|one| Self(vec![one])),
        }
    }
}

impl<'t> Section<'t> {
    /// The whole document.
    pub(super) fn root(table: &'t Spanned<DeTable<'t>>) -> Self {
        Self::new(table.get_ref(), Place { span: 0..0, key: String::new() })
    }

    fn new(table: &'t DeTable<'t>, place: Place) -> Self {
        Self { table, place, known: Vec::new() }
    }

    /// The value of `key`, if it is there. `example` shows how it is written.
    pub(super) fn take<T: Typed>(
        &mut self,
        key: &'static str,
        example: &str,
        problems: &mut Problems<'_>,
    ) -> Option<At<T>> {
        self.known.push(key);
        let value = self.table.get(key)?;
        let place = Place { span: value.span(), key: self.path(key) };
        let typed = T::of(value, &place);
        if typed.is_none() {
            let what = format!("`{key}` is {}, and {} is wanted", kind(value.get_ref()), T::WANTED);
            problems.add("config-type", &place, what, format!("write it like this: {example}"));
        }
        typed.map(|value| At { value, place })
    }

    /// As [`take`](Self::take), for a key that must be there.
    pub(super) fn require<T: Typed>(
        &mut self,
        key: &'static str,
        example: &str,
        problems: &mut Problems<'_>,
    ) -> Option<At<T>> {
        if !self.table.contains_key(key) {
            let what = format!("`{key}` is missing");
            problems.add("config-missing", &self.place, what, format!("add a line like this: {example}"));
        }
        self.take(key, example, problems)
    }

    /// The table under `key`, if it is there.
    pub(super) fn table(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Option<Section<'t>> {
        self.known.push(key);
        let (found, value) = self.table.get_key_value(key)?;
        self.sub(found.get_ref(), found.span(), value, problems)
    }

    /// The tables under `key`, each with its name; `form` is how such a table begins.
    pub(super) fn tables(
        &mut self,
        key: &'static str,
        form: &str,
        problems: &mut Problems<'_>,
    ) -> Vec<(At<String>, Section<'t>)> {
        self.known.push(key);
        let Some((found, value)) = self.table.get_key_value(key) else { return Vec::new() };
        let DeValue::Table(tables) = value.get_ref() else {
            let place = Place { span: found.span(), key: self.path(key) };
            let what = format!("`{key}` is {}, and one table for each name is wanted", kind(value.get_ref()));
            problems.add("config-type", &place, what, format!("begin each with {form}"));
            return Vec::new();
        };
        let outer = Section::new(tables, Place { span: found.span(), key: self.path(key) });
        let section = |(name, value): (&'t Spanned<_>, &'t Spanned<DeValue<'t>>)| {
            let name: &Spanned<std::borrow::Cow<'_, str>> = name;
            let place = Place { span: name.span(), key: outer.path(name.get_ref()) };
            let section = outer.sub(name.get_ref(), name.span(), value, problems)?;
            Some((At { value: name.get_ref().to_string(), place }, section))
        };
        tables.iter().filter_map(section).collect()
    }

    /// The table under `key` whose own keys are values, too: each of them with what it is given. `example` shows how it
    /// is written.
    pub(super) fn entries<T: Typed>(
        &mut self,
        key: &'static str,
        example: &str,
        problems: &mut Problems<'_>,
    ) -> Vec<(At<String>, At<T>)> {
        let Some(section) = self.table(key, problems) else { return Vec::new() };
        let entry = |(name, value): (&'t Spanned<_>, &'t Spanned<DeValue<'t>>)| {
            let name: &Spanned<std::borrow::Cow<'_, str>> = name;
            let path = section.path(name.get_ref());
            let place = Place { span: value.span(), key: path.clone() };
            let typed = T::of(value, &place);
            if typed.is_none() {
                let what = format!(
                    "`{}` is {}, and {} is wanted",
                    self::key(name.get_ref()),
                    kind(value.get_ref()),
                    T::WANTED
                );
                problems.add("config-type", &place, what, format!("write it like this: {example}"));
            }
            let name =
                At { value: name.get_ref().to_string(), place: Place { span: name.span(), key: path } };
            Some((name, At { value: typed?, place }))
        };
        section.table.iter().filter_map(entry).collect()
    }

    /// The keys taken so far that are there.
    pub(super) fn given(&self) -> Given {
        let given = |key: &&'static str| {
            let (found, _) = self.table.get_key_value(*key)?;
            Some(At { value: *key, place: Place { span: found.span(), key: self.path(key) } })
        };
        Given(self.known.iter().filter_map(given).collect())
    }

    /// Notes every key that was not taken. `homes` are tables with the keys that belong there.
    pub(super) fn finish(self, homes: &[(&str, &str)], problems: &mut Problems<'_>) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let place = Place { span: key.span(), key: self.path(name) };
            let near = nearest(name, &self.known);
            let home = homes.iter().find(|(_, keys)| keys.split(' ').any(|key| key == name));
            let mend = match (home, near) {
                (Some((home, _)), _) => format!("move it to {home}"),
                (None, Some(near)) => format!("did you mean `{near}`?"),
                (None, None) => format!("remove it; keys known here: {}", self.known.join(", ")),
            };
            problems.add("config-unknown-key", &place, format!("`{name}` is not a key of bg"), mend);
        }
    }

    fn sub(
        &self,
        key: &str,
        span: std::ops::Range<usize>,
        value: &'t Spanned<DeValue<'t>>,
        problems: &mut Problems<'_>,
    ) -> Option<Section<'t>> {
        let place = Place { span, key: self.path(key) };
        if let DeValue::Table(table) = value.get_ref() {
            return Some(Section::new(table, place));
        }
        let what = format!("`{key}` is {}, and a table is wanted", kind(value.get_ref()));
        problems.add("config-type", &place, what, format!("begin it with [{}]", place.key));
        None
    }

    /// The path of `key`, as TOML writes it.
    fn path(&self, key: &str) -> String {
        let key = self::key(key);
        if self.place.key.is_empty() { key } else { format!("{}.{key}", self.place.key) }
    }
}

/// A key as TOML writes it: in quotes unless it is bare.
pub(super) fn key(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !text.is_empty() && text.chars().all(bare) { text.to_owned() } else { format!("{text:?}") }
}

/// The known key that `name` was probably meant to be.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let lower = name.to_ascii_lowercase().replace('-', "_");
    let distance = |key: &&str| strsim::damerau_levenshtein(&lower, key);
    let key = known.iter().min_by_key(|key| distance(key))?;
    (distance(key) <= 1 + key.len() / 4).then_some(*key)
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
