package web

import (
	"fmt"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// However many parties there are, both drawings stay within their frame, no more
// than maxNodes stand on a side, and what is drawn adds up to what was counted.
func TestDraw(t *testing.T) {
	for parties := 1; parties <= 12; parties++ {
		var flows []Flow
		total := 0
		for i := range parties {
			f := Flow{From: record.Text{Ja: fmt.Sprintf("会社%d株式会社ながいなまえ", i%4)}, To: record.Text{Ja: fmt.Sprintf("相手\u202e%d", i)}, Kind: "provision", Count: 1 + i*i}
			if i%3 == 2 {
				f.Kind = "provision.exception"
			}
			flows, total = append(flows, f), total+f.Count
		}
		p := draw(Japanese, flows)
		if p.Total != total || p.Without != (parties > 2) || len(p.Rows) != parties {
			t.Fatalf("%d parties: %+v", parties, p)
		}
		for _, d := range []*drawing{p.Wide, p.Narrow} {
			left := min(parties, 4)
			right := min(parties, maxNodes)
			if len(d.Nodes) != left+right {
				t.Errorf("%d parties: %d nodes in %s", parties, len(d.Nodes), d.Name)
			}
			for _, r := range d.Ribbons {
				for _, y := range []float64{r.ends[1], r.ends[3]} {
					if y < 0 || y > float64(d.Height) {
						t.Errorf("%d parties: a ribbon at %v of %d", parties, y, d.Height)
					}
				}
			}
			if !strings.Contains(d.Desc, fmt.Sprintf("合計%d回", total)) || strings.Contains(d.Desc, "\u202e") {
				t.Errorf("%s says %q", d.Name, d.Desc)
			}
		}
		if parties > maxNodes && !strings.Contains(p.Wide.Desc, fmt.Sprintf("ほか%d者", parties-maxNodes+1)) {
			t.Errorf("%d parties: the rest is not named: %s", parties, p.Wide.Desc)
		}
	}
	if draw(Japanese, nil) != nil {
		t.Error("a picture of nothing")
	}
}

func TestCrop(t *testing.T) {
	for in, want := range map[string]string{"みなと市": "みなと市", "青葉交通株式会社東京支店": "青葉交通株式会社東…", "a very long name of a company": "a very long name…", "": ""} {
		if got := crop(in, 10); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
