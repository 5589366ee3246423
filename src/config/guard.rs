//! `server.cookies` and `server.rrl`: who is answered, and how often; and the file of cookie secrets.
//!
//! The file is read like any other of a configuration, so a change is noticed and a bad one refused as a whole. No message
//! ever shows what is in it.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cause::{Cause, Found};
use super::decode::{Decoder, Field, Placed, Read, Section, key};
use super::model::{Cookies, Rates};
use super::report::{FileId, Findings};
use super::scalars::{boolean, integer, text_octets, word};
use super::server::join;
use super::topology::prefix;
use crate::state::buckets::MAX_RATE;
use crate::state::policy::{CookiePolicy, RatePolicy, Require, ResponseClass};
use crate::state::topology::{RegionId, Topology};
use crate::wire::cookie::{Secret, Secrets};

/// Longest path (Linux's PATH_MAX).
const MAX_PATH_OCTETS: usize = 4096;
/// Octets of a secret file that are read: two lines with their ends, and one more to see that there are too many.
const MAX_SECRET_FILE_OCTETS: u64 = 256;
/// Permissions of the group and of others.
const FOREIGN_MODE: u32 = 0o077;
/// Most prefixes that are exempt from rates.
const MAX_EXEMPT: usize = 65_536;
/// Replies a second to one client network unless told otherwise: what NSD grants.
const DEFAULT_RATE: u32 = 200;
/// One in so many replies over the rate is told to its client, as BIND and NSD do.
const DEFAULT_SLIP: u8 = 2;

pub(super) static COOKIES: Section = Section {
    title: "`cookies`",
    keys: &[key("enabled"), key("secret_file"), key("require"), key("load_qps")],
    may_be_empty: true,
};

pub(super) static RRL: Section = Section {
    title: "`rrl`",
    keys: &[
        key("enabled"),
        key("responses"),
        key("nodata"),
        key("nxdomain"),
        key("referrals"),
        key("errors"),
        key("large"),
        key("slip"),
        key("prefix_v4"),
        key("prefix_v6"),
        key("exempt"),
        key("log_only"),
    ],
    may_be_empty: true,
};

/// Words of `require`.
const REQUIRES: &[(&str, Require)] =
    &[("never", Require::Never), ("under_load", Require::UnderLoad), ("always", Require::Always)];
const REQUIRE_WORDS: &str = "`never`, `under_load` and `always`";

/// What is wrong with a file of secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretFault {
    /// The system would not give it to us.
    Unreadable(Arc<str>),
    /// A FIFO, a socket, a device or a directory.
    NotRegularFile,
    /// Others than its owner may read or write it.
    Mode(u32),
    /// A line that is no secret.
    Line(usize),
    /// No line at all, or more than two.
    Count,
}

impl fmt::Display for SecretFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretFault::Unreadable(error) => write!(f, "cannot be read: {error}"),
            SecretFault::NotRegularFile => f.write_str("is not a regular file"),
            SecretFault::Mode(mode) => write!(f, "is open to others than its owner: its mode is {mode:04o}"),
            SecretFault::Line(line) => write!(f, "has no secret in line {line}"),
            SecretFault::Count => f.write_str("has no secret, or more than two"),
        }
    }
}

impl SecretFault {
    /// What would be accepted.
    pub(super) fn help(&self) -> Option<&'static str> {
        match self {
            SecretFault::Unreadable(_) | SecretFault::NotRegularFile => None,
            SecretFault::Mode(_) => Some("accepted are 0600 and 0400"),
            SecretFault::Line(_) | SecretFault::Count => Some(
                "accepted are one or two lines of 32 hexadecimal digits: the secret in use, then one that is still \
                 accepted; `openssl rand -hex 16` makes one",
            ),
        }
    }
}

