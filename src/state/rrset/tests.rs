//! Blocks of RRsets against a naive reading of the message they were copied into: every owner, type, TTL and name must be
//! what was put in, wherever in the message the copy stands.

use proptest::prelude::*;

use super::*;
use crate::state::rrset_builder::{MAX_RRSET_OCTETS, NameAt, RrsetBuilder, TooLarge, push_block};
use crate::wire::name::Name;
use crate::wire::record::Record;

/// Data of a record: octets, names, octets.
#[derive(Clone, Debug)]
struct Data {
    ttl_secs: u32,
    before: Vec<u8>,
    /// In wire form, and whether a pointer may stand in them.
    names: Vec<(Vec<u8>, bool)>,
    behind: Vec<u8>,
}

impl Data {
    fn octets(&self) -> Vec<u8> {
        let names: Vec<u8> = self.names.iter().flat_map(|(name, _)| name.clone()).collect();
        [&self.before[..], &names, &self.behind].concat()
    }

    /// Where the names stand that may be compressed.
    fn names_at(&self) -> Vec<NameAt> {
        let mut at = self.before.len();
        let mut found = Vec::new();
        for (name, compressible) in &self.names {
            if *compressible {
                found.push(NameAt { at, len: name.len() });
            }
            at += name.len();
        }
        found
    }
}

/// An RRset as it is put in.
#[derive(Clone, Debug)]
struct Set {
    records: Vec<Data>,
    signatures: Vec<Vec<u8>>,
    target: Vec<u8>,
    extras: Vec<Along>,
}

/// Addresses that go along.
#[derive(Clone, Debug)]
struct Along {
    /// The record to whose first name they belong.
    record: usize,
    needed: bool,
    addresses: Vec<[u8; 4]>,
    signatures: Vec<Vec<u8>>,
}

/// A reply so far, and where the query name's apex and a second owner stand in it.
struct Message {
    octets: Vec<u8>,
    apex_at: u16,
    other_at: u16,
    other_apex_at: u16,
}

fn labels() -> impl Strategy<Value = Vec<u8>> {
    let label = prop::collection::vec(prop::sample::select(&b"abAB-"[..]), 1..4);
    let label = label.prop_map(|label| [&[label.len() as u8][..], &label].concat());
    prop::collection::vec(label, 0..3).prop_map(|labels| labels.concat())
}

/// A name at or below the apex in any case, or elsewhere.
fn name(apex: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    (labels(), 0..4, labels()).prop_map(move |(below, kind, other)| match kind {
        0 | 1 => [&below[..], &apex].concat(),
        2 => [&below[..], &apex.to_ascii_uppercase()].concat(),
        _ => [&below[..], &other, &[0]].concat(),
    })
}

fn data(apex: &[u8]) -> impl Strategy<Value = Data> + use<> {
    let octets = || prop::collection::vec(any::<u8>(), 0..5);
    let names = prop::collection::vec((name(apex.to_vec()), any::<bool>()), 0..3);
    (any::<u32>(), octets(), names, octets()).prop_map(|(ttl_secs, before, names, behind)| Data {
        ttl_secs,
        before,
        names,
        behind,
    })
}

fn set(apex: &[u8]) -> impl Strategy<Value = Set> + use<> {
    let signature = || prop::collection::vec(any::<u8>(), 0..30);
    let extra = (
        any::<prop::sample::Index>(),
        any::<bool>(),
        prop::collection::vec(any::<[u8; 4]>(), 1..4),
        prop::collection::vec(signature(), 0..3),
    );
    (
        prop::collection::vec(data(apex), 1..5),
        prop::collection::vec(signature(), 0..3),
        prop_oneof![Just(Vec::new()), name(apex.to_vec())],
        prop::collection::vec(extra, 0..3),
    )
        .prop_map(|(records, signatures, target, extras)| {
            let host = |at: prop::sample::Index| {
                let at = at.index(records.len());
                (!records[at].names.is_empty()).then_some(at)
            };
            let extras = extras
                .into_iter()
                .filter_map(|(at, needed, addresses, signatures)| {
                    Some(Along { record: host(at)?, needed, addresses, signatures })
                })
                .collect();
            Set { records, signatures, target, extras }
        })
}

