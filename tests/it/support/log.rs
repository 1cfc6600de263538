//! What a process prints, line by line.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use super::in_the_end;

/// An output of a process, read by a thread of its own.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    /// Changes with every line, and is true once the output is closed.
    grown: watch::Sender<bool>,
}

impl Log {
    pub(crate) fn empty() -> Self {
        Self { lines: Arc::default(), grown: watch::Sender::new(false) }
    }

    pub(crate) fn read(from: impl Read + Send + 'static) -> Self {
        let log = Self::empty();
        let writer = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                writer.lines.lock().unwrap().push(line);
                writer.grown.send_replace(false);
            }
            writer.grown.send_replace(true);
        });
        log
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Every line, each of which must be JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        let read = |line: &String| {
            serde_json::from_str(line)
                .unwrap_or_else(|e| panic!("a line of the log is no JSON ({e}): {line}"))
        };
        self.lines().iter().map(read).collect()
    }

    /// Waits for a line, counted from `from`, of which this is true.
    pub(crate) async fn wait(&self, from: usize, is: impl Fn(&str) -> bool) -> String {
        let mut grown = self.grown.subscribe();
        let come = async {
            loop {
                let ended = *grown.borrow_and_update();
                if let Some(line) = self.lines().into_iter().skip(from).find(|line| is(line)) {
                    return line;
                }
                assert!(!ended, "the output ended without the line: {:#?}", self.lines());
                grown.changed().await.unwrap();
            }
        };
        tokio::time::timeout(super::PATIENCE, come)
            .await
            .unwrap_or_else(|_| panic!("the line never came: {:#?}", self.lines()))
    }

    /// Waits until the process has closed it.
    pub(crate) async fn ended(&self) {
        let mut grown = self.grown.subscribe();
        drop(in_the_end("the output's end", grown.wait_for(|ended| *ended)).await.unwrap());
    }

    /// All of it, after the process has ended.
    pub(crate) fn whole(&self) -> String {
        while !*self.grown.borrow() {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.lines().join("\n")
    }
}