/// Reads the section `cookies`; the path of the secrets goes into `secret_file`.
pub(super) fn read_cookies<'t>(
    d: &mut Decoder<'t, '_>,
    field: Field<'t>,
    directory: Option<&Path>,
    secret_file: &mut Option<Placed<PathBuf>>,
) -> Read<Cookies> {
    let mut cookies = Cookies::default();
    d.section(field, &COOKIES, |d, name, field| {
        match name {
            "enabled" => set(&mut cookies.enabled, d.value(field, boolean)?),
            "secret_file" => {
                let path = d.value(field, |scalar| text_octets(&scalar.text, MAX_PATH_OCTETS))?;
                *secret_file =
                    path.map(|path| Placed { value: join(directory, &path.value), span: path.span });
            }
            "require" => set(&mut cookies.require, d.value(field, word(REQUIRES, REQUIRE_WORDS))?),
            "load_qps" => set(&mut cookies.load_qps, d.value(field, integer(1..=100_000_000))?),
            _ => d.skip(&field.node)?,
        }
        Ok(())
    })?;
    Ok(cookies)
}

/// Reads the section `rrl`; `None` where it is switched off.
pub(super) fn read_rates<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Option<Rates>> {
    let mut rates = Rates::default();
    let mut enabled = true;
    let mut by_class: [Option<Placed<u32>>; ResponseClass::COUNT] = [None; ResponseClass::COUNT];
    let at = field.at;
    let seen = d.section(field, &RRL, |d, name, field| {
        let rate = || integer(0..=u64::from(MAX_RATE));
        match name {
            "enabled" => set(&mut enabled, d.value(field, boolean)?),
            "responses" => by_class[ResponseClass::Answer as usize] = d.value(field, rate())?,
            "nodata" => by_class[ResponseClass::NoData as usize] = d.value(field, rate())?,
            "nxdomain" => by_class[ResponseClass::NxDomain as usize] = d.value(field, rate())?,
            "referrals" => by_class[ResponseClass::Referral as usize] = d.value(field, rate())?,
            "errors" => by_class[ResponseClass::Error as usize] = d.value(field, rate())?,
            "large" => by_class[ResponseClass::Large as usize] = d.value(field, rate())?,
            "slip" => set(&mut rates.slip, d.value(field, integer(0..=100))?),
            "prefix_v4" => set(&mut rates.prefix_v4, d.value(field, integer(1..=32))?),
            "prefix_v6" => set(&mut rates.prefix_v6, d.value(field, integer(1..=64))?),
            "exempt" => {
                d.list(field, "exempt", |d, item| {
                    rates.exempt.extend(d.value(item, prefix)?.map(|prefix| prefix.value));
                    Ok(())
                })?;
            }
            "log_only" => set(&mut rates.log_only, d.value(field, boolean)?),
            _ => d.skip(&field.node)?,
        }
        Ok(())
    })?;
    if rates.exempt.len() > MAX_EXEMPT {
        let at = seen.and_then(|seen| seen.place("exempt")).unwrap_or(at);
        d.error(at, Cause::TooMany { what: "prefixes in `exempt`", limit: MAX_EXEMPT });
    }
    let answers = by_class[ResponseClass::Answer as usize].map_or(DEFAULT_RATE, |rate| rate.value);
    rates.per_sec = by_class.map(|rate| rate.map_or(answers, |rate| rate.value));
    Ok(enabled.then_some(rates))
}

/// Overwrites a default with what was read.
fn set<T>(slot: &mut T, read: Option<Placed<T>>) {
    if let Some(read) = read {
        *slot = read.value;
    }
}

impl Default for Cookies {
    fn default() -> Cookies {
        Cookies { enabled: true, secrets: None, require: Require::Never, load_qps: 50_000 }
    }
}

impl Default for Rates {
    fn default() -> Rates {
        Rates {
            per_sec: [DEFAULT_RATE; ResponseClass::COUNT],
            slip: DEFAULT_SLIP,
            prefix_v4: 24,
            prefix_v6: 56,
            exempt: Vec::new(),
            log_only: false,
        }
    }
}

/// Reads the secrets and notes the file for the watcher; what is wrong is reported where the main file names it.
pub(super) fn open_secrets(
    path: Placed<PathBuf>,
    files: &mut Vec<PathBuf>,
    findings: &mut Findings,
) -> Option<Secrets> {
    let read = read_secrets(&path.value);
    let name = Found::new(&path.value.display().to_string());
    files.push(path.value);
    match read {
        Ok(secrets) => Some(secrets),
        Err(fault) => {
            findings.error(FileId(0), path.span, Cause::SecretFile { path: name, fault });
            None
        }
    }
}

