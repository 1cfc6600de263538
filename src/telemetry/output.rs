//! How lines reach standard error: a bounded queue, and one thread that writes.
//!
//! Nothing but that thread waits for the reader of standard error. While it does not read, lines are queued; a
//! line that finds the queue full is dropped and counted.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd as _;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many bytes may be queued.
const CAPACITY: u64 = 4 * 1024 * 1024;

/// How many more for [`Urgency::Urgent`] and [`Urgency::Fatal`] lines.
const RESERVE: u64 = 1024 * 1024;

/// How much of the queue's memory is kept for the next lines.
const KEPT: usize = 64 * 1024;

/// How much is written at once, in whole lines: Linux' `PIPE_BUF`. A pipe takes that much undivided, so neither
/// a kill nor another process that writes to the same pipe cuts a line in two.
const PIECE: usize = 4_096;

/// The pause after a write in which lines gather, so that many are written together.
const GATHER: Duration = Duration::from_millis(2);

/// The pause before the next try, where standard error does not block and is full.
const RETRY: Duration = Duration::from_millis(10);

/// How long anything waits for a reader that reads nothing.
const SILENCE: Duration = Duration::from_millis(500);

/// How long the end waits for a reader that is slow.
const END: Duration = Duration::from_secs(5);

/// The log of this process.
pub(super) static OUTPUT: Output = Output::new();

/// How much it matters that a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    Ordinary,
    /// Goes into the reserve if the queue is full.
    Urgent,
    /// The same, and its caller waits until it is written, at most [`SILENCE`].
    Fatal,
}

pub(super) struct Output {
    state: Mutex<State>,
    /// Wakes the writer.
    more: Condvar,
    /// Wakes those who wait for the writer.
    progress: Condvar,
}

struct State {
    queue: Vec<u8>,
    writer: Writer,
    /// How many bytes were ever queued, and how many of them the writer is done with.
    queued: u64,
    done: u64,
    /// How many lines were ever dropped, and how many of them a line of the log reports.
    dropped: u64,
    reported: u64,
    /// How many threads wait for progress.
    waiting: u32,
    /// Whether a wait has timed out since the last progress.
    stalled: bool,
    /// Whether the last write failed.
    broken: bool,
}

/// What the thread that writes is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    /// There is no thread: each line is written where it is made.
    Absent,
    /// Sleeps until it is woken.
    Idle,
    /// Writes, or lets lines gather.
    Busy,
    /// The same, and must not let lines gather any longer.
    Hurried,
}

impl State {
    fn pending(&self) -> u64 {
        self.queued - self.done
    }

    /// Whether every dropped line is reported, or cannot be.
    fn all_reported(&self) -> bool {
        self.broken || self.reported == self.dropped
    }
}

impl Output {
    pub(super) const fn new() -> Self {
        let state = State {
            queue: Vec::new(),
            writer: Writer::Absent,
            queued: 0,
            done: 0,
            dropped: 0,
            reported: 0,
            waiting: 0,
            stalled: false,
            broken: false,
        };
        Self { state: Mutex::new(state), more: Condvar::new(), progress: Condvar::new() }
    }

    /// Starts the thread that writes to standard error; `report` logs how many lines were dropped.
    pub(super) fn start(&'static self, report: fn(u64)) {
        // Not through std::io::Stderr: while the writer waits, its lock must be free for others.
        let out: Box<dyn Write + Send> = match io::stderr().as_fd().try_clone_to_owned() {
            Ok(own) => Box::new(File::from(own)),
            Err(_) => Box::new(io::stderr()),
        };
        let mut state = self.lock();
        let thread = thread::Builder::new().name("log".into());
        if thread.spawn(move || self.write_to(out, report)).is_ok() {
            state.writer = Writer::Busy;
        }
    }

