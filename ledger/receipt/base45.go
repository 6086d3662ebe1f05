package receipt

import "errors"

// Base45 (RFC 9285) writes bytes in the characters that a QR code stores most
// tightly.
const base45 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"

var base45Value = func() (v [256]int) {
	for i := range v {
		v[i] = -1
	}
	for i := range base45 {
		v[base45[i]] = i
	}
	return v
}()

func encode45(b []byte) string {
	out := make([]byte, 0, (len(b)+1)/2*3)
	for ; len(b) >= 2; b = b[2:] {
		n := int(b[0])<<8 | int(b[1])
		out = append(out, base45[n%45], base45[n/45%45], base45[n/2025])
	}
	if len(b) == 1 {
		out = append(out, base45[b[0]%45], base45[b[0]/45])
	}
	return string(out)
}

func decode45(s string) ([]byte, error) {
	bad := errors.New("malformed base45")
	if len(s)%3 == 1 {
		return nil, bad
	}
	out := make([]byte, 0, len(s)/3*2+1)
	for ; s != ""; s = s[min(3, len(s)):] {
		n, unit := 0, 1
		for i := range min(3, len(s)) {
			v := base45Value[s[i]]
			if v < 0 {
				return nil, bad
			}
			n, unit = n+v*unit, unit*45
		}
		switch {
		case len(s) >= 3 && n <= 0xffff:
			out = append(out, byte(n>>8), byte(n))
		case len(s) == 2 && n <= 0xff:
			out = append(out, byte(n))
		default:
			return nil, bad
		}
	}
	return out, nil
}
