//! Certificates: their validity, keys and users.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::pack::context::{Presented, RuleContext, Socket};
use crate::pack::controls::CERTIFICATES;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::certificates::{Certificate, CertificateSource, Chain, KeyKind, KeyLocation, SourceReading};
use mesh::name::{ResourceKind, ResourcePath};

const CERTIFICATE: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Certificates,
    severity: Severity::High,
    on: &[ResourceKind::VirtualNode, ResourceKind::VirtualGateway],
    title: "",
    why: "",
    remedy: "",
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
        why: "Every client that verifies it refuses the connection.",
        remedy: "Renew it now. An expired CA needs a new certificate, and everything below it has to be reissued.",
        rests_on_certificates: true,
        check: expired,
        ..CERTIFICATE
    },
    Rule {
        id: "certificate-expiring",
        profile: Profile::Core,
        title: "A certificate, or one in its chain, ends soon",
        why: "The first end in a chain is the end of the whole chain: an intermediate or a CA that ends first \
              invalidates every leaf below it. The bound is `certificates.expiryDays`; the renewal was due at two \
              thirds of the lifetime.",
        remedy: "Renew it, and find out why the renewal did not happen.",
        rests_on_certificates: true,
        check: expiring,
        ..CERTIFICATE
    },
    Rule {
        id: "certificate-outlives-its-chain",
        severity: Severity::Medium,
        title: "A certificate is valid for longer than its chain",
        why: "Its end suggests that there is time, but an intermediate or the CA ends earlier. Monitoring of leaves \
              alone misses that.",
        remedy: "Roll the CA over before its end, and issue leaves that end before it.",
        rests_on_certificates: true,
        check: outlives,
        ..CERTIFICATE
    },
    Rule {
        id: "certificate-weak-key",
        title: "A certificate has a weak key",
        why: "An attacker can break RSA keys below 2048 bits and curves below 256 bits.",
        remedy: "Reissue it with a key of at least RSA_2048 or EC_prime256v1.",
        rests_on_certificates: true,
        check: weak,
        ..CERTIFICATE
    },
    Rule {
        id: "certificate-unread",
        profile: Profile::Core,
        severity: Severity::Low,
        title: "A certificate could not be read",
        why: "A read was refused or returned something else. Whether the certificate is valid, and for which names, is \
              unknown: neither compliant nor a violation, and it has to be resolved.",
        remedy: "Permit the function to read it, or correct the reference.",
        check: unread,
        ..CERTIFICATE
    },
    Rule {
        id: "certificate-not-distributable",
        profile: Profile::Core,
        title: "A listener's certificate was imported into ACM, and its key is not available elsewhere",
        why: "ACM never exports the key of an imported certificate, so a control plane has nothing to send: the \
              listener keeps its previous configuration, or stays without TLS.",
        remedy: "Put the same certificate with its key into a secret of Secrets Manager, and name it in \
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
        why: "An attacker with the key of one node can impersonate all of them, and none can be renewed alone.",
        remedy: "Give each its own certificate. Versions of one service with the same name may share one: waive the \
               finding.",
        check: shared,
        ..CERTIFICATE
    },
    Rule {
        id: "certificate-in-file",
        profile: Profile::Strict,
        severity: Severity::Info,
        title: "A certificate comes from a file, which proxies do not reload",
        why: "A proxy reads the file when it starts, or when the spec names another path. A renewed file is not used \
              until then, and the old certificate ends unnoticed.",
        remedy: "Use ACM or SDS, or restart the tasks after each renewal.",
        check: in_file,
        ..CERTIFICATE
    },
];

/// The presented certificates that were read.
fn chains<'s>(context: &'s RuleContext<'_>) -> impl Iterator<Item = (&'s Presented, &'s Chain)> {
    context.presented.iter().filter_map(|one| match context.readings.chains.get(&one.source)? {
        SourceReading::Known(chain) => Some((one, chain)),
        SourceReading::Unread(_) => None,
    })
}

