package rest

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/node"
)

// inTurn is a member whose backups begin, and end, when the test has it so.
type inTurn struct {
	custodyOf
	begun, end chan struct{}
}

func (i inTurn) Backup(context.Context, io.Writer) error {
	i.begun <- struct{}{}
	<-i.end
	return node.ErrNoBackupTo
}

// TestBackupsInTurn: a backup waits for the one before, whose reader may have gone
// without this node's knowing yet, and is turned away where that takes too long.
func TestBackupsInTurn(t *testing.T) {
	m := newMember(t)
	s := m.srv.Config.Handler.(*server)
	held := inTurn{custodyOf: s.Custody.(custodyOf), begun: make(chan struct{}), end: make(chan struct{})}
	s.Custody = held
	answers := make(chan string, 2)
	ask := func() { answers <- m.ask(token.Admin, "GET", "/v1/backup", nil).code() }
	go ask()
	<-held.begun
	go ask()
	held.end <- struct{}{}
	<-held.begun
	held.end <- struct{}{}
	for range 2 {
		if code := <-answers; code != codeBackupTo {
			t.Errorf("code %s", code)
		}
	}
	s.WriteWait = time.Millisecond
	go ask()
	<-held.begun
	if code := m.ask(token.Admin, "GET", "/v1/backup", nil).code(); code != codeBusy {
		t.Errorf("code %s", code)
	}
	held.end <- struct{}{}
	<-answers
}
