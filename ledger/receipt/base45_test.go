package receipt

import (
	"bytes"
	"testing"
)

// The examples of RFC 9285 §4.3 and §4.4, and what is no base45.
func TestBase45(t *testing.T) {
	for plain, coded := range map[string]string{"AB": "BB8", "Hello!!": "%69 VD92EX0", "base-45": "UJCLQE7W581", "ietf!": "QED8WEX0", "": ""} {
		if got := encode45([]byte(plain)); got != coded {
			t.Errorf("%q: %q, want %q", plain, got, coded)
		}
		if got, err := decode45(coded); err != nil || !bytes.Equal(got, []byte(plain)) {
			t.Errorf("%q: %q, %v", coded, got, err)
		}
	}
	for _, bad := range []string{"A", "ABCD", "a00", "::", ":::", "GGX", "あ"} {
		if got, err := decode45(bad); err == nil {
			t.Errorf("%q: %q", bad, got)
		}
	}
}
