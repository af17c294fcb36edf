//! Compressed captures, read as what they were before: gzip and zstd, found by their magic numbers.

use std::fmt;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use flate2::bufread::GzDecoder;

/// Compressed bytes read at a time, and plain ones decoded at a time: what a damaged piece may cost.
const PIECE: usize = 1 << 16;

/// Bytes in which every magic number shows.
const MAGIC: usize = 4;

/// What libzstd says of a window beyond its bound (128 MiB).
const TOO_FAR: &str = "too much memory";

/// What libzstd says of data that were compressed with a dictionary.
const WANTS_DICTIONARY: &str = "Dictionary mismatch";

/// A compression that is undone here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    fn of(start: &[u8]) -> Option<Self> {
        match start {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            // A frame, or one that decoders skip (RFC 8878 section 3.1.2), as pzstd puts first.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// The bytes of `source`, decompressed if need be, while they come.
///
/// Where compressed data are damaged or cut off, reading fails with [`io::ErrorKind::InvalidData`], after all that
/// could be decoded.
pub(in crate::cli) fn plain(mut source: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    let mut start = vec![0; PIECE];
    let mut len = 0;
    while len < MAGIC {
        match source.read(&mut start[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    start.truncate(len);
    let compression = Compression::of(&start);
    let whole = Cursor::new(start).chain(source);
    let Some(compression) = compression else { return Ok(Box::new(whole)) };
    Ok(Box::new(Plain::new(whole, compression)?))
}

/// Decompresses, and says in plain words what is wrong with the data.
struct Plain<R: Read> {
    decoder: Decoder<R>,
    compression: Compression,
}

enum Decoder<R: Read> {
    Gzip(Members<BufReader<Tally<R>>>),
    Zstd(zstd::Decoder<'static, BufReader<Tally<R>>>),
}

impl<R: Read> Plain<Chain<Cursor<Vec<u8>>, R>> {
    fn new(source: Chain<Cursor<Vec<u8>>, R>, compression: Compression) -> io::Result<Self> {
        let source = BufReader::with_capacity(PIECE, Tally { source, read: 0, failed: false });
        let decoder = match compression {
            Compression::Gzip => Decoder::Gzip(Members(Some(Box::new(GzDecoder::new(source))))),
            Compression::Zstd => Decoder::Zstd(zstd::Decoder::with_buffer(source)?),
        };
        Ok(Self { decoder, compression })
    }
}

impl<R: Read> Plain<R> {
    /// What is wrong with the data, if it is them that the decoder complains of.
    fn explain(&self, error: io::Error) -> io::Error {
        let source = match &self.decoder {
            Decoder::Gzip(Members(member)) => member.as_ref().map(|member| member.get_ref()),
            Decoder::Zstd(decoder) => Some(decoder.get_ref()),
        };
        let Some(source) = source else { return error };
        let (tally, ahead) = (source.get_ref(), source.buffer());
        if tally.failed {
            return error;
        }
        let (compression, at) = (self.compression, tally.read - ahead.len() as u64);
        let what = match error.kind() {
            io::ErrorKind::UnexpectedEof => format!("its {compression} data end too soon, after {at} bytes"),
            _ if error.to_string().contains(TOO_FAR) => {
                "its zstd data ask for a window of more than 128 MiB: pipe in what `zstd -dc --long=31` makes of it"
                    .to_owned()
            }
            _ if error.to_string().contains(WANTS_DICTIONARY) => {
                "its zstd data were compressed with a dictionary: pipe in what `zstd -dc -D DICTIONARY` makes of it"
                    .to_owned()
            }
            _ => format!("its {compression} data are damaged before byte {at} ({error})"),
        };
        io::Error::new(io::ErrorKind::InvalidData, what)
    }
}

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = into.len().min(PIECE);
        let into = &mut into[..len];
        let result = match &mut self.decoder {
            Decoder::Gzip(decoder) => decoder.read(into),
            Decoder::Zstd(decoder) => decoder.read(into),
        };
        result.map_err(|error| self.explain(error))
    }
}

/// The members of a gzip file; zeros after one are padding (of tapes and blocks), as gzip(1) has it.
struct Members<R>(Option<Box<GzDecoder<R>>>);

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let len = member.read(into)?;
            if len > 0 || into.is_empty() || is_at_end(member.get_mut())? {
                return Ok(len);
            }
            self.0 = self.0.take().map(|member| Box::new(GzDecoder::new(member.into_inner())));
        }
        Ok(0)
    }
}

/// Passes over zeros; true where nothing follows.
fn is_at_end(source: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = match source.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let (len, ends) = (bytes.len(), zeros < bytes.len());
        source.consume(zeros);
        if ends || len == 0 {
            return Ok(!ends);
        }
    }
}

