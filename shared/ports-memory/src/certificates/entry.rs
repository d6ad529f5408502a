use std::collections::BTreeMap;

use jiff::Timestamp;

use super::acm_rules::Facts;
use ports::certificates::{
    CertificateArn, CertificateKind, CertificateListed, CertificateStatus, Chain, Eligibility, PrivateKey,
    PrivateRequest, Renewal, RenewalState, StoredCertificate,
};

/// A certificate in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CertificateEntry {
    pub(super) kind: CertificateKind,
    /// Absent until the first issuance.
    pub(super) made: Option<Made>,
    /// The issuance in progress.
    pub(super) next: Option<Next>,
    /// The original request, which renewals repeat.
    pub(super) request: Option<PrivateRequest>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) in_use_by: Vec<String>,
    pub(super) exported: bool,
    pub(super) exported_since_issued: bool,
    pub(super) revoked: bool,
    failure: Option<String>,
    renewal: Option<Renewal>,
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) chain: Chain,
    pub(super) key: PrivateKey,
    pub(super) facts: Facts,
}

/// An issuance in progress, or the reason of its failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) since: Timestamp,
    pub(super) ready: Timestamp,
    pub(super) outcome: Result<Made, String>,
}

/// Whether a certificate is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryStatus {
    Good,
    Expired,
    Revoked,
    Failed,
    Awaited,
}

impl CertificateEntry {
    pub(super) fn requested(request: &PrivateRequest, next: Next) -> Self {
        Self {
            made: None,
            next: Some(next),
            request: Some(request.clone()),
            tags: request.tags.clone(),
            ..Self::empty(CertificateKind::Private)
        }
    }

    pub(super) fn imported(made: Made, tags: BTreeMap<String, String>) -> Self {
        Self { made: Some(made), tags, ..Self::empty(CertificateKind::Imported) }
    }

    fn empty(kind: CertificateKind) -> Self {
        Self {
            kind,
            made: None,
            next: None,
            request: None,
            tags: BTreeMap::new(),
            in_use_by: Vec::new(),
            exported: false,
            exported_since_issued: false,
            revoked: false,
            failure: None,
            renewal: None,
        }
    }

    /// Includes issuances completed by then.
    pub(super) fn at(&self, now: Timestamp) -> Self {
        let mut entry = self.clone();
        let Some(next) = entry.next.take_if(|next| next.ready <= now) else { return entry };
        let renewed = entry.made.is_some();
        match next.outcome {
            Ok(made) => {
                entry.made = Some(made);
                entry.exported_since_issued = false;
                if renewed {
                    entry.renewal = Some(Renewal { state: RenewalState::Success, reason: None, at: next.ready });
                }
            }
            // The old certificate stays as it is.
            Err(reason) if renewed => {
                entry.renewal = Some(Renewal { state: RenewalState::Failed, reason: Some(reason), at: next.ready });
            }
            Err(reason) => entry.failure = Some(reason),
        }
        entry
    }

    pub(super) fn entry_status(&self, now: Timestamp) -> EntryStatus {
        match &self.made {
            _ if self.revoked => EntryStatus::Revoked,
            Some(made) if made.facts.not_after <= now => EntryStatus::Expired,
            Some(_) => EntryStatus::Good,
            None if self.failure.is_some() => EntryStatus::Failed,
            None => EntryStatus::Awaited,
        }
    }

    pub(super) fn eligibility(&self, now: Timestamp) -> Eligibility {
        let renewable = self.kind != CertificateKind::Imported && self.entry_status(now) == EntryStatus::Good;
        if renewable && (self.exported_since_issued || !self.in_use_by.is_empty()) {
            Eligibility::Eligible
        } else {
            Eligibility::Ineligible
        }
    }

    pub(super) fn listed(&self, arn: &CertificateArn, now: Timestamp) -> CertificateListed {
        CertificateListed {
            arn: arn.clone(),
            kind: self.kind.clone(),
            status: self.status(now),
            not_after: self.made.as_ref().map(|made| made.facts.not_after),
            exported: Some(self.exported),
        }
    }

    pub(super) fn described(&self, arn: &CertificateArn, now: Timestamp) -> StoredCertificate {
        let facts = self.made.as_ref().map(|made| &made.facts);
        let request = self.request.as_ref();
        let names = |request: &PrivateRequest| {
            std::iter::once(&request.common_name).chain(&request.other_names).cloned().collect::<Vec<_>>()
        };
        let under_way = self.next.as_ref().filter(|_| self.made.is_some());
        let under_way =
            under_way.map(|next| Renewal { state: RenewalState::PendingAutoRenewal, reason: None, at: next.since });
        StoredCertificate {
            arn: arn.clone(),
            kind: self.kind.clone(),
            status: self.status(now),
            failure: self.failure.clone(),
            common_name: facts
                .map(|facts| facts.common_name.clone())
                .or_else(|| request.map(|request| request.common_name.clone()))
                .unwrap_or_default(),
            names: facts.map(|facts| facts.names.clone()).or_else(|| request.map(names)).unwrap_or_default(),
            key_algorithm: facts
                .map(|facts| facts.key_algorithm.clone())
                .or_else(|| request.map(|request| request.key_algorithm.clone())),
            serial: facts.map(|facts| facts.serial.clone()),
            not_before: facts.map(|facts| facts.not_before),
            not_after: facts.map(|facts| facts.not_after),
            in_use_by: self.in_use_by.clone(),
            eligibility: Some(self.eligibility(now)),
            renewal: under_way.or_else(|| self.renewal.clone()),
            authority: request.map(|request| request.authority.clone()),
        }
    }

    fn status(&self, now: Timestamp) -> CertificateStatus {
        match self.entry_status(now) {
            EntryStatus::Good => CertificateStatus::Issued,
            EntryStatus::Expired => CertificateStatus::Expired,
            EntryStatus::Revoked => CertificateStatus::Revoked,
            EntryStatus::Failed => CertificateStatus::Failed,
            EntryStatus::Awaited => CertificateStatus::PendingValidation,
        }
    }
}
