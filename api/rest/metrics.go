package rest

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics counts requests by route and status. Labels come from the program
// only, never from a request.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	handler  http.Handler
}

func newMetrics(s *server) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "akashi_http_requests_total", Help: "Requests by route and status."}, []string{"route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "akashi_http_request_seconds", Help: "Duration of requests by route.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60}}, []string{"route"}),
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	final := func(of func(*Final) float64) func() float64 {
		return func() float64 {
			if f := s.Final(); f != nil {
				return of(f)
			}
			return 0
		}
	}
	for _, c := range []prometheus.Collector{
		m.requests, m.seconds,
		gauge("akashi_final_height", "Height of the highest final checkpoint.", final(func(f *Final) float64 { return float64(f.State.Height) })),
		gauge("akashi_final_size", "Leaves in the log at the highest final checkpoint.", final(func(f *Final) float64 { return float64(f.State.Size) })),
		gauge("akashi_final_fresh_timestamp_seconds", "The k-th newest cosignature of the highest final checkpoint.", final(func(f *Final) float64 { return float64(f.FreshAt) })),
		gauge("akashi_tree_false_advances", "Advances of commitment trees that are not what the trees have, at most 100.", final(func(f *Final) float64 {
			list, err := falseAdvances(f.State)
			if err != nil {
				return -1
			}
			return float64(len(list))
		})),
		gauge("akashi_outbox_records", "Records that wait for their outcome.", func() float64 { return float64(s.Outbox.Held()) }),
		gauge("akashi_leader_known", "1 where the consortium has a leader.", func() float64 {
			if s.Leader() == "" {
				return 0
			}
			return 1
		}),
		gauge("akashi_evidence_files", "Files of evidence against members that this node keeps.", func() float64 { return float64(len(s.Kept.Items())) }),
		gauge("akashi_custodians", "Custodians that hold copies of this member's keys.", func() float64 { return float64(s.Custody.KeyLag().Custodians) }),
		gauge("akashi_keys_uncopied", "Keys of people of which no custodian has a copy.", func() float64 { return float64(s.Custody.KeyLag().Keys) }),
		gauge("akashi_keys_uncopied_age_seconds", "Since the first key of which no custodian has a copy was made; 0 where all are copied.", func() float64 { return s.Custody.KeyLag().Age(time.Now()).Seconds() }),
		gauge("akashi_http_streams", "Readers of the stream.", func() float64 { return float64(s.streams.Load()) }),
		gauge("akashi_http_requests_in_flight", "Requests under way.", func() float64 { return float64(s.requests.Load()) }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := s.Registry.Register(c); err != nil {
			return nil, err
		}
	}
	m.handler = promhttp.HandlerFor(s.Registry, promhttp.HandlerOpts{})
	return m, nil
}

func (m *metrics) observe(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}
