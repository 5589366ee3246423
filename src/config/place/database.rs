//! Databases of places by address, in the MaxMind DB format: read once, network by network, and never asked again.
//!
//! A database is what its records have: `city`, `subdivisions`, `country` (else `registered_country`), `continent`, `location` and
//! `autonomous_system_number`, under the names of GeoIP2. Only what somebody wants is decoded, and once for all networks that
//! share a record. IPv4 networks of a tree for IPv6 are IPv4 ones; where the tree leads there a second time (`::ffff:0:0/96`,
//! `2002::/16` and the like), it is passed over.

use std::collections::HashMap;

use ipnet::IpNet;
use maxminddb::{MaxMindDbError, PathElement, Reader, WithinOptions};

use super::selectors::{LEVELS, Level, Selectors};
use crate::config::model::{Located, LocatedRecord};
use crate::state::coordinates::Coordinates;
use crate::state::partition::{NONE, Partition};

/// Most networks of a database: the largest there are have a fifth of it. A file whose tree leads in circles has more.
const MAX_NETWORKS: usize = 50_000_000;
/// Subdivisions inside each other.
const MAX_SUBDIVISIONS: usize = 4;

/// Why a database cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseFault {
    /// What its reader says.
    #[error("{0}")]
    Format(String),
    /// A tree that does not end.
    #[error("it has more than {limit} networks")]
    TooManyNetworks {
        /// How many are read.
        limit: usize,
    },
    /// Networks that lie in each other.
    #[error("the network {network} does not follow the one before")]
    Order {
        /// The second one.
        network: String,
    },
}

impl From<MaxMindDbError> for DatabaseFault {
    fn from(error: MaxMindDbError) -> DatabaseFault {
        DatabaseFault::Format(error.to_string())
    }
}

/// What a record says: by [`LEVELS`] a region, and a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Record {
    regions: [Option<u16>; LEVELS.len()],
    coordinates: Option<Coordinates>,
}

/// A database as far as somebody wants to know it.
#[derive(Debug)]
pub(super) struct Layer {
    networks: Partition,
    records: Vec<Record>,
}

/// Reads a database.
pub(super) fn read(
    octets: Vec<u8>,
    selectors: &Selectors,
    wants_coordinates: bool,
) -> Result<Layer, DatabaseFault> {
    let reader = Reader::from_source(octets)?;
    let mut layer = Layer { networks: Partition::default(), records: Vec::new() };
    if selectors.is_empty() && !wants_coordinates {
        return Ok(layer);
    }
    let mut numbers: HashMap<Record, u32> = HashMap::new();
    let mut by_offset: HashMap<usize, u32> = HashMap::new();
    for (count, found) in reader.networks(WithinOptions::default())?.enumerate() {
        if count == MAX_NETWORKS {
            return Err(DatabaseFault::TooManyNetworks { limit: MAX_NETWORKS });
        }
        let found = found?;
        let Some(offset) = found.offset() else { continue };
        let number = match by_offset.get(&offset) {
            Some(number) => *number,
            None => {
                let record = decode(&found, selectors, wants_coordinates)?;
                let number = match record == Record::default() {
                    true => NONE,
                    false => *numbers.entry(record).or_insert_with(|| {
                        layer.records.push(record);
                        layer.records.len() as u32 - 1
                    }),
                };
                by_offset.insert(offset, number);
                number
            }
        };
        let network = found.network()?;
        let followed = IpNet::new(network.ip(), network.prefix())
            .is_ok_and(|net| layer.networks.append(net.trunc(), number));
        if !followed {
            return Err(DatabaseFault::Order { network: network.to_string() });
        }
    }
    Ok(layer)
}

type Lookup<'r> = maxminddb::LookupResult<'r, Vec<u8>>;

