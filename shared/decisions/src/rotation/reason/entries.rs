//! The documentation of each reason code of rotation.

use super::{RotationKeepReason, Why};
use crate::reason_entry::{Paging, reason_entries};

reason_entries! { Why {
    RenewalDue: Never,
        "The certificate has reached its renewal point, by default two thirds of its life (`certificates.renewBefore`).",
        "";
    Expired: Never,
        "The certificate has ended. It is renewed before all others.",
        "Check why it was not renewed in time: the earlier holds of the certificate are in its journal.";
    Revoked: Never,
        "The private CA has revoked the certificate. It is replaced before all others.",
        "";
    OtherKey: Never,
        "The private key in the secret belongs to another certificate, so no proxy can present it. It is replaced.",
        "";
    NotYetValid: Never,
        "The current certificate is not valid yet, so no proxy accepts it. It is replaced.",
        "Check the clock or the settings of its issuer.";
    Succession: Never,
        "The CA that issued the certificate is being replaced, so the new CA issues the next one.",
        "";
    NewLeaf: Never,
        "A new certificate is ready and is distributed to the proxies.",
        "";
    Unfinished: Never,
        "The record lists a step that was begun and not yet confirmed. It is verified or repeated.",
        "";
    NotAcknowledged: IfLasting,
        "The change is made. Some proxies have not acknowledged it yet; the facts name them.",
        "Check the proxies with `meshwarden proxies`: they may be disconnected or refuse the update.";
}}

reason_entries! { RotationKeepReason {
    Fresh: Never,
        "The certificate is valid until after its renewal point, and every proxy has it.",
        "";
    Settled: Never,
        "No CA that this trust contains is being replaced.",
        "";
    NotOurs: Never,
        "Another owner renews the certificate: a file, another SDS server, ACM for a public certificate. It is observed only.",
        "Renew it at its owner, or bind a secret in `certificates.bundles`.";
    BeingIssued: Never,
        "The certificate has been requested, and the CA has not issued it yet.",
        "";
    Seen: Never,
        "The mesh was read completely.",
        "";
    MeshUnread: Never,
        "A mesh that uses, or may use, the certificate cannot be read, so the step is not safe. The page is that of the mesh.",
        "Follow the page on the mesh.";
    Unread: IfLasting,
        "The certificate, its secret or its CA could not be read.",
        "Permit the call that the facts name, or wait for the service.";
    RecordUnreadable: AtOnce,
        "The state table's record of the certificate cannot be read. Deciding without it could issue one certificate too many.",
        "Repair the record that the facts name.";
    RecordNewer: AtOnce,
        "A newer version of the function has written the record.",
        "Deploy that version.";
    IssuerUnknown: AtOnce,
        "No known private CA has issued the certificate, so the next issuer is unknown.",
        "Name the CA as `authority` in its entry of `certificates.bundles` or `certificates.imported`.";
    AuthorityInactive: AtOnce,
        "The CA that has to issue the certificate is not active.",
        "Enable the CA, or name its successor in `certificates.successions`.";
    AuthorityEnds: AtOnce,
        "The CA ends so soon that a new certificate would hardly live longer than the current one.",
        "Renew the CA's certificate, or name its successor in `certificates.successions`.";
    RenewalStuck: AtOnce,
        "ACM has not renewed the certificate and waits for an action, which the facts name.",
        "Do what the facts say, such as restoring the CNAME records of the validation.";
    BackingOff: Never,
        "The last attempt failed. The next one is made at the time in the facts.",
        "";
    KeepsFailing: AtOnce,
        "Several attempts in a row have failed (`certificates.backOff.pageAfter`). Attempts continue.",
        "Resolve the error in the facts. `meshwarden release certificate/NAME` retries at once.";
    PendingDiscarded: Never,
        "The CA issued an unusable certificate, which is discarded. Another attempt with a fresh key follows. Repeated failures page.",
        "If it repeats, compare the `defect` in the facts with the CA's templates.";
    PendingNotYetValid: Never,
        "The issued certificate is not valid yet. It becomes current when it is.",
        "";
    MovedBack: AtOnce,
        "A replaced certificate is current again: an operator or another controller moved it back. That is respected like an edit.",
        "`meshwarden release certificate/NAME` when the renewal may proceed.";
    AwaitingTrust: Never,
        "A proxy that verifies the certificate does not hold the new CA's root yet.",
        "";
    TrustNotOurs: AtOnce,
        "A proxy that verifies the certificate gets its trust from another owner, and is not known to hold the new root.",
        "Add the new root to the files or the SDS server that the facts name.";
    OldStillPresented: Never,
        "A certificate of the old CA is still presented, or may be, so the old root stays trusted.",
        "If it lasts, replace the certificates that the facts name.";
    OldKept: Never,
        "The policy keeps the old CA trusted.",
        "";
    TrustFull: AtOnce,
        "The client policy already trusts three CAs, the most that App Mesh allows.",
        "Remove a CA that is no longer used from the client policy.";
    AwaitingCanary: Never,
        "Another proxy or certificate changes first, as a canary.",
        "";
    NeighbourChanging: Never,
        "A proxy that shares an edge with this one is changing. Both ends never change at the same time.",
        "";
    PendingUnusable: AtOnce,
        "A pending version of the secret was not requested here, or differs from the request.",
        "Remove its label `AWSPENDING`, or let it be discarded when the page would be repeated.";
    SecretDiffers: AtOnce,
        "The secret that has to hold the same certificate holds another one.",
        "Put the certificate with its key into the secret, or name another secret in `certificates.imported`.";
    SecretChanging: Never,
        "Another part of the same secret, its trust or its certificate, is being changed.",
        "";
    RotatedByOthers: AtOnce,
        "Secrets Manager rotates the secret with its own rotation function.",
        "Disable one of the two.";
    Harmful: AtOnce,
        "What-if finds that the change would break something. The facts name each harm.",
        "Resolve the harm, or waive it in the policy.";
    BudgetSpent: Never,
        "The issuances of this window (`certificates.budget`) are spent.",
        "Raise the budget if so many renewals are expected.";
    KillSwitchOn: AtOnce,
        "The kill switch is on, so nothing is written.",
        "`meshwarden kill off` when the reason for the switch is gone.";
}}

impl RotationKeepReason {
    /// Whether the reason pages at once, because only an operator can resolve it. Calls that fail page when they last.
    #[must_use]
    pub const fn pages(&self) -> bool {
        matches!(self.entry().paging, Paging::AtOnce)
    }
}
