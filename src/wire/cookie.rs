//! DNS cookies: the option (RFC 7873 §4) and the server cookie that a whole fleet makes and checks alike (RFC 9018 §4).
//!
//! Octets, a secret and a time come in, a verdict or sixteen octets go out. Reads no clock, keeps no state, decides no policy:
//! what becomes of a client without a valid cookie is not known here. A secret is never shown.

use std::fmt;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

use super::edns::OPTION_HEAD_OCTETS;
use super::error::WireError;

/// Option code of cookies (RFC 7873 §4).
pub const OPTION_COOKIE: u16 = 10;
/// Octets of a client cookie (RFC 7873 §4).
pub const CLIENT_COOKIE_OCTETS: usize = 8;
/// Octets of a server cookie as it is made here (RFC 9018 §4.1); those of other makes have 8 to 32.
pub const SERVER_COOKIE_OCTETS: usize = 16;
/// Octets of the option of a reply, with code and length.
pub const COOKIE_OPTION_OCTETS: usize = OPTION_HEAD_OCTETS + CLIENT_COOKIE_OCTETS + SERVER_COOKIE_OCTETS;
/// Octets of a secret (RFC 9018 §4.4: SipHash's key).
pub const SECRET_OCTETS: usize = 16;

/// How old a server cookie may be (RFC 9018 §4.3: one hour).
const MAX_AGE_SECS: i32 = 3600;
/// How far in the future it may have been made, by a server of the fleet whose clock is ahead (RFC 9018 §4.3: 5 minutes).
const MAX_AHEAD_SECS: i32 = 300;
/// How old it may be before the client is given a new one (RFC 9018 §4.3: more than half an hour old).
const RENEWED_AT_SECS: i32 = 1800;
/// Version of the server cookie (RFC 9018 §4.2), and the reserved octets behind it.
const VERSION_AND_RESERVED: [u8; 4] = [1, 0, 0, 0];

/// A key of the hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret([u8; SECRET_OCTETS]);

impl Secret {
    /// These octets.
    pub const fn new(octets: [u8; SECRET_OCTETS]) -> Secret {
        Secret(octets)
    }

    /// 32 hexadecimal digits; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Secret> {
        let digits: &[u8; 2 * SECRET_OCTETS] = text.as_bytes().try_into().ok()?;
        let mut octets = [0; SECRET_OCTETS];
        for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
            let value = |digit: u8| char::from(digit).to_digit(16);
            *octet = (value(pair[0])? << 4 | value(pair[1])?) as u8;
        }
        Some(Secret(octets))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The secrets of a server: with two, all servers of a fleet can be given a new one, one after another (RFC 9018 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secrets {
    /// Makes server cookies, and accepts them.
    pub active: Secret,
    /// Accepts them only.
    pub second: Option<Secret>,
}

/// What a query's COOKIE option has.
///
/// # Invariants
/// The option's data as sent, of a length that it may have: 8 octets, or 16 to 40.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie<'a>(&'a [u8]);

/// What a server cookie is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is none: the client asks for its first.
    Absent,
    /// It was not made for this client, by these secrets, in the last hour.
    Invalid,
    /// It is good for now, but the client shall have a new one.
    Stale,
    /// It is good, and stays so for half an hour at least.
    Fresh,
}

