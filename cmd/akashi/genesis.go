package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node"
	"github.com/spf13/cobra"
)

// foundingFile is what the founders agree on and sign (akashi-founding/v1).
// Founding is its canonical CBOR (record.Founding). LogKey is the seed of the
// log's own key: every member holds it, it authorises nothing (a checkpoint
// counts by its members' cosignatures), and it is for founders only.
type foundingFile struct {
	Format   string `json:"format"`
	Origin   string `json:"origin"`
	Founding []byte `json:"founding"`
	LogKey   []byte `json:"logKey"`
}

// signatureFile is one founder's signature (akashi-founder/v1), Ed25519 in
// domain "genesis" over the founding's canonical bytes.
type signatureFile struct {
	Format    string `json:"format"`
	Member    string `json:"member"`
	Founding  []byte `json:"founding"` // SHA-256 of what was signed
	Signature []byte `json:"signature"`
}

const (
	foundingFormat  = "akashi-founding/v1"
	signatureFormat = "akashi-founder/v1"
)

func genesisCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "genesis propose|sign|finish|accept",
		Short:   "Found a consortium from all members' files",
		GroupID: groupRun,
		Long: `genesis founds a consortium in four steps; no step needs a network.

  propose   one founder collects the member files and writes the founding
  sign      every founder reads it, and signs it with their own keys
  finish    anyone puts the signatures together: the genesis and its policy
  accept    every founder checks the genesis and puts it into their directory

Then every member runs akashi serve --dir DIR. Formats: akashi-member/v1,
akashi-founding/v1 and akashi-founder/v1 are JSON; the genesis is leaf 0 of the
log. See docs/guide/founding.md.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
		Args:                       cobra.ArbitraryArgs,
		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(proposeCommand(e), signCommand(e), finishCommand(e), acceptCommand(e))
	return cmd
}

func proposeCommand(e *env) *cobra.Command {
	var vocabularyFile, witnessesFile, out string
	cmd := &cobra.Command{
		Use:     "propose MEMBERFILE... [--vocabulary FILE] [--witnesses FILE] [--out FILE]",
		Short:   "Collect member files into a founding",
		Example: "  akashi genesis propose *.member.json --vocabulary vocabulary.json",
		Args:    args(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, files []string) error {
			v, err := readVocabulary(vocabularyFile)
			if err != nil {
				return err
			}
			f := record.Founding{CreatedMs: uint64(time.Now().UnixMilli())}
			v.put(&f)
			if err := putWitnesses(&f, witnessesFile); err != nil {
				return err
			}
			for _, name := range files {
				var m memberFile
				if err := readJSON(name, memberFormat, &m); err != nil {
					return err
				}
				if f.Origin == "" {
					f.Origin = m.Origin
				}
				info, err := m.info()
				if err == nil && m.Origin != f.Origin {
					err = fmt.Errorf("it is for the log %q, not %q", m.Origin, f.Origin)
				}
				if err != nil {
					return wrongUse(fmt.Errorf("%s: %w", name, err))
				}
				f.Members = append(f.Members, info)
			}
			slices.SortFunc(f.Members, func(a, b record.MemberInfo) int { return strings.Compare(a.ID, b.ID) })
			log := sign.NewKey()
			f.LogKey = log.Public()
			unsigned := make([]sign.Signature, len(f.Members))
			if _, err := node.GenesisLeaf(&f, unsigned); err != nil { // its form is checked
				return wrongUse(err)
			}
			ff := foundingFile{foundingFormat, f.Origin, canon.Must(&f), log.Seed()}
			if err := writeJSON(out, ff); err != nil {
				return wrongUse(err)
			}
			s := e.screen()
			showFounding(s, &f)
			s.line("  %s  %s", out, s.paint(faint, "for founders only: it holds the log's own key. Next: akashi genesis sign"))
			return nil
		},
	}
	cmd.Flags().StringVar(&vocabularyFile, "vocabulary", "", "`FILE` with item and purpose codes (default: a general one)")
	cmd.Flags().StringVar(&witnessesFile, "witnesses", "", "`FILE` with external witnesses (docs/guide/founding.md)")
	cmd.Flags().StringVar(&out, "out", "founding.json", "`FILE` to write")
	return cmd
}

func signCommand(e *env) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "sign FOUNDING --dir DIR",
		Short: "Sign a founding as one of its members",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, files []string) error {
			if err := needDir(dir); err != nil {
				return err
			}
			f, log, err := readFounding(files[0])
			if err != nil {
				return err
			}
			settings, err := node.LoadSettings(dir)
			if err != nil {
				return wrongUse(err)
			}
			keys, err := node.LoadKeys(dir)
			if err != nil {
				return wrongUse(err)
			}
			i := slices.IndexFunc(f.Members, func(m record.MemberInfo) bool { return m.ID == settings.Member })
			if i < 0 || keys.Record.Public() != f.Members[i].Key || keys.Cosigner.Public() != f.Members[i].CosignKey ||
				keys.Peer.Public() != f.Members[i].Peer || keys.Approver.Public() != f.Members[i].Approver {
				return unmet(fmt.Errorf("the founding does not have %s with the keys of %s", settings.Member, dir),
					"who collected the member files may have taken an old or another one")
			}
			keys.Log = log
			if err := keys.Save(dir); err != nil {
				return err
			}
			sig, sum := keys.SignFounding(f), sha256.Sum256(canon.Must(f))
			out := filepath.Join(dir, settings.Member+".signature.json")
			if err := writeJSON(out, signatureFile{signatureFormat, settings.Member, sum[:], sig[:]}); err != nil {
				return err
			}
			s := e.screen()
			showFounding(s, f)
			s.line("  %s signed as %s: %s", s.tick(true), settings.Member, out)
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "data `DIR`ectory of the member")
	return cmd
}

func finishCommand(e *env) *cobra.Command {
	var out, policyOut string
	cmd := &cobra.Command{
		Use:   "finish FOUNDING SIGNATURE... [--out FILE] [--policy FILE]",
		Short: "Put the signatures together: genesis and policy",
		Args:  args(cobra.MinimumNArgs(2)),
		RunE: func(_ *cobra.Command, files []string) error {
			f, _, err := readFounding(files[0])
			if err != nil {
				return err
			}
			sum := sha256.Sum256(canon.Must(f))
			given := map[string]sign.Signature{}
			for _, name := range files[1:] {
				var s signatureFile
				if err := readJSON(name, signatureFormat, &s); err != nil {
					return err
				}
				if string(s.Founding) != string(sum[:]) || len(s.Signature) != sign.SignatureSize {
					return unmet(fmt.Errorf("%s is not a signature of this founding", name), "did "+s.Member+" sign an earlier proposal?")
				}
				given[s.Member] = sign.Signature(s.Signature)
			}
			var sigs []sign.Signature
			var missing []string
			for _, m := range f.Members {
				sig, ok := given[m.ID]
				if !ok {
					missing = append(missing, m.ID)
				}
				sigs = append(sigs, sig)
			}
			if len(missing) > 0 {
				return unmet(fmt.Errorf("signatures are missing: %s", strings.Join(missing, ", ")))
			}
			leaf, err := node.GenesisLeaf(f, sigs)
			if err != nil {
				return wrongUse(err)
			}
			policy, err := policyOf(leaf)
			if err != nil {
				return unmet(err)
			}
			if err := errors.Join(os.WriteFile(out, leaf, 0o644), os.WriteFile(policyOut, policy, 0o644)); err != nil {
				return wrongUse(err)
			}
			s := e.screen()
			showFounding(s, f)
			s.line("  %s %s signed: %s, %s", s.tick(true), counted(len(sigs), "founder", "founders"), out, policyOut)
			s.line("  %s", s.paint(faint, "both are public. Next: akashi genesis accept, then akashi serve"))
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", node.GenesisFile, "`FILE` to write the genesis to")
	cmd.Flags().StringVar(&policyOut, "policy", "policy", "`FILE` to write the policy to")
	return cmd
}

func acceptCommand(e *env) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "accept GENESIS --dir DIR",
		Short: "Check a genesis and put it into a member's directory",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, files []string) error {
			if err := needDir(dir); err != nil {
				return err
			}
			leaf, err := os.ReadFile(files[0])
			if err != nil {
				return wrongUse(err)
			}
			if _, err := rules.Found(leaf); err != nil {
				return unmet(err)
			}
			rec, err := record.Parse(leaf)
			if err != nil {
				return unmet(err)
			}
			f := &rec.Body.(*record.Genesis).Founding
			keys, err := node.LoadKeys(dir)
			if err != nil {
				return wrongUse(err)
			}
			if keys.Log.Public() != f.LogKey {
				return unmet(fmt.Errorf("%s does not hold this log's key", dir), "akashi genesis sign puts it there")
			}
			if old, err := os.ReadFile(filepath.Join(dir, node.GenesisFile)); err == nil && string(old) != string(leaf) {
				return unmet(fmt.Errorf("%s has another genesis", dir))
			}
			if err := node.SaveGenesis(dir, leaf); err != nil {
				return err
			}
			s := e.screen()
			showFounding(s, f)
			s.line("  %s %s", s.tick(true), "akashi serve --dir "+dir)
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "data `DIR`ectory of the member")
	return cmd
}

// readFounding reads what is to be signed, with the log's own key.
func readFounding(name string) (*record.Founding, sign.Key, error) {
	var ff foundingFile
	if err := readJSON(name, foundingFormat, &ff); err != nil {
		return nil, sign.Key{}, err
	}
	f := new(record.Founding)
	if err := canon.UnmarshalMax(ff.Founding, record.MaxLeafBytes, f); err != nil {
		return nil, sign.Key{}, wrongUse(fmt.Errorf("%s: %w", name, err))
	}
	log, err := sign.KeyFromSeed(ff.LogKey)
	if err == nil && (log.Public() != f.LogKey || ff.Origin != f.Origin) {
		err = errors.New("its parts do not fit together")
	}
	if err != nil {
		return nil, sign.Key{}, wrongUse(fmt.Errorf("%s: %w", name, err))
	}
	return f, log, nil
}

// showFounding prints what founders agree on.
func showFounding(s *screen, f *record.Founding) {
	s.title(f.Origin, fmt.Sprintf("%s, %d must sign a checkpoint", counted(len(f.Members), "member", "members"), sign.Quorum(len(f.Members))))
	for _, m := range f.Members {
		s.line("  %s %s %s %s", cell(m.ID, 14), cell(m.Name.Ja, 26), cell(m.Name.En, 26), s.paint(faint, m.Addr+"  key "+m.Key.String()[:16]+"…"))
	}
	if len(f.Members) < 4 {
		s.line("  %s", s.paint(yellow, "fewer than four members tolerate no member that lies"))
	}
	for _, w := range f.Witnesses {
		what := "shown beside the members"
		if w.Required {
			what = fmt.Sprintf("required, %d of them: it must check that %d members cosigned", f.WitnessK, sign.Quorum(len(f.Members)))
		}
		s.line("  witness %s  %s", w.Name, s.paint(faint, w.URL+"  "+what))
	}
	sum := sha256.Sum256(canon.Must(f))
	s.line("  %d item codes, %d purposes, founding %x", len(f.Attributes), len(f.Purposes), sum[:8])
}
