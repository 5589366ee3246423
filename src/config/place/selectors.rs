//! By what databases know, clients are of a region: countries, continents, subdivisions, cities, autonomous systems.
//!
//! Also coordinates. Reads and checks what stands in the configuration; databases are `database`'s.

use std::collections::HashMap;
use std::hash::Hash;

use super::super::cause::{Cause, Found};
use super::super::decode::{Decoder, Field, Placed, Read};
use super::super::events::Scalar;
use super::super::report::{FileId, Findings, Span};
use super::super::scalars::text_chars;
use super::cause::PlaceCause;
use crate::state::coordinates::Coordinates;

/// Longest name of a city.
const MAX_CITY_CHARS: usize = 256;
const CONTINENTS: [&str; 7] = ["AF", "AN", "AS", "EU", "NA", "OC", "SA"];

/// What clients are told by, the most specific first: what stands before counts before what stands behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::config) enum Level {
    City,
    Subdivision,
    Asn,
    Country,
    Continent,
}

/// All of them in order.
pub(super) const LEVELS: [Level; 5] =
    [Level::City, Level::Subdivision, Level::Asn, Level::Country, Level::Continent];

impl Level {
    /// The level of a key.
    pub(in crate::config) fn of_key(key: &str) -> Option<Level> {
        LEVELS.into_iter().find(|level| level.key() == key)
    }

    fn key(self) -> &'static str {
        match self {
            Level::City => "city",
            Level::Subdivision => "subdivision",
            Level::Asn => "asn",
            Level::Country => "country",
            Level::Continent => "continent",
        }
    }
}

/// Regions by what databases know; each with where it stands.
#[derive(Debug, Default)]
pub(in crate::config) struct Selectors {
    pub(super) city_ids: HashMap<u32, (u16, Span)>,
    pub(super) city_names: HashMap<String, (u16, Span)>,
    pub(super) subdivisions: HashMap<String, (u16, Span)>,
    pub(super) asns: HashMap<u32, (u16, Span)>,
    pub(super) countries: HashMap<String, (u16, Span)>,
    pub(super) continents: HashMap<String, (u16, Span)>,
}

impl Selectors {
    /// True when no region is told by any.
    pub(super) fn is_empty(&self) -> bool {
        LEVELS.into_iter().all(|level| self.first_place(level).is_none())
    }

    /// Where the first of a level stands.
    fn first_place(&self, level: Level) -> Option<Span> {
        fn first<K>(of: &HashMap<K, (u16, Span)>) -> Option<Span> {
            of.values().map(|(_, span)| *span).min()
        }
        match level {
            Level::City => first(&self.city_ids).into_iter().chain(first(&self.city_names)).min(),
            Level::Subdivision => first(&self.subdivisions),
            Level::Asn => first(&self.asns),
            Level::Country => first(&self.countries),
            Level::Continent => first(&self.continents),
        }
    }

    /// Reports the first of each level where there is no database at all.
    pub(super) fn report_unusable(&self, no_databases: bool, file: FileId, findings: &mut Findings) {
        for level in LEVELS.into_iter().filter(|_| no_databases) {
            if let Some(span) = self.first_place(level) {
                findings.error(file, span, PlaceCause::NoDatabase { key: level.key() }.into());
            }
        }
    }

    /// Reads what follows a key of a region: one, or a list.
    pub(in crate::config) fn read<'t>(
        &mut self,
        d: &mut Decoder<'t, '_>,
        level: Level,
        field: Field<'t>,
        region: u16,
        regions: &[String],
    ) -> Read<()> {
        d.list(field, level.key(), |d, item| {
            match level {
                Level::City => {
                    let Some(city) = d.value(item, city)? else { return Ok(()) };
                    let span = city.span;
                    match city.value {
                        City::Id(id) => {
                            give(d, &mut self.city_ids, "city", Placed { value: id, span }, region, regions);
                        }
                        City::Name(name) => {
                            let name = Placed { value: name, span };
                            give(d, &mut self.city_names, "city", name, region, regions);
                        }
                    }
                }
                Level::Asn => {
                    if let Some(number) = d.value(item, asn)? {
                        give(d, &mut self.asns, "autonomous system", number, region, regions);
                    }
                }
                Level::Subdivision => {
                    if let Some(code) = d.value(item, subdivision)? {
                        give(d, &mut self.subdivisions, "subdivision", code, region, regions);
                    }
                }
                Level::Country => {
                    if let Some(code) = d.value(item, country)? {
                        give(d, &mut self.countries, "country", code, region, regions);
                    }
                }
                Level::Continent => {
                    if let Some(code) = d.value(item, continent)? {
                        give(d, &mut self.continents, "continent", code, region, regions);
                    }
                }
            }
            Ok(())
        })
        .map(|_| ())
    }
}

