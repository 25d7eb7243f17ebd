//! What bytes on a connection mean: an HTTP/1.1 answer, taken in piece by piece. Pure.
//!
//! A generator reads answers of one kind by the hundred thousand, and all it wants to know of one is its status, its body
//! and whether the connection may be used again. A general client spends more on an answer than the rest of a request
//! together; this takes what is needed, over [`httparse`] for the head, and is as strict as is safe: what could be read in
//! two ways is refused.

use http::StatusCode;

/// Most header lines of an answer.
const MOST_HEADERS: usize = 100;

/// Largest head of an answer, in bytes.
const LARGEST_HEAD: usize = 64 * 1024;

/// Longest line that gives the size of a chunk, in bytes: sixteen digits and whatever extension.
const LONGEST_CHUNK_LINE: usize = 4096;

/// Why bytes are no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// They do not begin like one.
    #[error("{0}")]
    Head(#[from] httparse::Error),
    /// It has no end.
    #[error("its head is larger than {LARGEST_HEAD} bytes")]
    TooLong,
    /// The status is no number between 100 and 999.
    #[error("its status is no status")]
    Status,
    /// Where its body ends cannot be told.
    #[error("the length of its body is not clear")]
    Length,
    /// A chunk of the body does not say how long it is.
    #[error("a chunk of its body has no size")]
    Chunk,
}

/// What is known of an answer when its head is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Its status.
    pub(super) status: StatusCode,
    /// Cookies that it sets.
    pub(super) cookies: Vec<String>,
    /// Whether another request may follow on the connection.
    keeps_alive: bool,
    framing: Framing,
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// After so many bytes.
    Length(u64),
    /// After the last chunk.
    Chunked(Chunk),
    /// With the connection.
    UntilClose,
}

/// Where in a chunked body we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    /// Before the line with a size.
    Size,
    /// In a chunk, with so many bytes to come.
    Data(u64),
    /// Before the line end behind a chunk.
    End,
    /// After the last chunk, before the empty line behind the trailers.
    Trailers,
    /// At the end.
    Over,
}

/// An answer that is being read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    head: Option<Head>,
    body: Vec<u8>,
}

/// How far a reading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It needs more.
    Unfinished,
    /// The answer is complete.
    Complete,
}

impl Reading {
    /// Takes bytes from the front of `input`, as many as can be understood, and drops them there.
    ///
    /// # Errors
    ///
    /// When they can be no answer.
    pub(super) fn take(&mut self, input: &mut Input) -> Result<Progress, Malformed> {
        while self.head.is_none() {
            match parse_head(input.unread())? {
                None => return Ok(Progress::Unfinished),
                Some((head, length)) => {
                    input.consume(length);
                    // Something like "100 Continue" comes before the answer.
                    if !head.status.is_informational() {
                        self.head = Some(head);
                    }
                }
            }
        }
        let head = self.head.as_mut().expect("it is there now");
        take_body(&mut head.framing, &mut self.body, input)
    }

    /// The connection has ended: whether the answer is complete all the same.
    pub(super) fn ends_with_connection(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.framing == Framing::UntilClose)
    }

    /// The status, as soon as it is known.
    pub(super) fn status(&self) -> Option<StatusCode> {
        self.head.as_ref().map(|head| head.status)
    }

    /// How much of the body is there.
    pub(super) fn body_len(&self) -> usize {
        self.body.len()
    }

    /// The answer, and whether another request may follow on the connection.
    pub(super) fn finish(self) -> Option<(Head, Vec<u8>, bool)> {
        let head = self.head?;
        let reusable = head.keeps_alive && head.framing != Framing::UntilClose;
        Some((head, self.body, reusable))
    }
}

/// Bytes that came over a connection and are not understood yet.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    from: usize,
}

impl Input {
    /// What is not consumed.
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.from..]
    }

    /// Adds what came.
    pub(super) fn add(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
    }

    fn consume(&mut self, length: usize) {
        self.from += length;
        if self.from == self.bytes.len() {
            self.bytes.clear();
            self.from = 0;
        }
    }
}

