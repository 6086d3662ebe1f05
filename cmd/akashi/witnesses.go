package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// witnessesFormat is a file that lists external witnesses for a founding
// (docs/guide/founding.md).
const witnessesFormat = "akashi-witnesses/v1"

type witnessFile struct {
	Format    string `json:"format"`
	Witnesses []struct {
		Vkey     string `json:"vkey"` // C2SP signed-note verifier key, type 0x04
		URL      string `json:"url"`  // submission prefix (C2SP tlog-witness)
		Required bool   `json:"required"`
	} `json:"witnesses"`
	Quorum int `json:"quorum"` // how many of the required ones must cosign; all where it is absent
}

// putWitnesses adds the witnesses of a file, if there is one, to a founding.
func putWitnesses(f *record.Founding, name string) error {
	if name == "" {
		return nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return wrongUse(err)
	}
	var wf witnessFile
	if err := strictJSON(b, &wf); err != nil {
		return wrongUse(fmt.Errorf("%s: %w", name, err))
	}
	if wf.Format != witnessesFormat {
		return wrongUse(fmt.Errorf("%s: not in the format %s", name, witnessesFormat))
	}
	required := 0
	for i, w := range wf.Witnesses {
		signer, key, err := sign.ParseCosignerKey(w.Vkey)
		if err != nil {
			return wrongUse(fmt.Errorf("%s: witness %d: %w", name, i+1, err))
		}
		f.Witnesses = append(f.Witnesses, record.Witness{Name: signer, Key: key, URL: w.URL, Required: w.Required})
		if w.Required {
			required++
		}
	}
	slices.SortFunc(f.Witnesses, func(a, b record.Witness) int { return strings.Compare(a.Name, b.Name) })
	if f.WitnessK = wf.Quorum; wf.Quorum == 0 {
		f.WitnessK = required
	}
	return nil
}
