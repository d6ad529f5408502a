use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::entry::{CertificateEntry, EntryStatus, Made, Next};
use super::numbers::Numbers;
use super::{MemoryAuthorities, acm_rules};
use crate::{ACCOUNT, Cell, Faults, ManualClock};
use ports::certificates::{
    CertificateArn, CertificateKind, CertificateListed, CertificateStore, Chain, Eligibility, ExportedCertificate,
    IdempotencyToken, Import, PrivateRequest, StoredCertificate, SubjectNames,
};
use ports::certificates::{certificate_request, key_pair, private_key};
use ports::{Clock, PortError, PortErrorKind};

/// The time for which ACM recognises an idempotency token.
const ACM_TOKEN_LASTS: SignedDuration = SignedDuration::from_hours(1);

/// The validity of ACM's private certificates: thirteen months.
const PRIVATE_LASTS: SignedDuration = SignedDuration::from_hours(395 * 24);

/// A store of certificates with ACM's rules, except ACM's automatic renewal sixty days before the end.
#[derive(Clone, Debug)]
pub struct MemoryCertificates {
    cell: Cell<AcmState>,
    clock: ManualClock,
    authorities: MemoryAuthorities,
}

#[derive(Clone, Debug, PartialEq)]
struct AcmState {
    numbers: Numbers,
    delay: SignedDuration,
    entry: BTreeMap<CertificateArn, Arc<CertificateEntry>>,
    tokens: BTreeMap<IdempotencyToken, (Timestamp, CertificateArn)>,
    issuances: usize,
}

impl MemoryCertificates {
    /// Creates an empty store, with these authorities as issuers of private certificates.
    #[must_use]
    pub fn new(faults: Faults, clock: ManualClock, authorities: MemoryAuthorities, seed: u64) -> Self {
        let state = AcmState {
            numbers: Numbers::new(seed, 1),
            delay: SignedDuration::ZERO,
            entry: BTreeMap::new(),
            tokens: BTreeMap::new(),
            issuances: 0,
        };
        Self { cell: Cell::new(state, faults), clock, authorities }
    }

    /// Sets the duration of requests and renewals; initially zero.
    pub fn set_delay(&self, delay: SignedDuration) {
        self.cell.poke(|state| state.delay = delay);
    }

    /// Sets the AWS resources that use a certificate.
    pub fn set_in_use_by(&self, arn: &CertificateArn, by: &[&str]) {
        self.change(arn, |entry| entry.in_use_by = by.iter().map(|by| (*by).to_owned()).collect());
    }

    /// Revokes a certificate.
    pub fn revoke(&self, arn: &CertificateArn) {
        self.change(arn, |entry| entry.revoked = true);
    }

    /// Turns a certificate into a public one issued by Amazon.
    pub fn make_public(&self, arn: &CertificateArn) {
        self.change(arn, |entry| entry.kind = CertificateKind::AmazonIssued);
    }

    /// The number of certificates issued for requests and renewals.
    #[must_use]
    pub fn issuances(&self) -> usize {
        self.cell.peek(|state| state.issuances)
    }

    fn change(&self, arn: &CertificateArn, change: impl FnOnce(&mut CertificateEntry)) {
        self.cell.poke(|state| {
            if let Some(entry) = state.entry.get_mut(arn) {
                change(Arc::make_mut(entry));
            }
        });
    }

    /// Creates a key and has its certificate signed, as ACM does.
    fn issue(&self, request: &PrivateRequest) -> Result<Made, String> {
        let pair = key_pair(&request.key_algorithm).map_err(|error| error.message)?;
        let dns = std::iter::once(&request.common_name).chain(&request.other_names).cloned().collect();
        let names = SubjectNames { common_name: Some(request.common_name.clone()), dns, uris: Vec::new() };
        let signing = certificate_request(&pair, &names).map_err(|error| error.to_string())?;
        let chain = self.authorities.sign_for_acm(&request.authority, &signing, PRIVATE_LASTS)?;
        let facts = acm_rules::facts(&chain.leaf)?;
        Ok(Made { chain, key: private_key(&pair), facts })
    }
}

