//! Any octets through every reader of `wire`: no panic, no reading outside, and what is read can be written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steerd::wire::edns::{CLIENT_SUBNET_MAX_OCTETS, ClientSubnet, Edns, Understood};
use steerd::wire::message::Header;
use steerd::wire::name::{Name, skip, uncompressed_len};
use steerd::wire::record::Record;

fuzz_target!(|octets: &[u8]| {
    if let Some(header) = Header::read(octets) {
        assert_eq!(header.to_octets(), octets[..12]);
    }
    for at in 0..octets.len().min(64) {
        if let Ok((name, behind)) = Name::read(octets, at) {
            assert!(behind <= octets.len());
            assert_eq!(skip(octets, at), Ok(behind));
            let text = name.to_string();
            let again = Name::from_text(&text).expect("a printed name can be read");
            assert_eq!(again.as_wire(), name.as_wire(), "{text}");
        }
        if let Ok(len) = uncompressed_len(octets, at) {
            let name = Name::from_wire(&octets[at..at + len]).expect("what was measured is a name");
            assert_eq!(name.as_wire(), &octets[at..at + len]);
        }
        if let Ok(record) = Record::read(octets, at) {
            assert!(record.end > at && record.end <= octets.len());
            if let Ok(edns) = Edns::from_record(octets, &record) {
                let _ = edns.read_options(Understood { client_subnet: true, cookies: true });
            }
        }
    }
    if let Ok(subnet) = ClientSubnet::read(octets) {
        let mut out = [0; CLIENT_SUBNET_MAX_OCTETS];
        let len = subnet.write(0, &mut out).expect("the longest option fits");
        assert_eq!(&out[4..len], octets);
    }
});
