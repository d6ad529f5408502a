//! Odd values in every place of every spec: Envoy accepts the translations.
//!
//! A run tries a random part of the places. All places take minutes, and each refusal is printed immediately:
//!
//! ```text
//! ODD=all cargo test -p xds --test translate odd -- --nocapture
//! ```

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use mesh::spec::Spec;
use serde_json::{Value, json};

use crate::batch::{Tried, new_resources, validate_batch};
use crate::case::Case;
use crate::corpus::path_of;
use crate::envoy::envoy;
use crate::goldens::inputs;
use crate::meshes::places;

/// The resources per batch: as many as Envoy reads in less time than it takes to start.
const BATCH: usize = 100;
/// The number of Envoys that run at once.
const ENVOYS: usize = 2;
/// The time after which no new place is started, unless all places are tried.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(5);
/// The interval between progress messages.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Texts that the API or an import may accept, and Envoy may refuse.
const TEXTS: &str = r#"
x y|*|**|*.*|*.x|x.*|x*|*x|.|..|.x|x.|/|//|/x/|/*|x/y|/a/../b|/a?b|/a#b|/{a}|?|#|%|%%|%00|%zz|%REQ(a b)%|%REQ(X)%
%START_TIME(%%)%|%DYNAMIC_METADATA(a:b)%|(?=a)|(|[|\|a\|[[:alpha:]]|\pN|a{1000}|a{2,1}|(?i)a|.*|::1|[::1]|10.0.0.1|x:8080
:|:method|:authority|host|Host|te|connection|X-Envoy-Retry-On|a,b|a;b|a=b|"|'|{"a":1}|-1|0|65536|é|héader|😀
http|http2|grpc|tcp|https|s|ms|STRICT|PERMISSIVE|DISABLED|ENABLED|server-error|gateway-error|cancelled|connection-error
DROP_ALL|ENDPOINTS|IPv6_ONLY|POST|CONNECT|spiffe://a/b|spiffe://|arn:"#;

/// Texts with white space or control characters, and the empty text.
const SPACES: [&str; 9] = ["", " ", " x", "x ", "a\nb", "a\rb", "a\tb", "\u{0}", "\u{7f}"];

const NUMBERS: [i64; 14] = [0, 1, 2, 99, 100, 101, 199, 443, 600, 15_000, 15_001, 65_535, 65_536, -1];

/// The bounds of number types, seconds that overflow as nanoseconds, and seconds that overflow in protobuf.
const LARGE_NUMBERS: [i64; 6] = [0x7fff_ffff, 0xffff_ffff, 9_223_372_037, 315_576_000_001, i64::MAX, i64::MIN];

/// The edit of a place in a spec.
pub(crate) enum Edit {
    Put(Value),
    Remove,
    /// Appends the first item of a list again.
    Repeat,
}

pub(crate) fn edits() -> Vec<Edit> {
    let texts = TEXTS.split(['|', '\n']).filter(|text| !text.is_empty()).chain(SPACES).map(|text| json!(text));
    let numbers = NUMBERS.into_iter().chain(LARGE_NUMBERS).map(|number| json!(number));
    let others = [json!({}), json!([]), json!([{}]), json!([""]), json!(true), json!(false), json!(0.5), json!(1e300)];
    let values = texts.chain([json!("x".repeat(300))]).chain(numbers).chain(others);
    values.map(Edit::Put).chain([Edit::Remove, Edit::Repeat]).collect()
}

/// The spec with an edit, and a description of the edit; `None` if the edit changes nothing.
pub(crate) fn edited(spec: &Value, pointer: &str, edit: &Edit) -> Option<(Value, String)> {
    let mut after = spec.clone();
    let target = after.pointer_mut(pointer)?;
    let description = match edit {
        Edit::Put(value) => {
            *target = value.clone();
            format!("= {value}")
        }
        Edit::Remove => {
            let (parent, member) = pointer.rsplit_once('/')?;
            match after.pointer_mut(parent)? {
                Value::Object(members) => drop(members.remove(&member.replace("~1", "/"))),
                Value::Array(items) => drop(items.remove(member.parse().ok()?)),
                _ => return None,
            }
            "removed".to_owned()
        }
        Edit::Repeat => {
            let items = target.as_array_mut()?;
            items.push(items.first()?.clone());
            "with the first item repeated".to_owned()
        }
    };
    (after != *spec).then_some((after, description))
}

#[test]
fn envoy_accepts_odd_values_in_every_place() {
    let Some(envoy) = envoy() else { return };
    let all = std::env::var("ODD").is_ok_and(|odd| odd == "all");
    let (workers, began) = (EnvoyWorkers::default(), Instant::now());
    let (sender, receiver) = mpsc::sync_channel(ENVOYS);
    let receiver = Mutex::new(receiver);
    std::thread::scope(|scope| {
        for _ in 0..ENVOYS {
            scope.spawn(|| workers.validate_batches(&envoy, &receiver));
        }
        let (mut last_progress, mut waiting) = (Instant::now(), Vec::new());
        let tried = every_translation(
            |of, translated| match translated {
                Err(why) => workers.record_refusal(of, &why),
                Ok(fresh) => {
                    waiting.extend(fresh);
                    while waiting.len() >= BATCH {
                        sender.send(waiting.drain(..BATCH).collect()).unwrap();
                    }
                }
            },
            |place, of, tried| {
                if last_progress.elapsed() > PROGRESS_INTERVAL {
                    last_progress = Instant::now();
                    println!("place {place} of {of}, {tried} edits; {}; {:?}", workers.progress(), began.elapsed());
                }
                all || began.elapsed() < TIME_LIMIT
            },
        );
        sender.send(waiting).unwrap();
        drop(sender);
        println!("{tried} readable edits");
    });
    println!("{}; {:?}", workers.progress(), began.elapsed());
    let refused = workers.refused.into_inner().unwrap();
    assert!(refused.is_empty(), "Envoy refuses {} resources, the first: {:?}", refused.len(), refused.first());
}

/// The results of the workers that validate batches with Envoy.
#[derive(Default)]
struct EnvoyWorkers {
    validated: AtomicUsize,
    starts: AtomicUsize,
    refused: Mutex<Vec<String>>,
}

impl EnvoyWorkers {
    fn validate_batches(&self, envoy: &Path, batches: &Mutex<mpsc::Receiver<Vec<Tried>>>) {
        loop {
            let next = batches.lock().unwrap().recv();
            let Ok(batch) = next else { return };
            let starts = validate_batch(envoy, &batch, &|tried, why| self.record_refusal(&tried.origin, why));
            self.starts.fetch_add(starts, Ordering::Relaxed);
            self.validated.fetch_add(batch.len(), Ordering::Relaxed);
        }
    }

    fn record_refusal(&self, of: &str, why: &str) {
        let why: String = why.chars().take(4000).collect();
        println!("refused: {of}: {why}");
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{of}: {why}"));
    }

    fn progress(&self) -> String {
        let (validated, starts) = (self.validated.load(Ordering::Relaxed), self.starts.load(Ordering::Relaxed));
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).len();
        format!("{validated} distinct resources validated by {starts} Envoys, {refused} refused")
    }
}

/// Reports the new resources in the translation of every edit, and the progress at every place. Stops when `at` returns
/// false. Returns the number of edits that can be read.
fn every_translation(
    mut report: impl FnMut(&str, Result<Vec<Tried>, String>),
    mut at: impl FnMut(usize, usize, usize) -> bool,
) -> usize {
    let (mut seen, mut tried) = (BTreeSet::new(), 0);
    let inputs = inputs();
    let mut cases: Vec<Case> = inputs.iter().map(|(_, input)| Case::read(input)).collect();
    let edits = edits();
    let all = all_places(&inputs);
    for (place, (number, path, pointer)) in all.iter().enumerate() {
        if !at(place, all.len(), tried) {
            break;
        }
        let ((name, input), case) = (&inputs[*number], &mut cases[*number]);
        let (at, whole) = (path_of(path).expect("is a path"), case.mesh.clone());
        let before: Vec<_> = case.proxies.iter().map(|proxy| (proxy.clone(), case.translate(proxy))).collect();
        case.mesh.remove(&at);
        // A proxy that does not depend on the resource does not depend on its changes either.
        let concerned: Vec<_> = before.into_iter().filter(|(proxy, before)| case.translate(proxy) != *before).collect();
        case.mesh = whole.clone();
        for edit in edits.iter().filter(|_| !concerned.is_empty()) {
            let Some((after, description)) = edited(&input["mesh"][*path], pointer, edit) else { continue };
            let Ok(after) = Spec::read(at.kind(), &after) else { continue };
            tried += 1;
            case.mesh.insert(at.clone(), after).expect("fits its path");
            for (proxy, before) in &concerned {
                let of = format!("{proxy} of {name}, {path}{pointer} {description}");
                let translated = catch_unwind(AssertUnwindSafe(|| {
                    let translation = case.translate(proxy);
                    let faults = translation.dangling();
                    let fresh = new_resources(&translation, before, &of, &mut seen);
                    if faults.is_empty() { Ok(fresh) } else { Err(format!("{faults:?}")) }
                }));
                report(&of, translated.unwrap_or_else(|_| Err("a panic".to_owned())));
            }
        }
        case.mesh = whole;
    }
    tried
}

/// Every place of every spec in the goldens' meshes, in random order.
pub(crate) fn all_places(inputs: &[(String, Value)]) -> Vec<(usize, &String, String)> {
    let mut all = Vec::new();
    for (number, (_, input)) in inputs.iter().enumerate() {
        for (path, spec) in input["mesh"].as_object().expect("is an object") {
            all.extend(places(spec).into_iter().map(|pointer| (number, path, pointer)));
        }
    }
    // A given seed makes the order the same everywhere; `cargo xtask test` sets it.
    let seed = std::env::var("PROPTEST_RNG_SEED").unwrap_or_else(|_| RandomState::new().hash_one(()).to_string());
    all.sort_by_cached_key(|place| BuildHasherDefault::<DefaultHasher>::default().hash_one((&seed, place)));
    all
}
