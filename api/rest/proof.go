package rest

import (
	"encoding/hex"
	"errors"
	"strings"

	"filippo.io/torchwood"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"golang.org/x/mod/sumdb/tlog"
)

// InclusionView is the path of one leaf (RFC 9162 §2.1.3).
type InclusionView struct {
	Index    uint64   `json:"index"`
	Size     uint64   `json:"size" doc:"of the tree that the path leads to"`
	LeafHash []byte   `json:"leafHash"`
	Path     [][]byte `json:"path"`
	Proof    string   `json:"proof,omitempty" doc:"tlog-proof@v1 with the signed checkpoint; where size is that of the highest final one"`
}

// ConsistencyView is the proof that one tree is the beginning of another (RFC
// 9162 §2.1.4).
type ConsistencyView struct {
	From uint64   `json:"from"`
	To   uint64   `json:"to"`
	Path [][]byte `json:"path"`
}

// RegisterView is what the register says of one key.
type RegisterView struct {
	Key     []byte `json:"key"`
	Present bool   `json:"present"`
	Value   []byte `json:"value,omitempty"`
	Proof   []byte `json:"proof" doc:"against the root in the seal"`
	Seal    []byte `json:"seal" doc:"the leaf that is the last of the checkpoint"`
	Sealed  string `json:"sealProof" doc:"tlog-proof@v1 of the seal"`
	Height  uint64 `json:"height"`
}

func proofRoutes() []*route {
	return []*route{
		{method: "GET", path: "/v1/proofs/inclusion", name: "inclusion", tag: "proofs", text: Sentence{"記録が台帳にある証明", "Proof that a leaf is in the log"},
			query:  []parameter{{"index", "of the leaf"}, {"id", "of the record, in place of index"}, {"size", "of the tree; the highest final one where absent"}},
			result: InclusionView{}, handle: (*call).inclusion},
		{method: "GET", path: "/v1/proofs/consistency", name: "consistency", tag: "proofs", text: Sentence{"台帳が書き換えられていない証明", "Proof that the log only grew"},
			query: []parameter{{"from", "smaller size"}, {"to", "larger size; the highest final one where absent"}}, result: ConsistencyView{}, handle: (*call).consistency},
		{method: "GET", path: "/v1/proofs/register", name: "register", tag: "proofs", text: Sentence{"いまの状態の証明", "Proof of present state"},
			roles: staff | auditor, query: []parameter{{"key", "such as party/a-sha; what follows handle/, terms/, intent/, erasure/, tomb/ and tree/ is hex"}},
			result: RegisterView{}, handle: (*call).register},
		{method: "GET", path: "/v1/proofs/handle", name: "handle", tag: "proofs", text: Sentence{"一つの鍵の状態と、記録がこれで全部という証明", "Proof of one handle's state, and that its records are all there are"},
			roles: known, query: []parameter{{"handle", "public key in hex"}, {"events", "true: with every record under it"}},
			result: "application/json", handle: (*call).handleProof},
	}
}

// leafIndex reads the parameters index or id.
func (c *call) leafIndex() (uint64, error) {
	switch {
	case c.query.Has("index") == c.query.Has("id"):
		return 0, faultAt(codeParameter, "index")
	case c.query.Has("id"):
		return c.indexOf("id", c.query.Get("id"))
	}
	return c.number("index", 0)
}

// indexOf finds a final record.
func (c *call) indexOf(name, text string) (uint64, error) {
	id, err := recordID(name, text)
	if err != nil {
		return 0, err
	}
	index, ok, err := c.final.State.IndexOf(id)
	if err == nil && !ok {
		err = fault(codeRecordUnknown)
	}
	return index, err
}

func (c *call) inclusion() (any, error) {
	st := c.final.State
	index, err := c.leafIndex()
	if err != nil {
		return nil, err
	}
	size, err := c.number("size", st.Size)
	switch {
	case err != nil:
		return nil, err
	case size > st.Size || index >= size:
		return nil, fault(codeBeyond)
	}
	path, err := st.Inclusion(index, size)
	if err != nil {
		return nil, err
	}
	tile, err := st.Tree().Tile(merkle.TileID{Index: index / merkle.TileWidth}, int(index%merkle.TileWidth)+1, st)
	if err != nil {
		return nil, err
	}
	v := InclusionView{Index: index, Size: size, LeafHash: tile[len(tile)-merkle.HashSize:], Path: bytesOf(path)}
	if size == st.Size {
		v.Proof = c.final.proofText(index, path)
	}
	return v, nil
}

func bytesOf(path []merkle.Hash) [][]byte {
	out := make([][]byte, len(path))
	for i := range path {
		out[i] = path[i][:]
	}
	return out
}

// proofText returns the tlog-proof@v1 of a leaf at the final checkpoint.
func (f *Final) proofText(index uint64, path []merkle.Hash) string {
	p := make(tlog.RecordProof, len(path))
	for i, h := range path {
		p[i] = tlog.Hash(h)
	}
	return string(torchwood.FormatProof(int64(index), p, f.Note()))
}

func (c *call) consistency() (any, error) {
	st := c.final.State
	if !c.query.Has("from") {
		return nil, faultAt(codeParameter, "from")
	}
	from, err := c.number("from", 0)
	if err != nil {
		return nil, err
	}
	to, err := c.number("to", st.Size)
	switch {
	case err != nil:
		return nil, err
	case from > to:
		return nil, faultAt(codeParameter, "from")
	case to > st.Size:
		return nil, fault(codeBeyond)
	}
	path, err := st.Consistency(from, to)
	if errors.Is(err, merkle.ErrBeyond) {
		return nil, fault(codeBeyond)
	}
	return ConsistencyView{From: from, To: to, Path: bytesOf(path)}, err
}

// binaryKeys are the kinds of register keys whose names are bytes.
var binaryKeys = []string{"handle/", "terms/", "intent/", "erasure/", "tomb/", "tree/"}

// maxRegisterKey is longer than any key of the register is.
const maxRegisterKey = 128

// registerKey reads a register key.
func registerKey(s string) ([]byte, error) {
	if s == "" || len(s) > maxRegisterKey {
		return nil, faultAt(codeParameter, "key")
	}
	for _, kind := range binaryKeys {
		rest, ok := strings.CutPrefix(s, kind)
		if !ok {
			continue
		}
		b, err := hex.DecodeString(rest)
		if err != nil || strings.ToLower(rest) != rest || len(b) == 0 {
			return nil, faultAt(codeParameter, "key")
		}
		return append([]byte(kind), b...), nil
	}
	return []byte(s), nil
}

func (c *call) register() (any, error) {
	st := c.final.State
	key, err := registerKey(c.query.Get("key"))
	if err != nil {
		return nil, err
	}
	p, err := st.Prove(key)
	if err != nil {
		return nil, err
	}
	value, present, err := register.Verify(merkle.Hash(st.Register), key, p)
	if err != nil {
		return nil, err
	}
	v := RegisterView{Key: key, Present: present, Value: value, Height: st.Height}
	if v.Proof, err = p.MarshalBinary(); err != nil {
		return nil, err
	}
	if v.Seal, err = st.Leaf(st.Size - 1); err != nil {
		return nil, err
	}
	path, err := st.Inclusion(st.Size-1, st.Size)
	v.Sealed = c.final.proofText(st.Size-1, path)
	return v, err
}
