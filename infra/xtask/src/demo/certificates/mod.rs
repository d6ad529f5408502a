//! The scenario on certificates: three rotations under a load, and after each step a look at every edge.

mod handshakes;
mod picture;
mod shop;
mod steps;
mod vault;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::handshakes::{Handshakes, close_connections};
use self::picture::Picture;
use self::shop::{CATALOG_HOSTS, CATALOG_SECRET, Certified, NEAR_ITS_END, STOREFRONT_HOST, STOREFRONT_SECRET, encrypt};
use self::vault::{Authority, labels, replace_leaf};
use super::scene::{Scene, ensure};
use super::traffic::{Counts, PRODUCTS};
use crate::console::say;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::stack::put_policy;

const FUNCTION: &str = "certificate-rotation";

/// How long proxies may take to acknowledge what they are sent: a second or two, and a loaded machine gets this.
const PATIENCE: Duration = Duration::from_secs(30);

/// A rollover of four certificates and two trusts takes about five wakes.
const MOST_WAKES: usize = 40;

/// How long requests go by over connections that are new each time.
const NEW_CONNECTIONS: Duration = Duration::from_millis(700);

const OLD: &str = "Shop CA 1";
const NEW: &str = "Shop CA 2";

/// What was counted until a moment.
#[derive(Clone, Debug)]
struct Mark {
    counts: Counts,
    handshakes: Handshakes,
}

/// The scenario while it is played.
struct Play<'s> {
    scene: &'s mut Scene,
    certified: Certified,
    authorities: Vec<Authority>,
    /// What requests and proxies saw in each part.
    rows: Vec<(String, Counts, Handshakes)>,
    last: Mark,
}

pub(super) fn play(scene: &mut Scene) -> Result<()> {
    say("\n== certificates: two certificates and the CA behind them are replaced, and no request fails");
    say(
        "  The way of a product request is encrypted: the gateway calls storefront by TLS, whose certificate is imported",
    );
    say(
        "  into ACM; storefront calls catalog by mutual TLS, with bundles from Secrets Manager. ACM never gives the key of",
    );
    say("  an imported certificate back, so that one is in a secret too; without that, only its ARN could be served.");
    let certified = encrypt(scene.stack())?;
    let mut play = Play::begin(scene, certified)?;
    play.imported()?;
    play.bundle()?;
    play.rollover()?;
    play.end()
}

impl<'s> Play<'s> {
    fn begin(scene: &'s mut Scene, certified: Certified) -> Result<Self> {
        let authorities = vec![certified.authority.clone()];
        let last = Mark { counts: Counts::default(), handshakes: Handshakes::default() };
        let mut play = Self { scene, certified, authorities, rows: Vec::new(), last };
        play.set_policy("")?;
        let picture = play.settled()?;
        play.scene.start_quiet_traffic(PRODUCTS)?;
        let before = play.scene.counts()?;
        // The first requests may still meet a proxy that is just looking whether its neighbours are well.
        let well = interrupt::poll(PATIENCE, || {
            let first = play.scene.counts()?.since(&before);
            play.scene.watch(Duration::from_millis(200))?;
            let last = play.scene.counts()?.since(&before);
            Ok((last.total() > first.total() && last.failures() == first.failures()).then_some(()))
        })?;
        ensure(well.is_some(), "requests go well once everything is encrypted", String::new)?;
        say("\n  Fifty requests a second from here on; each one that fails counts. The demo waits for no schedule:");
        say("  it invokes the function itself. So that proxies make new handshakes, the demo has their connections");
        say("  closed after each part, as a deployment does.\n");
        say(picture.table());
        play.last = play.mark()?;
        Ok(play)
    }

    /// An imported certificate, by the event that ACM sends each day.
    fn imported(&mut self) -> Result<()> {
        let arn = self.certified.arn.clone();
        say("\n  -- an imported certificate has 30 of its 100 days left; ACM's event is here for the first time");
        let before = self.settled()?;
        let event = json!({
            "version": "0", "source": "aws.acm", "detail-type": "ACM Certificate Approaching Expiration",
            "resources": [arn], "detail": {"DaysToExpiry": 30, "CommonName": STOREFRONT_HOST},
        });
        self.wake(&event)?;
        let after = self.settled()?;
        say("");
        say(after.table());
        changed(&before, &after, "storefront")?;
        unchanged(&before, &after, "catalog-v1")?;
        let kept = labels(&mut self.scene.stack().aws, STOREFRONT_SECRET)?;
        say(format_args!("    ACM has it on the same ARN; the secret with its key has {}.", kept.join(", ")));
        self.close("imported certificate replaced")?;
        say("  The same event again, as ACM sends it for 45 days:");
        let steps = self.wake(&event)?;
        ensure(steps == 0, "the second delivery changes nothing", || format!("{steps} step(s)"))?;
        say("    nothing to do.");
        unchanged(&after, &self.settled()?, "storefront")
    }

