package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node"
	"github.com/spf13/cobra"
)

// memberFile is what a member gives the others for the founding: public, no
// secret in it. Its format is akashi-member/v1; keys are Ed25519 public keys in
// base64.
type memberFile struct {
	Format     string   `json:"format"`
	Member     string   `json:"member"`
	Origin     string   `json:"origin"`
	Name       words    `json:"name"`
	Regime     string   `json:"regime"`  // ch4, ch5, telecom or foreign
	Country    string   `json:"country"` // ISO 3166-1 alpha-2
	Categories []string `json:"categories"`
	Address    string   `json:"address"` // host:port of the consortium's network
	Keys       struct {
		Record   []byte `json:"record"`
		Cosigner []byte `json:"cosigner"`
		Peer     []byte `json:"peer"`
		Approver []byte `json:"approver"`
	} `json:"keys"`
}

const memberFormat = "akashi-member/v1"

func initCommand(e *env) *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use:     "init --dir DIR --member ID --origin NAME --address HOST:PORT",
		Short:   "Make a member's keys and its public file",
		GroupID: groupRun,
		Long: `init makes a member's data directory: keys (DIR/keys, mode 0600), settings
(DIR/config.json) and the public member file DIR/ID.member.json. It prints an
admin token for the API, once.

Next: to found a consortium, the member file goes to the other founders (see
akashi genesis --help); to join one that runs, see akashi join --help.`,
		Example: `  akashi init --dir a-sha --member a-sha --origin ledger.example \
    --name-ja A社 --name-en "Company A" --address a.example:7000`,
		Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error { return initMember(e, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.dir, "dir", "", "data `DIR`ectory of the member; must be new")
	f.StringVar(&o.file.Member, "member", "", "`ID` of the member: a to z, 0 to 9, hyphen")
	f.StringVar(&o.file.Origin, "origin", "", "`NAME` of the log, the same for all founders")
	f.StringVar(&o.file.Name.Ja, "name-ja", "", "Japanese `NAME`")
	f.StringVar(&o.file.Name.En, "name-en", "", "English `NAME`")
	f.StringVar(&o.file.Regime, "regime", "ch4", "law that the member stands under: ch4, ch5, telecom, foreign")
	f.StringVar(&o.file.Country, "country", "JP", "two letters")
	f.StringSliceVar(&o.file.Categories, "category", nil, "`CATEGORY` of the member; may be repeated")
	f.StringVar(&o.file.Address, "address", "", "`HOST:PORT` where the other members reach this one")
	f.StringVar(&o.http, "http", "127.0.0.1:8080", "`HOST:PORT` of API and pages")
	f.StringVar(&o.grpc, "grpc", "127.0.0.1:8081", "`HOST:PORT` of Trillian's protocol")
	f.StringVar(&o.p2p, "p2p", "", "`HOST:PORT` to listen on for the other members (default: the port of --address on every interface)")
	return cmd
}

type initOptions struct {
	dir, http, grpc, p2p string
	file                 memberFile
}

func initMember(e *env, o initOptions) error {
	o.file.Format = memberFormat
	slices.Sort(o.file.Categories)
	_, port, err := net.SplitHostPort(o.file.Address)
	var wrong []error
	for _, c := range []struct {
		bad bool
		why string
	}{
		{o.dir == "", "--dir is missing"},
		{!record.ValidID(o.file.Member), fmt.Sprintf("--member %q is no id: a to z, 0 to 9, hyphen", o.file.Member)},
		{!sign.ValidName(o.file.Origin), fmt.Sprintf("--origin %q is no name of a log", o.file.Origin)},
		{o.file.Name.Ja == "", "--name-ja is missing"},
		{err != nil, fmt.Sprintf("--address %q is not HOST:PORT", o.file.Address)},
	} {
		if c.bad {
			wrong = append(wrong, errors.New(c.why))
		}
	}
	if len(wrong) > 0 {
		return wrongUse(errors.Join(wrong...), "akashi init --help has an example")
	}
	if o.file.Name.En == "" {
		o.file.Name.En = o.file.Name.Ja
	}
	if o.p2p == "" {
		o.p2p = net.JoinHostPort("0.0.0.0", port)
	}
	log := sign.NewKey() // for the look at the form only: the log's own key comes with the founding
	keys := node.NewKeys(log)
	info := keys.MemberOf(record.MemberInfo{ID: o.file.Member}, o.file.Origin)
	o.file.Keys.Record, o.file.Keys.Cosigner, o.file.Keys.Peer, o.file.Keys.Approver = info.Key[:], info.CosignKey[:], info.Peer[:], info.Approver[:]
	if info, err = o.file.info(); err != nil {
		return err
	}
	alone := record.Founding{Origin: o.file.Origin, CreatedMs: uint64(time.Now().UnixMilli()), LogKey: log.Public(), Members: []record.MemberInfo{info}}
	if _, err := node.GenesisLeaf(&alone, make([]sign.Signature, 1)); err != nil {
		return wrongUse(err, "akashi init --help lists what is allowed")
	}
	if err := emptyDir(o.dir); err != nil {
		return err
	}
	settings := node.Settings{Member: o.file.Member, HTTP: o.http, GRPC: o.grpc, P2P: o.p2p}
	if err := settings.Save(o.dir); err != nil { // first: it is what can be wrong
		return wrongUse(err, "--address gives the port for the other members; --http, --grpc and --p2p say where this node listens")
	}
	public := filepath.Join(o.dir, o.file.Member+".member.json")
	made := new(issued)
	admin, err := token.New(made).Issue(token.Admin, "operator", "")
	if err != nil {
		return err
	}
	if err := errors.Join(keys.Save(o.dir), made.save(o.dir), writeJSON(public, o.file)); err != nil {
		return err
	}
	s := e.screen()
	s.line("%s  %s", s.paint(bold, o.file.Member), o.file.Name.Ja)
	s.line("  member file  %s", public)
	s.line("  admin token  %s", admin)
	s.line("  %s", s.paint(faint, "the token is shown this once; next: give the member file to who collects them for akashi genesis, or sign akashi join request"))
	return nil
}

// writeJSON writes a file for people and programs.
func writeJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644)
}

// readJSON reads a file strictly and checks its format.
func readJSON(name, want string, v any) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return wrongUse(err)
	}
	var head struct {
		Format string `json:"format"`
	}
	if json.Unmarshal(b, &head) != nil || head.Format != want {
		return wrongUse(fmt.Errorf("%s is not of the format %s", name, want))
	}
	if err := strictJSON(b, v); err != nil {
		return wrongUse(fmt.Errorf("%s: %w", name, err))
	}
	return nil
}

// info returns the member's entry in the founding.
func (f *memberFile) info() (record.MemberInfo, error) {
	m := record.MemberInfo{ID: f.Member, Name: f.Name.text(), Regime: f.Regime, Country: f.Country, Categories: f.Categories,
		Addr: f.Address, Cosigner: f.Member + "." + f.Origin}
	for _, k := range []struct {
		to   *sign.PublicKey
		from []byte
	}{{&m.Key, f.Keys.Record}, {&m.CosignKey, f.Keys.Cosigner}, {&m.Peer, f.Keys.Peer}, {&m.Approver, f.Keys.Approver}} {
		if len(k.from) != sign.PublicKeySize {
			return m, fmt.Errorf("member %s: a key of %d bytes", f.Member, len(k.from))
		}
		*k.to = sign.PublicKey(k.from)
	}
	return m, nil
}
