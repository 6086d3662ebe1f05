package node

import "testing"

func TestClash(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:8080", "0.0.0.0:8080", true}, {":8080", "127.0.0.1:8080", true}, {"[::]:8080", "10.0.0.1:8080", true},
		{"127.0.0.1:8080", "localhost:8080", true}, {"10.0.0.1:8080", "10.0.0.1:8080", true},
		{"10.0.0.1:8080", "10.0.0.2:8080", false}, {"127.0.0.1:8080", "127.0.0.1:8081", false}, {":0", ":0", false}, {"x", "x", false},
	} {
		if clash(c.a, c.b) != c.want || clash(c.b, c.a) != c.want {
			t.Errorf("%s and %s: want %v", c.a, c.b, c.want)
		}
	}
}