    /// A bundle, by the wake of every five minutes.
    fn bundle(&mut self) -> Result<()> {
        say("\n  -- the bundle of catalog is one near its end now, put there by hand; the next run finds it");
        let aws = &mut self.scene.stack().aws;
        let old = self.certified.authority.issue(aws, &CATALOG_HOSTS, NEAR_ITS_END)?;
        replace_leaf(aws, CATALOG_SECRET, &old)?;
        let before = self.settled()?;
        let tick = self.scene.tick_event();
        self.wake(&tick)?;
        let after = self.settled()?;
        say("");
        say(after.table());
        changed(&before, &after, "catalog-v1")?;
        changed(&before, &after, "catalog-v2")?;
        unchanged(&before, &after, "storefront")?;
        let kept = labels(&mut self.scene.stack().aws, CATALOG_SECRET)?;
        say(format_args!("    {CATALOG_SECRET} has {}.", kept.join(", ")));
        self.close("bundle rotated")
    }

    /// A CA, by the policy.
    fn rollover(&mut self) -> Result<()> {
        say(format_args!(
            "\n  -- the policy says that {NEW} follows {OLD}; each stage waits for what proxies acknowledge"
        ));
        let new = Authority::make(&mut self.scene.stack().aws, NEW)?;
        let (from, to) = (self.certified.authority.arn.clone(), new.arn.clone());
        self.authorities.push(new);
        self.set_policy(&format!("  successions: [{{ from: '{from}', to: '{to}' }}]\n"))?;
        let tick = self.scene.tick_event();
        let mut open = STAGES.to_vec();
        for number in 1..=MOST_WAKES {
            say(format_args!("\n    run {number}"));
            if self.wake(&tick)? == 0 {
                say("    nothing can be done yet");
            }
            let picture = self.settled()?;
            say("");
            say(picture.table());
            let (over, rest): (Vec<Stage>, Vec<Stage>) = open.into_iter().partition(|(_, is_over)| is_over(&picture));
            for (name, _) in over {
                say(format_args!("    {name}"));
            }
            self.close(&format!("CA rolled over, run {number}"))?;
            open = rest;
            if open.is_empty() {
                return Ok(());
            }
        }
        let report = self.scene.stack().invoke(FUNCTION, &tick)?;
        Err(Failure::Unexpected {
            expected: format!("the rollover ends within {MOST_WAKES} runs"),
            seen: format!("it stands at {}", steps::reasons(&report).join("; ")),
        })
    }

    fn end(mut self) -> Result<()> {
        let tick = self.scene.tick_event();
        let more = self.wake(&tick)?;
        ensure(more == 0, "nothing is left to do", || format!("{more} step(s)"))?;
        self.scene.end_traffic()?;
        say("\n    what requests and proxies saw       requests   failed   handshakes   refused");
        for (part, counts, handshakes) in &self.rows {
            say(format_args!(
                "    {part:<36} {:>7}   {:>6}   {:>10}   {:>7}",
                counts.total(),
                counts.failures(),
                handshakes.made(),
                handshakes.refused(),
            ));
        }
        let failed: u64 = self.rows.iter().map(|(_, counts, _)| counts.failures()).sum();
        let refused: u64 = self.rows.iter().map(|(_, _, handshakes)| handshakes.refused()).sum();
        say(format_args!("\n  Requests that failed: {failed}. Handshakes that were refused: {refused}."));
        ensure(failed == 0 && refused == 0, "no request failed and no handshake was refused", || {
            format!("{failed} request(s) and {refused} handshake(s)")
        })
    }

    /// Wakes the function, tells what it did, and returns how many steps that were.
    fn wake(&mut self, event: &Value) -> Result<usize> {
        let report = self.scene.stack().invoke(FUNCTION, event)?;
        let steps = steps::taken(&report);
        for step in &steps {
            say(format_args!("    {FUNCTION}: {step}"));
        }
        Ok(steps.len())
    }