/// The head at the beginning of these bytes and its length, if it is complete.
fn parse_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Malformed> {
    let mut headers = [const { std::mem::MaybeUninit::uninit() }; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        bytes,
        &mut headers,
    )?;
    let length = match parsed {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial if bytes.len() > LARGEST_HEAD => return Err(Malformed::TooLong),
        httparse::Status::Partial => return Ok(None),
    };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Malformed::Status)?;
    let mut keeps_alive = response.version == Some(1);
    let (mut content_length, mut chunked, mut cookies) = (None, false, Vec::new());
    for header in response.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        // By length first: most headers are told from all four without looking at them.
        match header.name.len() {
            14 if is("content-length") => {
                let length = parse_length(header.value).ok_or(Malformed::Length)?;
                if content_length.is_some_and(|other| other != length) {
                    return Err(Malformed::Length);
                }
                content_length = Some(length);
            }
            17 if is("transfer-encoding") => {
                if chunked || !header.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err(Malformed::Length);
                }
                chunked = true;
            }
            10 if is("connection") => {
                for option in header.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    if option.eq_ignore_ascii_case(b"close") {
                        keeps_alive = false;
                    } else if option.eq_ignore_ascii_case(b"keep-alive") {
                        keeps_alive = true;
                    }
                }
            }
            10 if is("set-cookie") => cookies.push(String::from_utf8_lossy(header.value).into_owned()),
            _ => {}
        }
    }
    let framing = if status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
    {
        Framing::Length(0)
    } else {
        match (chunked, content_length) {
            // Two lengths are how one answer is made to look like two.
            (true, Some(_)) => return Err(Malformed::Length),
            (true, None) => Framing::Chunked(Chunk::Size),
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::UntilClose,
        }
    };
    Ok(Some((Head { status, cookies, keeps_alive, framing }, length)))
}

fn parse_length(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value.trim_ascii()).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn take_body(framing: &mut Framing, body: &mut Vec<u8>, input: &mut Input) -> Result<Progress, Malformed> {
    match framing {
        Framing::UntilClose => {
            let length = input.unread().len();
            body.extend_from_slice(input.unread());
            input.consume(length);
            Ok(Progress::Unfinished)
        }
        Framing::Length(left) => {
            move_bytes(left, body, input);
            Ok(if *left == 0 { Progress::Complete } else { Progress::Unfinished })
        }
        Framing::Chunked(chunk) => take_chunks(chunk, body, input),
    }
}

/// Moves at most `left` bytes and takes them off it.
fn move_bytes(left: &mut u64, body: &mut Vec<u8>, input: &mut Input) {
    let length = input.unread().len().min(usize::try_from(*left).unwrap_or(usize::MAX));
    body.extend_from_slice(&input.unread()[..length]);
    input.consume(length);
    *left -= length as u64;
}

fn take_chunks(chunk: &mut Chunk, body: &mut Vec<u8>, input: &mut Input) -> Result<Progress, Malformed> {
    loop {
        match chunk {
            Chunk::Over => return Ok(Progress::Complete),
            Chunk::Data(0) => *chunk = Chunk::End,
            Chunk::Data(left) => {
                if input.unread().is_empty() {
                    return Ok(Progress::Unfinished);
                }
                move_bytes(left, body, input);
            }
            Chunk::Size | Chunk::End | Chunk::Trailers => {
                let Some(end) = input.unread().iter().position(|byte| *byte == b'\n') else {
                    if input.unread().len() > LONGEST_CHUNK_LINE {
                        return Err(Malformed::Chunk);
                    }
                    return Ok(Progress::Unfinished);
                };
                let line = input.unread()[..end].strip_suffix(b"\r").ok_or(Malformed::Chunk)?;
                *chunk = after_line(*chunk, line)?;
                input.consume(end + 1);
            }
        }
    }
}

/// Where a line between chunks leads.
fn after_line(chunk: Chunk, line: &[u8]) -> Result<Chunk, Malformed> {
    match chunk {
        Chunk::Size => match parse_chunk_size(line).ok_or(Malformed::Chunk)? {
            0 => Ok(Chunk::Trailers),
            size => Ok(Chunk::Data(size)),
        },
        Chunk::End if line.is_empty() => Ok(Chunk::Size),
        Chunk::Trailers if line.is_empty() => Ok(Chunk::Over),
        Chunk::Trailers => Ok(Chunk::Trailers),
        Chunk::End | Chunk::Data(_) | Chunk::Over => Err(Malformed::Chunk),
    }
}

