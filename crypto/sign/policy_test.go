package sign

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"filippo.io/torchwood"
)

// TestQuorum: k by hand, and what it is for: two sets of k share more than f.
func TestQuorum(t *testing.T) {
	want := []int{1: 1, 2: 2, 3: 2, 4: 3, 5: 4, 6: 4, 7: 5, 8: 6, 9: 6, 10: 7}
	for n := 1; n < len(want); n++ {
		f := (n - 1) / 3
		k := Quorum(n)
		if k != want[n] {
			t.Errorf("Quorum(%d) = %d, want %d", n, k, want[n])
		}
		if 2*k-n <= f || k > n-f {
			t.Errorf("n=%d f=%d k=%d: two quorums share too few, or %d silent members stall the log", n, f, k, f)
		}
	}
}

func TestPolicyRoundTrip(t *testing.T) {
	for n := 1; n <= 10; n++ {
		p := Policy{Origin: "log.example/x", Log: key(t, "log").Public(), K: Quorum(n)}
		for i := range n {
			id := fmt.Sprintf("m%d-key", i) // ids that end as other parts' names might
			p.Members = append(p.Members, PolicyMember{ID: id, Signer: "証/" + id, Key: key(t, id).Public()})
		}
		got, err := ParsePolicy(p.Format())
		if err != nil || !reflect.DeepEqual(*got, p) {
			t.Errorf("n=%d: %+v %v", n, got, err)
		}
		if _, err := torchwood.ParsePolicy(p.Format()); err != nil {
			t.Errorf("n=%d: torchwood: %v", n, err)
		}
	}
}

// TestPolicyFormat is the text as C2SP tlog-policy wants it, with the keys cut out.
func TestPolicyFormat(t *testing.T) {
	f := newFour(t)
	text := string(f.policy.Format())
	for id, k := range map[string]string{"LOG": LogVerifierKey(f.policy.Origin, f.policy.Log), "A": CosignerKey(f.policy.Members[0].Signer, f.policy.Members[0].Key),
		"B": CosignerKey(f.policy.Members[1].Signer, f.policy.Members[1].Key), "C": CosignerKey(f.policy.Members[2].Signer, f.policy.Members[2].Key),
		"PF": CosignerKey(f.policy.Members[3].Signer, f.policy.Members[3].Key)} {
		text = strings.ReplaceAll(text, k, id)
	}
	const want = `log LOG
witness a-sha.key A
group a-sha any a-sha.key
witness b-sha.key B
group b-sha any b-sha.key
witness c-sha.key C
group c-sha any c-sha.key
witness pf.key PF
group pf any pf.key
group members 3 a-sha b-sha c-sha pf
quorum members
`
	if text != want {
		t.Errorf("%s", text)
	}
}

