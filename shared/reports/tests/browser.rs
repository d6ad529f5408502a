//! Tests the page in Chromium, at the width of a desktop and of a phone, with few and with many services. Skipped with
//! a message if `chromedriver` is not on the path.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod services;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use services::Services;

/// The time-out of loading a page, and of each interaction.
const WAIT_LIMIT: Duration = Duration::from_mins(1);

/// A headless browser, driven by the `WebDriver` protocol. It ends with the test.
struct Browser {
    driver: Child,
    session: String,
}

impl Browser {
    /// Starts a browser; `None` without `chromedriver`.
    fn start() -> Option<Self> {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = command.spawn().ok()?;
        let mut output = BufReader::new(driver.stdout.take().unwrap());
        let started = output
            .by_ref()
            .lines()
            .map(Result::unwrap)
            .find(|line| line.contains(" on port ") && line.contains("success"));
        let port = started.unwrap().trim_end_matches('.').rsplit(' ').next().unwrap().to_owned();
        // A full pipe would block the driver. This thread ends with it.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        let mut browser = Self { driver, session: format!("http://127.0.0.1:{port}") };
        let deadline = Instant::now() + WAIT_LIMIT;
        while ureq::get(format!("{}/status", browser.session)).call().is_err() {
            assert!(Instant::now() < deadline, "chromedriver does not respond");
            std::thread::sleep(Duration::from_millis(50));
        }
        let arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"];
        let wanted = json!({"browserName": "chrome", "goog:chromeOptions": {"args": arguments}, "goog:loggingPrefs": {"browser": "ALL"}});
        let session = browser.post("/session", &json!({"capabilities": {"alwaysMatch": wanted}}));
        let id = session["sessionId"].as_str().unwrap().to_owned();
        browser.session = format!("{}/session/{id}", browser.session);
        Some(browser)
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let answer = ureq::post(format!("{}{path}", self.session))
            .config()
            .http_status_as_error(false)
            .build()
            .send_json(body)
            .unwrap();
        let mut answer: Value = answer.into_body().read_json().unwrap();
        assert!(answer["value"]["error"].is_null(), "{path}: {answer}");
        answer["value"].take()
    }

    fn open(&self, address: &str, width: u32) {
        let screen = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        let body = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": screen});
        self.post("/goog/cdp/execute", &body);
        // Another page is opened first: an address that differs only in its fragment would not be loaded again.
        self.post("/url", &json!({"url": "about:blank"}));
        self.post("/url", &json!({"url": address}));
    }

    fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until a script returns true.
    fn wait(&self, condition: &str) {
        let deadline = Instant::now() + WAIT_LIMIT;
        while self.run(&format!("return {condition}")) != true {
            assert!(
                Instant::now() < deadline,
                "never: {condition}; {}",
                self.run("return document.querySelector('.shown').textContent")
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn keys(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|action| json!({"type": action, "value": key.to_string()})))
            .collect();
        self.post("/actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]}));
    }

    /// The messages that the page has written to the console, including those about content that its policy blocks.
    fn console_errors(&self) -> Value {
        self.post("/se/log", &json!({"type": "browser"}))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(ureq::delete(&self.session).call());
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

/// The keys Enter, Escape and right arrow in the encoding of `WebDriver`.
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const RIGHT: &str = "\u{e014}";

const SEEN_BOXES: &str = "[...document.querySelectorAll('.workload:not([hidden])')]";

#[test]
#[ignore = "long: drives Chromium through eight pages"]
fn page_works_in_chromium_with_few_and_many_services() {
    let Some(browser) = Browser::start() else {
        println!("skipped: chromedriver is not on the path (apt-get install chromium chromium-driver)");
        return;
    };
    for services in [Services::new(10), Services::new(120), Services::new(500), Services::chain(60)] {
        let count = services.mesh.nodes.len();
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{count}.html"));
        std::fs::write(&file, services.page()).unwrap();
        let address = format!("file://{}", file.display());
        for width in [1400, 400] {
            let begun = Instant::now();
            browser.open(&address, width);
            println!("{count} virtual nodes, {width} pixels: loaded in {:?}", begun.elapsed());
            check_layout(&browser, &services, width);
            check_filters(&browser, &services);
            check_focus(&browser, &services);
            // A link to one finding opens it.
            let id = services.evaluation.findings.last().unwrap().id();
            browser.open(&format!("{address}#finding-{id}"), width);
            browser
                .wait(&format!("document.querySelector('[data-finding=\"{id}\"]').getBoundingClientRect().height > 0"));
            assert_eq!(browser.console_errors(), json!([]), "{count} virtual nodes at {width} pixels");
        }
    }
}

/// Checks that nothing is wider than the window, every box is in the drawing, and all counts are shown.
fn check_layout(browser: &Browser, services: &Services, width: u32) {
    browser.wait("!document.querySelector('.toolbar').hidden");
    let wide = browser.run("return document.documentElement.scrollWidth");
    assert!(wide.as_u64().unwrap() <= u64::from(width), "{wide} pixels wide");
    let outside = browser.run(&format!(
        "const outer = document.querySelector('svg').getBoundingClientRect(); return {SEEN_BOXES}.filter((box) => {{
            const inner = box.querySelector('rect').getBoundingClientRect();
            return inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1;
        }}).length"
    ));
    assert_eq!(outside, 0, "boxes outside the visible drawing");
    let findings = services.evaluation.findings.len();
    let shown = browser.run("return document.querySelector('.shown').textContent");
    let calls = services.edges.len();
    assert_eq!(shown, format!("{findings} of {findings} findings, {calls} of {calls} calls"));
    assert_eq!(browser.run("return document.querySelectorAll('details[open]').length"), 0, "rules are collapsed");
}

/// Checks the search, the verdict and severity filters, and their reset.
fn check_filters(browser: &Browser, services: &Services) {
    let with_findings = |name: &String| {
        services.evaluation.findings.iter().any(|finding| finding.resource.to_string().contains(name.as_str()))
    };
    let name = (0..100).map(services::name).find(with_findings).unwrap();
    browser.run("document.querySelector('[name=text]').focus()");
    browser.keys(&name);
    browser.wait("document.querySelectorAll('.workload.found').length === 1");
    let listed = browser.run("return document.querySelectorAll('.finding:not([hidden])').length").as_u64().unwrap();
    assert!(listed > 0 && listed < services.evaluation.findings.len() as u64, "{listed} findings of {name}");
    browser.run("document.querySelector('[type=reset]').click()");
    browser.wait("document.querySelectorAll('.workload.found').length === 0");
    let lines = |class: &str| format!("document.querySelectorAll('.edge.{class}:not([hidden])').length");
    assert_ne!(browser.run(&format!("return {}", lines("plaintext"))), 0);
    browser.run("document.querySelector('[name=verdict][value=plaintext]').click()");
    browser.wait(&format!("{} === 0 && {} > 0", lines("plaintext"), lines("tls")));
    browser.run("document.querySelector('[name=severity][value=high]').click()");
    browser.wait("document.querySelectorAll('.finding[data-severity=high]:not([hidden])').length === 0");
    browser.run("document.querySelector('[type=reset]').click()");
    browser.wait("document.querySelectorAll('.finding[hidden], .edge[hidden]').length === 0");
}

/// Checks the focus by keyboard alone: on a service, on its neighbours only, and back. Then checks the buttons: zoom
/// in, and fit again.
fn check_focus(browser: &Browser, services: &Services) {
    browser.run("document.querySelector('.workload[tabindex=\"0\"]').focus()");
    browser.keys(RIGHT);
    let resource = browser.run("return document.activeElement.dataset.resource").as_str().unwrap().to_owned();
    browser.keys(ENTER);
    browser.wait("document.querySelectorAll('.workload.chosen').length === 1");
    let near: std::collections::BTreeSet<String> = services
        .edges
        .iter()
        .map(|edge| [edge.from.to_string(), edge.to.to_string()])
        .filter(|ends| ends.contains(&resource))
        .flatten()
        .chain([resource.clone()])
        .collect();
    let seen = browser.run(&format!("return {SEEN_BOXES}.map((box) => box.dataset.resource)"));
    let seen = seen.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    assert_eq!(near, seen, "the neighbours of {resource}");
    browser.keys(ESCAPE);
    browser.wait("document.querySelectorAll('.workload[hidden]').length === 0");
    let width = "document.querySelector('svg').viewBox.baseVal.width";
    let before = browser.run(&format!("return {width}"));
    browser.run("document.querySelector('[data-do=in]').click()");
    browser.wait(&format!("{width} < {before}"));
    browser.run("document.querySelector('[data-do=fit]').click()");
    browser.wait(&format!("Math.abs({width} - {before}) < 1"));
}