/// Gives a selector to a region, unless it has one.
fn give<K: Hash + Eq + ToString>(
    d: &mut Decoder<'_, '_>,
    map: &mut HashMap<K, (u16, Span)>,
    what: &'static str,
    key: Placed<K>,
    region: u16,
    regions: &[String],
) {
    match map.get(&key.value) {
        Some((first, place)) => {
            let item = Found::new(&key.value.to_string());
            let region = Found::new(&regions[usize::from(*first)]);
            let cause = PlaceCause::SelectorTwice { what, item, region, first_line: place.line };
            d.error(key.span, cause.into());
        }
        None => {
            map.insert(key.value, (region, key.span));
        }
    }
}

enum City {
    Id(u32),
    Name(String),
}

/// A number of GeoNames, or a name in English.
fn city(scalar: &Scalar<'_>) -> Result<City, Cause> {
    match scalar.text.parse() {
        Ok(id) if scalar.plain => Ok(City::Id(id)),
        _ => text_chars(&scalar.text, MAX_CITY_CHARS).map(City::Name),
    }
}

fn asn(scalar: &Scalar<'_>) -> Result<u32, Cause> {
    let text = &*scalar.text;
    let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
    let accepted = "1 to 4294967295, as `64500` or `AS64500`";
    let is_number = !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
    let number = digits.parse().ok().filter(|number| is_number && *number > 0);
    number.ok_or_else(|| not_selector(text, "number of an autonomous system", accepted))
}

fn country(scalar: &Scalar<'_>) -> Result<String, Cause> {
    let text = &*scalar.text;
    let is_code = text.len() == 2 && text.bytes().all(|octet| octet.is_ascii_alphabetic());
    let accepted = "two letters of ISO 3166-1, as `DE`";
    is_code
        .then(|| text.to_ascii_uppercase())
        .ok_or_else(|| not_selector(text, "code of a country", accepted))
}

fn continent(scalar: &Scalar<'_>) -> Result<String, Cause> {
    let code = scalar.text.to_ascii_uppercase();
    let accepted = "`AF`, `AN`, `AS`, `EU`, `NA`, `OC` and `SA`";
    match CONTINENTS.contains(&&*code) {
        true => Ok(code),
        false => Err(not_selector(&scalar.text, "code of a continent", accepted)),
    }
}

fn subdivision(scalar: &Scalar<'_>) -> Result<String, Cause> {
    let text = &*scalar.text;
    let is_code = text.split_once('-').is_some_and(|(country, part)| {
        country.len() == 2
            && country.bytes().all(|octet| octet.is_ascii_alphabetic())
            && (1..=3).contains(&part.len())
            && part.bytes().all(|octet| octet.is_ascii_alphanumeric())
    });
    let accepted = "codes of ISO 3166-2, as `US-CA`";
    is_code
        .then(|| text.to_ascii_uppercase())
        .ok_or_else(|| not_selector(text, "code of a subdivision", accepted))
}

fn not_selector(text: &str, what: &'static str, accepted: &'static str) -> Cause {
    PlaceCause::NotSelector { text: Found::new(text), what, accepted }.into()
}

/// Reads `coordinates`: degrees north and east.
pub(in crate::config) fn read_coordinates<'t>(
    d: &mut Decoder<'t, '_>,
    field: Field<'t>,
) -> Read<Option<Coordinates>> {
    let at = field.at;
    let mut degrees = Vec::new();
    let mut count = 0;
    let read = d.list(field, "coordinates", |d, item| {
        let (what, limit) = if count == 0 { ("latitude", 90) } else { ("longitude", 180) };
        count += 1;
        let number = d.value(item, |scalar| {
            let number: Option<f64> = scalar.text.parse().ok();
            number
                .filter(|number| number.abs() <= f64::from(limit))
                .ok_or_else(|| PlaceCause::NotDegrees { text: Found::new(&scalar.text), what, limit }.into())
        })?;
        degrees.extend(number.map(|number| number.value));
        Ok(())
    })?;
    if read.is_some_and(|count| count != 2 && count > 0) {
        d.error(at, PlaceCause::NotTwo { count }.into());
    }
    Ok(match degrees[..] {
        [latitude, longitude] => Coordinates::new(latitude, longitude),
        _ => None,
    })
}
