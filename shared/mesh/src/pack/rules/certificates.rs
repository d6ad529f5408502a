//! Certificates: how long they last, and who else has them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::certificates::{Certificate, Chain, KeyKind, KeyPlace, Reading, Source};
use crate::name::{ResourceKind, ResourcePath};
use crate::pack::controls::CERTIFICATES;
use crate::pack::finding::{Found, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use crate::pack::scene::{Presented, Scene, Socket};

const CERTIFICATE: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Certificates,
    severity: Severity::High,
    on: &[ResourceKind::VirtualNode, ResourceKind::VirtualGateway],
    title: "",
    why: "",
    mend: "",
    managed: &[],
    controls: CERTIFICATES,
    rests_on_certificates: false,
    check: expiring,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "certificate-expired",
        profile: Profile::Core,
        severity: Severity::Critical,
        title: "A certificate, or one in its chain, has ended or has not begun",
        why: "Every client that looks at it refuses the connection.",
        mend: "Renew it now. An authority that has ended needs a new one, and everything below it anew.",
        rests_on_certificates: true,
        check: expired,
        ..CERTIFICATE
    },
    Rule {
        id: "certificate-expiring",
        profile: Profile::Core,
        title: "A certificate, or one in its chain, ends soon",
        why: "The first end in a chain is the end of the whole: an intermediate or an authority that ends first takes \
              every leaf with it. The bound is `certificates.expiryDays`; renewal should have been at two thirds of \
              the lifetime.",
        mend: "Renew it, and look at why that was not done.",
        rests_on_certificates: true,
        check: expiring,
        ..CERTIFICATE
    },
    Rule {
        id: "certificate-outlives-its-chain",
        severity: Severity::Medium,
        title: "A certificate is valid for longer than the chain it hangs on",
        why: "Its own end says that there is time, and the end of an intermediate or an authority comes first. Whoever \
              watches leaves alone is surprised.",
        mend: "Roll the authority over before its end, and issue leaves that end before it.",
        rests_on_certificates: true,
        check: outlives,
        ..CERTIFICATE
    },
    Rule {
        id: "certificate-weak-key",
        title: "A certificate has a weak key",
        why: "RSA below 2048 bits and curves below 256 bits are within reach of whoever wants in.",
        mend: "Issue it anew with a key of RSA_2048 or EC_prime256v1 at the least.",
        rests_on_certificates: true,
        check: weak,
        ..CERTIFICATE
    },
    Rule {
        id: "certificate-unread",
        profile: Profile::Core,
        severity: Severity::Low,
        title: "A certificate could not be read",
        why: "Somebody tried to look at it and was refused, or found something else. Whether it is valid, and for \
              whom, is not known: that is neither good nor bad, and must not stay so.",
        mend: "Let the function read it, or correct the reference.",
        check: unread,
        ..CERTIFICATE
    },
    Rule {
        id: "certificate-not-distributable",
        profile: Profile::Core,
        title: "A listener's certificate was imported into ACM, and nobody else has its key",
        why: "ACM never gives the key of an imported certificate, so a control plane has nothing to send: the listener \
              goes on with what it was sent before, or stays without TLS.",
        mend: "Put the same certificate with its key into a secret of Secrets Manager, and name it in \
               `certificates.imported`; or use a private certificate that ACM issued.",
        rests_on_certificates: true,
        check: not_distributable,
        ..CERTIFICATE
    },
    Rule {
        id: "certificate-shared",
        profile: Profile::Strict,
        severity: Severity::Low,
        title: "Several virtual nodes present the same certificate",
        why: "Whoever takes the key of one can pretend to be any of them, and none can be renewed alone.",
        mend: "Give each its own certificate. Versions of one service that share a name may share it: waive that.",
        check: shared,
        ..CERTIFICATE
    },
    Rule {
        id: "certificate-in-file",
        profile: Profile::Strict,
        severity: Severity::Info,
        title: "A certificate comes from a file, which proxies don't read again",
        why: "A proxy reads the file when it starts, or when the spec names another path. A renewed file is not used \
              until then, and the old certificate ends unnoticed.",
        mend: "Take it from ACM or SDS, or restart the tasks after each renewal.",
        check: in_file,
        ..CERTIFICATE
    },
];

/// What is presented and was read.
fn chains<'s>(scene: &'s Scene<'_>) -> impl Iterator<Item = (&'s Presented, &'s Chain)> {
    scene.presented.iter().filter_map(|one| match scene.readings.chains.get(&one.source)? {
        Reading::Known(chain) => Some((one, chain)),
        Reading::Unread(_) => None,
    })
}

/// The part of a chain that ends first.
fn first_end(chain: &Chain) -> &Certificate {
    chain.certificates().min_by_key(|certificate| certificate.not_after).unwrap_or(&chain.leaf)
}

fn expired(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (Presented { by, part, source }, chain) in chains(scene) {
        let outside = |one: &&Certificate| one.not_after <= scene.now || one.not_before > scene.now;
        let Some(one) = chain.certificates().find(outside) else { continue };
        let (subject, begins, ends) = (&one.subject, one.not_before.to_string(), one.not_after.to_string());
        let message = format!("{part}: {source} is valid only from {begins} to {ends}, by {subject}");
        let facts = facts! {"source": source.to_string(), "subject": subject, "notBefore": begins, "notAfter": ends};
        found.on_part(by.clone(), part.clone(), message, facts);
    }
}

