//! A browser that a test controls.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::client;
use super::machine::{left_out, quick_leaves_out};

/// A headless Chromium, controlled through <https://www.w3.org/TR/webdriver2/>.
pub(crate) struct Browser {
    driver: Child,
    client: reqwest::Client,
    session: String,
    /// The process of the browser itself, which `chromedriver` starts and leaves running when it is killed.
    pid: Option<u64>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Opens one. Where it is not installed, prints that and returns `None`, or fails if everything is required.
    pub(crate) async fn open(what: &str) -> Option<Self> {
        if quick_leaves_out(what) {
            return None;
        }
        let started = Command::new("chromedriver")
            .args(["--port=0", "--log-level=SEVERE"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let mut driver = match started {
            Ok(driver) => driver,
            Err(error) => {
                let why =
                    format!("chromedriver cannot be started ({error}); install chromium and chromium-driver");
                left_out(what, &why);
                return None;
            }
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port: u16 = loop {
            let line = lines.next_line().await.unwrap().expect("chromedriver ended without a port");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').parse().unwrap();
            }
        };
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-sync",
            "--disable-background-networking",
            "--disable-component-update",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "timeouts": {"script": 30_000},
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {
                "args": arguments,
                "mobileEmulation": {"deviceMetrics": {"width": 360, "height": 800, "pixelRatio": 1.0}},
            },
        }}});
        let client = client();
        let base = format!("http://127.0.0.1:{port}/session");
        let made: Value = client.post(&base).json(&wanted).send().await.unwrap().json().await.unwrap();
        let id = made["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {made}"));
        let pid = made["value"]["capabilities"]["goog:processID"].as_u64();
        assert!(pid.is_some(), "no process: {made}");
        Some(Self { session: format!("{base}/{id}"), driver, client, pid, _profile: profile })
    }

    pub(crate) fn pid(&self) -> u64 {
        self.pid.unwrap()
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let asked = self.client.request(method.parse().unwrap(), format!("{}{path}", self.session));
        let asked = if method == "POST" { asked.json(body) } else { asked };
        let answer: Value = asked.send().await.unwrap().json().await.unwrap();
        assert!(answer["value"]["error"].is_null(), "{path}: {answer}");
        answer["value"].clone()
    }

    pub(crate) async fn go(&self, url: &str) {
        self.call("POST", "/url", &json!({"url": url})).await;
    }

    /// What a script returns.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.call("POST", "/execute/sync", &json!({"script": script, "args": []})).await
    }

    /// Waits until a condition is true; it is evaluated whenever the page changes.
    pub(crate) async fn until(&self, holds: &str) {
        let script = format!(
            "const done = arguments[0]; const look = () => {{ if ({holds}) {{ watch.disconnect(); done(true); }} }};
             const watch = new MutationObserver(look);
             watch.observe(document, {{subtree: true, childList: true, attributes: true, characterData: true}}); look();"
        );
        self.call("POST", "/execute/async", &json!({"script": script, "args": []})).await;
    }

    /// What a script returns that may wait.
    pub(crate) async fn run_async(&self, script: &str) -> Value {
        let script = format!(
            "const done = arguments[0];
             (async () => {{ {script} }})().then(done, (error) => done({{failed: String(error)}}));"
        );
        self.call("POST", "/execute/async", &json!({"script": script, "args": []})).await
    }

    /// A command of the Chrome `DevTools` Protocol: <https://chromedevtools.github.io/devtools-protocol/>.
    pub(crate) async fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.call("POST", "/goog/cdp/execute", &json!({"cmd": command, "params": parameters})).await
    }

    /// Prefers `light` or `dark` from now on.
    pub(crate) async fn prefer(&self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", &features).await;
    }

    pub(crate) async fn find(&self, selector: &str) -> String {
        let found = self.call("POST", "/element", &json!({"using": "css selector", "value": selector})).await;
        found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned()
    }

    pub(crate) async fn keys(&self, element: &str, keys: &str) {
        self.call("POST", &format!("/element/{element}/value"), &json!({"text": keys})).await;
    }

    /// Fails if anything was loaded from another origin, or if the console has other lines than the 401 that a test
    /// asks for. Then it breaks the policy, which must be refused and appear in the console.
    pub(crate) async fn check_origin_and_policy(&self) {
        let elsewhere = self.run("return performance.getEntriesByType('resource').map(r => r.name).filter(name => !name.startsWith(location.origin) && !name.startsWith('data:'))").await;
        assert_eq!(elsewhere, json!([]));
        let console = self.console().await;
        // The browser writes an answer of 401 to the console too.
        let others: Vec<_> = console.iter().filter(|line| !line.contains("status of 401")).collect();
        assert!(others.is_empty(), "{others:?}");
        self.run("const script = document.createElement('script'); script.textContent = 'window.broken = true'; document.body.append(script)").await;
        assert_eq!(self.run("return window.broken === undefined").await, true);
        let console = self.console().await;
        assert!(console.iter().any(|line| line.contains("Content Security Policy")), "{console:?}");
    }

    async fn console(&self) -> Vec<String> {
        let log = self.call("POST", "/se/log", &json!({"type": "browser"})).await;
        let worse = log
            .as_array()
            .unwrap()
            .iter()
            .filter(|line| line["level"] == "SEVERE" || line["level"] == "WARNING");
        worse.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) async fn close(mut self) {
        self.call("DELETE", "", &Value::Null).await;
        self.driver.kill().await.unwrap();
        self.pid = None;
    }
}

/// A test that fails never comes to [`Browser::close`]. Without the browser's main process its others end by themselves.
impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(pid) = self.pid {
            // It may have ended already.
            let _ = std::process::Command::new("sh").args(["-c", &format!("kill -KILL {pid}")]).status();
        }
    }
}