#[async_trait]
impl CertificateStore for MemoryCertificates {
    async fn list(&self) -> Result<Vec<CertificateListed>, PortError> {
        let now = self.clock.now();
        let listed = |(arn, entry): (&CertificateArn, &Arc<CertificateEntry>)| entry.at(now).listed(arn, now);
        self.cell.read("list", "certificates", |state| Ok(state.entry.iter().map(listed).collect())).await
    }

    async fn describe(&self, arn: &CertificateArn) -> Result<StoredCertificate, PortError> {
        let now = self.clock.now();
        self.cell.read("describe certificate", arn, |state| Ok(state.find(arn)?.at(now).described(arn, now))).await
    }

    async fn chain(&self, arn: &CertificateArn) -> Result<Option<Chain>, PortError> {
        let now = self.clock.now();
        self.cell.read("read certificate", arn, |state| Ok(state.find(arn)?.at(now).made.map(|made| made.chain))).await
    }

    async fn export(&self, arn: &CertificateArn) -> Result<ExportedCertificate, PortError> {
        let now = self.clock.now();
        self.cell
            .write("export certificate", arn, |state| {
                let entry = state.settle(arn, now)?;
                if entry.kind != CertificateKind::Private {
                    return Err(refused("export", arn, "it is not a private certificate (ValidationException)"));
                }
                if entry.next.is_some() {
                    return Err(busy("export", arn));
                }
                let Some(made) = entry.made.clone().filter(|_| entry.entry_status(now) == EntryStatus::Good) else {
                    return Err(refused("export", arn, "it is not in force (ValidationException)"));
                };
                (entry.exported, entry.exported_since_issued) = (true, true);
                Ok(ExportedCertificate { chain: made.chain, key: made.key })
            })
            .await
    }

    async fn renew(&self, arn: &CertificateArn) -> Result<(), PortError> {
        let now = self.clock.now();
        // Signed outside the write: an authority is a separate port, with its own lock.
        let request = self.cell.peek(|state| state.entry.get(arn).and_then(|entry| entry.request.clone()));
        let made = request.as_ref().map(|request| self.issue(request));
        self.cell
            .write("renew certificate", arn, |state| {
                let ready = now.saturating_add(state.delay).unwrap_or(now);
                let entry = state.settle(arn, now)?;
                if entry.next.is_some() {
                    return Err(busy("renew", arn));
                }
                if entry.kind != CertificateKind::Private || entry.eligibility(now) != Eligibility::Eligible {
                    return Err(refused("renew", arn, "it is not eligible for renewal (ValidationException)"));
                }
                let Some(outcome) = made else {
                    return Err(refused("renew", arn, "it was not requested from ACM (ValidationException)"));
                };
                let issued = usize::from(outcome.is_ok());
                entry.next = Some(Next { ready, since: now, outcome });
                state.issuances += issued;
                Ok(())
            })
            .await
    }

    async fn request(&self, request: &PrivateRequest) -> Result<CertificateArn, PortError> {
        let now = self.clock.now();
        let known = self.cell.peek(|state| state.known(&request.token, now));
        let made = if known.is_none() { Some(self.issue(request)) } else { None };
        self.cell
            .write("request certificate", &request.common_name, |state| {
                let Some(outcome) = made.filter(|_| state.known(&request.token, now).is_none()) else {
                    return state.known(&request.token, now).ok_or_else(|| gone(&request.common_name));
                };
                let ready = now.saturating_add(state.delay).unwrap_or(now);
                let arn = state.name()?;
                state.issuances += usize::from(outcome.is_ok());
                let entry = CertificateEntry::requested(request, Next { ready, since: now, outcome });
                state.entry.insert(arn.clone(), Arc::new(entry));
                state.tokens.retain(|_, (at, _)| now.duration_since(*at) < ACM_TOKEN_LASTS);
                state.tokens.insert(request.token.clone(), (now, arn.clone()));
                Ok(arn)
            })
            .await
    }

