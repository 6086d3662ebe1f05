package register

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/merkle"
)

// vectorSet is one set of docs/spec/vectors/register.json, which
// docs/spec/vectors/register.py wrote.
type vectorSet struct {
	N      int             `json:"n"`
	Keys   json.RawMessage `json:"keys"` // pairs, or for large sets the rule in words
	Roots  []struct{ What, Root string }
	Proofs []struct {
		Key       string
		Included  bool
		Siblings  []string
		LeafKey   *string
		LeafValue *string
	} `json:"proofsBeforeChanges"`
}

func readVectors(t *testing.T) []vectorSet {
	t.Helper()
	data, err := os.ReadFile("../../docs/spec/vectors/register.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Sets []vectorSet }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Sets) != 8 {
		t.Fatalf("%d sets", len(file.Sets))
	}
	return file.Sets
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	out, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s vectorSet) writes(t *testing.T) []Write {
	t.Helper()
	var pairs [][2]string
	if s.N <= 17 {
		if err := json.Unmarshal(s.Keys, &pairs); err != nil {
			t.Fatal(err)
		}
	}
	writes := make([]Write, s.N)
	for i := range writes {
		if s.N <= 17 {
			writes[i] = Write{Key: unhex(t, pairs[i][0]), Value: unhex(t, pairs[i][1])}
			continue
		}
		value := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		writes[i] = Write{Key: fmt.Appendf(nil, "key/%d", i), Value: value[:]}
	}
	return writes
}

// proof returns vector i as a Proof.
func (s vectorSet) proof(t *testing.T, i int) Proof {
	t.Helper()
	v := s.Proofs[i]
	p := Proof{Siblings: make([]merkle.Hash, len(v.Siblings))}
	for j := range v.Siblings {
		copy(p.Siblings[j][:], unhex(t, v.Siblings[j]))
	}
	if v.LeafKey != nil {
		p.Leaf = &Leaf{KeyHash: HashKey(unhex(t, *v.LeafKey)), Value: unhex(t, *v.LeafValue)}
	}
	return p
}

func TestVectors(t *testing.T) {
	steps := [][]Write{nil, {{Key: []byte("key/1"), Value: []byte("changed")}}, {{Key: []byte("key/0")}}}
	for _, set := range readVectors(t) {
		t.Run(fmt.Sprintf("n=%d", set.N), func(t *testing.T) {
			steps[0] = set.writes(t)
			tree, mem, naive := Empty(Options{}), MemLeaves(), Naive{}
			for i, want := range set.Roots {
				next, err := tree.Update(mem, steps[i])
				if err != nil {
					t.Fatal(err)
				}
				tree = next
				mem.Apply(steps[i])
				naive.Apply(steps[i])
				built, err := Build(mem, Options{})
				if err != nil {
					t.Fatal(err)
				}
				for who, root := range map[string]merkle.Hash{"updated": tree.Root(), "built": built.Root(), "naive": naive.Root()} {
					if root.String() != want.Root {
						t.Errorf("%s, %s: root %s, want %s", want.What, who, root, want.Root)
					}
				}
				if i == 0 {
					checkVectorProofs(t, set, tree, mem, naive)
				}
			}
		})
	}
}

func checkVectorProofs(t *testing.T, set vectorSet, tree *Tree, mem *Mem, naive Naive) {
	t.Helper()
	for i, v := range set.Proofs {
		key, want := unhex(t, v.Key), set.proof(t, i)
		got, err := tree.Prove(mem, key)
		if err != nil {
			t.Fatal(err)
		}
		sameProof(t, got, want)
		sameProof(t, naive.Prove(key), want)
		value, present, err := Verify(tree.Root(), key, want)
		if err != nil || present != v.Included {
			t.Errorf("key %s: present %t, %v", v.Key, present, err)
		}
		if present && string(value) != string(want.Leaf.Value) {
			t.Errorf("key %s: other value", v.Key)
		}
	}
}
