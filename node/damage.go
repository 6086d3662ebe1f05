package node

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/akashi-ledger/akashi/node/store"
)

// A node that met damage in its ledger state stops rather than serve a wrong byte,
// and leaves the file damageMark behind. The next start sets the state aside and
// derives it again from the Raft log, which is kept whole. A check at the start
// alone would not find a leaf that is damaged in the middle.
//
// Order of effects: mark (synced) → stop → state renamed → mark removed. A crash
// between two of them leaves the mark, and the next start goes on.
const damageMark = "state.damaged"

// markDamaged leaves the mark where the node stops because of its ledger state.
// Damaged local storage is not repaired so: nobody else has it.
func (n *Node) markDamaged(why error) {
	damaged := errors.Is(why, store.ErrDamaged) || errors.Is(why, store.ErrCorrupt)
	if !damaged || errors.Is(why, store.ErrStopped) {
		return
	}
	if err := writeFile(filepath.Join(n.Dir, damageMark), []byte(why.Error()+"\n"), 0o600); err != nil {
		n.Log.Error("the damaged state is not marked: move the folder away by hand", "folder", filepath.Join(n.Dir, "state"), "err", err)
		return
	}
	n.Log.Error("start the node again: its ledger state is then derived anew from the Raft log")
}

// repair sets a state aside in which damage was met.
func (n *Node) repair() error {
	mark := filepath.Join(n.Dir, damageMark)
	why, err := os.ReadFile(mark)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := n.setAside(errors.New(string(why))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Remove(mark)
}