fn text<'r>(found: &Lookup<'r>, path: &[PathElement<'_>]) -> Result<Option<&'r str>, MaxMindDbError> {
    found.decode_path(path)
}

fn decode(
    found: &Lookup<'_>,
    selectors: &Selectors,
    wants_coordinates: bool,
) -> Result<Record, MaxMindDbError> {
    use PathElement::{Index, Key};
    let mut record = Record::default();
    let mut country = None;
    if !selectors.countries.is_empty() || !selectors.subdivisions.is_empty() {
        country = text(found, &[Key("country"), Key("iso_code")])?;
        if country.is_none() {
            country = text(found, &[Key("registered_country"), Key("iso_code")])?;
        }
    }
    for (level, region) in LEVELS.into_iter().zip(&mut record.regions) {
        let place = match level {
            Level::City => {
                let mut place = None;
                if !selectors.city_ids.is_empty() {
                    let id: Option<u32> = found.decode_path(&[Key("city"), Key("geoname_id")])?;
                    place = id.and_then(|id| selectors.city_ids.get(&id));
                }
                if place.is_none() && !selectors.city_names.is_empty() {
                    let name = text(found, &[Key("city"), Key("names"), Key("en")])?;
                    place = name.and_then(|name| selectors.city_names.get(name));
                }
                place
            }
            Level::Subdivision => {
                let mut place = None;
                for index in (0..MAX_SUBDIVISIONS).filter(|_| !selectors.subdivisions.is_empty()) {
                    let code = text(found, &[Key("subdivisions"), Index(index), Key("iso_code")])?;
                    let Some((code, country)) = code.zip(country) else { break };
                    // Those behind lie in those before.
                    place = selectors.subdivisions.get(&format!("{country}-{code}")).or(place);
                }
                place
            }
            Level::Asn if !selectors.asns.is_empty() => {
                let number: Option<u32> = found.decode_path(&[Key("autonomous_system_number")])?;
                number.and_then(|number| selectors.asns.get(&number))
            }
            Level::Country => country.and_then(|code| selectors.countries.get(code)),
            Level::Continent if !selectors.continents.is_empty() => {
                let code = text(found, &[Key("continent"), Key("code")])?;
                code.and_then(|code| selectors.continents.get(code))
            }
            Level::Asn | Level::Continent => None,
        };
        *region = place.map(|(region, _)| *region);
    }
    if wants_coordinates {
        let degrees = |key| found.decode_path::<f64>(&[Key("location"), Key(key)]);
        let place = degrees("latitude")?.zip(degrees("longitude")?);
        record.coordinates = place.and_then(|(latitude, longitude)| Coordinates::new(latitude, longitude));
    }
    Ok(record)
}

/// Lays databases over each other: at each level the first one that knows counts, and the most specific level of all.
pub(super) fn join(layers: Vec<Layer>) -> Located {
    let mut records: Vec<LocatedRecord> = Vec::new();
    let mut numbers: HashMap<LocatedRecord, u32> = HashMap::new();
    let mut number_of = |found: &mut dyn Iterator<Item = &Record>| {
        let mut whole = Record::default();
        for record in found {
            for (region, also) in whole.regions.iter_mut().zip(record.regions) {
                *region = region.or(also);
            }
            whole.coordinates = whole.coordinates.or(record.coordinates);
        }
        let region = whole.regions.into_iter().flatten().next();
        let record = LocatedRecord { region, coordinates: whole.coordinates };
        if record == LocatedRecord::default() {
            return NONE;
        }
        *numbers.entry(record).or_insert_with(|| {
            records.push(record);
            records.len() as u32 - 1
        })
    };
    let partition = match <[Layer; 1]>::try_from(layers) {
        Ok([Layer { networks, records }]) => {
            networks.relabelled(|value| number_of(&mut records.get(value as usize).into_iter()))
        }
        Err(layers) => {
            let networks: Vec<&Partition> = layers.iter().map(|layer| &layer.networks).collect();
            Partition::merged(&networks, |values| {
                let found = layers.iter().zip(values);
                number_of(&mut found.filter_map(|(layer, value)| layer.records.get(*value as usize)))
            })
        }
    };
    Located { partition, records }
}