/// The part of a chain that ends first.
fn first_end(chain: &Chain) -> &Certificate {
    chain.certificates().min_by_key(|certificate| certificate.not_after).unwrap_or(&chain.leaf)
}

fn expired(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (Presented { by, part, source }, chain) in chains(context) {
        let outside = |one: &&Certificate| one.not_after <= context.now || one.not_before > context.now;
        let Some(one) = chain.certificates().find(outside) else { continue };
        let (subject, begins, ends) = (&one.subject, one.not_before.to_string(), one.not_after.to_string());
        let message = format!("{part}: {source} is valid only from {begins} to {ends}, by {subject}");
        let facts = facts! {"source": source.to_string(), "subject": subject, "notBefore": begins, "notAfter": ends};
        found.on_part(by.clone(), part.clone(), message, facts);
    }
}

fn expiring(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let ahead = SignedDuration::from_hours(24 * i64::from(context.policy.certificates.expiry_days));
    let bound = context.now.checked_add(ahead).unwrap_or(Timestamp::MAX);
    for (Presented { by, part, source }, chain) in chains(context) {
        let first = first_end(chain);
        if first.not_after > context.now && first.not_after <= bound {
            let (subject, ends) = (&first.subject, first.not_after.to_string());
            let message = format!("{part}: {source} ends {ends}, by {subject}");
            let facts = facts! {"source": source.to_string(), "subject": subject, "notAfter": ends};
            found.on_part(by.clone(), part.clone(), message, facts);
        }
    }
}

fn outlives(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (Presented { by, part, source }, chain) in chains(context) {
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

fn weak(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (Presented { by, part, source }, chain) in chains(context) {
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

fn unread(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for Presented { by, part, source } in &context.presented {
        // A certificate that was never requested, as in files before deploy, is unknown and no defect.
        if let Some(SourceReading::Unread(why)) = context.readings.chains.get(source) {
            let message = format!("{part}: {source} is not known: {why}");
            let facts = facts! {"source": source.to_string(), "why": why};
            found.on_part(by.clone(), part.clone(), message, facts);
        } else if let CertificateSource::Acm(arn) = source
            && let Some(KeyLocation::Unread { secret, why }) = context.readings.imported.get(arn)
        {
            let message = format!("{part}: whether {secret} has the key of {source} is not known: {why}");
            let facts = facts! {"source": source.to_string(), "secret": secret, "why": why};
            found.on_part(by.clone(), part.clone(), message, facts);
        }
    }
}

/// A client never presents a certificate of ACM, so the rule covers listeners only.
fn not_distributable(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for Presented { by, part, source } in &context.presented {
        let CertificateSource::Acm(arn) = source else { continue };
        let (secret, why) = match context.readings.imported.get(arn) {
            Some(KeyLocation::Nowhere) => (None, "no secret is named for it".to_owned()),
            Some(KeyLocation::OtherSecret { secret }) => (Some(secret), format!("{secret} holds another certificate")),
            Some(KeyLocation::Secret { .. } | KeyLocation::Unread { .. }) | None => continue,
        };
        let message = format!("{part}: {source} was imported, and its key is not available: {why}");
        let facts = facts! {"source": source.to_string(), "secret": secret, "why": why};
        found.on_part(by.clone(), part.clone(), message, facts);
    }
}

fn shared(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let mut users: BTreeMap<CertificateSource, BTreeSet<ResourcePath>> = BTreeMap::new();
    for Socket { of, tls, .. } in &context.sockets {
        if let Some(source) = tls.and_then(|tls| CertificateSource::of_listener(of, &tls.certificate)) {
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

fn in_file(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for Presented { by, part, source } in &context.presented {
        if let CertificateSource::File(_, file) = source {
            let message = format!("{part}: its certificate comes from {file}");
            found.on_part(by.clone(), part.clone(), message, facts! {"path": file.as_str()});
        }
    }
}
