//! Archives with the same bytes for the same content: no times, a fixed order, fixed permissions.

use std::io::Write as _;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc, GzBuilder};

use crate::image::tar::{Entry, archive};
use stack::failure::{Failure, Result};

/// The signatures of a zip file's parts.
const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
/// The first of January 1980, the earliest date of a zip file.
const DATE: u16 = 0x0021;
const DEFLATED: u16 = 8;
const VERSION: u16 = 20;
/// Made on Unix, which makes the permissions valid.
const MADE_BY: u16 = 3 << 8 | VERSION;
/// A regular file with the mode 0755.
const EXECUTABLE: u32 = 0o100_755 << 16;

/// A zip file with one executable file.
pub(super) fn zip(name: &str, content: &[u8]) -> Result<Vec<u8>> {
    let compressing = Failure::file("compress", name);
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    let compressed = encoder.write_all(content).and_then(|()| encoder.finish()).map_err(compressing)?;
    let too_large = || Failure::Unreadable { path: name.into(), why: "it is too large for a zip file".to_owned() };
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| too_large());
    let mut crc = Crc::new();
    crc.update(content);
    // The part that a file's own header and the directory have in common.
    let mut common = Vec::new();
    for number in [VERSION, 0, DEFLATED, 0, DATE] {
        common.extend(number.to_le_bytes());
    }
    for number in [crc.sum(), size(&compressed)?, size(content)?] {
        common.extend(number.to_le_bytes());
    }
    let name_length = u16::try_from(name.len()).map_err(|_| too_large())?;
    common.extend(name_length.to_le_bytes());
    common.extend(0_u16.to_le_bytes());

    let mut file = LOCAL.to_le_bytes().to_vec();
    file.extend(&common);
    file.extend(name.as_bytes());
    file.extend(&compressed);
    let directory_at = size(&file)?;

    let mut directory = CENTRAL.to_le_bytes().to_vec();
    directory.extend(MADE_BY.to_le_bytes());
    directory.extend(&common);
    // No comment, the first disk, no internal attributes.
    directory.extend([0; 6]);
    directory.extend(EXECUTABLE.to_le_bytes());
    directory.extend(0_u32.to_le_bytes());
    directory.extend(name.as_bytes());
    let directory_size = size(&directory)?;

    file.extend(directory);
    file.extend(END.to_le_bytes());
    for number in [0_u16, 0, 1, 1] {
        file.extend(number.to_le_bytes());
    }
    file.extend(directory_size.to_le_bytes());
    file.extend(directory_at.to_le_bytes());
    file.extend(0_u16.to_le_bytes());
    Ok(file)
}

/// A compressed tar archive of files, by their paths.
pub(super) fn tar_gz(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let entries: Vec<Entry<'_>> =
        files.iter().map(|(path, content)| Entry { path, mode: 0o644, owner: 0, content }).collect();
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::best());
    let written = encoder.write_all(&archive(&entries)).and_then(|()| encoder.finish());
    written.map_err(Failure::file("compress", "the archive"))
}
