package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/simulations/scenarios"
	"github.com/spf13/cobra"
)

func demoCommand(e *env) *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:     "demo [--scenario NAME] [--once] [--dir DIR] [--base-port P]",
		Short:   "The whole story on a fresh consortium of four",
		GroupID: groupTry,
		Long: `demo founds a consortium of four members on this machine, one process each, and
plays a story on it: every answer is compared with what the story expects and
with a second, deliberately naive implementation of the rules. Then, in an
epilogue of its own, a person's data is erased, a sensor's reading is proved, the
whole log is re-derived from files alone, and one changed byte is found.

It runs on the story's dates; receipts say "story time". Files stay in DIR:
receipts/*.akashi.json, policy, log/ (the exported log), openings/.

With --once it ends by itself: 0 only if every promise held, else 1. Otherwise it
stays up until Ctrl-C. Without --dir, --once keeps receipts and policy and removes
the rest, unless a promise was broken or --keep asks for all of it.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.portGiven = cmd.Flags().Changed("base-port")
			return demo(cmd.Context(), e, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.scenario, "scenario", "sapporo", "`NAME` of the story: "+strings.Join(scenarios.Names, ", "))
	f.BoolVar(&o.once, "once", false, "end by itself")
	f.StringVar(&o.dir, "dir", "", "`DIR`ectory for everything; must be new (default: a temporary one)")
	f.BoolVar(&o.keep, "keep", false, "keep everything in the temporary directory of --once")
	f.IntVar(&o.base, "base-port", 8080, "first port `P`; where it is taken, another is found unless this is given")
	return cmd
}

type demoOptions struct {
	scenario  string
	once      bool
	keep      bool
	dir       string
	base      int
	portGiven bool
}

// production is a demo under way.
type production struct {
	demoOptions
	s       *screen
	story   *scenarios.Story
	cast    *scenarios.Cast
	fleet   *fleet
	stage   *stage
	tokens  map[string]string
	begin   time.Time
	report  *scenarios.Report
	guest   string // a person who can open the pages, at the member guestAt
	guestAt int
	promise []promise
}

// promise is something that the demo says must hold, and whether it did.
type promise struct {
	ja, en string
	held   bool
}

// promised notes and shows whether a promise held.
func (d *production) promised(held bool, ja, en string) {
	d.promise = append(d.promise, promise{ja, en, held})
	d.s.pairs(pair{"  " + d.s.tick(held) + " ", ja, en})
}

func demo(ctx context.Context, e *env, o demoOptions) error {
	d := &production{demoOptions: o, s: e.screen(), begin: time.Now()}
	var err error
	if d.story, err = scenarios.Load(o.scenario); err != nil {
		return wrongUse(err)
	}
	if d.cast, err = d.story.Cast(); err != nil {
		return wrongUse(err)
	}
	if err := d.prepare(); err != nil {
		return err
	}
	d.opening()
	held := false
	defer func() {
		if d.fleet != nil {
			d.fleet.stop()
		}
		if held && o.once && o.dir == "" && !o.keep {
			d.tidy()
		}
	}()
	for _, act := range []func(context.Context) error{d.found, d.play, d.epilogue} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	broken := d.closing()
	held = broken == 0
	if !o.once && ctx.Err() == nil {
		d.stayUp(ctx)
	}
	if broken > 0 {
		return unmet(fmt.Errorf("%d promises were broken", broken), "the members' logs are in "+d.dir+"/member-*/log")
	}
	return nil
}

// tidy removes what takes room in a temporary directory: the members' data, the
// exported logs. What was issued stays, and the policy that verifies it.
func (d *production) tidy() {
	list, err := os.ReadDir(d.dir)
	for _, f := range list {
		if name := f.Name(); name != filepath.Base(policyFile(d.dir)) && name != "receipts" {
			err = errors.Join(err, os.RemoveAll(filepath.Join(d.dir, name)))
		}
	}
	if err != nil {
		d.s.line("  %s", d.s.paint(faint, "left in "+d.dir+": "+err.Error()))
		return
	}
	d.s.pairs(pair{"  ", "控えと policy のほかは消しました（残すには --keep か --dir）", "all but receipts and policy was removed (--keep or --dir keep it)"})
}

// prepare finds a directory and ports.
func (d *production) prepare() (err error) {
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "akashi-demo-"); err != nil {
			return err
		}
	} else if err := emptyDir(d.dir); err != nil {
		return err
	}
	if err = portsFree(d.base, len(d.cast.Members)); err != nil && !d.portGiven {
		d.base, err = freePorts(len(d.cast.Members))
	}
	return err
}

func (d *production) opening() {
	c := d.story.Consortium
	d.s.line("%s  %s", d.s.paint(bold, "証 akashi"), d.s.paint(faint, "demo"))
	d.s.pairs(pair{"  ", c.Name.JA, c.Name.EN})
	d.s.pairs(pair{"  ", c.Summary.JA, c.Summary.EN})
	d.s.pairs(pair{"  ", "人も会社も作りもの、日付は物語のものです", "people and companies are invented, dates are the story's"})
}

// found founds the consortium and starts its members.
func (d *production) found(ctx context.Context) error {
	d.s.title("加盟企業", fmt.Sprintf("Members: four processes in %s", d.dir))
	f := d.story.Founding(d.cast)
	if err := localConsortium(d.dir, d.base, f); err != nil {
		return err
	}
	var people []string
	for _, p := range d.story.People.Explicit {
		people = append(people, p.ID)
	}
	var err error
	if d.tokens, err = localTokens(d.dir, len(d.cast.Members), people); err != nil {
		return err
	}
	w := d.s.wait("members start")
	if d.fleet, err = startFleet(d.dir, d.base, len(d.cast.Members), nil); err == nil {
		err = d.fleet.ready(ctx)
	}
	took := w.end()
	if err != nil {
		return err
	}
	if d.stage, err = newStage(d.fleet, d.cast, d.tokens["admin"], d.tokens["manager"]); err != nil {
		return err
	}
	var list []pair
	for i, id := range d.cast.Members {
		m := d.story.Member(id)
		list = append(list, pair{"  " + cell(id, 9) + " ", m.Name.JA, m.Name.EN + "  http://" + address(d.base, i, portHTTP)})
	}
	for _, m := range d.story.Members {
		if host := d.cast.Host[m.ID]; host != m.ID && !m.Joined.Start().After(d.story.Steps[0].When) {
			list = append(list, pair{"  " + cell(m.ID, 9) + " ", m.Name.JA, m.Name.EN + "  through " + host})
		}
	}
	d.s.pairs(list...)
	agree, err := d.stage.agree(ctx)
	if err != nil {
		return err
	}
	d.promised(agree, fmt.Sprintf("四つのノードが同じ確定点を示す（%s）", seconds(took)), fmt.Sprintf("four processes show one final checkpoint (%s)", seconds(took)))
	return nil
}

// closing sums up and returns how many promises were broken.
func (d *production) closing() int {
	broken := 0
	for _, p := range d.promise {
		if !p.held {
			broken++
		}
	}
	d.s.title("まとめ", "Summary")
	for _, p := range d.promise {
		if !p.held {
			d.s.pairs(pair{"  " + d.s.tick(false) + " ", p.ja, p.en})
		}
	}
	took := seconds(time.Since(d.begin))
	if broken == 0 {
		d.s.pairs(pair{"  " + d.s.tick(true) + " ", fmt.Sprintf("%dの約束はすべて守られました（%s）", len(d.promise), took),
			fmt.Sprintf("all %d promises held (%s)", len(d.promise), took)})
	} else {
		d.s.line("  %s %s", d.s.tick(false), d.s.paint(red, fmt.Sprintf("%d of %d promises were broken (%s)", broken, len(d.promise), took)))
	}
	d.s.line("  %s  %s", pad("receipts", 9), filepath.Join(d.dir, "receipts"))
	d.s.line("  %s  %s", pad("check", 9), fmt.Sprintf("akashi verify %s --policy %s", filepath.Join(d.dir, "receipts", "*.akashi.json"), policyFile(d.dir)))
	return broken
}

// stayUp keeps the consortium running until Ctrl-C.
func (d *production) stayUp(ctx context.Context) {
	d.s.title("ブラウザーで見る", "In a browser")
	d.s.line("  %s  %s", d.s.paint(cyan, browserURL(d.base, 0)), d.s.paint(faint, "だれでも  anyone"))
	if link, err := d.stage.clients[d.guestAt].Link(ctx, custody.Ref(d.guest), time.Hour); err == nil {
		d.s.line("  %s", d.s.paint(cyan, browserURL(d.base, d.guestAt)+"enter?code="+link.Code))
		name := d.story.Person(d.guest).Name
		d.s.pairs(pair{"    ", name + "として、一度だけ、一時間以内", "as " + d.guest + ", once, within an hour"})
	}
	d.s.line("  %s", d.s.paint(faint, "Ctrl-C ですべて終わります  Ctrl-C ends everything"))
	<-ctx.Done()
	d.s.line("")
}

// errStory says that the story could not go on.
var errStory = errors.New("the story could not go on")

// play plays the story.
func (d *production) play(ctx context.Context) error {
	d.s.title("物語", fmt.Sprintf("The story: %d steps", len(d.story.Steps)))
	p := newPlaybill(d)
	w := d.s.wait("物語が始まります  the story begins")
	report, err := scenarios.Run(ctx, d.story, d.stage, func(played *scenarios.Played) {
		w.end()
		p.show(played)
		p.receipts(ctx, played)
		w = d.s.wait("次の場面  the next step")
	})
	w.end()
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return notPossible(fmt.Errorf("%w: %w", errStory, err), "the members' logs are in "+d.dir+"/member-*/log")
	}
	d.report = report
	d.s.line("")
	d.promised(report.Faults == 0 && report.Played > 0, fmt.Sprintf("%d場面の答えは、物語とも、別に書いた規則とも同じ", report.Played),
		fmt.Sprintf("%d steps: every answer is the story's and that of the naive twin", report.Played))
	if report.Skipped > 0 {
		d.s.pairs(pair{"  · ", fmt.Sprintf("%d場面は、この版にない動きなので飛ばした（上に理由）", report.Skipped),
			fmt.Sprintf("%d steps were skipped: not in this version (reasons above)", report.Skipped)})
	}
	return p.verifyAll(ctx)
}

// people that the epilogue needs.
func (d *production) others(not string) string {
	i := slices.IndexFunc(d.story.People.Explicit, func(p scenarios.Person) bool { return p.ID != not && p.Guardian == nil })
	return d.story.People.Explicit[i].ID
}