    /// Waits until every proxy has acknowledged what is kept. No edge may be at fault at any look on the way.
    fn settled(&mut self) -> Result<Picture> {
        let stack = self.scene.stack();
        let refresh = format!("{}/certificates/refresh", stack.endpoints.app_mesh);
        stack.client.post(&refresh, &Value::Null)?;
        let arn = self.certified.arn.clone();
        let mut last = None;
        let found = interrupt::poll(PATIENCE, || {
            let authorities: Vec<&Authority> = self.authorities.iter().collect();
            let picture = Picture::take(self.scene.stack(), &arn, &authorities)?;
            let faults = picture.faults();
            ensure(faults.is_empty(), "every edge is sound at every moment", || faults.join("; "))?;
            if picture.lagging().is_empty() {
                return Ok(Some(picture));
            }
            last = Some(picture);
            Ok(None)
        })?;
        found.ok_or_else(|| {
            let lagging = last.iter().flat_map(Picture::lagging).collect::<Vec<_>>().join(", ");
            Failure::Unexpected {
                expected: "every proxy acknowledges what is kept for it".to_owned(),
                seen: format!("{lagging} did not"),
            }
        })
    }

    /// Ends a part: requests go over new connections for a moment, and what was seen since the last part is noted.
    fn close(&mut self, part: &str) -> Result<()> {
        close_connections(self.scene.stack(), true)?;
        let closed = self.scene.watch(NEW_CONNECTIONS);
        close_connections(self.scene.stack(), false)?;
        closed?;
        let now = self.mark()?;
        let counts = now.counts.since(&self.last.counts);
        let handshakes = now.handshakes.since(&self.last.handshakes);
        ensure(handshakes.made() > 0, "proxies make new handshakes", || "there was none".to_owned())?;
        ensure(
            counts.failures() == 0 && handshakes.refused() == 0,
            "no request fails and no handshake is refused",
            || format!("{} request(s) failed; refused handshakes: {}", counts.failures(), handshakes.where_refused()),
        )?;
        self.rows.push((part.to_owned(), counts, handshakes));
        self.last = now;
        Ok(())
    }

    fn mark(&mut self) -> Result<Mark> {
        Ok(Mark { counts: self.scene.counts()?, handshakes: Handshakes::count(self.scene.stack())? })
    }

    /// The demo's policy, with what has an ARN. A running function looks for a new one every minute; its next process has it
    /// from the start.
    fn set_policy(&mut self, more: &str) -> Result<()> {
        let imported =
            format!("  imported: [{{ certificate: '{}', secret: {STOREFRONT_SECRET} }}]\n", self.certified.arn);
        let policy = format!("{}{imported}{more}", self.scene.policy());
        let stack = self.scene.stack();
        put_policy(&mut stack.aws, &policy)?;
        let arn = stack.outputs.named("CertificateRotationFunction")?.to_owned();
        let name = json!({"FunctionName": arn});
        let before = stack.aws.call("lambda", "get_function_configuration", &name)?;
        let timeout = before.get("Timeout").cloned().unwrap_or(json!(120));
        stack.aws.call("lambda", "update_function_configuration", &json!({"FunctionName": arn, "Timeout": timeout}))?;
        let started = Instant::now();
        let ready = interrupt::poll(PATIENCE, || {
            let now = stack.aws.call("lambda", "get_function_configuration", &name)?;
            Ok((now.get("LastUpdateStatus").and_then(Value::as_str) == Some("Successful")).then_some(()))
        })?;
        ensure(ready.is_some(), "the function starts afresh", || format!("it did not in {:?}", started.elapsed()))
    }
}

/// A stage, and how it is known to be over. They overlap: a certificate is issued anew once those who check it trust the new
/// CA, whoever else still has to learn of it.
type Stage = (&'static str, fn(&Picture) -> bool);

const STAGES: [Stage; 3] = [
    ("Trust both is over: the new CA is trusted wherever the old one was.", |now| now.is_trusted_by_all(NEW)),
    ("Reissue is over: everything that is presented comes from the new CA.", |now| now.all_issued_by(NEW)),
    ("Drop the old is over: no client trusts the old CA any more.", |now| now.is_trusted_by_nobody(OLD)),
];

fn changed(before: &Picture, after: &Picture, node: &str) -> Result<()> {
    ensure(before.of(node) != after.of(node), &format!("{node} presents another certificate"), || {
        format!("it still is {:?}", after.of(node))
    })
}

fn unchanged(before: &Picture, after: &Picture, node: &str) -> Result<()> {
    ensure(before.of(node) == after.of(node), &format!("{node} presents what it did"), || {
        format!("{:?} became {:?}", before.of(node), after.of(node))
    })
}
