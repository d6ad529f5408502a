//! The scenario on certificates: three rotations under load, and a check of every edge after each step.

mod edges;
mod handshakes;
mod shop;
mod steps;
mod vault;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::edges::Edges;
use self::handshakes::{Handshakes, close_connections};
use self::shop::{
    CATALOG_HOSTS, CATALOG_SECRET, NEAR_ITS_END, STOREFRONT_HOST, STOREFRONT_SECRET, ShopCertificates, encrypt,
};
use self::vault::{Authority, labels, replace_leaf};
use super::context::{DemoContext, ensure};
use super::traffic::{PRODUCTS, RequestCounts};
use stack::console::say;
use stack::failure::{Failure, Result};
use stack::interrupt;
use stack::put_policy;

const FUNCTION: &str = "certificate-rotation";

/// The time limit of acknowledgements: they take a second or two, and more on a loaded machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The limit of runs: a rollover of four certificates and two trusts takes about five.
const MAX_RUNS: usize = 40;

/// The time for which every request uses a new connection.
const NEW_CONNECTIONS: Duration = Duration::from_millis(700);

const OLD: &str = "Shop CA 1";
const NEW: &str = "Shop CA 2";

/// The counts at one moment.
#[derive(Clone, Debug)]
struct Snapshot {
    counts: RequestCounts,
    handshakes: Handshakes,
}

/// The scenario while it runs.
struct Rotations<'s> {
    context: &'s mut DemoContext,
    certified: ShopCertificates,
    authorities: Vec<Authority>,
    /// The requests and handshakes of each part.
    rows: Vec<(String, RequestCounts, Handshakes)>,
    last: Snapshot,
}

pub(super) fn play(context: &mut DemoContext) -> Result<()> {
    say("\n== certificates: two certificates and the CA behind them are replaced, and no request fails");
    say("  A product request is encrypted: the gateway calls storefront by TLS, with a certificate that is imported");
    say(
        "  into ACM; storefront calls catalog by mutual TLS, with bundles from Secrets Manager. ACM never returns the key of",
    );
    say(
        "  an imported certificate, so it is in a secret too; without the secret, the certificate could not be served.",
    );
    let certified = encrypt(context.stack())?;
    let mut rotations = Rotations::begin(context, certified)?;
    rotations.imported()?;
    rotations.bundle()?;
    rotations.rollover()?;
    rotations.end()
}

impl<'s> Rotations<'s> {
    fn begin(context: &'s mut DemoContext, certified: ShopCertificates) -> Result<Self> {
        let authorities = vec![certified.authority.clone()];
        let last = Snapshot { counts: RequestCounts::default(), handshakes: Handshakes::default() };
        let mut rotations = Self { context, certified, authorities, rows: Vec::new(), last };
        rotations.set_policy("")?;
        let edges = rotations.settled()?;
        rotations.context.start_quiet_traffic(PRODUCTS)?;
        let before = rotations.context.counts()?;
        // Proxies may not have completed their first health checks, so the first requests may fail.
        let healthy = interrupt::poll(TIMEOUT, || {
            let first = rotations.context.counts()?.since(&before);
            rotations.context.watch(Duration::from_millis(200))?;
            let last = rotations.context.counts()?.since(&before);
            Ok((last.total() > first.total() && last.failures() == first.failures()).then_some(()))
        })?;
        ensure(healthy.is_some(), "requests succeed once everything is encrypted", String::new)?;
        say("\n  Fifty requests a second from here on; every failed one counts. The demo does not wait for schedules:");
        say("  it invokes the function itself. For new handshakes, the demo closes the connections of the proxies");
        say("  after each part, as a deployment does.\n");
        say(edges.table());
        rotations.last = rotations.snapshot()?;
        Ok(rotations)
    }

