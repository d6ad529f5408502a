//! Byte classes and escape sequences of regular expressions.

use super::reader::RegexReader;

/// The maximum number of byte ranges in a class after sorting and merging, and so the maximum number of its steps.
const MOST_RANGES: u32 = 128;

/// The number of ranges in a class such as `\d`.
pub(super) const fn perl_class(byte: u8) -> Option<u32> {
    match byte {
        b'd' => Some(1),
        b'D' => Some(2),
        b'w' | b'S' => Some(4),
        b'W' => Some(5),
        b's' => Some(3),
        _ => None,
    }
}

/// Reads a class in brackets, after the opening bracket; returns the number of its ranges.
pub(super) fn brackets(reader: &mut RegexReader<'_>) -> Result<u32, String> {
    let mut ranges = u32::from(reader.pass(b"^"));
    let mut first = true;
    loop {
        if !first && reader.pass(b"]") {
            let cases = if reader.folds { 2 } else { 1 };
            return Ok((ranges * cases).min(MOST_RANGES));
        }
        first = false;
        ranges = ranges.saturating_add(item(reader)?);
    }
}

fn item(reader: &mut RegexReader<'_>) -> Result<u32, String> {
    if reader.text.starts_with(b"[:") && reader.text.windows(2).any(|two| two == b":]") {
        return named(reader);
    }
    if let [b'\\', escaped, ..] = reader.text {
        if let Some(ranges) = perl_class(*escaped) {
            reader.pass(&[b'\\', *escaped]);
            return Ok(ranges);
        }
        if reader.pass(b"\\p") || reader.pass(b"\\P") {
            return property(reader);
        }
    }
    let low = byte(reader)?;
    if let [b'-', next, ..] = reader.text
        && *next != b']'
    {
        reader.next();
        let high = byte(reader)?;
        if high < low {
            return Err("a range of characters ends before it begins".to_owned());
        }
    }
    Ok(1)
}

/// Reads a named class within brackets, such as `[:alpha:]`; returns the number of its ranges.
fn named(reader: &mut RegexReader<'_>) -> Result<u32, String> {
    const NAMES: [&[u8]; 14] = [
        b"alnum", b"alpha", b"ascii", b"blank", b"cntrl", b"digit", b"graph", b"lower", b"print", b"punct", b"space",
        b"upper", b"word", b"xdigit",
    ];
    let inner = reader.text.strip_prefix(b"[:").unwrap_or_default();
    let end = inner.windows(2).position(|two| two == b":]").unwrap_or(inner.len());
    let (name, rest) = inner.split_at_checked(end).unwrap_or_default();
    if !NAMES.contains(&name.strip_prefix(b"^").unwrap_or(name)) {
        return Err("a character class has an unknown name".to_owned());
    }
    reader.text = rest.get(2..).unwrap_or_default();
    Ok(5)
}

fn byte(reader: &mut RegexReader<'_>) -> Result<u8, String> {
    match reader.next() {
        None => Err("a character class is not closed".to_owned()),
        Some(b'\\') => escaped_byte(reader),
        Some(byte) => Ok(byte),
    }
}

/// Reads a property, such as `\pL`, `\p{Greek}` or `\p{^Lu}`. Returns the number of its ranges among the 256 characters
/// that a header or path can contain.
pub(super) fn property(reader: &mut RegexReader<'_>) -> Result<u32, String> {
    const CATEGORIES: &str = "C Cc Cf Cs Co L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl \
        Zp Zs Any";
    const SCRIPTS: &str = "Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki \
        Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee \
        Chorasmian Common Coptic Cuneiform Cypriot Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra \
        Duployan Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic Georgian Glagolitic Gothic Grantha Greek Gujarati \
        Gunjala_Gondi Gurmukhi Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic \
        Inherited Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kawi Kayah_Li \
        Kharoshthi Khitan_Small_Script Khmer Khojki Khudawadi Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian \
        Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin Meetei_Mayek \
        Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean \
        Nag_Mundari Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Old_Hungarian \
        Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur \
        Oriya Osage Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic \
        Samaritan Saurashtra Sharada Shavian Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese \
        Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut Telugu Thaana Thai \
        Tibetan Tifinagh Tirhuta Toto Ugaritic Vai Vithkuqi Wancho Warang_Citi Yezidi Yi Zanabazar_Square";
    let unknown = || "a Unicode class has a name that RE2 does not have".to_owned();
    let name: &[u8] = if reader.pass(b"{") {
        reader.until(b'}').ok_or_else(unknown)?
    } else {
        let (name, rest) = reader.text.split_at_checked(1).ok_or_else(unknown)?;
        reader.text = rest;
        name
    };
    let name = str::from_utf8(name.strip_prefix(b"^").unwrap_or(name)).map_err(|_| unknown())?;
    let mut known = CATEGORIES.split_whitespace().chain(SCRIPTS.split_whitespace());
    known.any(|known| known == name).then_some(8).ok_or_else(unknown)
}

/// Reads the text after a backslash; returns the byte that it represents.
pub(super) fn escaped_byte(reader: &mut RegexReader<'_>) -> Result<u8, String> {
    let octal = |byte: Option<u8>| byte.is_some_and(|byte| (b'0'..=b'7').contains(&byte));
    match reader.next() {
        None => Err("it ends with a backslash".to_owned()),
        Some(first @ b'1'..=b'7') if !octal(reader.peek()) => {
            Err(format!("back-references are not supported (\\{})", char::from(first)))
        }
        Some(first @ b'0'..=b'7') => {
            let mut value = u32::from(first - b'0');
            for _ in 0..2 {
                if let Some(digit) = reader.peek().filter(|digit| octal(Some(*digit))) {
                    reader.next();
                    value = value * 8 + u32::from(digit - b'0');
                }
            }
            u8::try_from(value).map_err(|_| "an octal character is beyond 255".to_owned())
        }
        Some(b'x') => hexadecimal(reader),
        Some(b'n') => Ok(b'\n'),
        Some(b'r') => Ok(b'\r'),
        Some(b't') => Ok(b'\t'),
        Some(b'a') => Ok(0x07),
        Some(b'f') => Ok(0x0c),
        Some(b'v') => Ok(0x0b),
        Some(byte) if byte.is_ascii() && !byte.is_ascii_alphanumeric() => Ok(byte),
        Some(byte) => Err(format!("RE2 has no escape \\{}", char::from(byte))),
    }
}

fn hexadecimal(reader: &mut RegexReader<'_>) -> Result<u8, String> {
    let digits = if reader.pass(b"{") {
        reader.until(b'}')
    } else {
        let two = reader.text.split_at_checked(2);
        two.map(|(digits, rest)| {
            reader.text = rest;
            digits
        })
    };
    let value = digits
        .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        .and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
    value.ok_or_else(|| "\\x is not followed by a hexadecimal number up to ff".to_owned())
}
