//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
)

// TestSilentCustodian: the process of a custodian that received the person's data, too, is
// stopped: its machine answers connections, and nothing ever comes. An erasure that is
// asked for meanwhile is answered, stands in the ledger, and its certificate names who has
// not answered. A second custodian is named while the first is silent, gets the keys, and
// destroys and attests in the next erasure before the first one answers. When it goes on,
// it destroys and attests both.
func TestSilentCustodian(t *testing.T) {
	l := startLocalWith(t, "", func(o devOptions) {
		for _, i := range []int{1, 2} {
			s := settingsOf(t, memberDir(o.dir, i))
			s.EscrowFor = []string{"member-0"}
			if err := s.Save(memberDir(o.dir, i)); err != nil {
				t.Fatal(err)
			}
		}
	})
	fields := l.serviceForMany()
	l.name("member-1")
	people := []*forgotten{l.registerOne(0, fields), l.registerOne(20, fields)} // each with a hand-over to member-1
	l.copied("member-1")

	l.signal(1, syscall.SIGSTOP)
	l.within("somebody else leads", patience, func() error {
		if s := l.status(0); s.Leader == "" || s.Leader == "member-1" {
			return fmt.Errorf("leader %q", s.Leader)
		}
		return nil
	})
	first := l.erasedNow(people[0].ref)
	silent := l.certified(first)
	if !slices.ContainsFunc(silent.Pending, func(h receipt.HolderState) bool { return h.Holder == "member-1" }) || silent.Complete() ||
		!slices.Equal(unanswered(silent), []string{"member-1"}) {
		t.Errorf("certificate while the custodian is silent: %+v", silent)
	}
	l.name("member-2")
	l.copied("member-2")
	second := l.erasedNow(people[1].ref)
	l.within("the second custodian attests", patience, func() error {
		if got := unanswered(l.certified(second)); !slices.Equal(got, []string{"member-1"}) {
			return fmt.Errorf("not answered: %q", got)
		}
		return nil
	})

	l.signal(1, syscall.SIGCONT)
	for _, id := range []string{first, second} {
		l.within("the certificate is complete", patience, func() error {
			if e := l.certified(id); !e.Complete() {
				return fmt.Errorf("%+v", e)
			}
			return nil
		})
	}
}

// name makes a member a custodian of member 0's keys.
func (l *local) name(custodian string) {
	l.t.Helper()
	l.within(custodian+" is named", patience, func() error {
		code, b := post(l.t, "http://"+address(l.base, 0, portHTTP)+"/v1/custodians", l.tokens["admin"], rest.CustodianForm{Member: custodian})
		if code != http.StatusOK && !strings.Contains(string(b), string(record.CodeDuplicate)) {
			return fmt.Errorf("%d %s", code, b)
		}
		return nil
	})
}

// copied waits until a custodian has every key of member 0.
func (l *local) copied(custodian string) {
	l.t.Helper()
	l.within("every key is at "+custodian, patience, func() error {
		var v rest.CustodiansView
		_, b := l.get("http://"+address(l.base, 0, portHTTP)+"/v1/custodians", l.tokens["admin"])
		if err := json.Unmarshal(b, &v); err != nil {
			return err
		}
		for _, c := range v.Custodians {
			if c.Custodian == custodian && c.Complete {
				return nil
			}
		}
		return fmt.Errorf("%+v", v)
	})
}

// signal stops a member's process, which goes on at the end at the latest, or has it go on.
func (l *local) signal(i int, s syscall.Signal) {
	l.t.Helper()
	p := l.members[i].cmd.Process
	if s == syscall.SIGSTOP {
		l.t.Cleanup(func() { p.Signal(syscall.SIGCONT) })
	}
	if err := p.Signal(s); err != nil {
		l.t.Fatal(err)
	}
}

// erasedNow erases somebody at member 0, and returns the erasure's id when it is answered.
func (l *local) erasedNow(ref custody.Ref) string {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	begin := time.Now()
	done, err := l.app(0).Erase(ctx, ref, "request")
	if err != nil || !done.Final || done.Erasure == nil {
		l.t.Fatalf("an erasure while a custodian is silent: %+v, %v", done, err)
	}
	l.t.Logf("answered after %v", time.Since(begin).Round(time.Millisecond))
	return done.Erasure.ID
}

// certified returns what the certificate of an erasure shows, verified.
func (l *local) certified(erasure string) *receipt.Erased {
	l.t.Helper()
	f, err := l.app(0).Certificate(l.t.Context(), erasure)
	if err != nil {
		l.t.Fatal(err)
	}
	return f.Verdict.Erasure
}

// unanswered are the custodians that a certificate names as not having answered.
func unanswered(e *receipt.Erased) (out []string) {
	for _, c := range e.Copies {
		if c.TimeMs == 0 {
			out = append(out, c.Holder)
		}
	}
	return out
}
