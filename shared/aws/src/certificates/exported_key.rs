//! Decrypts the key of an exported certificate, which is encrypted under a passphrase that the caller chose.

use pkcs8::der::SecretDocument;
use pkcs8::der::pem::LineEnding;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use ports::certificates::PrivateKey;
use uuid::Uuid;
use zeroize::Zeroizing;

/// The reason why an exported key cannot be used. It contains nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExportedKeyError {
    #[error("invalid exported key: expected PEM text")]
    Pem,
    #[error("invalid exported key: expected an encrypted PKCS#8 key")]
    Encryption,
    #[error("failed to decrypt the exported key with its passphrase")]
    Passphrase,
    #[error("invalid exported key: the decrypted content is not a PKCS#8 key")]
    Key,
}

/// Generates a passphrase for one export, which is not stored: 244 random bits, in characters that ACM accepts.
pub(super) fn passphrase() -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(64));
    for half in [Uuid::new_v4(), Uuid::new_v4()] {
        text.push_str(half.simple().encode_lower(&mut Uuid::encode_buffer()));
    }
    text
}

/// Decrypts the key.
pub(super) fn open(encrypted: &str, passphrase: &str) -> Result<PrivateKey, ExportedKeyError> {
    let (_, document) = SecretDocument::from_pem(encrypted).map_err(|_| ExportedKeyError::Pem)?;
    let encrypted =
        EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| ExportedKeyError::Encryption)?;
    let key = encrypted.decrypt(passphrase).map_err(|_| ExportedKeyError::Passphrase)?;
    key.decode_msg::<PrivateKeyInfoRef<'_>>().map_err(|_| ExportedKeyError::Key)?;
    key.to_pem("PRIVATE KEY", LineEnding::LF).map(PrivateKey::new).map_err(|_| ExportedKeyError::Key)
}

#[cfg(test)]
mod tests {
    use pkcs8::pkcs5::pbes2::{EncryptionScheme, Kdf, Parameters, Pbkdf2Params, Pbkdf2Prf};
    use ports::certificates::{KeyAlgorithm, KeyMaker, SubjectNames, SystemKeys};

    use super::*;

    #[test]
    fn key_is_decrypted_for_each_encryption_scheme() {
        let key = SystemKeys.make(&KeyAlgorithm::EcPrime256v1, &SubjectNames::default()).unwrap().key;
        let (_, der) = SecretDocument::from_pem(key.pem()).unwrap();
        let info: PrivateKeyInfoRef<'_> = der.decode_msg().unwrap();
        for (prf, encryption) in [
            (Pbkdf2Prf::HmacWithSha256, EncryptionScheme::Aes256Cbc { iv: [7; 16] }),
            (Pbkdf2Prf::HmacWithSha1, EncryptionScheme::DesEde3Cbc { iv: [7; 8] }),
        ] {
            let salt = [3; 8].as_slice().try_into().unwrap();
            let kdf = Kdf::Pbkdf2(Pbkdf2Params { salt, iteration_count: 2048, key_length: None, prf });
            let encrypted = info.encrypt_with_params(Parameters { kdf, encryption }, "pass").unwrap();
            let encrypted = encrypted.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).unwrap();
            assert_eq!(open(&encrypted, "pass").as_ref(), Ok(&key));
            assert_eq!(open(&encrypted, "other"), Err(ExportedKeyError::Passphrase));
        }
        // A key that is not encrypted at all is rejected.
        assert_eq!(open(key.pem(), "pass"), Err(ExportedKeyError::Encryption));
    }

    #[test]
    fn each_passphrase_is_unique_and_accepted_by_acm() {
        let [one, other] = [passphrase(), passphrase()];
        assert_ne!(one, other);
        // ACM: 4 to 128 ASCII characters, none of `#`, `$` and `%`.
        assert!(one.len() == 64 && one.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }

    #[test]
    fn error_of_an_invalid_key_hides_its_text() {
        for text in ["", "hush", "-----BEGIN PRIVATE KEY-----\naHVzaA==\n-----END PRIVATE KEY-----\n"] {
            let error = open(text, "pass").unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hush"));
        }
    }
}
