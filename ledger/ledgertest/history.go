package ledgertest

import (
	"fmt"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// Height is the log and the register at the end of one batch.
type Height struct {
	Height   uint64
	TimeMs   uint64
	First    uint64 // index of the batch's first leaf; its seal is leaf Size-1
	Size     uint64
	Root     merkle.Hash
	Register *register.Tree
	Writes   []register.Write
	view     *merkle.View
}

type tiles map[merkle.TileID][]byte

// Tile implements merkle.TileReader.
func (t tiles) Tile(id merkle.TileID) ([]byte, error) {
	b, ok := t[id]
	if !ok {
		return nil, fmt.Errorf("no tile %d/%d", id.Level, id.Index)
	}
	return b, nil
}

// Get reads the newest register: a rules.View.
func (c *Consortium) Get(key []byte) ([]byte, error) {
	v, _, err := c.mem.Get(register.HashKey(key))
	return v, err
}

// Last returns the newest height.
func (c *Consortium) Last() *Height { return &c.Heights[len(c.Heights)-1] }

// Prev returns the log as rules.Apply wants it.
func (c *Consortium) Prev() rules.Prev { return c.Heights[len(c.Heights)-1].prev() }

func (h *Height) prev() rules.Prev { return rules.Prev{Size: h.Size, Root: h.Root} }

// PrevOf returns the log before the batch of a height.
func (c *Consortium) PrevOf(height uint64) rules.Prev { return c.Heights[height-1].prev() }

// Value reads a value of the newest register, nil where there is none.
func Value[T any](c *Consortium, key string) *T {
	c.t.Helper()
	v, err := rules.Load[T](c, key)
	if err != nil {
		c.t.Fatalf("register: %v", err)
	}
	return v
}

// Head returns where the log stands.
func (c *Consortium) Head() *rules.Head { return Value[rules.Head](c, rules.KeyHead) }

// State returns a handle's state, nil where it is not open.
func (c *Consortium) State(h sign.PublicKey) *rules.Handle {
	return Value[rules.Handle](c, rules.KeyHandle(h))
}

// Mem is the register's leaves at one height, and a rules.View of them.
type Mem struct{ *register.Mem }

// Get implements rules.View.
func (m Mem) Get(key []byte) ([]byte, error) {
	v, _, err := m.Mem.Get(register.HashKey(key))
	return v, err
}

// RegisterAt returns the register's leaves at the end of a batch.
func (c *Consortium) RegisterAt(height uint64) Mem {
	m := Mem{register.MemLeaves()}
	for _, h := range c.Heights[:height+1] {
		m.Apply(h.Writes)
	}
	return m
}

// Prove proves what the register says of a key at a height.
func (c *Consortium) Prove(height uint64, key string) register.Proof {
	c.t.Helper()
	p, err := c.Heights[height].Register.Prove(c.RegisterAt(height).Mem, []byte(key))
	if err != nil {
		c.t.Fatalf("prove %q at height %d: %v", key, height, err)
	}
	return p
}

// Policy returns the policy in force for the next batch.
func (c *Consortium) Policy() *sign.Policy {
	return Value[rules.Policy](c, rules.KeyPolicy).Sign()
}

// PolicyAt returns the policy under which a height is final.
func (c *Consortium) PolicyAt(height uint64) *rules.Policy {
	c.t.Helper()
	p, err := rules.PolicyAt(c, height)
	if err != nil {
		c.t.Fatalf("policy of height %d: %v", height, err)
	}
	return p
}

// Checkpoint returns the checkpoint of a height.
func (c *Consortium) Checkpoint(height uint64) sign.Checkpoint {
	return sign.Checkpoint{Origin: c.Origin, Size: c.Heights[height].Size, Root: c.Heights[height].Root}
}

// A Cosignature with the member's id.
type Cosignature struct {
	sign.Cosignature
	id string
}

// Cosign returns the cosignatures of the first k members for a height, at the
// clock's time.
func (c *Consortium) Cosign(height uint64, k int) []Cosignature {
	out := make([]Cosignature, k)
	for i, m := range c.PolicyAt(height).Members[:k] {
		out[i] = Cosignature{c.cosigner(m).Cosign(m.Name, c.Checkpoint(height), c.NowMs/1000), m.ID}
	}
	return out
}

// PrivateKey returns the private half of a key that Rotate or Join proposed.
func (c *Consortium) PrivateKey(k sign.PublicKey) sign.Key {
	c.t.Helper()
	key, ok := c.next[k]
	if !ok {
		c.t.Fatal("not a key that Rotate proposed")
	}
	return key
}

// cosigner returns the private half of a cosigner key.
func (c *Consortium) cosigner(m rules.Cosigner) sign.Key {
	if k, ok := c.next[m.Key]; ok {
		return k
	}
	return c.Key("cosign/" + m.ID)
}

// Note returns the signed final checkpoint of a height, at the clock's time.
func (c *Consortium) Note(height uint64) []byte {
	c.t.Helper()
	var cosigs []sign.Cosignature
	keys := map[string]sign.PublicKey{}
	for i, s := range c.Cosign(height, c.PolicyAt(height).K) {
		cosigs = append(cosigs, s.Cosignature)
		keys[s.Signer] = c.PolicyAt(height).Members[i].Key
	}
	note, err := sign.FormatNote(c.Checkpoint(height), c.Log, cosigs, keys)
	if err != nil {
		c.t.Fatalf("note: %v", err)
	}
	return note
}

// Inclusion returns the path of a leaf to the root of a height.
func (c *Consortium) Inclusion(leafIndex, height uint64) []merkle.Hash {
	c.t.Helper()
	h := &c.Heights[height]
	path, err := h.view.InclusionProof(leafIndex, h.Size, c.tiles)
	if err != nil {
		c.t.Fatalf("inclusion of leaf %d at height %d: %v", leafIndex, height, err)
	}
	return path
}

// View returns the log's tree at a height, and the tiles beneath it.
func (c *Consortium) View(height uint64) (*merkle.View, merkle.TileReader) {
	return c.Heights[height].view, c.tiles
}

// Find returns the index of the leaf of a record, and the height of its batch.
func (c *Consortium) Find(id record.ID) (leafIndex, height uint64) {
	c.t.Helper()
	for i, leaf := range c.Leaves {
		if record.IsSeal(leaf) {
			continue
		}
		if r, err := record.Parse(leaf); err == nil && r.ID == id {
			at := slices.IndexFunc(c.Heights, func(h Height) bool { return uint64(i) < h.Size })
			return uint64(i), uint64(at)
		}
	}
	c.t.Fatalf("no leaf of record %x", id)
	return 0, 0
}

// Batched returns the accepted leaves of a height and its seal.
func (c *Consortium) Batched(height uint64) ([][]byte, *record.Seal) {
	c.t.Helper()
	h := &c.Heights[height]
	seal, err := record.ParseSeal(c.Leaves[h.Size-1])
	if err != nil {
		c.t.Fatalf("seal of height %d: %v", height, err)
	}
	return c.Leaves[h.First : h.Size-1], seal
}
