package rest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/escrow"
)

// Custody is the member's custodians and backups (node.Node).
type Custody interface {
	// Custodians returns how far the copies of this member's keys are.
	Custodians() []escrow.CustodianStatus
	// KeyLag returns which of its keys no custodian has.
	KeyLag() escrow.Lag
	// Backup writes a backup to the recipients of the settings. It writes nothing
	// before it is sure that it can.
	Backup(ctx context.Context, w io.Writer) error
}

// CustodianForm names a custodian of this member's keys.
type CustodianForm struct {
	Member string `json:"member" doc:"whose node keeps the copies; its settings must agree (escrowFor)"`
}

// LostForm says that a custodian has the copies no more.
type LostForm struct {
	Reason string `json:"reason" enum:"destroyed,stolen" doc:"stolen is a breach"`
}

// CustodiansView is who keeps copies of this member's keys.
type CustodiansView struct {
	Custodians []escrow.CustodianStatus `json:"custodians"`
}

func custodyRoutes() []*route {
	return []*route{
		{method: "GET", path: "/v1/custodians", name: "custodians", tag: "keys", text: Sentence{"鍵の写しの保管者", "Who keeps copies of the keys, and how far they are"},
			roles: admin | auditor, result: CustodiansView{}, whole: true, handle: (*call).custodians},
		{method: "POST", path: "/v1/custodians", name: "name-custodian", tag: "keys", text: Sentence{"鍵の写しの保管者を決める", "Name a custodian"},
			roles: admin, body: CustodianForm{}, result: custody.Done{}, writes: true, explain: true, whole: true, handle: (*call).nameCustodian},
		{method: "DELETE", path: "/v1/custodians/{id}", name: "end-custodian", tag: "keys", text: Sentence{"写しの保管を終える", "End a custodian: it destroys all copies"},
			roles: admin, result: custody.Done{}, writes: true, explain: true, whole: true, handle: (*call).endCustodian},
		{method: "POST", path: "/v1/custodians/{id}/lost", name: "custodian-lost", tag: "keys", text: Sentence{"写しが失われたことを記録", "Record that a custodian lost its copies"},
			roles: admin, body: LostForm{}, result: custody.Done{}, writes: true, explain: true, whole: true, handle: (*call).custodianLost},
		{method: "GET", path: "/v1/backup", name: "backup", tag: "keys", text: Sentence{"控えを取る", "Take a backup, encrypted to the member's recipients"},
			roles: admin, result: backupMedia, whole: true, handle: (*call).backup},
	}
}

const backupMedia = "application/octet-stream"

func (c *call) custodians() (any, error) {
	v := CustodiansView{Custodians: c.Custody.Custodians()}
	if v.Custodians == nil {
		v.Custodians = []escrow.CustodianStatus{}
	}
	return v, nil
}

func (c *call) nameCustodian() (any, error) {
	var f CustodianForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	return done(c.post(to, record.KindCustodian, &record.Custodian{Owner: c.Self, Custodian: f.Member}))
}

func (c *call) endCustodian() (any, error) {
	to, err := c.writing()
	if err != nil {
		return nil, err
	}
	id := c.r.PathValue("id")
	if !record.ValidID(id) {
		return nil, record.Refuse(record.CodeCustodianUnknown, "")
	}
	return done(c.post(to, record.KindCustodian, &record.Custodian{Owner: c.Self, Custodian: id, End: true}))
}

func (c *call) custodianLost() (any, error) {
	var f LostForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	id := c.r.PathValue("id")
	if !record.ValidID(id) {
		return nil, record.Refuse(record.CodeCustodianUnknown, "")
	}
	return done(c.post(to, record.KindCustodianLost, &record.CustodianLost{Owner: c.Self, Custodian: id, Reason: f.Reason}))
}

// backup streams, one at a time: it waits for the one before as long as a write does,
// since whose reader went away is noticed late only. Where it fails after its first
// byte, the connection breaks, and the file that the reader has does not decrypt to
// its end.
func (c *call) backup() (any, error) {
	late := time.NewTimer(c.WriteWait)
	defer late.Stop()
	select {
	case c.backing <- struct{}{}:
		defer func() { <-c.backing }()
	case <-late.C:
		return nil, fault(codeBusy)
	case <-c.r.Context().Done():
		return nil, c.r.Context().Err()
	}
	out := &begun{ResponseWriter: c.w}
	err := c.Custody.Backup(c.r.Context(), out)
	switch {
	case err == nil:
		return nil, nil
	case errors.Is(err, node.ErrNoBackupTo):
		return nil, fault(codeBackupTo)
	case !out.yes:
		return nil, err
	}
	c.Log.Error("a backup is not whole", "err", err)
	panic(http.ErrAbortHandler)
}

// begun says what comes with the first byte.
type begun struct {
	http.ResponseWriter
	yes bool
}

func (b *begun) Write(p []byte) (int, error) {
	if !b.yes {
		b.yes = true
		b.Header().Set("Content-Type", backupMedia)
		b.WriteHeader(http.StatusOK)
	}
	return b.ResponseWriter.Write(p)
}