fn read_secrets(path: &Path) -> Result<Secrets, SecretFault> {
    let unreadable = |error: io::Error| SecretFault::Unreadable(error.to_string().into());
    // Looked at before it is opened: opening a FIFO waits for a writer.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(SecretFault::NotRegularFile);
    }
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode() & 0o7777;
    if mode & FOREIGN_MODE != 0 {
        return Err(SecretFault::Mode(mode));
    }
    let mut octets = Vec::new();
    file.take(MAX_SECRET_FILE_OCTETS).read_to_end(&mut octets).map_err(unreadable)?;
    parse_secrets(&String::from_utf8_lossy(&octets))
}

/// One or two lines of 32 hexadecimal digits, blanks around them left out, then nothing but empty lines.
fn parse_secrets(text: &str) -> Result<Secrets, SecretFault> {
    let mut secrets = Vec::new();
    for (index, line) in text.trim_end().lines().enumerate() {
        if secrets.len() == 2 {
            return Err(SecretFault::Count);
        }
        secrets.push(Secret::from_hex(line.trim()).ok_or(SecretFault::Line(index + 1))?);
    }
    match secrets[..] {
        [active] => Ok(Secrets { active, second: None }),
        [active, second] => Ok(Secrets { active, second: Some(second) }),
        _ => Err(SecretFault::Count),
    }
}

/// Cookies as the packet path needs them; `None` where they are off, or where nobody has given them a secret.
pub(super) fn compile_cookies(cookies: &Cookies) -> Option<CookiePolicy> {
    let secrets = cookies.secrets.filter(|_| cookies.enabled)?;
    Some(CookiePolicy { secrets, require: cookies.require, load_qps: cookies.load_qps })
}

