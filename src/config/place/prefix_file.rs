//! Files of prefixes: a line each, `PREFIX` of the region that names the file, or `PREFIX REGION`.
//!
//! Of a file of all regions each line names its region, which comes to be where `topology` does not have it. Checks lines one by
//! one; prefixes that are given twice are the whole topology's matter.

use std::collections::HashMap;

use super::super::cause::{Cause, Found};
use super::super::report::{FileId, Findings};
use super::super::scalars::text_chars;
use super::super::topology::{MAX_REGION_CHARS, prefix_of};
use super::cause::PlaceCause;
use super::lines::{Word, lines};
use super::{MAX_REGIONS, RESERVED_REGION, ReadTopology, add};

/// What a line is, in a region's own file and in one of all regions.
const OWN_LINE: &str = "PREFIX";
const ANY_LINE: &str = "PREFIX REGION";

/// Adds the prefixes of a file to the topology; `owner` is the region that names it.
pub(super) fn read(
    read: &mut ReadTopology,
    owner: Option<u16>,
    text: &str,
    file: FileId,
    findings: &mut Findings,
) {
    let mut regions: HashMap<String, u16> = read.topology.regions.iter().cloned().zip(0..).collect();
    let accepted = if owner.is_some() { OWN_LINE } else { ANY_LINE };
    let mut too_many = false;
    // Lines of one region usually follow each other.
    let mut last: Option<(&str, u16)> = None;
    for line in lines(text) {
        let mut words = line.words();
        let (Some(prefix), region, extra) = (words.next(), words.next(), words.next()) else { continue };
        let net = match prefix_of(prefix.text) {
            Ok(net) => net,
            Err(cause) => {
                findings.error(file, prefix.span, cause);
                continue;
            }
        };
        if let Some(extra) = extra {
            let cause = PlaceCause::ExtraField { text: Found::new(extra.text), accepted };
            findings.error(file, extra.span, cause.into());
            continue;
        }
        let number = match (owner, region) {
            (Some(owner), None) => owner,
            (Some(owner), Some(word)) if read.topology.regions[usize::from(owner)] == word.text => owner,
            (Some(owner), Some(word)) => {
                let owner = Found::new(&read.topology.regions[usize::from(owner)]);
                let cause = PlaceCause::RegionOfOther { region: Found::new(word.text), owner };
                findings.error(file, word.span, cause.into());
                continue;
            }
            (None, None) => {
                let cause = PlaceCause::MissingField { field: "REGION", accepted };
                findings.error(file, line.end(), cause.into());
                continue;
            }
            (None, Some(word)) => {
                let known = last
                    .filter(|(name, _)| *name == word.text)
                    .map(|(_, number)| number)
                    .or_else(|| find_or_add(read, &mut regions, word, &mut too_many, file, findings));
                let Some(number) = known else { continue };
                last = Some((word.text, number));
                number
            }
        };
        add(read, net, number, (file, prefix.span));
    }
}

/// The number of a region, a new one where it is not known yet.
fn find_or_add(
    read: &mut ReadTopology,
    regions: &mut HashMap<String, u16>,
    word: Word<'_>,
    too_many: &mut bool,
    file: FileId,
    findings: &mut Findings,
) -> Option<u16> {
    if let Some(number) = regions.get(word.text) {
        return Some(*number);
    }
    let cause = match text_chars(word.text, MAX_REGION_CHARS) {
        Err(cause) => Some(cause),
        Ok(name) if name == RESERVED_REGION => Some(Cause::ReservedRegion { name: Found::new(&name) }),
        Ok(_) if regions.len() >= MAX_REGIONS => {
            let first = !std::mem::replace(too_many, true);
            first.then_some(Cause::TooMany { what: "regions", limit: MAX_REGIONS })
        }
        Ok(name) => {
            let number = read.topology.regions.len() as u16;
            read.topology.regions.push(name.clone());
            regions.insert(name, number);
            return Some(number);
        }
    };
    if let Some(cause) = cause {
        findings.error(file, word.span, cause);
    }
    None
}
