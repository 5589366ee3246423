//! What a monitor asks of a certificate beside its chain: days left, and pins. Pure: the time arrives as an argument.
//!
//! Only the server's own certificate is looked at, as it was presented in a handshake that its key has signed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::digest::{SHA256, digest};

use crate::config::model::TlsProbe;
use crate::health::reason::Reason;

const DAY_SECS: i64 = 24 * 3600;

/// The demands of a monitor.
pub(super) struct Demands {
    min_days_left: Option<u16>,
    pins: Box<[[u8; 32]]>,
}

impl Demands {
    pub(super) fn new(probe: &TlsProbe) -> Demands {
        Demands { min_days_left: probe.min_days_left, pins: probe.pins.as_slice().into() }
    }

    /// Whether anything is asked.
    pub(super) fn is_empty(&self) -> bool {
        self.min_days_left.is_none() && self.pins.is_empty()
    }

    /// Looks at a certificate (DER); the days it has left.
    pub(super) fn judge(&self, certificate: &[u8], now: SystemTime) -> Result<i64, Reason> {
        let unreadable = || Reason::TlsCertificate("unreadable".into());
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|_| unreadable())?;
        let fingerprint = digest(&SHA256, certificate);
        if !self.pins.is_empty() {
            let of_key = digest(&SHA256, parsed.public_key().raw);
            let fits = |pin: &[u8; 32]| fingerprint.as_ref() == pin || of_key.as_ref() == pin;
            if !self.pins.iter().any(fits) {
                return Err(Reason::CertificatePin { sha256: hex(fingerprint.as_ref()).into() });
            }
        }
        let now = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs() as i64;
        let days_left = (parsed.validity().not_after.timestamp() - now).div_euclid(DAY_SECS);
        match self.min_days_left {
            Some(least) if days_left < i64::from(least) => {
                Err(Reason::CertificateExpires { days_left, least_days: least })
            }
            _ => Ok(days_left),
        }
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate whose last second is the 2,000,000,000th of the epoch.
    fn certificate() -> (Vec<u8>, Vec<u8>) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(["www.example.com".to_string()]).unwrap();
        // 2033-05-18 is day 23,148 of the epoch.
        parameters.not_after = rcgen::date_time_ymd(2033, 5, 18);
        let made = parameters.self_signed(&key).unwrap();
        let spki = x509_parser::parse_x509_certificate(made.der()).unwrap().1.public_key().raw.to_vec();
        (made.der().to_vec(), spki)
    }

    fn on_day(day: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(day * DAY_SECS as u64)
    }

    fn sha256(octets: &[u8]) -> [u8; 32] {
        digest(&SHA256, octets).as_ref().try_into().unwrap()
    }

    #[test]
    fn days_left_are_whole_ones_and_negative_once_expired() {
        let (der, _) = certificate();
        let demands = |min_days_left| Demands { min_days_left, pins: Box::default() };
        let last_day = 23_148;
        assert_eq!(demands(None).judge(&der, on_day(last_day - 30)), Ok(30));
        assert_eq!(demands(Some(30)).judge(&der, on_day(last_day - 30)), Ok(30));
        let late = on_day(last_day - 30) + Duration::from_secs(1);
        let reason = demands(Some(30)).judge(&der, late).unwrap_err();
        assert_eq!(reason.to_string(), "tls: certificate has 29 days left, at least 30 expected");
        let reason = demands(Some(0)).judge(&der, on_day(last_day + 2)).unwrap_err();
        assert_eq!(reason.to_string(), "tls: certificate expired 2 days ago");
        assert_eq!(demands(None).judge(&der, on_day(last_day + 2)), Ok(-2), "not asked");
    }

    #[test]
    fn pin_is_of_the_certificate_or_of_its_key() {
        let (der, spki) = certificate();
        let demands = |pins: &[[u8; 32]]| Demands { min_days_left: None, pins: pins.into() };
        for pins in [&[sha256(&der)][..], &[sha256(&spki)], &[[0; 32], sha256(&spki)]] {
            assert!(demands(pins).judge(&der, UNIX_EPOCH).is_ok());
        }
        let reason = demands(&[[0; 32]]).judge(&der, UNIX_EPOCH).unwrap_err().to_string();
        let expected = format!("tls: certificate fits no pin: its sha256 is {}", hex(&sha256(&der)));
        assert_eq!(reason, expected);
    }

    #[test]
    fn cut_certificate_is_unreadable_and_never_a_panic() {
        let (der, _) = certificate();
        let demands = Demands { min_days_left: Some(0), pins: Box::default() };
        for end in 0..der.len() {
            let reason = demands.judge(&der[..end], UNIX_EPOCH).unwrap_err();
            assert_eq!(reason.to_string(), "tls: certificate unreadable");
        }
    }
}
