package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/simulations/load"
)

// TestBench loads four processes with 20,000 records: no gate on time, but
// everything that is posted must become final.
func TestBench(t *testing.T) {
	l := startLocal(t)
	var out bytes.Buffer
	o := benchOptions{dir: l.dir, json: true, Options: load.Options{Clients: 8, Batch: 500, Duration: 2 * time.Minute, Records: 20_000, Consents: 10, Handles: 500}}
	if err := bench(t.Context(), &env{stdout: &out, stderr: &out}, o); err != nil {
		t.Fatal(err)
	}
	var r load.Report
	if err := json.Unmarshal(out.Bytes()[bytes.IndexByte(out.Bytes(), '{'):], &r); err != nil {
		t.Fatalf("%v: %s", err, out.Bytes())
	}
	t.Logf("%.0f final records a second, p50 %v", r.PerSecond, r.P50)
	if r.Records < 20_000 || r.Refused != 0 || r.Failed != 0 {
		t.Errorf("%+v", r)
	}
	l.sameRoots()
}
