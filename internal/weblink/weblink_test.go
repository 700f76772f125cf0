package weblink_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/internal/weblink"
)

func TestFind_ReturnsTheTargetOfTheRelation(t *testing.T) {
	const absent = "absent"
	cases := []struct {
		name   string
		header []string
		want   string
	}{
		{"no header", nil, absent},
		{"an empty header", []string{""}, absent},
		{"GitHub's", []string{
			`<https://api.example.com/users?page=1>; rel="prev", <https://api.example.com/users?page=3>; rel="next"`,
		}, "https://api.example.com/users?page=3"},
		{"no next", []string{`<https://api.example.com/users?page=1>; rel="prev"`}, absent},
		{"several headers", []string{`</1>; rel=prev`, `</3>; rel=next`}, "/3"},
		{"the first of two", []string{`</1>; rel=next, </2>; rel=next`}, "/1"},
		{"without quotation marks", []string{`</2>;rel=next`}, "/2"},
		{"several relations", []string{`</2>; rel="last next"`}, "/2"},
		{"another relation with the word in it", []string{`</2>; rel="next-archive"`}, absent},
		{"in another case", []string{`</2>; REL="NEXT"`}, "/2"},
		{"a second rel is ignored", []string{`</2>; rel=prev; rel=next`}, absent},
		{"spaces everywhere", []string{"  <  /2  > \t;\t rel = \"next\" , "}, "/2"},
		{"a comma and a semicolon in the URL", []string{`</a,b;c?d=e,f>; rel=next`}, "/a,b;c?d=e,f"},
		{"delimiters in a quoted string", []string{`</1>; title="a, <b>; rel=next"; rel=prev, </2>; rel=next`}, "/2"},
		{"an escape in a quoted string", []string{`</2>; title="\"; rel=prev; \\"; rel=next`}, "/2"},
		{"an extended parameter", []string{`</2>; title*=UTF-8'de'n%c3%a4chste; rel=next`}, "/2"},
		{"a parameter without a value", []string{`</2>; crossorigin; rel=next`}, "/2"},
		{"an empty parameter", []string{`</2>;; rel=next;`}, "/2"},
		{"empty elements of the list", []string{`, ,</2>; rel=next`}, "/2"},
		{"an empty target", []string{`<>; rel=next`}, ""},
		{"a link about another page", []string{`</9>; rel=next; anchor="/other", </2>; rel=next`}, "/2"},
		{"malformed after the link", []string{`</2>; rel=next, oops`}, "/2"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			target, found, err := weblink.Find(c.header, "next")
			require.NoError(t, err)
			if c.want == absent {
				assert.False(t, found, "found %q", target)
				return
			}
			assert.True(t, found)
			assert.Equal(t, c.want, target)
		})
	}
}

func TestFind_AMalformedHeaderIsAnErrorThatShowsNoneOfIt(t *testing.T) {
	for _, header := range []string{
		`https://api.example.com/?key=s3cret; rel=next`,
		`<https://api.example.com/?key=s3cret; rel=next`,
		`</1>; rel=prev https://api.example.com/?key=s3cret`,
		`</1?key=s3cret>; rel="prev`,
		`</1?key=s3cret>; rel="prev\`,
		`</1?key=s3cret> rel=next`,
		`</1?key=s3cret>; rel=prev "next"`,
	} {
		_, found, err := weblink.Find([]string{header}, "next")
		require.Error(t, err, header)
		assert.False(t, found)
		assert.Contains(t, err.Error(), "malformed at byte")
		assert.NotContains(t, err.Error(), "s3cret")
	}
}

func FuzzFind(f *testing.F) {
	f.Add(`<https://api.example.com/users?page=3>; rel="next"`)
	f.Add(`</2>; title="\"; rel=prev; \\"; rel=next,`)
	f.Fuzz(func(t *testing.T, header string) {
		target, found, err := weblink.Find([]string{header}, "next")
		if err != nil && found {
			t.Fatal("an error beside a link")
		}
		if !strings.Contains(header, target) {
			t.Fatalf("the target %q is not in the header", target)
		}

		// What stands in front as a link of its own changes nothing.
		again, foundToo, errToo := weblink.Find([]string{`</0>; rel=first`, header}, "next")
		if again != target || foundToo != found || (err == nil) != (errToo == nil) {
			t.Fatal("a link of another relation in front changes the result")
		}
	})
}
