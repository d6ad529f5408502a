//! No private key is in any output, log, document or notice. The test searches for the real keys, and shows that the search
//! finds them.

use std::sync::{Arc, Mutex};

use ports::certificates::{PrivateKey, Stage};
use ports_memory::{Effect, Failure, Fault};
use tracing::Level;

use crate::shop::{DAY, Shop};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Parts of keys that identify them with any line breaks.
#[derive(Default)]
struct Wanted(Vec<String>);

impl Wanted {
    fn add(&mut self, key: &PrivateKey) {
        let body: String = key.pem().lines().filter(|line| !line.starts_with("-----")).collect();
        // Keys of one kind begin alike, so the middle is searched.
        self.0.push(body[body.len() / 2..body.len() / 2 + 24].to_owned());
    }

    fn found_in(&self, text: &str) -> bool {
        let joined: String = text.replace("\\n", "").split_whitespace().collect();
        text.contains("PRIVATE KEY") || self.0.iter().any(|part| joined.contains(part))
    }
}

/// Learns every current, previous and pending key.
async fn learn(shop: &Shop, wanted: &mut Wanted) {
    for name in ["pay", "web"] {
        for stage in [Stage::Current, Stage::Pending, Stage::Previous] {
            if let Some(key) = shop.bundle(name, stage).await.and_then(|stored| stored.bundle.key) {
                wanted.add(&key);
            }
        }
    }
    wanted.add(shop.orders.key.as_ref().unwrap());
}

#[tokio::test(start_paused = true)]
async fn private_keys_are_only_in_their_stores() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(Level::TRACE).with_writer(move || writer.clone()).finish();
    let _listening = tracing::subscriber::set_default(subscriber);

    tracing::trace!("this is heard");
    let mut shop = Shop::open().await;
    let mut wanted = Wanted::default();
    let mut texts = Vec::new();
    learn(&shop, &mut wanted).await;
    shop.wait(DAY * 62);
    // Every call with a key fails once before and once after its effect, so that its errors are searched, too.
    for effect in [Effect::NotDone, Effect::Done] {
        for call in [
            "put secret",
            "import certificate",
            "promote secret",
            "export certificate",
            "read secret",
            "finish",
            "note",
        ] {
            let fails = Fault::Fails(Failure::Unavailable, effect);
            shop.ports.faults.once(move |one| one.name == call, fails);
            let answer = shop.invoke().await;
            texts.push(format!("{answer:?}"));
            if let Ok(report) = &answer {
                texts.push(serde_json::to_string(report).unwrap());
            }
            shop.ports.faults.reset();
            learn(&shop, &mut wanted).await;
            // The call succeeds, and then all certificates are due again.
            shop.go_on(3).await;
            learn(&shop, &mut wanted).await;
            shop.wait(DAY * 62);
        }
    }
    for _ in 0..12 {
        shop.go_on(1).await;
        learn(&shop, &mut wanted).await;
    }
    assert!(wanted.0.len() > 20, "keys came and went");

    let ports = &shop.ports;
    texts.push(format!("{ports:?}"));
    texts.push(format!("{:#?}", ports.certificates));
    texts.push(format!("{:?} {:?}", ports.notifier.sent(), ports.bus.events()));
    texts.push(format!("{:?}", ports.reports.stored()));
    texts.push(format!("{:?}", shop.start().await));
    let bundle = shop.bundle("pay", Stage::Current).await.unwrap();
    texts.push(format!("{bundle:?} {bundle:#?}"));
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("this is heard"), "the log listens");
    let state = format!("{:?}", ports.state);
    assert!(state.contains("the service is unavailable") && state.contains("sds:pay"), "the state is looked at");
    texts.extend([log, state]);
    for text in &texts {
        assert!(!wanted.found_in(text), "a key in {text}");
    }

    // The search finds a whole bundle as stored in the secret, and a key with line breaks.
    let key = bundle.bundle.key.as_ref().unwrap();
    assert!(wanted.found_in(&bundle.bundle.text()));
    let bare: String = key.pem().lines().filter(|line| !line.starts_with("-----")).collect();
    assert!(wanted.found_in(&format!("error: {bare}")), "without its frame");
}