fn expiring(scene: &Scene<'_>, found: &mut Found<'_>) {
    let ahead = SignedDuration::from_hours(24 * i64::from(scene.policy.certificates.expiry_days));
    let bound = scene.now.checked_add(ahead).unwrap_or(Timestamp::MAX);
    for (Presented { by, part, source }, chain) in chains(scene) {
        let first = first_end(chain);
        if first.not_after > scene.now && first.not_after <= bound {
            let (subject, ends) = (&first.subject, first.not_after.to_string());
            let message = format!("{part}: {source} ends {ends}, by {subject}");
            let facts = facts! {"source": source.to_string(), "subject": subject, "notAfter": ends};
            found.on_part(by.clone(), part.clone(), message, facts);
        }
    }
}

fn outlives(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (Presented { by, part, source }, chain) in chains(scene) {
        let first = first_end(chain);
        if first.not_after < chain.leaf.not_after {
            let (subject, ends, leaf) = (&first.subject, first.not_after.to_string(), chain.leaf.not_after.to_string());
            let message = format!("{part}: {source} lasts until {leaf}, and {subject} above it ends {ends}");
            let facts =
                facts! {"source": source.to_string(), "subject": subject, "notAfter": ends, "leafNotAfter": leaf};
            found.on_part(by.clone(), part.clone(), message, facts);
        }
    }
}

fn weak(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (Presented { by, part, source }, chain) in chains(scene) {
        let weak = chain.certificates().find(|certificate| match certificate.key {
            KeyKind::Rsa(bits) => bits < 2048,
            KeyKind::Ec(bits) => bits < 256,
            KeyKind::Other(_) => false,
        });
        if let Some(weak) = weak {
            let (subject, key) = (&weak.subject, weak.key.to_string());
            let message = format!("{part}: {source} has a key of {key}, by {subject}");
            let facts = facts! {"source": source.to_string(), "subject": subject, "key": key};
            found.on_part(by.clone(), part.clone(), message, facts);
        }
    }
}

fn unread(scene: &Scene<'_>, found: &mut Found<'_>) {
    for Presented { by, part, source } in &scene.presented {
        // What nobody tried to read, as in files before deploy, is not known either, and nobody's fault.
        if let Some(Reading::Unread(why)) = scene.readings.chains.get(source) {
            let message = format!("{part}: {source} is not known: {why}");
            let facts = facts! {"source": source.to_string(), "why": why};
            found.on_part(by.clone(), part.clone(), message, facts);
        } else if let Source::Acm(arn) = source
            && let Some(KeyPlace::Unread { secret, why }) = scene.readings.imported.get(arn)
        {
            let message = format!("{part}: whether {secret} has the key of {source} is not known: {why}");
            let facts = facts! {"source": source.to_string(), "secret": secret, "why": why};
            found.on_part(by.clone(), part.clone(), message, facts);
        }
    }
}

/// What a client presents never comes from ACM, so this is about listeners.
fn not_distributable(scene: &Scene<'_>, found: &mut Found<'_>) {
    for Presented { by, part, source } in &scene.presented {
        let Source::Acm(arn) = source else { continue };
        let (secret, why) = match scene.readings.imported.get(arn) {
            Some(KeyPlace::Nowhere) => (None, "no secret is named for it".to_owned()),
            Some(KeyPlace::OtherSecret { secret }) => (Some(secret), format!("{secret} holds another certificate")),
            Some(KeyPlace::Secret { .. } | KeyPlace::Unread { .. }) | None => continue,
        };
        let message = format!("{part}: {source} was imported, and its key can't be had: {why}");
        let facts = facts! {"source": source.to_string(), "secret": secret, "why": why};
        found.on_part(by.clone(), part.clone(), message, facts);
    }
}

fn shared(scene: &Scene<'_>, found: &mut Found<'_>) {
    let mut users: BTreeMap<Source, BTreeSet<ResourcePath>> = BTreeMap::new();
    for Socket { of, tls, .. } in &scene.sockets {
        if let Some(source) = tls.and_then(|tls| Source::of_listener(of, &tls.certificate)) {
            users.entry(source).or_default().insert(of.clone());
        }
    }
    for (source, paths) in users.into_iter().filter(|(_, paths)| paths.len() > 1) {
        let names: Vec<&str> = paths.iter().map(ResourcePath::name).collect();
        let message = format!("{source} is presented by {}", names.join(", "));
        let facts = facts! {"source": source.to_string(), "resources": paths};
        if let Some(first) = paths.first() {
            found.on_part(first.clone(), source.to_string(), message, facts);
        }
    }
}

fn in_file(scene: &Scene<'_>, found: &mut Found<'_>) {
    for Presented { by, part, source } in &scene.presented {
        if let Source::File(_, file) = source {
            let message = format!("{part}: its certificate comes from {file}");
            found.on_part(by.clone(), part.clone(), message, facts! {"path": file.as_str()});
        }
    }
}
