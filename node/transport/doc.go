// Package transport is how the nodes of one consortium reach each other: a
// libp2p host over TCP and Noise, a stream layer for Raft, and requests with
// one answer for everything else.
//
// # Invariants
//
//   - A connection exists only with a peer that Config.Admit accepts. Strangers
//     are refused right after the Noise handshake, in both directions, and
//     every new stream and every request asks Admit again, so that a member
//     who left is cut off even in the middle of a connection.
//   - A peer is its Ed25519 key: the libp2p peer id is the key, and the same
//     string is the Raft ServerID and ServerAddress. Addresses are hints.
//   - Nothing that a peer sends is allocated before its size was checked, and
//     what one peer can make this node hold is bounded (limits.go).
//   - Call sends a request at most once. It never retries by itself: an error
//     says whether the request certainly was not sent (ErrUnreachable) or
//     whether the outcome is unknown (ErrInterrupted).
//   - After Close no goroutine, file descriptor or handler of the host remains.
//
// # What it does not do
//
// No discovery, relay, NAT traversal, QUIC or identify: the consortium's
// governance says who the members are and where they listen. No persistence:
// no message survives a restart. No authorisation beyond admission: a handler
// is told which peer asks and decides itself. Deadlines are those of sockets
// and use the machine's clock; nothing here reads consortium time.
//
// # Wire format
//
// Each stream opens with a multistream-select 1.0 negotiation of one protocol:
//
//	/akashi/raft/1     the byte stream of hashicorp/raft's NetworkTransport
//	/akashi/NAME/1     requests and answers, in turn, until either side closes
//
// A request or an answer is one frame, all integers big-endian:
//
//	kind   1 byte   1 request, 2 answer, 3 error
//	arg    4 bytes  request: milliseconds until the caller gives up, at least 1;
//	                answer and error: 0
//	length 4 bytes  size of the body
//	body   length bytes
//
// The body of an error is one byte for the size of the code (at least 1), the
// code (ASCII), and the message (UTF-8); both together at most 1,024 bytes.
// The caller sends one request and waits for its answer before the next one on
// the same stream; concurrent calls use several streams. Whoever reads a frame
// that breaks these rules resets the stream; a request above the limit is
// answered by a reset with the stream error code 0x414b01.
package transport
