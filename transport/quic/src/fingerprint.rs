//! What people see of a certificate: its fingerprint, whose it is, until when it is valid.
//!
//! The validity is read here because the TLS library checks it without telling it. Only what
//! stands before it in a certificate is walked over (RFC 5280, section 4.1), and whatever is not
//! as expected gives nothing.

use ring::digest;
use rustls::pki_types::CertificateDer;

/// A certificate that is trusted to issue others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The SHA-256 of the certificate, in hexadecimal digits.
    pub fingerprint: String,
    /// The common name, or nothing where there is none.
    pub subject: String,
    /// The last second of its validity, since 1970; 0 if it cannot be read.
    pub valid_until: u64,
    /// Whether new certificates are issued by it.
    pub issues: bool,
}

impl Root {
    pub(crate) fn read(certificate: &CertificateDer<'_>, issuing: &str) -> Self {
        let fingerprint = fingerprint(certificate);
        Self {
            subject: common_name(certificate).unwrap_or_default(),
            valid_until: valid_until(certificate).unwrap_or_default(),
            issues: fingerprint == issuing,
            fingerprint,
        }
    }
}

/// The SHA-256 in hexadecimal digits.
pub(crate) fn fingerprint(certificate: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, certificate);
    hash.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// The last second of a certificate's validity, since 1970.
pub(crate) fn valid_until(certificate: &[u8]) -> Option<u64> {
    let mut fields = fields_from_issuer(certificate)?;
    let _issuer = element(&mut fields)?;
    let (_, mut validity) = element(&mut fields)?;
    let _not_before = element(&mut validity)?;
    let (tag, not_after) = element(&mut validity)?;
    time(tag, not_after)
}

/// The name of whoever issued a certificate, as it is encoded.
pub(crate) fn issuer_of(certificate: &[u8]) -> Option<&[u8]> {
    let (_, issuer) = element(&mut fields_from_issuer(certificate)?)?;
    Some(issuer)
}

/// The name of whom a certificate is for, as it is encoded.
pub(crate) fn subject_of(certificate: &[u8]) -> Option<&[u8]> {
    let mut fields = fields_from_issuer(certificate)?;
    let _issuer = element(&mut fields)?;
    let _validity = element(&mut fields)?;
    let (_, subject) = element(&mut fields)?;
    Some(subject)
}

fn common_name(certificate: &[u8]) -> Option<String> {
    /// 2.5.4.3
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    let mut subject = subject_of(certificate)?;
    while let Some((_, mut set)) = element(&mut subject) {
        let (_, mut attribute) = element(&mut set)?;
        let (_, kind) = element(&mut attribute)?;
        let (_, value) = element(&mut attribute)?;
        if kind == COMMON_NAME {
            return std::str::from_utf8(value).ok().map(str::to_owned);
        }
    }
    None
}

/// What follows the algorithm in the part of a certificate that is signed.
fn fields_from_issuer(certificate: &[u8]) -> Option<&[u8]> {
    const VERSION: u8 = 0xa0;
    let mut input = certificate;
    let (_, mut certificate) = element(&mut input)?;
    let (_, mut fields) = element(&mut certificate)?;
    let (tag, _) = element(&mut fields)?;
    if tag == VERSION {
        let _serial = element(&mut fields)?;
    }
    let _algorithm = element(&mut fields)?;
    Some(fields)
}

/// Takes one DER element: its tag and its content.
fn element<'a>(input: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&[tag, first], mut rest) = input.split_first_chunk()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        let add = |length: usize, digit: &u8| length << 8 | usize::from(*digit);
        length = digits.iter().fold(0, add);
        rest = after;
    }
    let (content, after) = rest.split_at_checked(length)?;
    *input = after;
    Some((tag, content))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280, section 4.1.2.5).
fn time(tag: u8, text: &[u8]) -> Option<u64> {
    const UTC_TIME: u8 = 0x17;
    let digits = text.strip_suffix(b"Z")?;
    let number = |from: usize, to: usize| {
        let digits = std::str::from_utf8(digits.get(from..to)?).ok()?;
        digits.parse::<i64>().ok()
    };
    let (year, rest) = match tag {
        UTC_TIME => match number(0, 2)? {
            year @ 50.. => (1900 + year, 2),
            year => (2000 + year, 2),
        },
        _ => (number(0, 4)?, 4),
    };
    let part = |index: usize| number(rest + 2 * index, rest + 2 * index + 2);
    let (month, day) = (part(0)?, part(1)?);
    if !(1..=12).contains(&month) {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + part(2)? * 3_600 + part(3)? * 60 + part(4)?;
    u64::try_from(seconds).ok()
}

/// Days since 1970, in years that begin in March, so that a leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 306 + 5) / 10 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn the_end_of_a_validity_is_read_in_both_forms() {
        for (year, month, day, expected) in [
            (1999, 12, 31, 946_598_400),
            (2024, 2, 29, 1_709_164_800),
            (2049, 12, 31, 2_524_521_600),
            (2050, 1, 1, 2_524_608_000),
            (2100, 3, 1, 4_107_542_400),
        ] {
            let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            params.not_before = date_time_ymd(1990, 1, 1);
            params.not_after = date_time_ymd(year, month, day);
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            assert_eq!(valid_until(certificate.der()), Some(expected), "{year}");
        }
    }

    #[test]
    fn no_beginning_of_a_certificate_makes_it_panic() {
        let params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let der = certificate.der();
        for end in 0..der.len() {
            assert_eq!(valid_until(&der[..end]), None);
            assert_eq!(common_name(&der[..end]), None);
        }
        for place in 0..der.len() {
            let mut broken = der.to_vec();
            broken[place] ^= 0xff;
            let _ = (valid_until(&broken), common_name(&broken));
        }
    }
}
