//! Pages of a list. A page starts after a name, so pages stay consistent while resources are created and deleted.

use std::fmt::Write as _;

use mesh::validate::Violation;
use sha2::{Digest, Sha256};

/// The most items of a page, and the default (API shapes `List*Limit`).
pub const MAX_LIMIT: usize = 100;

/// The length of the checksum at the start of a token, in bytes. It is long enough to detect invented tokens.
const CHECK: usize = 8;

/// A requested page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The key after which the page starts; `None` for the first page.
    pub after: Option<String>,
    /// The most items in it, 1 to [`MAX_LIMIT`].
    pub limit: usize,
}

impl Page {
    /// Parses the query parameters `limit` and `nextToken` of a list with this title.
    pub fn parse(limit: Option<&str>, next_token: Option<&str>, title: &str) -> Result<Self, Violation> {
        Ok(Self {
            after: next_token
                .map(|token| key_of(token, title).ok_or_else(|| wrong("nextToken", "is not a token of this list")))
                .transpose()?,
            limit: limit.map_or(Ok(MAX_LIMIT), parse_limit)?,
        })
    }

    /// Cuts the page from the items after its start, in order. Also returns the key that the next page starts after,
    /// if more items are left.
    pub(super) fn cut<T>(&self, items: impl Iterator<Item = T>, key: impl Fn(&T) -> &str) -> (Vec<T>, Option<String>) {
        let mut items = items.peekable();
        let page: Vec<T> = items.by_ref().take(self.limit).collect();
        let next = match (items.peek(), page.last()) {
            (Some(_), Some(last)) => Some(key(last).to_owned()),
            _ => None,
        };
        (page, next)
    }
}

fn parse_limit(text: &str) -> Result<usize, Violation> {
    match text.parse() {
        Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        _ => Err(wrong("limit", format!("must be a whole number from 1 to {MAX_LIMIT}, not {text:?}"))),
    }
}

/// The opaque token of the page after a key. It is valid for the list with this title only.
pub(super) fn token_after(key: &str, title: &str) -> String {
    let mut token = String::new();
    for byte in check(key, title).iter().chain(key.as_bytes()) {
        // Writing to a string cannot fail.
        let _ = write!(token, "{byte:02x}");
    }
    token
}

fn key_of(token: &str, title: &str) -> Option<String> {
    let bytes = unhex(token)?;
    let (given, key) = bytes.split_at_checked(CHECK)?;
    let key = std::str::from_utf8(key).ok()?;
    (given == check(key, title)).then(|| key.to_owned())
}

fn check(key: &str, title: &str) -> [u8; CHECK] {
    let digest = Sha256::new().chain_update(title.as_bytes()).chain_update([0]).chain_update(key.as_bytes()).finalize();
    let mut check = [0; CHECK];
    for (to, from) in check.iter_mut().zip(digest) {
        *to = from;
    }
    check
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    text.as_bytes().chunks_exact(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn wrong(parameter: &str, message: impl Into<String>) -> Violation {
    Violation::malformed(parameter, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_decoded_to_its_key() {
        for key in ["a", "orders.shop.local", "ü b/c", ""] {
            let token = token_after(key, "virtual nodes of mesh/shop");
            let page = Page::parse(None, Some(&token), "virtual nodes of mesh/shop").unwrap();
            assert_eq!(page.after.as_deref(), Some(key));
        }
    }

    #[test]
    fn a_token_of_another_list_or_an_altered_one_is_refused() {
        let token = token_after("orders", "meshes");
        let mut changed = token.clone();
        changed.pop();
        changed.push('0');
        for other in ["", "zz", "0", "abcd", "é0", "not a token", &changed] {
            assert_eq!(
                Page::parse(None, Some(other), "meshes"),
                Err(wrong("nextToken", "is not a token of this list")),
                "{other}"
            );
        }
        assert_eq!(Page::parse(None, Some(&token), "routes"), Err(wrong("nextToken", "is not a token of this list")));
    }

    #[test]
    fn a_limit_is_from_1_to_100() {
        for limit in ["1", "100"] {
            assert!(Page::parse(Some(limit), None, "meshes").is_ok());
        }
        for limit in ["0", "101", "-1", "ten", "", "1.5"] {
            let refused = Page::parse(Some(limit), None, "meshes").unwrap_err().to_string();
            assert_eq!(refused, format!("limit: must be a whole number from 1 to 100, not {limit:?}"));
        }
    }

    #[test]
    fn pages_cover_every_item_once() {
        let all: Vec<String> = (0..7).map(|n| format!("n{n}")).collect();
        for limit in 1..=8 {
            let mut seen = Vec::new();
            let mut after: Option<String> = None;
            loop {
                let page = Page { after: after.clone(), limit };
                let rest = all.iter().filter(|item| after.as_ref().is_none_or(|after| *item > after));
                let (items, next) = page.cut(rest, |item| item);
                assert!(items.len() <= limit);
                seen.extend(items.into_iter().cloned());
                after = next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, all, "limit {limit}");
        }
    }
}