    async fn import(&self, import: &Import) -> Result<CertificateArn, PortError> {
        let now = self.clock.now();
        let subject = import.onto.as_ref().map_or("a new one", CertificateArn::as_str).to_owned();
        self.cell
            .write("import certificate", subject.clone(), |state| {
                let no =
                    |why: String| PortError::new(format!("import certificate {subject}"), PortErrorKind::Other, why);
                let facts = acm_rules::importable(&import.chain, &import.key, now)
                    .map_err(|why| no(format!("{why} (ValidationException)")))?;
                let made = Made { chain: import.chain.clone(), key: import.key.clone(), facts };
                let Some(arn) = &import.onto else {
                    let arn = state.name()?;
                    state.entry.insert(arn.clone(), Arc::new(CertificateEntry::imported(made, import.tags.clone())));
                    return Ok(arn);
                };
                let entry = state.settle(arn, now)?;
                if entry.kind != CertificateKind::Imported {
                    return Err(no("it was not imported (ValidationException)".to_owned()));
                }
                if !import.tags.is_empty() {
                    return Err(no(
                        "tags can't be given to one that is replaced (InvalidParameterException)".to_owned()
                    ));
                }
                if let Some(old) = &entry.made {
                    acm_rules::replaces(&made.facts, &old.facts)
                        .map_err(|why| no(format!("{why} (ValidationException)")))?;
                }
                entry.made = Some(made);
                Ok(arn.clone())
            })
            .await
    }

    async fn delete(&self, arn: &CertificateArn) -> Result<(), PortError> {
        self.cell
            .write("delete certificate", arn, |state| {
                if !state.find(arn)?.in_use_by.is_empty() {
                    let call = format!("delete certificate {arn}");
                    return Err(PortError::new(call, PortErrorKind::Conflict, "it is in use (ResourceInUseException)"));
                }
                state.entry.remove(arn);
                Ok(())
            })
            .await
    }

    async fn tags(&self, arn: &CertificateArn) -> Result<BTreeMap<String, String>, PortError> {
        self.cell.read("list tags of certificate", arn, |state| Ok(state.find(arn)?.tags.clone())).await
    }

    async fn tag(&self, arn: &CertificateArn, tags: &BTreeMap<String, String>) -> Result<(), PortError> {
        self.cell
            .write("tag certificate", arn, |state| {
                let entry = state.entry.get_mut(arn).ok_or_else(|| gone(arn))?;
                Arc::make_mut(entry).tags.extend(tags.clone());
                Ok(())
            })
            .await
    }
}

impl AcmState {
    fn find(&self, arn: &CertificateArn) -> Result<&CertificateEntry, PortError> {
        self.entry.get(arn).map(Arc::as_ref).ok_or_else(|| gone(arn))
    }

    /// The certificate, with completed issuances.
    fn settle(&mut self, arn: &CertificateArn, now: Timestamp) -> Result<&mut CertificateEntry, PortError> {
        let entry = Arc::make_mut(self.entry.get_mut(arn).ok_or_else(|| gone(arn))?);
        *entry = entry.at(now);
        Ok(entry)
    }

    fn known(&self, token: &IdempotencyToken, now: Timestamp) -> Option<CertificateArn> {
        let (at, arn) = self.tokens.get(token)?;
        (now.duration_since(*at) < ACM_TOKEN_LASTS && self.entry.contains_key(arn)).then(|| arn.clone())
    }

    fn name(&mut self) -> Result<CertificateArn, PortError> {
        let text = format!("arn:aws:acm:eu-west-1:{ACCOUNT}:certificate/{}", self.numbers.uuid());
        CertificateArn::parse(&text)
            .map_err(|error| PortError::new("name a certificate", PortErrorKind::Other, error.to_string()))
    }
}

fn gone(what: &impl std::fmt::Display) -> PortError {
    let call = format!("find certificate {what}");
    PortError::new(call, PortErrorKind::NotFound, "it does not exist (ResourceNotFoundException)")
}

fn busy(what: &str, arn: &CertificateArn) -> PortError {
    let call = format!("{what} certificate {arn}");
    PortError::new(call, PortErrorKind::Conflict, "it is being issued (RequestInProgressException)")
}

fn refused(what: &str, arn: &CertificateArn, why: &str) -> PortError {
    PortError::new(format!("{what} certificate {arn}"), PortErrorKind::Other, why)
}
