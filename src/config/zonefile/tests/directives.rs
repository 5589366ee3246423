//! `$ORIGIN`, `$TTL` and `$INCLUDE`.

use super::*;
use std::fs;

#[test]
fn an_origin_holds_for_the_names_behind_it() {
    assert_eq!(
        records(
            "$TTL 60\n$ORIGIN sub\na A 1.2.3.4\n@ A 1.2.3.4\n$origin deeper\nb A 1.2.3.4\n$ORIGIN example.com.\nc MB d\n$ORIGIN .\ne.example.com A 1.2.3.4\n"
        ),
        [
            "a.sub 60 1 01020304".to_owned(),
            "sub 60 1 01020304".to_owned(),
            "b.deeper.sub 60 1 01020304".to_owned(),
            format!("c 60 7 {}", hex(b"\x01d\x07example\x03com\x00")),
            "e 60 1 01020304".to_owned(),
        ]
    );
}

#[test]
fn included_files_stand_in_the_place_of_the_directive() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    fs::create_dir(directory.path().join("sub dir")).unwrap();
    write(
        "zone",
        "$TTL 60\n@ A 1.1.1.1\nb A 1.1.1.1\n$INCLUDE \"sub dir/one\" sub ; a comment\n A 2.2.2.2\nc A 1.1.1.1\n$INCLUDE sub\\ dir/two",
    );
    write("sub dir/one", "a A 3.3.3.3\n$ORIGIN other\n$TTL 70\n$INCLUDE two\n A 5.5.5.5\n");
    write("sub dir/two", "d A 4.4.4.4\n");
    let zone = read(&directory.path().join("zone"), APEX).unwrap();
    assert_eq!(
        shown(&zone),
        [
            "@ 60 1 01010101",
            "b 60 1 01010101",
            "a.sub 60 1 03030303",
            "d.other.sub 70 1 04040404",
            "a.sub 70 1 05050505",
            "b 70 1 02020202",
            "c 70 1 01010101",
            "d 70 1 04040404",
        ]
    );
    let places: Vec<(u16, u32)> = zone.iter().map(|(_, record)| (record.file, record.line)).collect();
    assert_eq!(places, [(0, 2), (0, 3), (1, 1), (2, 1), (1, 5), (0, 5), (0, 6), (2, 1)]);
    let names: Vec<_> =
        zone.files.iter().map(|path| path.strip_prefix(directory.path()).unwrap().to_owned()).collect();
    assert_eq!(names, ["zone", "sub dir/one", "sub dir/two"].map(PathBuf::from));
    let (_, last) = zone.iter().last().unwrap();
    assert!(zone.place(&last).0.ends_with("sub dir/two"));
}

#[test]
fn an_included_file_has_no_owner_of_its_includers() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("zone"), "a 60 A 1.1.1.1\n$INCLUDE one\n 60 A 1.1.1.1\n").unwrap();
    fs::write(directory.path().join("one"), " 60 A 1.1.1.1\n").unwrap();
    let unread = read(&directory.path().join("zone"), APEX).unwrap_err();
    let found = messages(&unread.faults);
    assert!(found.len() == 1 && found[0].contains("one:1:2: this record has no owner"), "{found:?}");
    assert_eq!(unread.files.len(), 2);
}

#[test]
fn includes_that_lead_nowhere_or_back_are_told_where_they_stand() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write(
        "zone",
        "$TTL 60\n$INCLUDE missing\n$INCLUDE .\n$INCLUDE loop\n$INCLUDE ./zone\n$INCLUDE bad\n$INCLUDE fifo\n",
    );
    write("loop", "$INCLUDE loop2\n");
    write("loop2", "$INCLUDE ./loop\n");
    write("bad", "a A x\n");
    let fifo = directory.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let path = directory.path().join("zone");
    let unread = read(&path, APEX).unwrap_err();
    let found: Vec<String> = messages(&unread.faults)
        .iter()
        .map(|text| text.replace(&format!("{}/", directory.path().display()), ""))
        .collect();
    assert_eq!(
        found,
        [
            "zone:2:10: the included file `missing` cannot be read: No such file or directory (os error 2)",
            ".: the zone file cannot be read: Is a directory (os error 21)",
            "loop2:1:10: `./loop` is included from itself; each file may include others that do not lead back to it",
            "zone:5:10: `./zone` is included from itself; each file may include others that do not lead back to it",
            "bad:1:5: the data of this `A` record cannot be read: expected IPv4 address; accepted is an IPv4 address such as `192.0.2.1`",
            "zone:7:10: the included file `fifo` is not a regular file",
        ]
    );
    let files: Vec<_> = unread
        .files
        .iter()
        .map(|path| path.strip_prefix(directory.path()).unwrap().display().to_string())
        .collect();
    assert!(files.contains(&"missing".to_owned()) && files.contains(&"fifo".to_owned()), "{files:?}");
}

#[test]
fn includes_have_a_depth() {
    let directory = tempfile::tempdir().unwrap();
    for depth in 0..=11 {
        let text = format!("$INCLUDE z{}\na{depth} 60 A 1.1.1.1\n", depth + 1);
        fs::write(directory.path().join(format!("z{depth}")), text).unwrap();
    }
    let unread = read(&directory.path().join("z0"), APEX).unwrap_err();
    let found = messages(&unread.faults);
    assert!(
        found.len() == 1 && found[0].ends_with("z10:1:10: files include each other more than 10 deep"),
        "{found:?}"
    );
    fs::write(directory.path().join("z10"), "a10 60 A 1.1.1.1\n").unwrap();
    assert_eq!(read(&directory.path().join("z0"), APEX).unwrap().len(), 11);
}

#[test]
fn a_zone_file_that_is_none_is_one_fault() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let unread = read(&missing, APEX).unwrap_err();
    assert_eq!(
        messages(&unread.faults),
        [format!(
            "{}: the zone file cannot be read: No such file or directory (os error 2)",
            missing.display()
        )]
    );
    assert_eq!(unread.files, [missing]);
    let unread = read(directory.path(), APEX).unwrap_err();
    assert!(unread.faults[0].to_string().ends_with("Is a directory (os error 21)"));
    let unread = read(Path::new("/dev/zero"), APEX).unwrap_err();
    assert_eq!(messages(&unread.faults), ["/dev/zero: the zone file is not a regular file"]);
}
