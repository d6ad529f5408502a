//! Roots as PEM blocks: identified by fingerprint, and joined without a change to any of them.

use std::collections::BTreeSet;

use mesh::certificates::{Certificate, Fingerprint};

const END: &str = "-----END CERTIFICATE-----";

/// Selects the PEM blocks of the certificates in `wanted`, each once; `None` if a certificate is missing.
pub(crate) fn select(texts: &[String], wanted: &BTreeSet<Fingerprint>) -> Option<String> {
    let mut found = BTreeSet::new();
    let mut all = String::new();
    for block in texts.iter().flat_map(|text| blocks(text)) {
        let Ok(read) = Certificate::read_all(&block) else { continue };
        for certificate in read {
            if wanted.contains(&certificate.fingerprint) && found.insert(certificate.fingerprint) {
                all.push_str(&block);
            }
        }
    }
    (found == *wanted).then_some(all)
}

fn blocks(text: &str) -> Vec<String> {
    let parts = text.split_inclusive(END).filter(|part| part.contains(END));
    parts.map(|part| format!("{}\n", part.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_separated() {
        let text = "# a\n-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\nQg==\n-----END CERTIFICATE-----\nrest";
        assert_eq!(blocks(text).len(), 2);
        assert_eq!(select(&[text.to_owned()], &BTreeSet::new()), Some(String::new()));
        assert_eq!(select(&[text.to_owned()], &BTreeSet::from([Fingerprint::from_der(b"x")])), None);
    }
}
