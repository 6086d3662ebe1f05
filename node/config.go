package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// Settings are what an operator sets for one node: the file "config.json" of its
// data directory.
type Settings struct {
	Member      string            `json:"member"`              // our id in the genesis file
	HTTP        string            `json:"http"`                // host:port of API and pages
	GRPC        string            `json:"grpc"`                // host:port of Trillian's protocol
	P2P         string            `json:"p2p"`                 // host:port of the consortium's network
	Peers       map[string]string `json:"peers"`               // addresses that differ from the genesis file, by member
	Joined      uint64            `json:"joined,omitempty"`    // policy epoch in which the membership began; 0 for a founder (akashi join sets it)
	AutoReceive bool              `json:"autoReceive"`         // confirm hand-overs without being asked
	OpenEntries bool              `json:"openEntries"`         // entry bundles and Trillian's protocol without a token (loopback only)
	BackupTo    []string          `json:"backupTo,omitempty"`  // age recipients of this member's backups
	EscrowFor   []string          `json:"escrowFor,omitempty"` // members of whose keys this node agrees to keep copies
	Witnesses   []WitnessSetting  `json:"witnesses,omitempty"` // external witnesses beside those of the founding
	PublicURL   string            `json:"publicURL,omitempty"` // origin by which browsers and apps reach HTTP; "": on loopback http://localhost:PORT, else no authorization server
	Codes       CodeSetting       `json:"codes,omitzero"`      // how one-time codes reach people

	IdentityProvider *ProviderSetting `json:"identityProvider,omitempty"` // where people may sign in (OpenID Connect)
}

// ProviderSetting is an identity provider of the member's choice. People are found
// by a lookup of the kind, "oidc" where absent, whose value is the provider's sub.
type ProviderSetting struct {
	Issuer       string `json:"issuer"`
	ClientID     string `json:"clientID"`
	ClientSecret string `json:"clientSecret"`
	Name         string `json:"name"` // on the button
	Lookup       string `json:"lookup,omitempty"`
}

func (p *ProviderSetting) check() error {
	if p == nil {
		return nil
	}
	u, err := url.Parse(p.Issuer)
	if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		return fmt.Errorf("identityProvider: issuer %q is not https", p.Issuer)
	}
	if p.ClientID == "" || p.Name == "" || p.Lookup != "" && !record.ValidID(p.Lookup) {
		return errors.New("identityProvider: clientID and name are needed, and lookup is an id")
	}
	return nil
}

// CodeSetting says how one-time codes for signing in reach people: by a webhook of
// the operator, or, on one machine, by a file in the data directory.
type CodeSetting struct {
	Webhook string `json:"webhook,omitempty"`
	Token   string `json:"token,omitempty"` // of the webhook, sent as Authorization: Bearer
	File    string `json:"file,omitempty"`  // name of the file; only where HTTP is on loopback
}

// Public returns the origin by which browsers reach the node, "" where the settings
// name none and HTTP is reached from elsewhere.
func (s *Settings) Public() string {
	host, port, err := net.SplitHostPort(s.HTTP)
	switch {
	case s.PublicURL != "":
		return s.PublicURL
	case err == nil && loopback(host):
		return "http://localhost:" + port
	}
	return ""
}

func (s *Settings) checkPublic() error {
	var errs []error
	if u, err := url.Parse(s.PublicURL); s.PublicURL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil) {
		errs = append(errs, fmt.Errorf("publicURL: %q is not an origin such as https://id.example.jp", s.PublicURL))
	}
	host, _, err := net.SplitHostPort(s.HTTP)
	if s.Codes.File != "" && (err != nil || !loopback(host)) {
		errs = append(errs, errors.New("codes: a file is for loopback only"))
	}
	if s.Codes.File != "" && (s.Codes.Webhook != "" || filepath.Base(s.Codes.File) != s.Codes.File) {
		errs = append(errs, errors.New("codes: a webhook, or the name of a file in the data directory"))
	}
	return errors.Join(errs...)
}

// LoadSettings reads the settings and reports everything that is wrong at once.
func LoadSettings(dir string) (*Settings, error) {
	path := filepath.Join(dir, "config.json")
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := new(Settings)
	d := json.NewDecoder(f)
	d.DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func (s *Settings) check() error {
	var errs []error
	if !record.ValidID(s.Member) {
		errs = append(errs, fmt.Errorf("member %q is not an id", s.Member))
	}
	if _, err := s.recipients(); err != nil && len(s.BackupTo) > 0 {
		errs = append(errs, fmt.Errorf("backupTo: %w", err))
	}
	for _, id := range s.EscrowFor {
		if !record.ValidID(id) || id == s.Member {
			errs = append(errs, fmt.Errorf("escrowFor: %q is not another member", id))
		}
	}
	errs = append(errs, s.checkPublic(), s.IdentityProvider.check())
	for _, w := range s.Witnesses {
		errs = append(errs, w.check())
	}
	listen := []struct{ name, addr string }{{"http", s.HTTP}, {"grpc", s.GRPC}, {"p2p", s.P2P}}
	for i, a := range listen {
		if _, _, err := net.SplitHostPort(a.addr); err != nil {
			errs = append(errs, fmt.Errorf("%s: %q is not host:port", a.name, a.addr))
			continue
		}
		for _, b := range listen[:i] {
			if clash(a.addr, b.addr) {
				errs = append(errs, fmt.Errorf("%s (%s) and %s (%s) cannot listen on one port", b.name, b.addr, a.name, a.addr))
			}
		}
	}
	for _, addr := range []string{s.HTTP, s.GRPC} {
		if host, _, err := net.SplitHostPort(addr); err == nil && s.OpenEntries && !loopback(host) {
			errs = append(errs, fmt.Errorf("openEntries is for loopback addresses only, not %s", addr))
		}
	}
	return errors.Join(errs...)
}

// clash reports whether two addresses cannot be listened on at once: one port, and
// one host or one that stands for all.
func clash(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || everywhere(hostA) || everywhere(hostB) || loopback(hostA) && loopback(hostB)
}

func everywhere(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Save writes the settings to a data directory.
func (s *Settings) Save(dir string) error {
	if err := s.check(); err != nil {
		return err
	}
	b, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, "config.json"), append(b, '\n'), 0o600)
}

// GenesisFile is the name of the genesis leaf in a data directory.
const GenesisFile = "genesis"

// SaveGenesis writes the genesis leaf to a data directory.
func SaveGenesis(dir string, leaf []byte) error {
	return writeFile(filepath.Join(dir, GenesisFile), leaf, 0o600)
}
