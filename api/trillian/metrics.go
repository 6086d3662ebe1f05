package trillian

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/status"
)

// metrics counts calls by method and status. Labels come from the program only,
// never from a call.
type metrics struct {
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newMetrics(s *server, registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "akashi_grpc_calls_total", Help: "Calls by method and status."}, []string{"method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "akashi_grpc_call_seconds", Help: "Duration of calls by method.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60}}, []string{"method"}),
	}
	for _, c := range []prometheus.Collector{m.calls, m.seconds, prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: "akashi_grpc_calls_in_flight", Help: "Calls under way."}, func() float64 { return float64(s.calls.Load()) })} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) observe(method string, err error, took time.Duration) {
	m.calls.WithLabelValues(method, status.Code(err).String()).Inc()
	m.seconds.WithLabelValues(method).Observe(took.Seconds())
}
