//! A tar archive in the ustar format, with the same bytes for the same entries.

/// One entry of an archive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'c> {
    /// The path without a leading slash; that of a folder ends with one.
    pub(crate) path: &'c str,
    pub(crate) mode: u32,
    /// The user and the group.
    pub(crate) owner: u32,
    /// The content of a file; empty for a folder.
    pub(crate) content: &'c [u8],
}

/// The size of a block.
const BLOCK: usize = 512;

/// The archive of these entries, in this order. Every entry has the time 0.
pub(crate) fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend(header(entry));
        bytes.extend_from_slice(entry.content);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    // Two empty blocks end an archive.
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    bytes
}

fn header(entry: &Entry<'_>) -> Vec<u8> {
    let kind = if entry.path.ends_with('/') { b"5" } else { b"0" };
    let mut header = Vec::with_capacity(BLOCK);
    let field = |header: &mut Vec<u8>, text: &[u8], length: usize| {
        let end = header.len() + length;
        header.extend(text.iter().take(length));
        header.resize(end, 0);
    };
    let octal = |number: u64, digits: usize| format!("{number:0digits$o}").into_bytes();
    let owner = octal(u64::from(entry.owner), 7);
    field(&mut header, entry.path.as_bytes(), 100);
    field(&mut header, &octal(u64::from(entry.mode), 7), 8);
    field(&mut header, &owner, 8);
    field(&mut header, &owner, 8);
    field(&mut header, &octal(u64::try_from(entry.content.len()).unwrap_or(u64::MAX), 11), 12);
    field(&mut header, &octal(0, 11), 12);
    // The checksum counts as spaces while it is computed.
    field(&mut header, b"        ", 8);
    field(&mut header, kind, 1);
    field(&mut header, b"", 100);
    field(&mut header, b"ustar\x0000", 8);
    header.resize(BLOCK, 0);
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    let mut checksum = octal(sum, 6);
    checksum.extend(b"\0 ");
    header.splice(148..156, checksum);
    header
}