fn parse_chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
    if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads an answer that comes in these pieces; what is left of the input comes along.
    fn read(pieces: &[&[u8]]) -> Result<(Progress, Reading, Vec<u8>), Malformed> {
        let (mut reading, mut input) = (Reading::default(), Input::default());
        let mut progress = Progress::Unfinished;
        for piece in pieces {
            input.add(piece);
            if progress == Progress::Unfinished {
                progress = reading.take(&mut input)?;
            }
        }
        Ok((progress, reading, input.unread().to_vec()))
    }

    fn complete(answer: &str) -> (u16, String, bool) {
        let (progress, reading, rest) = read(&[answer.as_bytes()]).expect("an answer");
        assert_eq!((progress, rest.len()), (Progress::Complete, 0), "{answer:?}");
        let (head, body, reusable) = reading.finish().expect("a head");
        (head.status.as_u16(), String::from_utf8(body).expect("text"), reusable)
    }

    #[test]
    fn answers_end_where_they_say() {
        for (answer, status, body, reusable) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, "ok", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", true),
            ("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true),
            ("HTTP/1.1 201 \r\nconnection: close\r\ncontent-length: 1\r\n\r\nx", 201, "x", false),
            ("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", 200, "x", false),
            ("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx", 200, "x", true),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", 200, "x", true),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=1\r\n world\r\n0\r\na: b\r\n\r\n",
                200,
                "hello world",
                true,
            ),
        ] {
            assert_eq!(complete(answer), (status, body.to_owned(), reusable), "{answer:?}");
        }
    }

    #[test]
    fn an_answer_without_a_length_ends_with_its_connection() {
        let (progress, reading, _) =
            read(&[b"HTTP/1.1 200 OK\r\n\r\n", b"all of", b" it"]).expect("an answer");
        assert_eq!(progress, Progress::Unfinished);
        assert!(reading.ends_with_connection());
        let (_, body, reusable) = reading.finish().expect("a head");
        assert_eq!((body.as_slice(), reusable), (&b"all of it"[..], false));
    }

    #[test]
    fn what_comes_behind_an_answer_is_left() {
        let (_, _, rest) =
            read(&[b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200"]).expect("an answer");
        assert_eq!(rest, b"HTTP/1.1 200");
    }

    #[test]
    fn what_can_be_read_in_two_ways_or_not_at_all_is_refused() {
        for (answer, error) in [
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n", Malformed::Head(httparse::Error::Version)),
            ("HTTP/1.1 2x0 OK\r\n\r\n", Malformed::Head(httparse::Error::Status)),
            ("HTTP/1.1 042 OK\r\n\r\n", Malformed::Status),
            ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", Malformed::Length),
            ("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", Malformed::Length),
            ("HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\n", Malformed::Length),
            ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", Malformed::Length),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", Malformed::Length),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", Malformed::Chunk),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\nx", Malformed::Chunk),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxx\r\n", Malformed::Chunk),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff1\r\n", Malformed::Chunk),
        ] {
            assert_eq!(read(&[answer.as_bytes()]).expect_err("refused"), error, "{answer:?}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(LARGEST_HEAD));
        assert_eq!(read(&[endless.as_bytes()]).expect_err("refused"), Malformed::TooLong);
    }

    #[test]
    fn cookies_are_kept() {
        let answer = b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=1; Path=/\r\nset-cookie: b=2\r\n\r\n";
        let (_, reading, _) = read(&[answer]).expect("an answer");
        assert_eq!(reading.finish().expect("a head").0.cookies, ["a=1; Path=/", "b=2"]);
    }

    proptest! {
        /// However an answer is cut into pieces, it is the same answer.
        #[test]
        fn pieces_make_no_difference(
            body in "[ -~\r\n]{0,60}",
            chunks in prop::option::of(prop::collection::vec(1usize..20, 1..10)),
            cuts in prop::collection::vec(0usize..200, 0..8),
        ) {
            let answer = match &chunks {
                None => format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()),
                Some(sizes) => {
                    let mut answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
                    let (mut rest, mut sizes) = (body.as_str(), sizes.iter().cycle());
                    while !rest.is_empty() {
                        let size = sizes.next().map_or(1, |size| (*size).min(rest.len()));
                        let (chunk, later) = rest.split_at(size);
                        answer.push_str(&format!("{size:x}\r\n{chunk}\r\n"));
                        rest = later;
                    }
                    answer + "0\r\n\r\n"
                }
            };
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut % (answer.len() + 1)).collect();
            cuts.extend([0, answer.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|pair| &answer.as_bytes()[pair[0]..pair[1]]).collect();
            let (progress, reading, rest) = read(&pieces).expect("an answer");
            prop_assert_eq!((progress, rest.len()), (Progress::Complete, 0));
            prop_assert_eq!(reading.finish().expect("a head").1, body.as_bytes());
        }

        /// Whatever comes: an answer, an error or the wish for more, and never a panic.
        #[test]
        fn nothing_surprises_it(
            start in prop::sample::select(vec!["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"]),
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = read(&[start.as_bytes(), &bytes]);
        }
    }

    #[test]
    fn fuzzed_answers_end_or_are_refused() {
        let seeds = [
            "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{\"name\":\"a\"}",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nt: x\r\n\r\nHTTP/1.1 ",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 204 No Content\r\nset-cookie: session=x\r\nconnection: close\r\n\r\n",
        ];
        crate::fuzz::fuzz(&seeds, |bytes, random| {
            // The same bytes at once and in pieces are the same answer.
            let (mut whole, mut input) = (Reading::default(), Input::default());
            input.add(bytes);
            let at_once = whole.take(&mut input);
            let (mut pieces, mut input) = (Reading::default(), Input::default());
            let (mut left, mut in_pieces) = (bytes, Ok(Progress::Unfinished));
            while in_pieces == Ok(Progress::Unfinished) && !left.is_empty() {
                let (piece, rest) = left.split_at(1 + random.below(left.len().min(40)));
                input.add(piece);
                in_pieces = pieces.take(&mut input);
                left = rest;
            }
            if at_once == Ok(Progress::Complete) {
                assert_eq!(in_pieces, at_once);
                assert!(whole.body_len() <= bytes.len());
                assert_eq!(pieces.finish(), whole.finish());
            }
        });
    }
}