/// Counts what was read, and remembers whether reading itself failed.
struct Tally<R> {
    source: R,
    read: u64,
    failed: bool,
}

impl<R: Read> Read for Tally<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let result = self.source.read(into);
        match &result {
            Ok(read) => self.read += *read as u64,
            Err(error) => self.failed = error.kind() != io::ErrorKind::Interrupted,
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn text() -> Vec<u8> {
        (0..400_000_u32).flat_map(|i| (i % 5003).to_le_bytes()).collect()
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(plain: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    /// What can be read, and the error that ends it.
    fn read(bytes: Vec<u8>) -> (Vec<u8>, Option<io::Error>) {
        let mut out = Vec::new();
        match plain(Cursor::new(bytes)).and_then(|mut plain| plain.read_to_end(&mut out)) {
            Ok(_) => (out, None),
            Err(error) => (out, Some(error)),
        }
    }

    #[test]
    fn what_is_not_compressed_comes_through() {
        for bytes in [&b""[..], b"\x1f", b"\x28\xb5\x2f", b"\xd4\xc3\xb2\xa1 and more", &text()] {
            let (read, error) = read(bytes.to_vec());
            assert_eq!((read.as_slice(), error.is_none()), (bytes, true));
        }
    }

    #[test]
    fn members_and_frames_follow_each_other() {
        let (head, tail) = (&text()[..1_000_003], &text()[1_000_003..]);
        for compress in [gzip, zstd] {
            for bytes in [compress(&text()), [compress(head), compress(b""), compress(tail)].concat()] {
                let (read, error) = read(bytes);
                assert!(read == text() && error.is_none(), "{error:?}");
            }
        }
        let skipped = [&b"\x50\x2a\x4d\x18\x04\0\0\0abcd"[..], &zstd(head)].concat();
        assert!(read(skipped).0 == head);
    }

    #[test]
    fn zeros_after_gzip_are_padding() {
        for zeros in [1, 10, 100_000] {
            let padded = [gzip(&text()), vec![0; zeros]].concat();
            let (out, error) = read(padded.clone());
            assert!(out == text() && error.is_none(), "{zeros}: {error:?}");
            let (out, error) = read([&padded[..], b"x"].concat());
            assert!(out == text() && error.is_some(), "{zeros}");
        }
    }

    #[test]
    fn of_what_is_cut_off_the_beginning_is_read() {
        // What hardly compresses: a byte lost is a byte lost.
        let mut seed = 1_u32;
        let mut noise = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        };
        let text: Vec<u8> = (0..1_000_000).map(|_| noise()).collect();
        for compress in [gzip, zstd] {
            let whole = compress(&text);
            for len in [whole.len() - 1, whole.len() / 2, 5] {
                let (read, error) = read(whole[..len].to_vec());
                let error = error.unwrap();
                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                assert!(
                    error.to_string().contains(&format!("data end too soon, after {len} bytes")),
                    "{error}"
                );
                assert!(text.starts_with(&read));
                // zstd decodes blocks of up to 128 KiB.
                assert!(read.len() + (150 << 10) > len, "{} of {len}", read.len());
            }
        }
    }

    #[test]
    fn damage_is_told_and_what_comes_before_is_read() {
        for compress in [gzip, zstd] {
            let mut bytes = [compress(&text()), compress(&text())].concat();
            let middle = bytes.len() / 2;
            bytes[middle + 2..middle + 40].fill(0xee);
            let (read, error) = read(bytes);
            let error = error.unwrap();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains("damaged"), "{error}");
            assert!(read.starts_with(&text()), "{}", read.len());
            let mut bytes = compress(&text());
            bytes.extend(b"something else");
            let (read, error) = self::read(bytes);
            assert!(read == text() && error.is_some());
        }
    }

    #[test]
    fn a_window_beyond_bounds_takes_no_memory() {
        // A frame that asks for a window of 3.75 TiB.
        let (_, error) = read(b"\x28\xb5\x2f\xfd\x00\xff\x01\x00\x00".to_vec());
        assert!(error.unwrap().to_string().contains("`zstd -dc --long=31`"));
    }

    #[test]
    fn a_dictionary_is_asked_for() {
        // A frame that names dictionary 7.
        let (_, error) = read(b"\x28\xb5\x2f\xfd\x01\x00\x07\x01\x00\x00".to_vec());
        assert!(error.unwrap().to_string().contains("`zstd -dc -D DICTIONARY`"));
    }

    #[test]
    fn an_error_of_the_source_stays_what_it_is() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::PermissionDenied.into())
            }
        }
        for bytes in [gzip(&text()), zstd(&text())] {
            let source = Cursor::new(bytes[..1000].to_vec()).chain(Broken);
            let error = plain(source).unwrap().read_to_end(&mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        }
    }
}