/// Rates as the packet path needs them.
pub(super) fn compile_rates(rates: &Rates) -> RatePolicy {
    let exempt: Vec<_> = rates.exempt.iter().map(|prefix| (*prefix, RegionId(0))).collect();
    RatePolicy {
        rates: rates.per_sec,
        slip: rates.slip,
        prefix_v4: rates.prefix_v4,
        prefix_v6: rates.prefix_v6,
        exempt: Topology::new(&exempt),
        log_only: rates.log_only,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{errors, loaded};
    use super::super::{Loaded, Report, load};
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NAMES: &str = "zones: {example.com: {ns: ns1.example.net}}\n";

    #[test]
    fn cookies_are_on_and_rates_are_off_unless_told_otherwise() {
        let server = loaded(NAMES).server;
        assert_eq!((server.cookies, server.rates), (Cookies::default(), None));
        let server = loaded(&format!("{NAMES}server: {{cookies: , rrl: }}\n")).server;
        assert_eq!((server.cookies, server.rates), (Cookies::default(), Some(Rates::default())));
        let server =
            loaded(&format!("{NAMES}server: {{cookies: {{enabled: no}}, rrl: {{enabled: no, slip: 1}}}}\n"))
                .server;
        assert_eq!((server.cookies.enabled, server.rates), (false, None));
        assert!(compile_cookies(&server.cookies).is_none());
    }

    #[test]
    fn every_setting_is_read_and_rates_follow_that_of_answers() {
        let server = loaded(&format!(
            "{NAMES}server:\n  cookies: {{require: always, load_qps: 7}}\n  rrl: {{responses: 9, nxdomain: 0, errors: 3, large: 2, \
             slip: 0, prefix_v4: 20, prefix_v6: 48, exempt: [192.0.2.1, '2001:db8::/32'], log_only: yes}}\n"
        ))
        .server;
        assert_eq!((server.cookies.require, server.cookies.load_qps), (Require::Always, 7));
        let rates = server.rates.unwrap();
        assert_eq!(rates.per_sec, [9, 9, 0, 9, 3, 2]);
        assert_eq!((rates.slip, rates.prefix_v4, rates.prefix_v6, rates.log_only), (0, 20, 48, true));
        let policy = compile_rates(&rates);
        for (address, exempt) in
            [("192.0.2.1", true), ("192.0.2.2", false), ("2001:db8:9::", true), ("2001:db9::", false)]
        {
            assert_eq!(policy.exempt.lookup(address.parse().unwrap()).region.is_some(), exempt, "{address}");
        }
    }

    #[test]
    fn each_bad_setting_is_an_error_at_its_place() {
        assert_eq!(
            errors(&format!(
                "{NAMES}server:\n  cookies: {{enable: on, require: allways, load_qps: 0}}\n  rrl: {{responses: 1000001, slip: -1, \
                 prefix_v4: 33, prefix_v6: 65, exempt: [192.0.2.1/24]}}\n"
            )),
            [
                "3:13: unknown key `enable` in `cookies` (did you mean `enabled`?)",
                "3:34: `allways` is not accepted here (did you mean `always`?)",
                "3:53: `0` is out of range (accepted are 1 to 100000000)",
                "4:20: `1000001` is out of range (accepted are 0 to 1000000)",
                "4:35: `-1` is out of range (accepted are 0 to 100)",
                "4:50: `33` is out of range (accepted are 1 to 32)",
                "4:65: `65` is out of range (accepted are 1 to 64)",
                "4:78: `192.0.2.1/24` has host bits set: did you mean `192.0.2.0/24` or `192.0.2.1/32`?",
            ]
        );
    }

    /// Loads a configuration that names a file of secrets with this content and mode.
    fn load_with(secrets: &str, mode: u32) -> Result<Loaded, Report> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cookie.secrets");
        fs::write(&path, secrets).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let main = folder.path().join("a.yaml");
        fs::write(&main, format!("{NAMES}server: {{cookies: {{secret_file: cookie.secrets}}}}\n")).unwrap();
        let loaded = load(&main, None);
        if let Ok(loaded) = &loaded {
            assert_eq!(loaded.config.files, [main, path], "both are watched");
        }
        loaded
    }

    const ONE: &str = "000102030405060708090a0b0c0d0e0f";
    const TWO: &str = "F0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF";

    #[test]
    fn secret_file_has_one_secret_or_two() {
        let secrets = |text: &str| load_with(text, 0o600).unwrap().config.server.cookies.secrets.unwrap();
        let (one, two) = (Secret::from_hex(ONE).unwrap(), Secret::from_hex(TWO));
        assert_eq!(secrets(ONE), Secrets { active: one, second: None });
        assert_eq!(secrets(&format!("{ONE}\r\n{TWO}\n\n")), Secrets { active: one, second: two });
        assert!(load_with(ONE, 0o400).is_ok());
    }

    #[test]
    fn secret_file_that_is_none_is_an_error_where_it_is_named_and_shows_no_secret() {
        let accepted = "(accepted are one or two lines of 32 hexadecimal digits: the secret in use, then one that is still \
                        accepted; `openssl rand -hex 16` makes one)";
        for (text, mode, expected) in [
            (
                ONE,
                0o640,
                "is open to others than its owner: its mode is 0640 (accepted are 0600 and 0400)".to_owned(),
            ),
            (
                ONE,
                0o602,
                "is open to others than its owner: its mode is 0602 (accepted are 0600 and 0400)".to_owned(),
            ),
            ("", 0o600, format!("has no secret, or more than two {accepted}")),
            (&format!("{ONE}\n{TWO}\n{ONE}\n"), 0o600, format!("has no secret, or more than two {accepted}")),
            (&format!("{ONE}\nfoo\n"), 0o600, format!("has no secret in line 2 {accepted}")),
            (&ONE[1..], 0o600, format!("has no secret in line 1 {accepted}")),
        ] {
            let report = load_with(text, mode).unwrap_err();
            let [diagnostic] = report.diagnostics() else { panic!("{report}") };
            let shown = diagnostic.brief().to_string();
            assert!(
                shown.contains("a.yaml:2:33: the secret file `") && shown.ends_with(&expected),
                "{shown}"
            );
            assert!(!report.to_string().contains(&ONE[2..]), "{report}");
            assert_eq!(report.files().len(), 2, "the file is watched all the same");
        }
    }

    #[test]
    fn secret_file_that_cannot_be_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let faults = |name: &str| read_secrets(&folder.path().join(name)).unwrap_err().to_string();
        assert_eq!(faults("none"), "cannot be read: No such file or directory (os error 2)");
        assert_eq!(faults(""), "is not a regular file");
        assert!(
            std::process::Command::new("mkfifo").arg(folder.path().join("fifo")).status().unwrap().success()
        );
        assert_eq!(faults("fifo"), "is not a regular file");
    }
}
