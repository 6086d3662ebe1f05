package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/simulations/load"
	"github.com/spf13/cobra"
)

func benchCommand(e *env) *cobra.Command {
	o := benchOptions{Options: load.Options{}}
	cmd := &cobra.Command{
		Use:     "bench --dir DIR [--clients N] [--batch B] [--duration D] [--json]",
		Short:   "Load a running local consortium and measure",
		GroupID: groupTry,
		Long: `bench posts records to the local consortium in DIR, which must be running
(akashi dev --dir DIR), with N closed-loop clients of B records a request, and
prints final records a second and latencies last. It opens a service of its own
at each member. The generator shares the machine with the nodes.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return bench(cmd.Context(), e, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.dir, "dir", "", "`DIR`ectory of the consortium")
	f.IntVar(&o.Clients, "clients", 64, "`N` clients at once")
	f.IntVar(&o.Batch, "batch", 1, "`B` records a request")
	f.DurationVar(&o.Duration, "duration", 10*time.Second, "`D`uration of the measured part")
	f.IntVar(&o.Records, "records", 0, "end after this many final records")
	f.IntVar(&o.Consents, "consents", 10, "per cent of records that are consents; the rest are hand-overs")
	f.IntVar(&o.Handles, "handles", 1000, "handles with a consent, a member")
	f.BoolVar(&o.reads, "reads", false, "measure inclusion proofs instead of writes")
	f.BoolVar(&o.json, "json", false, "print the report as JSON")
	return cmd
}

type benchOptions struct {
	load.Options
	dir   string
	reads bool
	json  bool
}

func bench(ctx context.Context, e *env, o benchOptions) error {
	if o.dir == "" {
		return wrongUse(errors.New("no directory was given"), "--dir DIR is a local consortium that runs: akashi dev --dir DIR")
	}
	tokens, err := readTokens(o.dir)
	if err != nil {
		return wrongUse(err, "--dir DIR is a local consortium: akashi dev --dir DIR founds one")
	}
	urls, err := addressesOf(o.dir)
	if err != nil {
		return err
	}
	var size uint64 // final at every member
	for i, u := range urls {
		c, err := client.New(u.http, client.Options{Token: tokens["app"]})
		if err != nil {
			return err
		}
		st, err := c.Status(ctx)
		if err != nil {
			return notPossible(fmt.Errorf("%s: %w", u.http, err), "is akashi dev --dir "+o.dir+" running?")
		}
		o.Origin = st.Origin
		if st.Final == nil {
			return notPossible(fmt.Errorf("%s: nothing is final yet", u.http))
		}
		if i == 0 || st.Final.Size < size {
			size = st.Final.Size
		}
		o.Members = append(o.Members, load.Target{Member: st.Member, URL: u.http, Token: tokens["app"]})
	}
	if err := o.Check(); err != nil {
		return wrongUse(err)
	}
	s := e.screen()
	w := s.wait("preparing, then measuring for " + o.Duration.String())
	began := time.Now()
	var r *load.Report
	if o.reads {
		r, err = load.Reads(ctx, o.Options, size)
	} else {
		r, err = load.Run(ctx, o.Options)
	}
	w.end()
	if err != nil {
		return notPossible(err)
	}
	if o.json {
		return json.NewEncoder(e.stdout).Encode(r)
	}
	what := "final records"
	if o.reads {
		what = "proofs"
	}
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000) }
	s.line("%d clients of %d records, %d %% consents, %.1f s measured of %.1f s", r.Clients, r.Batch, r.Consents, r.Elapsed.Seconds(), time.Since(began).Seconds())
	s.line("%d %s, %d refused, %d requests failed", r.Records, what, r.Refused, r.Failed)
	if r.FirstErr != "" {
		s.line("first failure: %s", r.FirstErr)
	}
	s.line("%s a second: %.0f", what, r.PerSecond)
	s.line("latency in ms: p50 %s, p90 %s, p99 %s, max %s", ms(r.P50), ms(r.P90), ms(r.P99), ms(r.Max))
	return nil
}
