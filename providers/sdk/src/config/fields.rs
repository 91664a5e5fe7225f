//! A configuration's fields, one after the other, and which of them is meant by a name.

use std::collections::{BTreeMap, BTreeSet, btree_map};

use serde::de::{DeserializeSeed, MapAccess, Visitor};

use super::value::{Text, ValueError};

/// The longest name that is compared, in bytes: comparing takes memory by the product of the lengths.
const MAX_COMPARED: usize = 128;

/// Walks through a configuration and remembers where it is, for the error.
pub(super) struct Fields<'a> {
    config: &'a BTreeMap<String, String>,
    entries: btree_map::Iter<'a, String, String>,
    /// What the type knows.
    pub(super) known: &'static [&'static str],
    value: Option<(&'a str, &'a str)>,
    /// Whose value doesn't fit.
    pub(super) field: Option<String>,
    /// What the type has no use for.
    pub(super) unknown: BTreeSet<String>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(config: &'a BTreeMap<String, String>) -> Self {
        Self {
            config,
            entries: config.iter(),
            known: &[],
            value: None,
            field: None,
            unknown: BTreeSet::new(),
        }
    }

    /// The name that the type has for a field; 1.x's providers don't look at capitals.
    fn known_as<'b>(&self, field: &'b str) -> &'b str {
        if self.known.contains(&field) {
            return field;
        }
        let mut known = self.known.iter();
        let same = known.find(|known| known.eq_ignore_ascii_case(field));
        same.filter(|known| !self.config.contains_key(**known))
            .map_or(field, |known| known)
    }
}

impl<'de> serde::Deserializer<'de> for &mut Fields<'_> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_map(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.known = fields;
        visitor.visit_map(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for &mut Fields<'_> {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ValueError> {
        let Some((key, value)) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some((key, value));
        seed.deserialize(Text::new(self.known_as(key))).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, ValueError> {
        let Some((key, value)) = self.value.take() else {
            return Err(ValueError::Problem("a value without its field".to_owned()));
        };
        let text = Text::new(value);
        let read = seed.deserialize(&text);
        if text.ignored() {
            self.unknown.insert(key.to_owned());
        }
        // Stays unset once all is read, so that an error of the whole isn't blamed on the last field.
        if read.is_err() {
            self.field = Some(key.to_owned());
        }
        read
    }
}

/// The known field that a name is likely meant to be: at most a third of its letters are wrong, and at most two.
pub(super) fn nearest(name: &str, known: &'static [&'static str]) -> Option<&'static str> {
    if name.len() > MAX_COMPARED {
        return None;
    }
    let name = name.to_lowercase();
    let distances = known.iter().map(|known| {
        let distance = strsim::damerau_levenshtein(&name, &known.to_lowercase());
        (distance, *known)
    });
    distances
        .filter(|(distance, known)| *distance <= (known.len() / 3).clamp(1, 2))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}