/// An apex, labels of an owner and of another one, and sets by type.
fn zone() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<Set>)> {
    (labels(), any::<bool>()).prop_flat_map(|(labels_of_apex, is_root)| {
        let apex = if is_root { vec![0] } else { [labels_of_apex.to_ascii_lowercase(), vec![0]].concat() };
        (Just(apex.clone()), labels(), labels(), prop::collection::vec(set(&apex), 0..4))
    })
}

fn builder(rtype: u16, set: &Set, apex: &[u8]) -> RrsetBuilder {
    let mut rrset = RrsetBuilder::new(Rtype(rtype));
    let mut begins = Vec::new();
    for record in &set.records {
        begins.push(rrset.len());
        rrset.push(record.ttl_secs, &record.octets(), &record.names_at(), apex).unwrap();
    }
    for signature in &set.signatures {
        rrset.sign(7, signature).unwrap();
    }
    rrset.set_target(&set.target);
    for Along { record, needed, addresses, signatures } in &set.extras {
        let mut of = RrsetBuilder::new(Rtype::A);
        addresses.iter().for_each(|address| of.push(5, address, &[], &[]).unwrap());
        signatures.iter().for_each(|signature| of.sign(6, signature).unwrap());
        // The first name of a record stands where it stood: nothing before it is compressed.
        let data = &set.records[*record];
        let at = RrsetBuilder::name_place(begins[*record], data.before.len());
        rrset.add_extra(at, *needed, &data.names[0].0, &of);
    }
    rrset
}

/// A header, a question for the owner, and behind it another owner's name.
fn message(apex: &[u8], owner: &[u8], other: &[u8]) -> Message {
    let mut octets = vec![0; usize::from(QNAME_AT)];
    octets.extend([owner, apex, &[0, 1, 0, 1]].concat());
    let other_at = octets.len() as u16;
    octets.extend([other, apex].concat());
    Message {
        octets,
        apex_at: QNAME_AT + owner.len() as u16,
        other_at,
        other_apex_at: other_at + other.len() as u16,
    }
}

fn text(wire: &[u8]) -> String {
    Name::from_wire(wire).unwrap().to_lowercase().to_string()
}

/// What a record of the message says, its names in lower case, and where it ends. `names` stand behind `before` octets.
fn read(message: &[u8], at: usize, before: usize, names: usize) -> (String, usize) {
    let owner = Name::read(message, at).unwrap().0.to_lowercase();
    let record = Record::read(message, at).unwrap();
    let data_at = record.end - record.rdata.len();
    let mut data = format!("{:?}", &message[data_at..data_at + before]);
    let mut end = data_at + before;
    for _ in 0..names {
        let (name, behind) = Name::read(message, end).unwrap();
        data += &format!(" {}", name.to_lowercase());
        end = behind;
    }
    data += &format!(" {:?}", &message[end..record.end]);
    (format!("{owner} {} TYPE{} CLASS{} {data}", record.ttl, record.rtype.0, record.class.0), record.end)
}

/// The same of what was put in.
fn expected(owner: &[u8], rtype: u16, data: &Data) -> String {
    let names: String = data.names.iter().map(|(name, _)| format!(" {}", text(name))).collect();
    format!("{} {} TYPE{rtype} CLASS1 {:?}{names} {:?}", text(owner), data.ttl_secs, data.before, data.behind)
}

fn expected_octets(owner: &[u8], ttl_secs: u32, rtype: u16, octets: &[u8]) -> String {
    expected(owner, rtype, &Data { ttl_secs, before: octets.to_vec(), names: Vec::new(), behind: Vec::new() })
}

/// Checks a copy that begins `at` octets into the message: all records of the set, with signatures or without.
fn check(message: &[u8], at: usize, written: Written, owner: &[u8], rtype: u16, set: &Set, signed: bool) {
    let mut end = at;
    for data in &set.records {
        let (found, behind) = read(message, end, data.before.len(), data.names.len());
        assert_eq!(found, expected(owner, rtype, data));
        end = behind;
    }
    let signatures = if signed { &set.signatures[..] } else { &[] };
    for signature in signatures {
        let (found, behind) = read(message, end, signature.len(), 0);
        assert_eq!(found, expected_octets(owner, 7, 46, signature));
        end = behind;
    }
    assert_eq!((end, message.len()), (at + written.len, at + written.len));
    assert_eq!(usize::from(written.count), set.records.len() + signatures.len());
}

