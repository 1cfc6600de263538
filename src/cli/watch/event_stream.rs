//! Recognitions from a running instance, as Server-Sent Events.

use std::time::Duration;

use anyhow::{Context, bail};
use http::{StatusCode, header};

use super::super::cause;
use super::{BACKOFF, Consumer, Fate};
use crate::runtime::client_for;
use crate::settings::Secret;

/// A connection without data for this long is dead: the server sends a comment every 15 seconds.
const SILENCE: Duration = Duration::from_mins(1);
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How often a command is run for one recognition. Unlike a subscription, a stream does not deliver it again.
const OFFERS: u32 = 5;
/// In bytes, longer than any recognition: a longer event is not one.
const LONGEST: usize = 1 << 20;

/// How a connection ended.
enum Ended {
    /// The consumer is finished.
    Over,
    /// It was lost, and why.
    Lost(String),
}

pub(super) async fn consume(
    from: &str,
    token: Option<&Secret>,
    mut consumer: Consumer,
) -> anyhow::Result<()> {
    let client = client_for(&from.parse()?)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .build()?;
    let mut place = Place { url: format!("{from}/v1/recognitions/stream"), last: None, losses: 0 };
    let stop = consumer.stop.clone();
    loop {
        let connected = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            connected = connect(&client, &place, token) => connected?,
        };
        let ended = match connected {
            Ok(response) => read(response, &mut place, &mut consumer).await?,
            Err(why) => Ended::Lost(why),
        };
        let Ended::Lost(why) = ended else {
            return Ok(());
        };
        let wait = BACKOFF.after(place.losses);
        tracing::warn!("{}: {why}; trying again in {wait:?}", place.url);
        place.losses += 1;
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// The position in the stream.
struct Place {
    url: String,
    /// The last id that was handled.
    last: Option<Vec<u8>>,
    /// How many connections were lost in a row.
    losses: u32,
}

impl Place {
    /// An empty id is none.
    fn keep(&mut self, id: Vec<u8>) {
        if !id.is_empty() {
            self.last = Some(id);
        }
    }
}

/// Requests the stream. After the inner error it can be tried again, after the outer it cannot.
async fn connect(
    client: &reqwest::Client,
    place: &Place,
    token: Option<&Secret>,
) -> anyhow::Result<Result<reqwest::Response, String>> {
    let url = &place.url;
    let mut request = client.get(url).header(header::ACCEPT, "text/event-stream");
    if let Some(token) = token {
        request = request.bearer_auth(token.expose());
    }
    if let Some(last) = &place.last {
        request = request.header("last-event-id", last.as_slice());
    }
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) if error.is_builder() => return Err(error).context("the request cannot be made"),
        Err(error) => {
            return Ok(Err(format!("no answer: {}; is `plaudit serve` running there?", cause(&error))));
        }
    };
    let status = response.status();
    let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    if status.is_server_error() || passing.contains(&status) {
        return Ok(Err(format!("it answers {status}")));
    }
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        bail!("{url} answers {status}; set PLAUDIT_TOKEN or PLAUDIT_TOKEN_FILE to a token that may read");
    }
    if status != StatusCode::OK {
        bail!("{url} answers {status}; --from takes the address of a running plaudit");
    }
    let kind = response.headers().get(header::CONTENT_TYPE);
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
        bail!("{url} is no event stream; --from takes the address of a running plaudit");
    }
    Ok(Ok(response))
}

async fn read(
    mut response: reqwest::Response,
    place: &mut Place,
    consumer: &mut Consumer,
) -> anyhow::Result<Ended> {
    let mut parser = Parser::default();
    let stop = consumer.stop.clone();
    loop {
        let chunk = tokio::select! {
            () = stop.cancelled() => return Ok(Ended::Over),
            chunk = response.chunk() => chunk,
        };
        let events = match chunk {
            Ok(Some(chunk)) => {
                place.losses = 0;
                parser.push(&chunk)
            }
            Ok(None) => return Ok(Ended::Lost("the stream ended".into())),
            Err(error) => return Ok(Ended::Lost(format!("{:#}", anyhow::Error::new(error)))),
        };
        let Some(events) = events else {
            return Ok(Ended::Lost(format!("an event of more than {LONGEST} bytes")));
        };
        for event in events {
            if !offer(&event, consumer).await? {
                return Ok(Ended::Over);
            }
            place.keep(event.id);
            if consumer.full() {
                return Ok(Ended::Over);
            }
        }
        place.keep(parser.last_id.clone());
    }
}

