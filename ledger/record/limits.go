package record

import "time"

// Every bound of the formats stands here. Sizes are in bytes.
const (
	PadBytes      = 128       // leaves are padded to multiples of this
	MaxLeafBytes  = 63 << 10  // a leaf fits a tlog-tiles entry bundle (uint16 length)
	MaxSealBytes  = 60_000    // the seal leaf
	MaxIDBytes    = 32        // ids of parties, services, sensors
	MaxCodeBytes  = 40        // a refusal code
	MaxTextBytes  = 16 << 10  // one text of terms, per language
	MaxNameBytes  = 256       // a public name, per language
	MaxEntry      = 512 << 10 // one batch as a Raft entry
	MaxWriteBytes = 2_000_000 // register values that one batch writes, each with writeCost (ledger/rules)
	MaxListBytes  = 52_000    // header and submission list of one batch
	MaxRecords    = 1000      // records of one submission
	MaxBatchSubs  = 400       // submissions of one batch
	MaxScopes     = 16        // scopes of one version of terms
	MaxItems      = 128       // item codes of one scope
	MaxParties    = 256       // recipients of one scope, holders of one erasure
	MaxNumbers    = 512       // key numbers of one erasure or attestation
	MaxCloses     = 512       // hand-overs that one closing of a handle ends
	MaxMembers    = 32        // members of a consortium
	MaxWitnesses  = 16        // of a founding
	MaxDirectory  = 8192      // services that ever were; parties too
	MaxDurations  = 100 * 366 // days: the longest consent
	MaxWriters    = 32        // writers that a commitment tree names
	MaxTreeLeaf   = 60_000    // value of a leaf of a commitment tree
	MaxTreeExtra  = 4 << 10   // extra data of such a leaf
	ScopeAll      = 255       // Stop: every scope and every opt-out hand-over
)

// Bounds of time.
const (
	CitedWindow     = 32               // batches back that a header may cite
	MaxAhead        = 20 * time.Second // batch time beyond the median time of the cited checkpoint
	MaxNotAfter     = 30 * time.Minute // life of a submission
	MaxTreeInterval = 86_400_000       // milliseconds between advances of a commitment tree
	SeqWindow       = 4096             // sequence numbers an issuer may have open
)