proptest! {
    #[test]
    fn copies_say_what_was_put_in((apex, owner, other, sets) in zone(), filler in 0usize..40) {
        let builders: Vec<RrsetBuilder> = sets.iter().zip(100..).map(|(set, rtype)| builder(rtype, set, &apex)).collect();
        let mut octets = Vec::new();
        push_block(&builders, &mut octets);
        // What is behind a block does not matter.
        octets.extend(vec![0xA5; filler]);
        let block = Block::at(&octets);
        prop_assert_eq!(block.is_empty(), sets.is_empty());
        prop_assert!(block.get(Rtype(99)).is_none() && block.get(Rtype(100 + sets.len() as u16)).is_none());
        for (set, rtype) in sets.iter().zip(100..) {
            let rrset = block.get(Rtype(rtype)).unwrap();
            prop_assert_eq!((rrset.rtype(), rrset.target()), (Rtype(rtype), &set.target[..]));
            prop_assert_eq!(rrset.ttl(), set.records[0].ttl_secs.to_be_bytes());
            prop_assert_eq!(rrset.has_extras(), !set.extras.is_empty());
            for signed in [false, true] {
                let start = message(&apex, &owner, &other);
                let own = Place { owner_at: QNAME_AT, apex_at: start.apex_at };
                let others = Place { owner_at: start.other_at, apex_at: start.other_apex_at };
                for (place, labels) in [(own, &owner), (others, &other)] {
                    let whole = [&labels[..], &apex].concat();
                    let mut message = start.octets.clone();
                    let at = message.len();
                    let mut room = vec![0; 4000];
                    let written = rrset.write(place, signed, &mut room).unwrap();
                    message.extend_from_slice(&room[..written.len]);
                    check(&message, at, written, &whole, rtype, set, signed);
                    check_extras(&message, at, rrset, set, signed);
                    // An octet less is too few, and as many are enough.
                    prop_assert_eq!(rrset.write(place, signed, &mut room[..written.len - 1]), None);
                    prop_assert_eq!(rrset.write(place, signed, &mut room[..written.len]), Some(written));
                }
                // Spelled out, for an owner that stands nowhere yet.
                let mut message = start.octets.clone();
                let at = message.len();
                let mut room = vec![0; 4000];
                let written = rrset.write_spelled(&other, start.apex_at, at, signed, &mut room).unwrap();
                message.extend_from_slice(&room[..written.len]);
                check(&message, at, written, &[&other[..], &apex].concat(), rtype, set, signed);
                prop_assert_eq!(rrset.write_spelled(&other, start.apex_at, at, signed, &mut room[..written.len - 1]), None);
                prop_assert_eq!(rrset.write_spelled(&other, start.apex_at, MAX_POINTER + 1, signed, &mut room), None);
            }
        }
    }
}

/// Checks every extra of a copy that begins at `at`, each written behind it.
fn check_extras(message: &[u8], at: usize, rrset: Rrset<'_>, set: &Set, signed: bool) {
    let found: Vec<Extra<'_>> = rrset.extras().collect();
    assert_eq!(found.len(), set.extras.len());
    for (extra, along) in found.iter().zip(&set.extras) {
        let Along { record, needed, addresses, signatures } = along;
        let host = &set.records[*record].names[0].0;
        assert_eq!(extra.is_needed(), *needed);
        assert!(extra.may_be(Rtype::A, host_mark(&host.to_ascii_lowercase())));
        assert!(!extra.may_be(Rtype::AAAA, host_mark(host)));
        let owner_at = at + extra.name_at();
        let mut message = message.to_vec();
        let mut end = message.len();
        let mut room = vec![0; 1000];
        let written = extra.write(owner_at as u16, signed, &mut room).unwrap();
        message.extend_from_slice(&room[..written.len]);
        for address in addresses {
            let (found, behind) = read(&message, end, 4, 0);
            assert_eq!(found, expected_octets(host, 5, 1, address));
            end = behind;
        }
        let signatures = if signed { &signatures[..] } else { &[] };
        for signature in signatures {
            let (found, behind) = read(&message, end, signature.len(), 0);
            assert_eq!(found, expected_octets(host, 6, 46, signature));
            end = behind;
        }
        assert_eq!(end, message.len());
        assert_eq!(usize::from(written.count), addresses.len() + signatures.len());
        assert!(extra.write(owner_at as u16, signed, &mut room[..written.len - 1]).is_none());
    }
}