func TestParsePolicyAllows(t *testing.T) {
	f := newFour(t)
	text := string(f.policy.Format())
	for name, s := range map[string]string{
		"comments":      "# ours\n" + strings.ReplaceAll(text, "\n", " # c\n\n"),
		"blanks":        strings.ReplaceAll(text, " ", " \t "),
		"a URL":         strings.Replace(text, "\ngroup a-sha", " https://a.example\ngroup a-sha", 1),
		"other names":   strings.ReplaceAll(text, ".key", "-w"),
		"quorum before": "quorum members\n" + strings.Replace(text, "quorum members\n", "", 1),
	} {
		if got, err := ParsePolicy([]byte(s)); err != nil || !reflect.DeepEqual(*got, f.policy) {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}

func TestParsePolicyRefuses(t *testing.T) {
	f := newFour(t)
	text := string(f.policy.Format())
	swap := func(old, new string) string {
		if !strings.Contains(text, old) {
			t.Fatalf("no %q in the policy", old)
		}
		return strings.Replace(text, old, new, 1)
	}
	a, b := CosignerKey(f.policy.Members[0].Signer, f.policy.Members[0].Key), CosignerKey(f.policy.Members[1].Signer, f.policy.Members[1].Key)
	logKey := LogVerifierKey(f.policy.Origin, f.policy.Log)
	asLog := CosignerKey("someone", f.policy.Log)
	for name, s := range map[string]string{
		"empty":                     "",
		"no log":                    swap("log "+logKey+"\n", ""),
		"two logs":                  "log " + LogVerifierKey("other", key(t, "x").Public()) + "\n" + text,
		"log key of another type":   swap("log "+logKey, "log "+CosignerKey(f.policy.Origin, f.policy.Log)),
		"witness of another type":   swap(a, LogVerifierKey(f.policy.Members[0].Signer, f.policy.Members[0].Key)),
		"key under two names":       swap(b, CosignerKey("other", f.policy.Members[0].Key)),
		"two keys under one name":   swap(b, CosignerKey(f.policy.Members[0].Signer, key(t, "x").Public())),
		"log's key cosigns":         swap(b, asLog),
		"log's key cosigns, before": strings.Replace(swap(b, asLog), "log "+logKey+"\n", "", 1) + "log " + logKey + "\n",
		"log's name cosigns":        swap(b, CosignerKey(f.policy.Origin, key(t, "x").Public())),
		"key id wrong":              swap(a, strings.Replace(a, "+", "+0", 1)),
		"key cut short":             swap(a, a[:len(a)-4]),
		"witness twice":             swap("group a-sha any", "witness a-sha.key "+CosignerKey("x", key(t, "x").Public())+"\ngroup a-sha any"),
		"witness without a group":   text + "witness x " + CosignerKey("x", key(t, "x").Public()) + "\n",
		"group outside members":     swap(" pf\n", "\n"),
		"member twice":              swap(" b-sha c-sha", " a-sha c-sha"),
		"group of two":              swap("group a-sha any a-sha.key", "group a-sha any a-sha.key b-sha.key"),
		"group of all":              swap("group a-sha any", "group a-sha all"),
		"group twice":               swap("group b-sha any b-sha.key", "group a-sha any b-sha.key"),
		"group named none":          strings.ReplaceAll(text, "c-sha", "none"),
		"threshold of none":         swap("members 3", "members 0"),
		"threshold too high":        swap("members 3", "members 5"),
		"threshold any":             swap("members 3", "members any"),
		"threshold with zeros":      swap("members 3", "members 03"),
		"threshold with a sign":     swap("members 3", "members +3"),
		"no quorum":                 swap("quorum members\n", ""),
		"quorum none":               swap("quorum members", "quorum none"),
		"quorum of one":             swap("quorum members", "quorum a-sha"),
		"two quorums":               text + "quorum members\n",
		"unknown word":              text + "allow all\n",
		"too long":                  strings.Repeat("\n", 1<<20) + text,
	} {
		if p, err := ParsePolicy([]byte(s)); !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %+v %v", name, p, err)
		}
	}
}

func TestValidName(t *testing.T) {
	for _, s := range []string{"a", "log.example/証", strings.Repeat("x", 128)} {
		if !ValidName(s) {
			t.Errorf("%q", s)
		}
	}
	for _, s := range []string{"", "a b", "a#b", "a+b", "a\nb", "a\u00a0b", "a\x01b", "a\x7fb", "\xff", strings.Repeat("x", 129)} {
		if ValidName(s) {
			t.Errorf("%q", s)
		}
	}
}

// FuzzParsePolicy: what is accepted comes back from its own text, and torchwood
// reads both.
func FuzzParsePolicy(f *testing.F) {
	four := newFour(f)
	f.Add(four.policy.Format())
	f.Add([]byte(strings.ReplaceAll(string(four.policy.Format()), ".key", "-w")))
	f.Add(witnessed(four, key(f, "w1"), key(f, "w2")).Format())
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParsePolicy(text)
		if err != nil {
			return
		}
		again, err := ParsePolicy(p.Format())
		if err != nil || !reflect.DeepEqual(p, again) {
			t.Fatalf("%q comes back as %+v: %v", text, again, err)
		}
		for _, s := range [][]byte{text, p.Format()} {
			if _, err := torchwood.ParsePolicy(s); err != nil {
				t.Fatalf("torchwood refuses %q: %v", s, err)
			}
		}
	})
}