    /// An imported certificate, replaced after ACM's daily event.
    fn imported(&mut self) -> Result<()> {
        let arn = self.certified.arn.clone();
        say("\n  -- an imported certificate has 30 of its 100 days left; ACM sends its first event");
        let before = self.settled()?;
        let event = json!({
            "version": "0", "source": "aws.acm", "detail-type": "ACM Certificate Approaching Expiration",
            "resources": [arn], "detail": {"DaysToExpiry": 30, "CommonName": STOREFRONT_HOST},
        });
        self.run(&event)?;
        let after = self.settled()?;
        say("");
        say(after.table());
        changed(&before, &after, "storefront")?;
        unchanged(&before, &after, "catalog-v1")?;
        let kept = labels(&mut self.context.stack().aws, STOREFRONT_SECRET)?;
        say(format_args!(
            "    ACM has the new one under the same ARN; the secret with its key has {}.",
            kept.join(", ")
        ));
        self.close("imported certificate replaced")?;
        say("  The same event again, as ACM sends it for 45 days:");
        let steps = self.run(&event)?;
        ensure(steps == 0, "the second delivery changes nothing", || format!("{steps} step(s)"))?;
        say("    nothing to do.");
        unchanged(&after, &self.settled()?, "storefront")
    }

    /// A bundle, replaced by a scheduled run.
    fn bundle(&mut self) -> Result<()> {
        say("\n  -- the bundle of catalog was replaced by one close to its expiry; the next run finds it");
        let aws = &mut self.context.stack().aws;
        let old = self.certified.authority.issue(aws, &CATALOG_HOSTS, NEAR_ITS_END)?;
        replace_leaf(aws, CATALOG_SECRET, &old)?;
        let before = self.settled()?;
        let tick = self.context.tick_event();
        self.run(&tick)?;
        let after = self.settled()?;
        say("");
        say(after.table());
        changed(&before, &after, "catalog-v1")?;
        changed(&before, &after, "catalog-v2")?;
        unchanged(&before, &after, "storefront")?;
        let kept = labels(&mut self.context.stack().aws, CATALOG_SECRET)?;
        say(format_args!("    {CATALOG_SECRET} has {}.", kept.join(", ")));
        self.close("bundle rotated")
    }

    /// A CA, replaced by a policy change.
    fn rollover(&mut self) -> Result<()> {
        say(format_args!(
            "\n  -- the policy declares {NEW} the successor of {OLD}; each stage waits for acknowledgements of the proxies"
        ));
        let new = Authority::create(&mut self.context.stack().aws, NEW)?;
        let (from, to) = (self.certified.authority.arn.clone(), new.arn.clone());
        self.authorities.push(new);
        self.set_policy(&format!("  successions: [{{ from: '{from}', to: '{to}' }}]\n"))?;
        let tick = self.context.tick_event();
        let mut open = STAGES.to_vec();
        for number in 1..=MAX_RUNS {
            say(format_args!("\n    run {number}"));
            if self.run(&tick)? == 0 {
                say("    nothing can be done yet");
            }
            let edges = self.settled()?;
            say("");
            say(edges.table());
            let (over, rest): (Vec<Stage>, Vec<Stage>) = open.into_iter().partition(|(_, is_over)| is_over(&edges));
            for (name, _) in over {
                say(format_args!("    {name}"));
            }
            self.close(&format!("CA rolled over, run {number}"))?;
            open = rest;
            if open.is_empty() {
                return Ok(());
            }
        }
        let report = self.context.stack().invoke(FUNCTION, &tick)?;
        Err(Failure::Unexpected {
            expected: format!("the rollover ends within {MAX_RUNS} runs"),
            seen: format!("its decisions are {}", steps::reasons(&report).join("; ")),
        })
    }

    fn end(mut self) -> Result<()> {
        let tick = self.context.tick_event();
        let more = self.run(&tick)?;
        ensure(more == 0, "nothing is left to do", || format!("{more} step(s)"))?;
        self.context.end_traffic()?;
        say("\n    results of each part                requests   failed   handshakes   refused");
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
        say(format_args!("\n  Failed requests: {failed}. Refused handshakes: {refused}."));
        ensure(failed == 0 && refused == 0, "no request failed and no handshake was refused", || {
            format!("{failed} request(s) and {refused} handshake(s)")
        })
    }

    /// Runs the function, prints its steps, and returns their number.
    fn run(&mut self, event: &Value) -> Result<usize> {
        let report = self.context.stack().invoke(FUNCTION, event)?;
        let steps = steps::taken(&report);
        for step in &steps {
            say(format_args!("    {FUNCTION}: {step}"));
        }
        Ok(steps.len())
    }