#[test]
fn names_at_the_apex_are_as_short_as_can_be_and_the_root_is_no_apex() {
    let mut rrset = RrsetBuilder::new(Rtype::NS);
    let name = b"\x03Ns1\x07EXAMPLE\x03com\x00";
    rrset.push(5, name, &[NameAt { at: 0, len: name.len() }], b"\x07example\x03com\x00").unwrap();
    assert_eq!(rrset.len(), 12 + 4 + 2, "labels below the apex, and a pointer");
    let mut rrset = RrsetBuilder::new(Rtype::NS);
    rrset.push(5, name, &[NameAt { at: 0, len: name.len() }], b"\x00").unwrap();
    assert_eq!(rrset.len(), 12 + name.len());
    // The same octets at the end of a label are no apex.
    let mut rrset = RrsetBuilder::new(Rtype::NS);
    let inside = b"\x0cx\x07example\x03com\x00";
    rrset.push(5, inside, &[NameAt { at: 0, len: inside.len() }], b"\x07example\x03com\x00").unwrap();
    assert_eq!(rrset.len(), 12 + inside.len());
}

#[test]
fn names_beyond_what_pointers_can_be_counted_are_written_in_full() {
    let apex = b"\x07example\x03com\x00";
    let mut rrset = RrsetBuilder::new(Rtype::NS);
    let count = 300u16;
    for number in 0..count {
        let name = [&[4][..], format!("{number:04}").as_bytes(), apex].concat();
        rrset.push(5, &name, &[NameAt { at: 0, len: name.len() }], apex).unwrap();
    }
    assert_eq!(rrset.len(), 255 * (12 + 5 + 2) + 45 * (12 + 5 + apex.len()));
    let mut octets = Vec::new();
    push_block(&[rrset], &mut octets);
    let Message { octets: mut message, apex_at, .. } = message(apex, b"\x03www", b"");
    let mut at = message.len();
    let mut room = vec![0; 65_535];
    let place = Place { owner_at: QNAME_AT, apex_at };
    let written = Block::at(&octets).get(Rtype::NS).unwrap().write(place, true, &mut room).unwrap();
    message.extend_from_slice(&room[..written.len]);
    assert_eq!(written.count, count);
    for number in 0..count {
        let record = Record::read(&message, at).unwrap();
        let name = Name::read(&message, record.end - record.rdata.len()).unwrap().0;
        assert_eq!(name.to_string(), format!("{number:04}.example.com."));
        at = record.end;
    }
}

#[test]
fn what_no_message_holds_is_refused_and_leaves_the_rest_as_it_was() {
    let mut rrset = RrsetBuilder::new(Rtype::TXT);
    let data = vec![7; MAX_RRSET_OCTETS - 12 - 12 - 1];
    rrset.push(5, &data, &[], &[]).unwrap();
    assert_eq!(rrset.push(5, &[1, 2], &[], &[]), Err(TooLarge));
    rrset.push(5, &[1], &[], &[]).unwrap();
    assert_eq!(rrset.len(), MAX_RRSET_OCTETS);
    assert_eq!(rrset.sign(5, &vec![7; MAX_RRSET_OCTETS - 11]), Err(TooLarge));
    rrset.sign(5, &vec![7; MAX_RRSET_OCTETS - 12]).unwrap();
    let mut octets = Vec::new();
    push_block(&[rrset], &mut octets);
    let found = Block::at(&octets).get(Rtype::TXT).unwrap();
    assert_eq!((found.record_count(), found.signature_count()), (2, 1));
    // Both together fit into nothing; without signatures they do.
    let place = Place { owner_at: QNAME_AT, apex_at: QNAME_AT };
    let mut room = vec![0; 65_535];
    assert_eq!(found.write(place, true, &mut room), None);
    assert_eq!(found.write(place, false, &mut room), Some(Written { len: MAX_RRSET_OCTETS, count: 2 }));
}
