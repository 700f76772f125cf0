package wire_test

import (
	"bufio"
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/axlehttp/axle/internal/wire"
)

func TestToken_HasVisibleASCIICharactersAndNoDelimiter(t *testing.T) {
	const delimiters = `"(),/:;<=>?@[\]{}`
	for i := range 256 {
		c := byte(i)
		isVisible := c > ' ' && c < 0x7f
		want := isVisible && strings.IndexByte(delimiters, c) < 0
		assert.Equal(t, want, wire.IsTokenByte(c), "%q", c)
		assert.Equal(t, want, wire.IsToken("a"+string([]byte{c})), "%q", c)
	}
	assert.False(t, wire.IsToken(""))
}

func TestHeaderValue_TheFirstBadByteIsNamed(t *testing.T) {
	for value, want := range map[string]int{
		"":                  -1,
		"Bearer abc":        -1,
		"a tab\tis allowed": -1,
		"größe":             -1,
		"\xff":              -1,
		"a\r\nX-Evil: 1":    1,
		"ab\nc\r":           2,
		"\x00":              0,
		"x\x7f":             1,
	} {
		assert.Equal(t, want, wire.BadHeaderByte(value), "%q", value)
	}
}

func TestControlByte_IsOneOfASCIIAlone(t *testing.T) {
	for i := range 256 {
		want := -1
		if i < ' ' || i == 0x7f {
			want = 0
		}
		assert.Equal(t, want, wire.ControlByte(string([]byte{byte(i)})), "%#x", i)
	}
	assert.Equal(t, 2, wire.ControlByte("ab\t"), "a tab is one too")
}

// FuzzHeaderValue has net/http write a header and read it again. A name and a value that are allowed arrive as they were, and
// bring no other header along.
func FuzzHeaderValue(f *testing.F) {
	for _, seed := range [][2]string{
		{"X-Token", "Bearer abc"}, {"x", "a\r\nHost: evil"}, {"a b", "c"}, {"X-Tab", "a\tb"}, {"X-High", "\xff\u2028"}, {"X-Del", "\x7f"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		if !wire.IsToken(name) || wire.BadHeaderByte(value) >= 0 {
			return
		}
		name = http.CanonicalHeaderKey(name)
		if name == "Host" || name == "Content-Length" || name == "Transfer-Encoding" || name == "Trailer" || name == "User-Agent" {
			return // net/http writes these itself
		}

		var sent bytes.Buffer
		r := http.Request{
			Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: "axle.test"},
			Header: http.Header{name: {value}, "User-Agent": {""}},
		}
		if err := r.Write(&sent); err != nil {
			t.Fatal(err)
		}
		got, err := http.ReadRequest(bufio.NewReader(&sent))
		if err != nil {
			t.Fatalf("%q: %q is not read: %v", name, value, err)
		}
		if len(got.Header) > 1 || got.Header.Get(name) != strings.Trim(value, " \t") || sent.Len() > 0 {
			t.Fatalf("%q: %q arrives as %q", name, value, got.Header)
		}
	})
}
