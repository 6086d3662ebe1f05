// Package rest is a node's HTTP interface below /v1, described by
// /openapi.json, with /healthz, /readyz and /metrics beside it.
//
// # Invariants
//
//   - What is read comes from the ledger at the highest final checkpoint, never
//     from above it. Before the first one the answer is 503 "not-final-yet".
//   - A request says who asks by a token (package token), and the table of
//     routes says which roles may ask. A subject is only ever asked about
//     themself.
//   - Requests are bounded before they are read: bytes, depth, number of
//     elements; a field that is not known or stands twice is refused.
//   - Errors are RFC 9457 problems out of one table from codes to status and
//     sentences in Japanese and English. Neither they nor logs and metrics
//     repeat what a caller sent, so no personal data is in them.
//   - A write answers when it is final, or says that it is not: with
//     wait=committed, or when its outcome is not known yet.
//
// The package decides nothing about people's data: that is node/custody. The
// bytes of the log itself are served by api/tiles.
package rest