    /// Queues a line, which ends with a line break.
    pub(super) fn push(&self, line: &str, urgency: Urgency) {
        let mut state = self.lock();
        if state.writer == Writer::Absent {
            drop(state);
            // A failure cannot be reported anywhere.
            let _ = io::stderr().lock().write_all(line.as_bytes());
            return;
        }
        let room = if urgency == Urgency::Ordinary { CAPACITY } else { CAPACITY + RESERVE };
        let length = line.len() as u64;
        if state.pending() + length > room {
            state.dropped += 1;
            return;
        }
        state.queue.extend_from_slice(line.as_bytes());
        state.queued += length;
        if urgency != Urgency::Ordinary {
            self.hurry(&mut state);
        } else if state.writer == Writer::Idle {
            state.writer = Writer::Busy;
            self.more.notify_one();
        }
        // After a wait that timed out, another one would only hold up its caller.
        if urgency == Urgency::Fatal && !state.stalled {
            let end = state.queued;
            self.wait(state, SILENCE, |state| state.done >= end);
        }
    }

    /// Waits until everything is written: for at most [`SILENCE`] without progress, and [`END`] in all.
    pub(super) fn flush(&self) {
        let mut state = self.lock();
        if state.writer != Writer::Absent {
            self.hurry(&mut state);
            self.wait(state, END, |state| state.pending() == 0 && state.all_reported());
        }
    }

    fn hurry(&self, state: &mut State) {
        state.writer = Writer::Hurried;
        self.more.notify_one();
    }

    /// How many lines were dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn wait(&self, mut state: MutexGuard<'_, State>, longest: Duration, is_over: impl Fn(&State) -> bool) {
        let began = Instant::now();
        let (mut done, mut since) = (state.done, began);
        state.waiting += 1;
        while !is_over(&state) {
            let now = Instant::now();
            if state.done != done {
                (done, since) = (state.done, now);
            }
            let patience = SILENCE.saturating_sub(now - since).min(longest.saturating_sub(now - began));
            if patience.is_zero() {
                state.stalled = true;
                break;
            }
            (state, _) = self.progress.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
    }

    /// Writes for ever.
    fn write_to(&self, mut out: impl Write, report: fn(u64)) {
        let mut batch = Vec::new();
        loop {
            self.take(&mut batch);
            let mut rest = batch.as_slice();
            while !rest.is_empty() {
                let (piece, others) = rest.split_at_checked(piece(rest)).unwrap_or((rest, &[]));
                let written = write_all(&mut out, piece);
                self.progressed(piece, written.is_ok());
                rest = others;
            }
            self.report_dropped(report);
        }
    }

    /// Waits for lines, and takes them all.
    fn take(&self, batch: &mut Vec<u8>) {
        batch.clear();
        batch.shrink_to(KEPT);
        let mut state = self.lock();
        (state, _) = self
            .more
            .wait_timeout_while(state, GATHER, |state| state.writer != Writer::Hurried)
            .unwrap_or_else(PoisonError::into_inner);
        while state.queue.is_empty() {
            state.writer = Writer::Idle;
            state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.writer = Writer::Busy;
        std::mem::swap(batch, &mut state.queue);
    }

    fn progressed(&self, piece: &[u8], written: bool) {
        let mut state = self.lock();
        state.done += piece.len() as u64;
        state.stalled = false;
        state.broken = !written;
        if !written {
            state.dropped += piece.iter().fold(0, |lines, byte| lines + u64::from(*byte == b'\n'));
        }
        if state.waiting > 0 {
            self.progress.notify_all();
        }
    }

    fn report_dropped(&self, report: fn(u64)) {
        let state = self.lock();
        let (dropped, all_reported) = (state.dropped - state.reported, state.all_reported());
        drop(state);
        if !all_reported {
            report(dropped);
            self.lock().reported += dropped;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The length of what is written next: whole lines of at most [`PIECE`] bytes together, or one longer line.
fn piece(rest: &[u8]) -> usize {
    let is_end = |byte: &u8| *byte == b'\n';
    let fits = rest.get(..PIECE).map(|piece| piece.iter().rposition(is_end));
    match fits {
        None => rest.len(),
        Some(Some(end)) => end + 1,
        Some(None) => rest.iter().position(is_end).map_or(rest.len(), |end| end + 1),
    }
}

/// [`Write::write_all`], also where standard error does not block.
fn write_all(out: &mut impl Write, mut piece: &[u8]) -> io::Result<()> {
    while !piece.is_empty() {
        match out.write(piece) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => piece = piece.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