/// Gives one event to the consumer, several times if its command fails; returns whether to go on.
async fn offer(event: &Event, consumer: &mut Consumer) -> anyhow::Result<bool> {
    let stop = consumer.stop.clone();
    for offer in 0..OFFERS {
        let why = match consumer.take(&event.data).await? {
            Fate::Done | Fate::Repeat => return Ok(true),
            Fate::Over => return Ok(false),
            Fate::Foreign(why) => {
                tracing::warn!("an event that is not a recognition is ignored: {why}");
                return Ok(true);
            }
            Fate::Failed(why) => why,
        };
        tracing::warn!("{why}; try {} of {OFFERS}", offer + 1);
        if offer + 1 < OFFERS {
            tokio::select! {
                () = stop.cancelled() => return Ok(false),
                () = tokio::time::sleep(BACKOFF.after(offer)) => {}
            }
        }
    }
    tracing::error!("a recognition is given up after {OFFERS} tries; with a subscription it would be kept");
    Ok(true)
}

/// One event with data.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    id: Vec<u8>,
    data: Vec<u8>,
}

/// Splits bytes into events as the HTML standard says, wherever the chunks are cut. The fields `event` and
/// `retry` are not used.
#[derive(Default)]
struct Parser {
    line: Vec<u8>,
    data: Vec<u8>,
    id: Vec<u8>,
    /// The id of the last event that is complete, with data or without.
    last_id: Vec<u8>,
    after_cr: bool,
    begun: bool,
}

impl Parser {
    /// The events that `chunk` completes; `None` if one is too long.
    fn push(&mut self, chunk: &[u8]) -> Option<Vec<Event>> {
        let mut events = Vec::new();
        for &byte in chunk {
            let second_half = std::mem::take(&mut self.after_cr) && byte == b'\n';
            match byte {
                b'\n' if second_half => {}
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    events.extend(self.end_line());
                }
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > LONGEST {
                return None;
            }
        }
        Some(events)
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let mark: &[u8] = if std::mem::replace(&mut self.begun, true) { b"" } else { b"\xEF\xBB\xBF" };
        let line = line.strip_prefix(mark).unwrap_or(&line);
        if line.is_empty() {
            self.last_id.clone_from(&self.id);
            let mut data = std::mem::take(&mut self.data);
            data.pop()?;
            let id = self.id.clone();
            return Some(Event { id, data });
        }
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let field = parts.next().unwrap_or_default();
        let value = parts.next().unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"id" if !value.contains(&0) => self.id = value.to_vec(),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events(text: &[u8]) -> Vec<(String, String)> {
        let text_of = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let events = Parser::default().push(text).unwrap();
        events.into_iter().map(|e| (text_of(e.id), text_of(e.data))).collect()
    }

    fn pair(id: &str, data: &str) -> (String, String) {
        (id.to_owned(), data.to_owned())
    }

    #[test]
    fn comments_types_and_unknown_fields_say_nothing() {
        let text = b": keep alive\n\nevent: recognition\nretry: 9\nwhatever\nid: a:3\ndata: {}\n\n: more\n\n";
        assert_eq!(events(text), [pair("a:3", "{}")]);
    }

    #[test]
    fn lines_end_as_they_like_and_data_may_have_several() {
        let text = b"\xEF\xBB\xBFdata: 1\r\ndata:2\r\rdata:  3\n\nid: x\ndata\n\n";
        assert_eq!(events(text), [pair("", "1\n2"), pair("", " 3"), pair("x", "")]);
    }

    #[test]
    fn an_id_holds_until_the_next_and_an_unfinished_event_is_none() {
        let text = b"id: a\ndata: 1\n\ndata: 2\n\nid\ndata: 3\n\nid: b\x00\ndata: 4\n\ndata: 5\n";
        let expected = [pair("a", "1"), pair("a", "2"), pair("", "3"), pair("", "4")];
        assert_eq!(events(text), expected);
    }

    #[test]
    fn the_place_is_that_of_the_last_event_that_is_complete_also_without_data() {
        let mut parser = Parser::default();
        assert_eq!(parser.push(b"id: @1\n\n"), Some(Vec::new()));
        assert_eq!(parser.last_id, b"@1");
        parser.push(b"id: ada:3\ndata: {}\n").unwrap();
        assert_eq!(parser.last_id, b"@1");
    }

    #[test]
    fn an_event_without_end_is_not_collected_for_ever() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; LONGEST / 2 + 1];
        assert!(parser.push(&piece).is_some() && parser.push(&piece).is_none());
    }

    proptest! {
        #[test]
        fn events_are_the_same_however_the_bytes_arrive(
            lines in prop::collection::vec("(id|data|:|)(: ?)?[a-zä]{0,3}(\r|\n|\r\n|\n\n|\r\n\r\n)", 0..20),
            cuts in prop::collection::vec(1_usize..9, 1..200),
        ) {
            let text = lines.concat().into_bytes();
            let whole = Parser::default().push(&text).unwrap();
            let mut parser = Parser::default();
            let (mut rest, mut pieced) = (text.as_slice(), Vec::new());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                pieced.extend(parser.push(now).unwrap());
                rest = later;
            }
            prop_assert_eq!(whole, pieced);
        }
    }
}
