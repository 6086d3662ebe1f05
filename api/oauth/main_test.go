package oauth_test

import (
	"os"
	"testing"

	"github.com/akashi-ledger/akashi/api/browsertest"
)

func TestMain(m *testing.M) { os.Exit(browsertest.Main(m)) }
