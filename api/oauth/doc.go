// Package oauth is a member's authorization server: how an app asks a person for
// consent, how the person answers, and how the app then reads exactly what was
// granted. Every member's node is an issuer of its own. The protocol is
// luikyv/go-oidc's; this package decides what is asked, granted, kept and handed
// out. docs/spec/oauth.md has endpoints, formats and what is stored.
//
// # Invariants
//
//   - A code is issued only when every granted scope is a consent whose record is
//     final. Refusals and deferrals are recorded too.
//   - A token opens what its consents open now: introspection, refresh and the
//     resource endpoint ask the register at a final checkpoint no older than 30 s.
//     Without one, nothing is handed out.
//   - A read is a hand-over: its intent is final before the items are answered, and
//     the items are those that were granted for the purpose, no more.
//   - A code is redeemed once, a refresh token is used once: compared and set in one
//     atomic step. A second use ends the whole grant.
//   - Codes, tokens and client secrets are stored as hashes; what belongs to a
//     person is sealed under a key of the vault.
//   - Redirect URIs are compared as strings. PKCE (S256) is needed always, a DPoP key
//     where the client has no secret.
//   - What a screen showed is kept under its hash, which is in the sealed part of the
//     consent. A choice on a screen that is no longer the one that would be shown is
//     refused.
//
// # What it does not do
//
// It knows no passwords. A client that revokes a token ends its grant, not the
// person's consent.
package oauth
