//! Classes of bytes, and what is escaped.

use super::reader::Reader;

/// How many ranges of bytes a class may have at most once it is put in order, and so how many steps.
const MOST_RANGES: u32 = 128;

/// The ranges of `\d` and the like.
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

/// The ranges of a class in brackets, after the opening one.
pub(super) fn brackets(reader: &mut Reader<'_>) -> Result<u32, String> {
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

fn item(reader: &mut Reader<'_>) -> Result<u32, String> {
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
            return Err("it has a range that ends before it begins".to_owned());
        }
    }
    Ok(1)
}

/// `[:alpha:]` and the like, within brackets.
fn named(reader: &mut Reader<'_>) -> Result<u32, String> {
    const NAMES: [&[u8]; 14] = [
        b"alnum", b"alpha", b"ascii", b"blank", b"cntrl", b"digit", b"graph", b"lower", b"print", b"punct", b"space",
        b"upper", b"word", b"xdigit",
    ];
    let inner = reader.text.strip_prefix(b"[:").unwrap_or_default();
    let end = inner.windows(2).position(|two| two == b":]").unwrap_or(inner.len());
    let (name, rest) = inner.split_at_checked(end).unwrap_or_default();
    if !NAMES.contains(&name.strip_prefix(b"^").unwrap_or(name)) {
        return Err("it has a class whose name isn't one".to_owned());
    }
    reader.text = rest.get(2..).unwrap_or_default();
    Ok(5)
}

fn byte(reader: &mut Reader<'_>) -> Result<u8, String> {
    match reader.next() {
        None => Err("it has a class that doesn't end".to_owned()),
        Some(b'\\') => escaped_byte(reader),
        Some(byte) => Ok(byte),
    }
}

/// `\pL`, `\p{Greek}`, `\p{^Lu}`: the ranges among the 256 characters that can stand in a header or path.
pub(super) fn property(reader: &mut Reader<'_>) -> Result<u32, String> {
    const CATEGORIES: &str = "C Cc Cf Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So \
        Z Zl Zp Zs Any Arabic Armenian Bengali Common Cyrillic Devanagari Georgian Greek Han Hangul Hebrew Hiragana \
        Inherited Katakana Latin Tamil Thai";
    let unknown = || "it has a class of characters that isn't known here".to_owned();
    let name: &[u8] = if reader.pass(b"{") {
        reader.until(b'}').ok_or_else(unknown)?
    } else {
        let (name, rest) = reader.text.split_at_checked(1).ok_or_else(unknown)?;
        reader.text = rest;
        name
    };
    let name = str::from_utf8(name.strip_prefix(b"^").unwrap_or(name)).map_err(|_| unknown())?;
    CATEGORIES.split_whitespace().any(|known| known == name).then_some(8).ok_or_else(unknown)
}

/// What a backslash and what follows it stand for.
pub(super) fn escaped_byte(reader: &mut Reader<'_>) -> Result<u8, String> {
    let octal = |byte: Option<u8>| byte.is_some_and(|byte| (b'0'..=b'7').contains(&byte));
    match reader.next() {
        None => Err("it ends with a backslash".to_owned()),
        Some(first @ b'1'..=b'7') if !octal(reader.peek()) => {
            Err(format!("it has a back-reference, \\{}", char::from(first)))
        }
        Some(first @ b'0'..=b'7') => {
            let mut value = u32::from(first - b'0');
            for _ in 0..2 {
                if let Some(digit) = reader.peek().filter(|digit| octal(Some(*digit))) {
                    reader.next();
                    value = value * 8 + u32::from(digit - b'0');
                }
            }
            u8::try_from(value).map_err(|_| "it has a character beyond 255".to_owned())
        }
        Some(b'x') => hexadecimal(reader),
        Some(b'n') => Ok(b'\n'),
        Some(b'r') => Ok(b'\r'),
        Some(b't') => Ok(b'\t'),
        Some(b'a') => Ok(0x07),
        Some(b'f') => Ok(0x0c),
        Some(b'v') => Ok(0x0b),
        Some(byte) if byte.is_ascii() && !byte.is_ascii_alphanumeric() => Ok(byte),
        Some(byte) => Err(format!("RE2 doesn't know \\{}", char::from(byte))),
    }
}

fn hexadecimal(reader: &mut Reader<'_>) -> Result<u8, String> {
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
    value.ok_or_else(|| "it has \\x without a number up to ff".to_owned())
}
