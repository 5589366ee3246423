//! A zone with every type and every liberty of the format, read here and by BIND's named-compilezone (package bind9-utils):
//! both see the same records.

use std::path::Path;
use std::process::Command;

use super::forms::FORMS;
use super::*;

const ZONE: &str = r#"; no TTL yet
@ IN SOA NS1 Host\.Master ( 2024010101 ; serial
	2h 15M ; retry
   1w2d
 1h30m ) ; minimum
  NS ns1
  IN NS ns2.Example.COM.
$ORIGIN Sub
A 1h A 192.0.2.1
   AAAA 2001:db8::1
  1m IN TXT "semi;colon" "par(en" unq\"ted \065\066 ( "x	y"
 ; comment ( "
 y\ z ) ""
@ 7 IN MX 0 .
$ORIGIN example.com.
\@ A 192.0.2.2
sp\032ace\.dot A 192.0.2.3
*.wild IN 5 TXT x
$TTL 2h
IN IN A 192.0.2.4
60 60 IN A 192.0.2.5
$INCLUDE "inc one" deep
 A 192.0.2.77
(
 ; multi
 p A ( 192.0.2.6
) )
q ( A 192.0.2.7 )
r TYPE65400 \# 4 0a000001
r2 TYPE65400 \# 0
s A \# 4 ( 0a00
 0001 )
t CLASS1 TYPE16 "via number"
u TYPE15 ( 10 mail )
ns1 60 A 192.0.2.53
ns2 60 A 192.0.2.54
"#;

/// What named-compilezone makes of a file, one record a line.
fn compiled(directory: &Path, file: &str) -> String {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let arguments = "-i none -k ignore -m ignore -M ignore -n ignore -r ignore -S ignore -T ignore -W ignore -s full -o out";
    let output = Command::new("named-compilezone")
        .args(arguments.split(' '))
        .args(["example.com", file])
        .current_dir(directory)
        .env("PATH", path)
        .output()
        .expect("named-compilezone, of the Debian package bind9-utils");
    assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stdout));
    std::fs::read_to_string(directory.join("out")).unwrap()
}

#[test]
fn bind_reads_the_same_records() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    // BIND knows no IPN, takes no short digests, and an apex alone may own some types.
    let forms =
        FORMS.iter().filter(|(rtype, ..)| !["DLV", "TA", "IPN", "DNSKEY", "NSEC3PARAM"].contains(rtype));
    let forms = forms.enumerate().map(|(index, (rtype, text, _))| format!("x{index} {rtype} {text}\n"));
    write("zone", &(ZONE.to_owned() + &forms.collect::<String>()));
    write("inc one", "$TTL 11\na A 192.0.2.8\n$ORIGIN deeper\nb MB c\n");
    let zone = read(&directory.path().join("zone"), APEX).unwrap();
    let generic = zone.iter().map(|(_, record)| {
        let owner = [record.owner, APEX].concat();
        let owner = std::fmt::from_fn(|f| fmt_wire(&owner, f)).to_string();
        let (ttl_secs, rtype, rdata) = (record.ttl_secs, record.rtype.0, record.rdata);
        format!("{owner} {ttl_secs} IN TYPE{rtype} \\# {} {}\n", rdata.len(), hex(rdata))
    });
    write("generic", &generic.collect::<String>());
    let (theirs, ours) = (compiled(directory.path(), "zone"), compiled(directory.path(), "generic"));
    assert!(theirs.lines().count() > 80, "{theirs}");
    // Owners are in lower case here.
    assert_eq!(ours.to_ascii_lowercase(), theirs.to_ascii_lowercase());
}