    /// Waits until every proxy has acknowledged the stored certificates and trust. No edge may have a fault meanwhile.
    fn settled(&mut self) -> Result<Edges> {
        let stack = self.context.stack();
        let refresh = format!("{}/certificates/refresh", stack.endpoints.app_mesh);
        stack.client.post(&refresh, &Value::Null)?;
        let arn = self.certified.arn.clone();
        let mut last = None;
        let found = interrupt::poll(TIMEOUT, || {
            let authorities: Vec<&Authority> = self.authorities.iter().collect();
            let edges = Edges::read(self.context.stack(), &arn, &authorities)?;
            let faults = edges.faults();
            ensure(faults.is_empty(), "every edge is sound at every moment", || faults.join("; "))?;
            if edges.lagging().is_empty() {
                return Ok(Some(edges));
            }
            last = Some(edges);
            Ok(None)
        })?;
        found.ok_or_else(|| {
            let lagging = last.iter().flat_map(Edges::lagging).collect::<Vec<_>>().join(", ");
            Failure::Unexpected {
                expected: "every proxy acknowledges its stored certificates".to_owned(),
                seen: format!("{lagging} did not"),
            }
        })
    }

    /// Ends a part: requests use new connections for a moment, and the counts since the last part are recorded.
    fn close(&mut self, part: &str) -> Result<()> {
        close_connections(self.context.stack(), true)?;
        let closed = self.context.watch(NEW_CONNECTIONS);
        close_connections(self.context.stack(), false)?;
        closed?;
        let now = self.snapshot()?;
        let counts = now.counts.since(&self.last.counts);
        let handshakes = now.handshakes.since(&self.last.handshakes);
        ensure(handshakes.made() > 0, "proxies make new handshakes", || "none".to_owned())?;
        ensure(
            counts.failures() == 0 && handshakes.refused() == 0,
            "no request fails and no handshake is refused",
            || format!("{} request(s) failed; refused handshakes: {}", counts.failures(), handshakes.where_refused()),
        )?;
        self.rows.push((part.to_owned(), counts, handshakes));
        self.last = now;
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Snapshot> {
        Ok(Snapshot { counts: self.context.counts()?, handshakes: Handshakes::count(self.context.stack())? })
    }

    /// Sets the demo's policy, with the ARNs of the imported certificates. A running function reads the policy once a
    /// minute; a new process reads it at its start.
    fn set_policy(&mut self, more: &str) -> Result<()> {
        let imported =
            format!("  imported: [{{ certificate: '{}', secret: {STOREFRONT_SECRET} }}]\n", self.certified.arn);
        let policy = format!("{}{imported}{more}", self.context.policy());
        let stack = self.context.stack();
        put_policy(&mut stack.aws, &policy)?;
        let arn = stack.outputs.named("CertificateRotationFunction")?.to_owned();
        let name = json!({"FunctionName": arn});
        let before = stack.aws.call("lambda", "get_function_configuration", &name)?;
        let timeout = before.get("Timeout").cloned().unwrap_or(json!(120));
        stack.aws.call("lambda", "update_function_configuration", &json!({"FunctionName": arn, "Timeout": timeout}))?;
        let started = Instant::now();
        let ready = interrupt::poll(TIMEOUT, || {
            let now = stack.aws.call("lambda", "get_function_configuration", &name)?;
            Ok((now.get("LastUpdateStatus").and_then(Value::as_str) == Some("Successful")).then_some(()))
        })?;
        ensure(ready.is_some(), "the function restarts", || format!("it did not in {:?}", started.elapsed()))
    }
}

/// A stage, and the condition of its end. Stages overlap: a certificate is reissued once the clients that verify it trust
/// the new CA, even if other clients do not trust it yet.
type Stage = (&'static str, fn(&Edges) -> bool);

const STAGES: [Stage; 3] = [
    ("Stage trust-both has ended: the new CA is trusted wherever the old one was.", |now| now.is_trusted_by_all(NEW)),
    ("Stage reissue has ended: the new CA has issued every presented certificate.", |now| now.all_issued_by(NEW)),
    ("Stage drop-old has ended: no client trusts the old CA.", |now| now.is_trusted_by_none(OLD)),
];

fn changed(before: &Edges, after: &Edges, node: &str) -> Result<()> {
    ensure(before.listener(node) != after.listener(node), &format!("{node} presents another certificate"), || {
        format!("it still presents {:?}", after.listener(node))
    })
}

fn unchanged(before: &Edges, after: &Edges, node: &str) -> Result<()> {
    ensure(before.listener(node) == after.listener(node), &format!("{node} presents the same certificate"), || {
        format!("{:?} became {:?}", before.listener(node), after.listener(node))
    })
}
