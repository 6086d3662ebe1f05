package oauth

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/go-jose/go-jose/v4"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// follow reads what becomes final and ends the grants whose consents have ended. No
// token depends on it, since each use asks the register: it tells the clients, and
// clears up. It goes on where it was, also after a restart; an event is delivered at
// least once.
func (s *Server) follow(ctx context.Context) {
	retry := time.NewTicker(deliverEvery)
	defer retry.Stop()
	var swept time.Time
	var at place
	for {
		if since := time.Since(swept); since >= sweepEvery || s.left.Load() && since >= sweepSoon {
			if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
				s.left.Store(true)
				s.Log.Error("authorization server: not all that erasures left was found", "err", err)
			}
			swept = time.Now()
		}
		changed := s.Changed()
		if err := s.catchUp(ctx, &at); err != nil && ctx.Err() == nil {
			s.Log.Warn("authorization server: the log is not followed", "err", err)
		}
		s.deliver(ctx)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-retry.C:
		}
	}
}

const (
	deliverEvery = 5 * time.Second
	deliverFor   = 24 * time.Hour
	followAtOnce = 4096 // leaves
)

// A place is how far the log was followed. What lies between kept and next ended no
// consent, so that a crash costs a second look at it and no more.
type place struct {
	known      bool
	next, kept uint64 // log indices
}

func (s *Server) catchUp(ctx context.Context, at *place) error {
	st := s.State()
	if st == nil {
		return nil
	}
	if !at.known {
		if err := s.whereWeWere(at, st.Size); err != nil {
			return err
		}
	}
	for ctx.Err() == nil && at.next < st.Size {
		to := min(at.next+followAtOnce, st.Size)
		ended := map[sign.PublicKey]bool{}
		err := st.Range(at.next, to, func(_ uint64, leaf []byte) error {
			if k, ends, err := endsUnder(leaf); err != nil || ends {
				ended[k] = true
				return err
			}
			return nil
		})
		if err != nil {
			return err
		}
		for k := range ended {
			if err := s.review(ctx, k); err != nil {
				return err
			}
		}
		at.next = to
		if len(ended) > 0 || to-at.kept >= followAtOnce {
			if err := s.keepPlace(at); err != nil {
				return err
			}
		}
	}
	return nil
}

var placeKey = []byte(root + "f")

// whereWeWere reads the place; at the first start it is the end of the log, since
// what was before concerns no grant.
func (s *Server) whereWeWere(at *place, size uint64) error {
	b, ok, err := s.Blobs.Get(placeKey)
	if err != nil {
		return err
	}
	if ok && len(b) == 8 {
		at.next = binary.BigEndian.Uint64(b)
		at.known, at.kept = true, at.next
		return nil
	}
	at.next = size
	if err := s.keepPlace(at); err != nil {
		return err
	}
	at.known = true
	return nil
}

func (s *Server) keepPlace(at *place) error {
	err := s.Blobs.PutMany([]store.KV{{Key: placeKey, Value: binary.BigEndian.AppendUint64(nil, at.next)}})
	if err == nil {
		at.kept = at.next
	}
	return err
}

// endsUnder returns the handle under which a leaf may end a consent.
func endsUnder(leaf []byte) (k sign.PublicKey, ends bool, err error) {
	switch record.PeekKind(leaf) { // nearly all leaves are others, which are not decoded
	case record.KindRevocation, record.KindStop, record.KindHandleMove, record.KindHandleClose:
	default:
		return k, false, nil
	}
	rec, err := record.Parse(leaf)
	if err != nil {
		return k, false, err
	}
	switch b := rec.Body.(type) {
	case *record.Revocation:
		return b.Handle, true, nil
	case *record.Stop:
		return b.Handle, true, nil
	case *record.HandleMove:
		return b.Old, true, nil
	case *record.HandleClose:
		return b.Handle, true, nil
	}
	return k, false, nil
}