impl<'a> Cookie<'a> {
    /// Reads the option's data as found in a query.
    ///
    /// # Errors
    /// [`WireError::Cookie`] for a length that no cookie has (RFC 7873 §5.2.2).
    #[inline]
    pub fn read(data: &'a [u8]) -> Result<Cookie<'a>, WireError> {
        match data.len() {
            8 | 16..=40 => Ok(Cookie(data)),
            _ => Err(WireError::Cookie),
        }
    }

    /// Octets of both cookies together.
    #[inline]
    pub fn len_octets(self) -> u8 {
        self.0.len() as u8
    }

    fn client(self) -> [u8; CLIENT_COOKIE_OCTETS] {
        self.0.first_chunk().copied().unwrap_or_default()
    }

    /// What the server cookie is worth at `now_secs` of the Unix epoch, its low 32 bits, for a client at that address.
    pub fn standing(self, secrets: &Secrets, now_secs: u32, client: IpAddr) -> Standing {
        let Some(server) = self.0.get(CLIENT_COOKIE_OCTETS..).filter(|server| !server.is_empty()) else {
            return Standing::Absent;
        };
        let Ok(&[version, a, b, c, t0, t1, t2, t3, ref hash @ ..]) =
            <&[u8; SERVER_COOKIE_OCTETS]>::try_from(server)
        else {
            return Standing::Invalid;
        };
        // Serial numbers (RFC 9018 §4.3, RFC 1982): the difference is right for 68 years around.
        let age_secs = now_secs.wrapping_sub(u32::from_be_bytes([t0, t1, t2, t3])) as i32;
        if version != VERSION_AND_RESERVED[0] || !(-MAX_AHEAD_SECS..=MAX_AGE_SECS).contains(&age_secs) {
            return Standing::Invalid;
        }
        // The reserved octets are hashed as received: who made the cookie may have had a use for them.
        let head = [version, a, b, c, t0, t1, t2, t3];
        let sent = u64::from_le_bytes(*hash);
        // Whole numbers are compared in one step, so the time taken tells nothing of where they differ.
        if self.hash(secrets.active, head, client) == sent {
            return if age_secs < RENEWED_AT_SECS { Standing::Fresh } else { Standing::Stale };
        }
        match secrets.second {
            Some(second) if self.hash(second, head, client) == sent => Standing::Stale,
            _ => Standing::Invalid,
        }
    }

    /// The option that goes into the reply, code and length first: the client cookie with the server cookie that was sent
    /// where that is fresh, else with a new one.
    pub fn option(
        self,
        standing: Standing,
        secrets: &Secrets,
        now_secs: u32,
        client: IpAddr,
    ) -> [u8; COOKIE_OPTION_OCTETS] {
        const DATA: usize = CLIENT_COOKIE_OCTETS + SERVER_COOKIE_OCTETS;
        let mut option = [0; COOKIE_OPTION_OCTETS];
        option[..OPTION_HEAD_OCTETS].copy_from_slice(&[0, OPTION_COOKIE as u8, 0, DATA as u8]);
        let data = &mut option[OPTION_HEAD_OCTETS..];
        match self.0.first_chunk::<DATA>() {
            Some(whole) if standing == Standing::Fresh => data.copy_from_slice(whole),
            _ => {
                let [v, a, b, c] = VERSION_AND_RESERVED;
                let [t0, t1, t2, t3] = now_secs.to_be_bytes();
                let head = [v, a, b, c, t0, t1, t2, t3];
                data[..8].copy_from_slice(&self.client());
                data[8..16].copy_from_slice(&head);
                data[16..].copy_from_slice(&self.hash(secrets.active, head, client).to_le_bytes());
            }
        }
        option
    }

    /// The hash of a server cookie (RFC 9018 §4.4): SipHash-2-4 over client cookie, version, reserved octets, timestamp and
    /// the client's address.
    fn hash(self, secret: Secret, head: [u8; 8], client: IpAddr) -> u64 {
        let mut input = [0; CLIENT_COOKIE_OCTETS + 8 + 16];
        input[..8].copy_from_slice(&self.client());
        input[8..16].copy_from_slice(&head);
        let len = match client {
            IpAddr::V4(v4) => {
                input[16..20].copy_from_slice(&v4.octets());
                20
            }
            IpAddr::V6(v6) => {
                input[16..].copy_from_slice(&v6.octets());
                32
            }
        };
        SipHasher24::new_with_key(&secret.0).hash(&input[..len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn octets(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn one(secret: &str) -> Secrets {
        Secrets { active: Secret::from_hex(secret).unwrap(), second: None }
    }

    const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    const CLIENT: &str = "198.51.100.100";

    /// What the client is given.
    #[track_caller]
    fn answer(secrets: &Secrets, now_secs: u32, client: &str, cookie: &str) -> (Standing, Vec<u8>) {
        let (data, client) = (octets(cookie), client.parse().unwrap());
        let cookie = Cookie::read(&data).unwrap();
        let standing = cookie.standing(secrets, now_secs, client);
        (standing, cookie.option(standing, secrets, now_secs, client).to_vec())
    }

    #[test]
    fn vectors_of_rfc_9018_appendix_a_are_reproduced() {
        let old_and_new = Secrets {
            active: Secret::from_hex("445536bcd2513298075a5d379663c962").unwrap(),
            second: Secret::from_hex("dd3bdf9344b678b185a6f5cb60fca715"),
        };
        let old_alone = one("dd3bdf9344b678b185a6f5cb60fca715");
        for (which, secrets, now_secs, client, sent, standing, told) in [
            (
                "A.1: a first server cookie",
                one(SECRET),
                1_559_731_985,
                CLIENT,
                "2464c4abcf10c957",
                Standing::Absent,
                "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
            ),
            (
                "A.2: a renewed one",
                one(SECRET),
                1_559_734_385,
                CLIENT,
                "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
                Standing::Stale,
                "2464c4abcf10c957010000005cf7a871d4a564a1442aca77",
            ),
            (
                "A.3: one whose reserved octets are set, an hour and more ago",
                one(SECRET),
                1_559_734_700,
                "203.0.113.203",
                "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
                Standing::Invalid,
                "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e",
            ),
            (
                "A.4: made by the secret that is on its way out",
                old_and_new,
                1_559_741_961,
                "2001:db8:220:1:59de:d0f4:8769:82b8",
                "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
                Standing::Stale,
                "22681ab97d52c298010000005cf7c609a6bb79d16625507a",
            ),
            (
                "A.4: the same where that secret is in use",
                old_alone,
                1_559_741_961,
                "2001:db8:220:1:59de:d0f4:8769:82b8",
                "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
                Standing::Fresh,
                "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
            ),
        ] {
            let (found, option) = answer(&secrets, now_secs, client, sent);
            assert_eq!(option[..4], [0, 10, 0, 24], "{which}");
            assert_eq!(option[4..], octets(told), "{which}");
            assert_eq!(found, standing, "{which}");
        }
    }

    #[test]
    fn reserved_octets_are_hashed_as_received() {
        // The cookie of A.3, in the second in which it was made.
        let sent = "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5";
        let (standing, option) = answer(&one(SECRET), 0x5cf7_8f71, "203.0.113.203", sent);
        assert_eq!((standing, &option[4..]), (Standing::Fresh, &octets(sent)[..]));
    }

    #[test]
    fn cookie_has_eight_octets_or_sixteen_to_forty() {
        let data = [7; 42];
        for len in 0..=42 {
            let expected = len == 8 || (16..=40).contains(&len);
            assert_eq!(Cookie::read(&data[..len]).is_ok(), expected, "{len} octets");
        }
    }

    #[test]
    fn secret_is_32_hexadecimal_digits_and_is_never_shown() {
        assert_eq!(
            Secret::from_hex("000102030405060708090a0B0c0D0e0F"),
            Some(Secret(std::array::from_fn(|i| i as u8)))
        );
        for wrong in [
            "",
            "0001",
            &"0".repeat(31),
            &"0".repeat(33),
            &"+1".repeat(16),
            &"é".repeat(16),
            &"0x".repeat(16),
        ] {
            assert_eq!(Secret::from_hex(wrong), None, "{wrong}");
        }
        assert_eq!(format!("{:?}", one(SECRET)), "Secrets { active: Secret(..), second: None }");
    }

    #[test]
    fn server_cookie_is_good_for_an_hour_and_five_minutes_ahead() {
        let made = 1_559_731_985;
        let (_, option) = answer(&one(SECRET), made, CLIENT, "2464c4abcf10c957");
        let cookie = Cookie::read(&option[4..]).unwrap();
        let standing = |now| cookie.standing(&one(SECRET), now, CLIENT.parse().unwrap());
        for (age_secs, expected) in [
            (-301, Standing::Invalid),
            (-300, Standing::Fresh),
            (0, Standing::Fresh),
            (1799, Standing::Fresh),
            (1800, Standing::Stale),
            (3600, Standing::Stale),
            (3601, Standing::Invalid),
        ] {
            assert_eq!(standing(made.wrapping_add_signed(age_secs)), expected, "{age_secs} s");
        }
        // The epoch of 32 bits ends in 2106: nothing happens then.
        let (_, option) = answer(&one(SECRET), u32::MAX - 5, CLIENT, "2464c4abcf10c957");
        let cookie = Cookie::read(&option[4..]).unwrap();
        assert_eq!(cookie.standing(&one(SECRET), 10, CLIENT.parse().unwrap()), Standing::Fresh);
    }

    #[test]
    fn server_cookie_of_another_client_secret_version_or_length_is_invalid() {
        let now = 1_559_731_985;
        let good = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
        assert_eq!(answer(&one(SECRET), now, CLIENT, good).0, Standing::Fresh);
        assert_eq!(answer(&one(SECRET), now, "198.51.100.101", good).0, Standing::Invalid);
        assert_eq!(answer(&one(&SECRET.replace('e', "d")), now, CLIENT, good).0, Standing::Invalid);
        assert_eq!(answer(&one(SECRET), now, CLIENT, &good.replace("5701", "5702")).0, Standing::Invalid);
        assert_eq!(answer(&one(SECRET), now, CLIENT, &good[..46]).0, Standing::Invalid);
        assert_eq!(answer(&one(SECRET), now, CLIENT, &format!("{good}00")).0, Standing::Invalid);
    }

    proptest! {
        #[test]
        fn what_is_given_is_accepted_and_no_other_octets_are(
            client in any::<[u8; 8]>(), secret in any::<[u8; 16]>(), now in any::<u32>(), address in any::<IpAddr>(),
            bit in 0usize..192,
        ) {
            let secrets = Secrets { active: Secret(secret), second: None };
            let asked = Cookie::read(&client).unwrap();
            let option = asked.option(asked.standing(&secrets, now, address), &secrets, now, address);
            let cookie = Cookie::read(&option[4..]).unwrap();
            prop_assert_eq!(cookie.standing(&secrets, now, address), Standing::Fresh);
            let mut bent = option;
            bent[4 + bit / 8] ^= 1 << (bit % 8);
            let cookie = Cookie::read(&bent[4..]).unwrap();
            prop_assert_eq!(cookie.standing(&secrets, now, address), Standing::Invalid);
        }
    }
}
