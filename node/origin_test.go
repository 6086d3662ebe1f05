package node

import "testing"

func TestIsOrigin(t *testing.T) {
	for text, want := range map[string][2]bool{ // for a node over TLS, and on this machine
		"https://id.example.jp":          {true, true},
		"https://id.example.jp:8443":     {true, true},
		"http://localhost:8080":          {false, true},
		"http://member-1.localhost:8090": {false, true},
		"http://127.0.0.1:8080":          {false, true},
		"https://own.example":            {false, true}, // our own
		"http://id.example.jp":           {false, false},
		"https://id.example.jp/":         {false, false},
		"https://a@id.example.jp":        {false, false},
		"https://id.example.jp?x":        {false, false},
		"https://x.example;sandbox":      {false, false}, // would end a directive
		"https://x,y":                    {false, false},
		"https://*":                      {false, false},
		"https://*.example.jp":           {false, false},
		"https://x.example 'self'":       {false, false},
		"https://x.example\n":            {false, false},
		"https://x.example:":             {false, false},
		"https://x.example:123456":       {false, false},
		"HTTPS://x.example":              {false, false},
		"javascript:alert(1)":            {false, false},
		"":                               {false, false},
		"https://":                       {false, false},
	} {
		for i, own := range []string{"https://own.example", "http://member-0.localhost:8080"} {
			if got := isOrigin(text, own); got != want[i] {
				t.Errorf("%q beside %s: %v", text, own, got)
			}
		}
	}
}