// review ends the grants under a handle that open nothing any more, and tells the
// clients of all of them what is left.
func (s *Server) review(ctx context.Context, k sign.PublicKey) error {
	grants, err := s.storage.grants(ctx, under(k))
	if err != nil {
		return err
	}
	for _, g := range grants {
		if g.RevokedAt != 0 {
			continue
		}
		left, err := s.live(ctx, g)
		if err != nil {
			return err
		}
		if len(left) == 0 {
			if err := s.storage.revoke(ctx, g); err != nil && !errors.Is(err, errDead) {
				return err
			}
		}
		if err := s.tell(g, left); err != nil {
			return err
		}
	}
	return nil
}

// eventChanged names the event by which a client hears that consents have ended.
const eventChanged = "https://akashi-ledger.github.io/events/consent-changed"

// hook is a message to a client that is to be delivered.
type hook struct {
	To    string    `json:"to"`
	Token string    `json:"token"` // signed (RFC 8417)
	Since time.Time `json:"since"`
}

// tell leaves a message for a grant's client, if it has a webhook: a security event
// token (RFC 8417) with the person's name for this client and what is left. It holds
// no item's value.
func (s *Server) tell(g *goidc.Grant, left []goidc.AuthDetail) error {
	c, err := s.storage.client(g.ClientID)
	if errors.Is(err, goidc.ErrNotFound) || err == nil && c.Hook == "" {
		return nil
	}
	if err != nil {
		return err
	}
	if left == nil {
		left = []goidc.AuthDetail{}
	}
	now := s.Now()
	claims := map[string]any{"iss": s.Issuer, "aud": g.ClientID, "iat": now.Unix(), "jti": newSecret(),
		"sub_id": map[string]string{"format": "iss_sub", "iss": s.Issuer, "sub": text(g, storeSubject)},
		"events": map[string]any{eventChanged: map[string]any{"service": text(g, storeService), "authorization_details": left}}}
	token, err := s.signed(claims, "secevent+jwt")
	if err != nil {
		return err
	}
	b, err := s.storage.sealed(&hook{To: c.Hook, Token: token, Since: now})
	if err != nil {
		return err
	}
	id := binary.BigEndian.AppendUint64([]byte(root+"w/"), uint64(now.UnixNano()))
	return s.Blobs.PutMany([]store.KV{{Key: append(id, newSecret()[:8]...), Value: b, TTL: deliverFor}})
}

func (s *Server) signed(claims map[string]any, typ string) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: goidc.ES256, Key: s.signer}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	j, err := signer.Sign(b)
	if err != nil {
		return "", err
	}
	return j.CompactSerialize()
}

// deliver posts what waits (RFC 8935), the oldest first. A client that does not take
// its messages gets them again for a day.
func (s *Server) deliver(ctx context.Context) {
	type waiting struct {
		key []byte
		hook
	}
	var all []waiting
	err := s.Blobs.Scan([]byte(root+"w/"), func(key, value []byte) error {
		var h hook
		if err := s.storage.opened(value, &h); err != nil {
			return err
		}
		all = append(all, waiting{bytes.Clone(key), h})
		return nil
	})
	if err != nil {
		s.Log.Warn("authorization server: messages are not delivered", "err", err)
		return
	}
	silent := map[string]bool{} // one try a round for a client that does not answer
	for _, h := range all {
		if silent[h.To] || ctx.Err() != nil {
			continue
		}
		if err := post(ctx, h.hook); err != nil {
			silent[h.To] = true
			s.Log.Info("authorization server: a client's webhook did not take a message", "err", err)
			continue
		}
		if err := s.Blobs.Delete(h.key); err != nil {
			s.Log.Warn("authorization server: a delivered message stays", "err", err)
			return
		}
	}
}

// hooks follows no redirect: a client is told where it was registered.
var hooks = &http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func post(ctx context.Context, h hook) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.To, bytes.NewReader([]byte(h.Token)))
	if err != nil {
		return errors.New("bad address")
	}
	r.Header.Set("Content-Type", "application/secevent+jwt")
	r.Header.Set("Accept", "application/json")
	res, err := hooks.Do(r)
	if err != nil {
		return errors.New("not reached")
	}
	res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("answered %d", res.StatusCode)
	}
	return nil
}
