package sign

import "encoding/hex"

// weak are all encodings, under ZIP-215, of the eight points of small order.
// The second half are the spellings that are not minimal.
var weak = weakKeys(
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
)

func weakKeys(digits ...string) map[PublicKey]bool {
	keys := make(map[PublicKey]bool, len(digits))
	for _, d := range digits {
		b, err := hex.DecodeString(d)
		if err != nil || len(b) != PublicKeySize {
			panic("sign: weak key " + d)
		}
		keys[PublicKey(b)] = true
	}
	return keys
}

// Weak reports whether k is a point of small order. Under such a key anyone can
// sign anything: it must not stand for a person or a party.
func (k PublicKey) Weak() bool { return weak[k] }
