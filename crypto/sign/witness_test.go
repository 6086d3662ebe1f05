package sign

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"filippo.io/torchwood"
)

// witnessed is a policy of four that requires all of some witnesses.
func witnessed(f *four, keys ...Key) Policy {
	p := f.policy
	for i, k := range keys {
		p.Witnesses = append(p.Witnesses, PolicyWitness{Signer: "witness.example/" + string(rune('a'+i)), Key: k.Public()})
	}
	p.WitnessK = len(keys)
	return p
}

// TestWitnessedPolicy is the end of the text as C2SP tlog-policy wants it, with
// the keys cut out.
func TestWitnessedPolicy(t *testing.T) {
	p := witnessed(newFour(t), key(t, "w1"), key(t, "w2"))
	text := string(p.Format())
	for _, w := range p.Witnesses {
		text = strings.ReplaceAll(text, CosignerKey(w.Signer, w.Key), "KEY")
	}
	const want = `group members 3 a-sha b-sha c-sha pf
witness 1.witness KEY
witness 2.witness KEY
group witnesses 2 1.witness 2.witness
group all all members witnesses
quorum all
`
	if !strings.HasSuffix(text, want) {
		t.Errorf("%s", text)
	}
	got, err := ParsePolicy(p.Format())
	if err != nil || !reflect.DeepEqual(*got, p) {
		t.Errorf("%+v %v", got, err)
	}
	text = string(p.Format())
	for name, bad := range map[string]string{
		"quorum of members alone":   strings.Replace(text, "quorum all", "quorum members", 1),
		"no group of both":          strings.Replace(text, "group all all members witnesses\n", "", 1),
		"either of both":            strings.Replace(text, "group all all", "group all any", 1),
		"witnesses alone":           strings.Replace(text, "group all all members", "group all all", 1),
		"group of both first":       "group all all members witnesses\n" + strings.Replace(text, "group all all members witnesses\n", "", 1),
		"threshold of none":         strings.Replace(text, "witnesses 2", "witnesses 0", 1),
		"threshold too high":        strings.Replace(text, "witnesses 2", "witnesses 3", 1),
		"witness twice in a group":  strings.Replace(text, " 2.witness\n", " 1.witness\n", 1),
		"witness outside":           strings.Replace(text, "2 1.witness 2.witness", "1 1.witness", 1),
		"a member is a witness":     strings.Replace(text, CosignerKey(p.Witnesses[0].Signer, p.Witnesses[0].Key), CosignerKey("x", p.Members[0].Key), 1),
		"the log is a witness":      strings.Replace(text, CosignerKey(p.Witnesses[0].Signer, p.Witnesses[0].Key), CosignerKey("x", p.Log), 1),
		"member named witnesses":    strings.ReplaceAll(text, "c-sha", "witnesses"),
		"member named all":          strings.ReplaceAll(text, "c-sha", "all"),
		"quorum all, no witnesses":  strings.Replace(string(newFour(t).policy.Format()), "quorum members", "quorum all", 1),
		"members within witnesses":  strings.Replace(text, "witnesses 2 1.witness", "witnesses 2 a-sha", 1),
		"second group of witnesses": strings.Replace(text, "group all", "group witnesses 1 1.witness\ngroup all", 1),
	} {
		if bad == text {
			t.Fatalf("%s: nothing was changed", name)
		}
		if p, err := ParsePolicy([]byte(bad)); err == nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// TestWitnessesCount: members and witnesses each need their number, here and in
// torchwood; neither stands in for the other.
func TestWitnessesCount(t *testing.T) {
	f, keys := newFour(t), []Key{key(t, "w1"), key(t, "w2"), key(t, "w3")}
	p := witnessed(f, keys...)
	p.WitnessK = 2
	all := map[string]PublicKey{}
	for _, m := range p.Members {
		all[m.Signer] = m.Key
	}
	for _, w := range p.Witnesses {
		all[w.Signer] = w.Key
	}
	tw, err := torchwood.ParsePolicy(p.Format())
	if err != nil {
		t.Fatal(err)
	}
	for members := range 5 {
		for witnesses := range 4 {
			cosigs := f.cosigs([]int{0, 1, 2, 3}[:members]...)
			for i, k := range keys[:witnesses] {
				cosigs = append(cosigs, k.Cosign(p.Witnesses[i].Signer, f.current, 1_900_000_000))
			}
			n, err := FormatNote(f.current, f.log, cosigs, all)
			if err != nil {
				t.Fatal(err)
			}
			want := members >= 3 && witnesses >= 2
			open, err := p.OpenExact(n)
			if (err == nil) != want {
				t.Errorf("%d members, %d witnesses: %v", members, witnesses, err)
			}
			if _, _, err := torchwood.VerifyCheckpoint(n, tw); (err == nil) != want {
				t.Errorf("%d members, %d witnesses: torchwood: %v", members, witnesses, err)
			}
			if !want {
				continue
			}
			if len(open.Cosigned) != members || len(open.Witnessed) != witnesses || KthNewest(open.Cosigned, p.K) > 1_800_000_004 {
				t.Errorf("%d members, %d witnesses: opened as %d and %d", members, witnesses, len(open.Cosigned), len(open.Witnessed))
			}
			// a policy that does not name the witnesses passes over them, except where the spelling counts
			if _, err := f.policy.Open(n); err != nil {
				t.Errorf("%d witnesses beside the policy: %v", witnesses, err)
			}
			if _, err := f.policy.OpenExact(n); err == nil {
				t.Errorf("%d witnesses beside the policy are its one spelling", witnesses)
			}
		}
	}
}

func TestNoteLine(t *testing.T) {
	f, k := newFour(t), key(t, "w")
	cs := k.Cosign("witness.example/証", f.current, 1_900_000_000)
	line := strings.TrimSuffix(NoteLine(cs, k.Public()), "\n")
	if got, ok := ParseNoteLine(line, cs.Signer, k.Public()); !ok || got != cs {
		t.Errorf("%+v, %v", got, ok)
	}
	for _, bad := range []string{"", line + "A", line[3:], strings.Replace(line, "— ", "- ", 1), strings.Replace(line, "証", "正", 1), line[:len(line)-8]} {
		if _, ok := ParseNoteLine(bad, cs.Signer, k.Public()); ok {
			t.Errorf("%q is read", bad)
		}
	}
	if _, ok := ParseNoteLine(line, cs.Signer, f.log.Public()); ok {
		t.Error("a line of another key is read")
	}
	if slices.Contains(strings.Split(line, ""), "\n") {
		t.Error("a newline in a line")
	}
}
